package transport

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
)

// A traffic counts the bytes on the wire from and to a peer.
type traffic struct{ in, out atomic.Int64 }

const (
	maxBatch = 128 << 10              // bytes that gRPC writes at once
	maxHeld  = maxBatch + maxBatch/16 // the same in records of TLS
)

// A wireConn is a connection below TLS. It counts bytes, at first its own and those of
// the peer when it is known, and writes together what a [batchedConn] says.
type wireConn struct {
	net.Conn
	count atomic.Pointer[traffic]

	mu    sync.Mutex
	batch bool
	held  []byte // of a batch
	err   error  // of a batch, which TLS did not see: nothing is written after it
}

func newWireConn(c net.Conn, count *traffic) *wireConn {
	limitBacklog(c)
	w := &wireConn{Conn: c}
	w.count.Store(count)
	return w
}

func (w *wireConn) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	w.count.Load().in.Add(int64(n))
	return n, err
}

func (w *wireConn) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return 0, w.err
	}
	if !w.batch || len(w.held)+len(b) > maxHeld {
		if err := w.flush(); err != nil {
			return 0, err
		}
	}
	if w.batch && len(b) <= maxHeld {
		w.held = append(w.held, b...)
		return len(b), nil
	}
	return w.write(b)
}

func (w *wireConn) write(b []byte) (int, error) {
	n, err := w.Conn.Write(b)
	w.count.Load().out.Add(int64(n))
	return n, err
}

// flush writes what is held.
func (w *wireConn) flush() error {
	if len(w.held) > 0 && w.err == nil {
		_, w.err = w.write(w.held)
		w.held = w.held[:0]
	}
	return w.err
}

// begin holds what is written from here on.
func (w *wireConn) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.batch = true
}

// end writes what is held, and holds nothing more.
func (w *wireConn) end() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.batch = false
	return w.flush()
}

// A batchedConn is a TLS connection that writes the records of a Write together: TLS
// makes one of every 16 KB, and writes it by itself.
type batchedConn struct {
	net.Conn
	wire *wireConn
}

func (c *batchedConn) Write(b []byte) (int, error) {
	c.wire.begin()
	n, err := c.Conn.Write(b)
	if end := c.wire.end(); end != nil {
		return 0, end
	}
	return n, err
}

// Close does not wait for a batch that the peer does not take, as TLS would for its own
// last words.
func (c *batchedConn) Close() error {
	if c.wire.mu.TryLock() {
		c.wire.mu.Unlock()
		return c.Conn.Close()
	}
	return errors.Join(c.wire.Conn.Close(), c.Conn.Close())
}
