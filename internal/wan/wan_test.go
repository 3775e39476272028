package wan

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// sink opens a port that answers one byte for every connection's end.
func sink(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(io.Discard, c)
				_, _ = c.Write([]byte{1})
				_ = c.Close()
			}()
		}
	}()
	return l.Addr().String()
}

func connect(t *testing.T, from, to *End, upstream string) *Proxy {
	p, err := Connect(from, to, upstream)
	require.NoError(t, err)
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// send sends bytes and returns how long it took until they were there, there and back.
func send(t *testing.T, p *Proxy, bytes int) time.Duration {
	start := time.Now()
	c, err := net.Dial("tcp", p.Address())
	require.NoError(t, err)
	defer c.Close()
	_, err = c.Write(make([]byte, bytes))
	require.NoError(t, err)
	require.NoError(t, c.(*net.TCPConn).CloseWrite())
	n, err := c.Read(make([]byte, 1))
	require.NoError(t, err)
	require.Equal(t, 1, n)
	return time.Since(start)
}

func TestRateAndLatency(t *testing.T) {
	t.Parallel()
	link := Link{Mbit: 80, Latency: 50 * time.Millisecond} // 10 bytes a microsecond
	a, b, c := NewEnd(link), NewEnd(link), NewEnd(link)
	p := connect(t, a, b, sink(t))
	require.GreaterOrEqual(t, send(t, p, 0), 100*time.Millisecond)
	alone := send(t, p, 3_000_000)
	require.GreaterOrEqual(t, alone, 400*time.Millisecond)
	require.Less(t, alone, 700*time.Millisecond)

	// Two connections of one end share its link, wherever they go.
	q := connect(t, a, c, sink(t))
	start := time.Now()
	var wg sync.WaitGroup
	for _, p := range []*Proxy{p, q} {
		wg.Go(func() { send(t, p, 3_000_000) })
	}
	wg.Wait()
	require.GreaterOrEqual(t, time.Since(start), 700*time.Millisecond)
}

func TestCutAndClose(t *testing.T) {
	t.Parallel()
	end := NewEnd(Link{Mbit: 1000})
	p := connect(t, end, end, sink(t))
	c, err := net.Dial("tcp", p.Address())
	require.NoError(t, err)
	defer c.Close()
	_, err = c.Write([]byte{1})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.conns) == 2
	}, 5*time.Second, time.Millisecond)
	p.Cut()
	_, err = c.Read(make([]byte, 1))
	require.Error(t, err)
	send(t, p, 10) // others are served
	require.NoError(t, p.Close())
	_, err = net.Dial("tcp", p.Address())
	require.Error(t, err)
}

// Nobody at the other end is as a port that is closed.
func TestNobodyListens(t *testing.T) {
	t.Parallel()
	end := NewEnd(Link{Mbit: 1000})
	p := connect(t, end, end, "127.0.0.1:1")
	c, err := net.Dial("tcp", p.Address())
	require.NoError(t, err)
	defer c.Close()
	_, err = c.Read(make([]byte, 1))
	require.Error(t, err)
}
