package transport

import (
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/nereid-mhe/nereid/protocols"
)

func newCert(t testing.TB, key ed25519.PrivateKey, name string, from, until time.Duration) func() (*tls.Certificate, error) {
	c, err := newCertificate(key, name, time.Now().Add(from), time.Now().Add(until))
	require.NoError(t, err)
	return func() (*tls.Certificate, error) { return c, nil }
}

// Who is not who the roster says is refused in the handshake, and both ends know why.
func TestWrongCertificates(t *testing.T) {
	w := newWorld(t, 2, 1, 0)
	root := w.open(0)
	stranger := testKey("stranger")
	for name, c := range map[string]struct {
		key   ed25519.PrivateKey
		cert  func() (*tls.Certificate, error)
		want  error
		known bool
	}{
		"unknown key":          {stranger, newCert(t, stranger, "site-1", -time.Hour, time.Hour), ErrUnknownKey, false},
		"another party's name": {w.keys[1], newCert(t, w.keys[1], "site-0", -time.Hour, time.Hour), ErrIdentity, true},
	} {
		t.Run(name, func(t *testing.T) {
			stream, err := w.dialAs(0, c.key, c.cert).Link(t.Context())
			if err == nil {
				_, err = stream.Recv()
			}
			require.Equal(t, codes.Unavailable, status.Code(err))
			last := func() error {
				if c.known {
					return root.Stats().Peers[0].Last
				}
				return root.Stats().Strangers.Last
			}
			require.Eventually(t, func() bool { return last() != nil }, 5*time.Second, time.Millisecond)
			require.ErrorIs(t, last(), c.want)
		})
	}
	w.check([]*Endpoint{root, w.open(1)}, 0, 3, 0, 1)
}

// A hostile party of which only the port matters: it proves no key of the roster.
func TestServerWithAnotherKey(t *testing.T) {
	w := newWorld(t, 2, 1, 0)
	w.keys[0] = testKey("stranger")
	l := w.listeners[0]
	cert := newCert(t, w.keys[0], "site-0", -time.Hour, time.Hour)
	fake := tls.NewListener(l, identity{certificate: cert, key: publicKey(w.keys[0])}.config())
	go func() {
		for {
			c, err := fake.Accept()
			if err != nil {
				return
			}
			go func() { _ = c.(*tls.Conn).Handshake() }()
		}
	}()
	t.Cleanup(func() { fake.Close() })
	child := w.open(1)
	require.Eventually(t, func() bool { return child.Stats().Peers[0].Last != nil }, 5*time.Second, time.Millisecond)
	require.ErrorIs(t, child.Stats().Peers[0].Last, ErrUnknownKey)
	require.ErrorContains(t, child.Stats().Peers[0].Last, Fingerprint(publicKey(w.keys[0])))
}

// An expired certificate is refused by the endpoint that has it, and by its peers.
// Renewed, it needs no restart.
func TestCertificateExpiresAndIsRenewed(t *testing.T) {
	w := newWorld(t, 2, 1, 0)
	expired := newCert(t, w.keys[1], "site-1", -2*time.Hour, -time.Hour)
	cfg := w.config(1)
	cfg.Certificate = expired
	_, err := Open(cfg)
	require.ErrorIs(t, err, ErrCertificate)
	require.ErrorContains(t, err, "expired")

	cfg.Certificate = newCert(t, w.keys[1], "site-1", time.Hour, 2*time.Hour)
	_, err = Open(cfg)
	require.ErrorIs(t, err, ErrCertificate)
	require.ErrorContains(t, err, "valid from")

	var current atomic.Pointer[tls.Certificate]
	first, _ := newCert(t, w.keys[1], "site-1", -time.Hour, time.Hour)()
	current.Store(first)
	cfg.Certificate = func() (*tls.Certificate, error) { return current.Load(), nil }
	child, err := Open(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { child.Close() })
	root := w.open(0)
	connected(t, root, child)
	require.WithinDuration(t, first.Leaf.NotAfter, root.Stats().Peers[0].Expires, time.Second)

	// It expires while the link is down.
	require.NoError(t, root.Close())
	old, _ := expired()
	current.Store(old)
	w.listen(0)
	root = w.open(0)
	require.Eventually(t, func() bool {
		p := child.Stats().Peers[0].Problem
		return p != nil && !child.Stats().Peers[0].Connected && errors.Is(p, ErrCertificate)
	}, 10*time.Second, time.Millisecond)
	renewed, _ := newCert(t, w.keys[1], "site-1", -time.Minute, 9*time.Hour)()
	current.Store(renewed)
	connected(t, root, child)
	require.WithinDuration(t, renewed.Leaf.NotAfter, root.Stats().Peers[0].Expires, time.Second)
	w.check([]*Endpoint{root, child}, 0, 3, 0, 1)
}

// The peer checks the dates too: here of a party that does not check its own.
func TestPeerChecksDates(t *testing.T) {
	w := newWorld(t, 2, 1, 0)
	root := w.open(0)
	c, err := newCert(t, w.keys[1], "site-1", -2*time.Hour, -time.Hour)()
	require.NoError(t, err)
	raw, err := net.Dial("tcp", w.roster[0].Address)
	require.NoError(t, err)
	conn := tls.Client(raw, &tls.Config{Certificates: []tls.Certificate{*c}, InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	defer conn.Close()
	require.NoError(t, conn.Handshake()) // in TLS 1.3 the answer comes after it
	_, err = conn.Read(make([]byte, 1))
	require.ErrorContains(t, err, "bad certificate")
	require.Eventually(t, func() bool { return root.Stats().Peers[0].Last != nil }, 5*time.Second, time.Millisecond)
	require.ErrorIs(t, root.Stats().Peers[0].Last, ErrCertificate)
	require.ErrorContains(t, root.Stats().Peers[0].Last, "expired")
}

// Nothing older than TLS 1.3 and nothing without a certificate gets in.
func TestOldTLS(t *testing.T) {
	w := newWorld(t, 2, 1, 0)
	w.open(0)
	c, _ := certificate(t, w.keys[1], "site-1")()
	for name, cfg := range map[string]*tls.Config{
		"TLS 1.2":        {MaxVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*c}, InsecureSkipVerify: true},
		"no certificate": {InsecureSkipVerify: true, NextProtos: []string{"h2"}},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := tls.Dial("tcp", w.roster[0].Address, cfg)
			if err == nil {
				_, err = conn.Read(make([]byte, 1))
			}
			require.ErrorContains(t, err, "remote error: tls:")
		})
	}
}

// A party of another study is told so and tries again.
func TestRefusedByPeer(t *testing.T) {
	w := newWorld(t, 2, 1, 0)
	root := w.open(0)
	w.study = protocols.StudyID{7}
	child := w.open(1)
	require.Eventually(t, func() bool { return child.Stats().Peers[0].Refused >= 2 }, 10*time.Second, time.Millisecond)
	require.ErrorIs(t, child.Stats().Peers[0].Last, ErrRefused)
	require.ErrorContains(t, child.Stats().Peers[0].Last, "another study")
	require.ErrorIs(t, root.Stats().Peers[0].Last, ErrStudy)
}
