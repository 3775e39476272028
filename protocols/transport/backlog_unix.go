//go:build linux || darwin

package transport

import (
	"net"

	"golang.org/x/sys/unix"
)

// limitBacklog keeps what the system takes of a connection before it is sent at
// maxBacklog bytes. What waits there is lost when the connection breaks, and goes
// ahead of whatever becomes urgent meanwhile. A system that refuses has a longer
// queue, which is no error.
func limitBacklog(c net.Conn) {
	t, ok := c.(*net.TCPConn)
	if !ok {
		return
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, maxBacklog)
	})
}
