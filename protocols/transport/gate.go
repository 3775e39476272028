package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc/credentials"
)

const (
	maxHandshakes  = 64 // connections whose peer is not known yet
	maxConnections = 8  // of one key
	maxStreams     = 2  // of a connection, each with a window
)

// authInfo is what a gRPC handler knows of the connection it serves.
type authInfo struct {
	credentials.TLSInfo
	caller
	conn net.Conn
}

// A gate makes the TLS handshakes of a port. It bounds how many connections wait
// for theirs and how many a key has: beyond that the oldest is closed, because a
// connection that is meant well is quickly done or already dead.
type gate struct {
	credentials.TransportCredentials
	config   *tls.Config
	identity identity
	traffic  func(caller) *traffic            // where the bytes of a caller count
	refuse   func(remote net.Addr, err error) // told of every connection refused

	mu   sync.Mutex
	open map[string][]net.Conn // by key
}

func newGate(i identity, t func(caller) *traffic, refuse func(net.Addr, error)) *gate {
	return &gate{
		TransportCredentials: credentials.NewTLS(i.config()),
		config:               i.config(),
		identity:             i, traffic: t, refuse: refuse, open: map[string][]net.Conn{},
	}
}

// Clone implements [credentials.TransportCredentials]. A port has one gate.
func (g *gate) Clone() credentials.TransportCredentials { return g }

// ServerHandshake implements [credentials.TransportCredentials]. The server has
// set a deadline on raw, and closes it when the handshake fails.
func (g *gate) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	wired := newWireConn(raw, &traffic{})
	g.enter("", wired)
	defer g.leave("", wired)
	conn := tls.Server(wired, g.config)
	err := conn.Handshake()
	if err == nil && conn.ConnectionState().NegotiatedProtocol == "" {
		err = fmt.Errorf("%w: not HTTP/2", ErrMalformed)
	}
	if err != nil {
		g.refuse(raw.RemoteAddr(), err)
		if errors.As(err, new(*PeerError)) {
			linger(wired)
		}
		return nil, nil, err
	}
	state := conn.ConnectionState()
	who, err := g.identity.verify(state) // as in the handshake
	if err != nil {
		return nil, nil, err
	}
	total, early := g.traffic(who), wired.count.Load()
	total.in.Add(early.in.Load())
	total.out.Add(early.out.Load())
	wired.count.Store(total)
	key := string(who.Key)
	g.enter(key, wired)
	gated := &gatedConn{&batchedConn{conn, wired}, func() { g.leave(key, wired) }}
	return gated, authInfo{tlsInfo(state), who, gated}, nil
}

// tlsInfo returns what gRPC wants to know of a connection.
func tlsInfo(state tls.ConnectionState) credentials.TLSInfo {
	return credentials.TLSInfo{State: state, CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}}
}

// linger waits a little until a refused peer hangs up. Closed at once, the
// connection would be reset, and the peer not read why it was refused.
func linger(c net.Conn) {
	_ = c.SetReadDeadline(time.Now().Add(time.Second))
	_, _ = io.CopyN(io.Discard, c, 1<<16)
}

// enter counts a connection of a key, or one without a key yet.
func (g *gate) enter(key string, c net.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	limit := maxConnections
	if key == "" {
		limit = maxHandshakes
	}
	if g.open[key] = append(g.open[key], c); len(g.open[key]) > limit {
		oldest := g.open[key][0]
		oldest.Close()
		g.open[key] = g.open[key][1:]
		g.refuse(oldest.RemoteAddr(), ErrFlood)
	}
}

func (g *gate) leave(key string, c net.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, other := range g.open[key] {
		if other == c {
			g.open[key] = append(g.open[key][:i:i], g.open[key][i+1:]...)
			break
		}
	}
	if len(g.open[key]) == 0 {
		delete(g.open, key)
	}
}

// A gatedConn tells its gate when it is closed.
type gatedConn struct {
	net.Conn
	leave func()
}

func (c *gatedConn) Close() error {
	c.leave()
	return c.Conn.Close()
}

// A knock makes the TLS handshake of one connection that this party makes. It
// keeps the reason when either end refuses the other, which gRPC turns to text.
type knock struct {
	credentials.TransportCredentials
	mu      sync.Mutex
	refusal error
	dialled error     // why there is no connection
	until   time.Time // end of the peer's certificate, zero before the handshake
}

func newKnock(i identity) *knock {
	return &knock{TransportCredentials: credentials.NewTLS(i.config())}
}

// Clone implements [credentials.TransportCredentials]. It serves one connection.
func (k *knock) Clone() credentials.TransportCredentials { return k }

// ClientHandshake implements [credentials.TransportCredentials].
func (k *knock) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := k.TransportCredentials.ClientHandshake(ctx, authority, raw)
	if err != nil {
		k.note(err)
		return nil, nil, err
	}
	k.mu.Lock()
	k.until = info.(credentials.TLSInfo).State.PeerCertificates[0].NotAfter
	k.mu.Unlock()
	if wired, ok := raw.(*wireConn); ok {
		conn = &batchedConn{conn, wired}
	}
	return &alertConn{conn, k}, info, nil
}

// note keeps err if it is a refusal.
func (k *knock) note(err error) {
	var refused *PeerError
	var op *net.OpError
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case errors.As(err, &refused):
		k.refusal = refused
	case errors.As(err, &op) && op.Op == "remote error": // a TLS alert
		k.refusal = fmt.Errorf("%w: %w", ErrRefused, op.Err)
	case errors.Is(err, ErrCertificate): // the own one
		k.refusal = err
	}
}

// An alertConn is a connection on which the server's refusal of the certificate
// arrives, which in TLS 1.3 is after the client's handshake.
type alertConn struct {
	net.Conn
	knock *knock
}

func (c *alertConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil {
		c.knock.note(err)
	}
	return n, err
}
