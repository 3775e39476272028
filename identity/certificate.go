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

	// ExpiryWarning is how long before its end a peer's certificate is worth a
	// warning: a peer renews 10 days before, so that one with less is not renewed.
	ExpiryWarning = 7 * 24 * time.Hour

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

// CheckCertificate returns nil if a peer's certificate is of the key that the
// roster has for it, made by that key, and valid now. The error is an *[Error] of
// reason WrongKey, Forged, NotYetValid or Expired. That the peer has the key, the
// TLS handshake shows.
func CheckCertificate(c *x509.Certificate, pinned Key, now time.Time) error {
	key, ok := c.PublicKey.(ed25519.PublicKey)
	if !ok {
		return &Error{WrongKey, fmt.Sprintf("a certificate with a key of %v, want Ed25519", c.PublicKeyAlgorithm), "the peer is no node of this study: check its address"}
	}
	if Key(key) != pinned {
		return &Error{
			WrongKey,
			fmt.Sprintf("a certificate of the key %v, the roster has %v", Key(key).Fingerprint(), pinned.Fingerprint()),
			"the peer must run with the identity of the lock; check the address, and who answers there",
		}
	}
	if err := c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature); err != nil {
		return &Error{Forged, fmt.Sprintf("a certificate that its key did not sign: %v", err), "the peer must run a node of this program"}
	}
	const clocks = "compare the clocks of both hosts: the peer renews its certificate by itself"
	switch form := time.RFC3339; {
	case now.Before(c.NotBefore):
		return &Error{NotYetValid, fmt.Sprintf("a certificate valid from %s, it is %s here", c.NotBefore.UTC().Format(form), now.UTC().Format(form)), clocks}
	case now.After(c.NotAfter):
		return &Error{Expired, fmt.Sprintf("a certificate valid until %s, it is %s here", c.NotAfter.UTC().Format(form), now.UTC().Format(form)), clocks}
	}
	return nil
}

// ExpiresSoon returns how long a peer's certificate is still valid, and whether
// that is so short that the peer does not seem to renew it.
func ExpiresSoon(c *x509.Certificate, now time.Time) (left time.Duration, soon bool) {
	left = c.NotAfter.Sub(now)
	return left, left < ExpiryWarning
}
