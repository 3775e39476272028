package identity_test

import (
	"crypto"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/identity"
)

const day = 24 * time.Hour

var errPeer = errors.New("not the peer, or not now")

// config is how a node joins two ends: certificates from the callback, peers by
// their pinned key.
func config(id *identity.Identity, peer identity.Key) *tls.Config {
	return &tls.Config{
		MinVersion:           tls.VersionTLS13,
		GetCertificate:       func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return id.Certificate() },
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return id.Certificate() },
		ClientAuth:           tls.RequireAnyClientCert,
		InsecureSkipVerify:   true,
		VerifyConnection: func(s tls.ConnectionState) error {
			leaf := s.PeerCertificates[0]
			if now := time.Now(); !ed25519.PublicKey(peer[:]).Equal(leaf.PublicKey) || now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
				return errPeer
			}
			return nil
		},
	}
}

// handshake returns the errors of client and server, which meet over loopback: the
// alert of one end would block in a pipe while the other writes.
func handshake(t *testing.T, client, server *tls.Config) (cerr, serr error) {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", server)
	require.NoError(t, err)
	defer l.Close()
	done := make(chan error)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			_, err = conn.Write([]byte("hello"))
			_ = conn.Close()
		}
		done <- err
	}()
	conn, cerr := tls.Dial("tcp", l.Addr().String(), client)
	if cerr == nil {
		_, cerr = conn.Read(make([]byte, 5))
		_ = conn.Close()
	}
	return cerr, <-done
}

// Two identities meet over TLS for a year, with certificates that they renew; a
// third is refused by both.
func TestHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, stranger := newIdentity(t, card), newIdentity(t, card), newIdentity(t, card)
		for range 37 {
			cerr, serr := handshake(t, config(a, b.Key()), config(b, a.Key()))
			require.NoError(t, cerr)
			require.NoError(t, serr)
			time.Sleep(10 * day)
		}
		cerr, _ := handshake(t, config(a, b.Key()), config(stranger, a.Key()))
		require.ErrorIs(t, cerr, errPeer)
		_, serr := handshake(t, config(stranger, b.Key()), config(b, a.Key()))
		require.ErrorIs(t, serr, errPeer)
	})
}

// A certificate is kept while it is good, and made again 10 days before its end.
func TestCertificateIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		id := newIdentity(t, card)
		certificate := func() *x509.Certificate {
			c, err := id.Certificate()
			require.NoError(t, err)
			return c.Leaf
		}
		first := certificate()
		require.Equal(t, identity.Lifetime+time.Hour, first.NotAfter.Sub(first.NotBefore))
		require.Equal(t, "north", first.Subject.CommonName)
		time.Sleep(20*day - time.Second)
		require.Same(t, first, certificate())
		time.Sleep(time.Second)
		second := certificate()
		require.NotSame(t, first, second)
		require.NotEqual(t, first.SerialNumber, second.SerialNumber)
		require.Equal(t, first.PublicKey, second.PublicKey)
	})
}

// The private key of a certificate signs messages too, with plain Ed25519 as TLS
// does; its documents are signed in another way.
func TestCertificateKeySigns(t *testing.T) {
	id := newIdentity(t, card)
	cert, err := id.Certificate()
	require.NoError(t, err)
	message := []byte("message")
	signer, ok := cert.PrivateKey.(crypto.Signer)
	require.True(t, ok)
	s, err := signer.Sign(nil, message, crypto.Hash(0))
	require.NoError(t, err)
	require.True(t, ed25519.Verify(signer.Public().(ed25519.PublicKey), message, s))
	digest := [32]byte{1}
	s, err = signer.Sign(nil, digest[:], crypto.Hash(0))
	require.NoError(t, err)
	require.False(t, id.Key().Verify("one", digest, identity.Signature(s)))
}
