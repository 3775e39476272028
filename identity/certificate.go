package identity

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"time"
)

// Times of certificates.
const (
	// Lifetime is how long a certificate is valid from when it is made.
	Lifetime = 30 * 24 * time.Hour

	renewBefore = 10 * 24 * time.Hour
	backdated   = time.Hour // for clocks that are behind
)

// Certificate returns a certificate for TLS, of server and client, signed by its
// own key. It is made in memory and lasts for [Lifetime]; 10 days before its end
// the next call makes another. Call it for every handshake.
func (id *Identity) Certificate() (*tls.Certificate, error) {
	id.mu.Lock()
	defer id.mu.Unlock()
	now := time.Now()
	if c := id.cert; c != nil && !now.Before(c.Leaf.NotBefore) && now.Before(c.Leaf.NotAfter.Add(-renewBefore)) {
		return c, nil
	}
	t := &x509.Certificate{
		Subject:               pkix.Name{CommonName: id.card.Name},
		NotBefore:             now.Add(-backdated),
		NotAfter:              now.Add(Lifetime),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}
	s := signer{id}
	der, err := x509.CreateCertificate(rand.Reader, t, t, s.Public(), s)
	if err != nil {
		return nil, fmt.Errorf("identity: making a certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("identity: making a certificate: %w", err)
	}
	id.cert = &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: s, Leaf: leaf}
	return id.cert, nil
}

// A signer is the private key of certificates: one that does not print, unlike
// [ed25519.PrivateKey].
type signer struct{ *Identity }

var _ crypto.Signer = signer{}

// Public implements [crypto.Signer].
func (s signer) Public() crypto.PublicKey { return ed25519.PublicKey(s.key[:]) }

// Sign implements [crypto.Signer].
func (s signer) Sign(_ io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	return s.private().Sign(nil, message, opts)
}
