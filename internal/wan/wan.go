// Package wan emulates links between programs on this machine: TCP proxies of a
// given rate and latency. It is for tests and benchmarks.
//
// Every end has one link, which all its connections share, as those of a site do: a
// parent that sends to three children takes three times as long as to one. Nothing is
// lost, and TCP itself runs over loopback: its slow start and congestion control are
// not emulated.
package wan

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// A Link is what an end is connected with.
type Link struct {
	Mbit    float64       // bandwidth in Mbit/s, in either direction at once
	Latency time.Duration // one way, from any end to any other
}

// An End is a site with its link.
type End struct {
	link     Link
	up, down pacer
}

// NewEnd returns a site with a link.
func NewEnd(l Link) *End { return &End{link: l} }

// A pacer is one direction of a link. It lets bytes through one after another.
type pacer struct {
	mu   sync.Mutex
	free time.Time // when what it has taken is through
}

// take takes n bytes that are there at a time, and returns when they are through.
func (p *pacer) take(n int, at time.Time, mbit float64) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.free.Before(at) {
		p.free = at
	}
	p.free = p.free.Add(time.Duration(float64(8*n) / mbit * float64(time.Microsecond)))
	return p.free
}

const (
	chunk = 16 << 10 // bytes that travel together
	queue = 2048     // chunks under way on a connection, beyond which the sender waits
	early = time.Millisecond
)

// A Proxy carries connections of one end to the port of another.
type Proxy struct {
	from, to *End
	upstream string
	listener net.Listener
	done     sync.WaitGroup

	mu     sync.Mutex
	conns  map[net.Conn]bool // both sides of all connections
	closed bool
}

// Connect opens a port of loopback for connections from one end to upstream, the
// address of a port of the other.
func Connect(from, to *End, upstream string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{from: from, to: to, upstream: upstream, listener: l, conns: map[net.Conn]bool{}}
	p.done.Go(p.accept)
	return p, nil
}

// Address returns the address to dial in place of upstream's.
func (p *Proxy) Address() string { return p.listener.Addr().String() }

// Cut ends all connections there are.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close() // what it carried is lost, which is the point
	}
	clear(p.conns)
}

// Close ends all connections and closes the port.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	err := p.listener.Close()
	p.Cut()
	p.done.Wait()
	return err
}

func (p *Proxy) accept() {
	for {
		near, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.done.Go(func() {
			far, err := net.Dial("tcp", p.upstream)
			if err != nil || !p.keep(near, far) {
				_ = near.Close() // as a port that nobody listens at
				return
			}
			var up sync.WaitGroup
			up.Go(func() { carry(near, far, p.from, p.to) })
			carry(far, near, p.to, p.from)
			up.Wait()
			p.drop(near, far)
		})
	}
}

// keep notes a connection, unless the proxy is closed.
func (p *Proxy) keep(near, far net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = far.Close()
		return false
	}
	p.conns[near], p.conns[far] = true, true
	return true
}

func (p *Proxy) drop(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
		delete(p.conns, c)
	}
}

// A parcel is what arrives at a time.
type parcel struct {
	b  []byte
	at time.Time
}

// carry carries bytes in one direction until either side ends.
func carry(src, dst net.Conn, from, to *End) {
	way := make(chan parcel, queue)
	var wg sync.WaitGroup
	wg.Go(func() {
		for x := range way {
			sleepUntil(x.at)
			if len(x.b) == 0 { // the end travels too
				if half, ok := dst.(interface{ CloseWrite() error }); ok {
					_ = half.CloseWrite()
				}
				return
			}
			if _, err := dst.Write(x.b); err != nil {
				_ = src.Close() // ends the reading side
				for range way {
				}
				return
			}
		}
	})
	buffer := make([]byte, chunk)
	for {
		n, err := src.Read(buffer)
		if n > 0 {
			sent := from.up.take(n, time.Now(), from.link.Mbit)
			at := to.down.take(n, sent.Add(from.link.Latency), to.link.Mbit)
			way <- parcel{append([]byte(nil), buffer[:n]...), at}
			if time.Until(sent) > early { // the link is busy: let the sender wait
				sleepUntil(sent)
			}
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				way <- parcel{at: time.Now().Add(from.link.Latency)}
			} else {
				_ = dst.Close()
			}
			break
		}
	}
	close(way)
	wg.Wait()
}

func sleepUntil(t time.Time) {
	if d := time.Until(t); d > 0 {
		time.Sleep(d)
	}
}
