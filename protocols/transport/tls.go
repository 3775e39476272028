package transport

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"time"
)

// A caller is who is at the other end of a connection: a party, or a reader,
// which has no name.
type caller struct {
	Peer
	party bool
}

func (c caller) refused(err error) *PeerError {
	name := c.Name
	if !c.party {
		name = Fingerprint(c.Key)
	}
	return &PeerError{Peer: c.ID, Known: c.party, Name: name, Err: err}
}

// An identity is what a TLS connection is made with: the own certificate, and the
// keys that the other end may have.
type identity struct {
	certificate func() (*tls.Certificate, error)
	key         ed25519.PublicKey // of the own certificate
	callers     map[string]caller // by key
}

// own returns the own certificate if peers would accept it.
func (i identity) own() (*tls.Certificate, error) {
	c, err := i.certificate()
	if err != nil {
		return nil, fmt.Errorf("transport: own certificate: %w", err)
	}
	if c == nil || len(c.Certificate) == 0 {
		return nil, fmt.Errorf("transport: own certificate: %w: there is none", ErrCertificate)
	}
	leaf := c.Leaf
	if leaf == nil {
		if leaf, err = x509.ParseCertificate(c.Certificate[0]); err != nil {
			return nil, fmt.Errorf("transport: own certificate: %w: %w", ErrCertificate, err)
		}
	}
	key, err := checkCertificate(leaf, time.Now())
	if err == nil && !key.Equal(i.key) {
		err = fmt.Errorf("%w: it has %s, not the key of the roster", ErrCertificate, Fingerprint(key))
	}
	if err != nil {
		return nil, fmt.Errorf("transport: own certificate: %w; remedy: renew it with the key in the roster", err)
	}
	return c, nil
}

// config returns the TLS configuration of one end. Certificates are checked by
// verify, in full handshakes only, instead of against authorities.
func (i identity) config() *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		NextProtos:             []string{"h2"},
		GetCertificate:         func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return i.own() },
		GetClientCertificate:   func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return i.own() },
		ClientAuth:             tls.RequireAnyClientCert,
		SessionTicketsDisabled: true,
		InsecureSkipVerify:     true, // of authorities and host names: verify pins the key
		VerifyConnection: func(state tls.ConnectionState) error {
			_, err := i.verify(state)
			return err
		},
	}
}

// verify returns who is at the other end, which has proved to hold the key of its
// certificate. The error is a *PeerError.
func (i identity) verify(state tls.ConnectionState) (caller, error) {
	if len(state.PeerCertificates) == 0 {
		return caller{}, &PeerError{Name: "a stranger", Err: fmt.Errorf("%w: there is none", ErrCertificate)}
	}
	leaf := state.PeerCertificates[0]
	key, err := checkCertificate(leaf, time.Now())
	if key == nil {
		return caller{}, &PeerError{Name: "a stranger", Err: err}
	}
	who, known := i.callers[string(key)]
	who.Key = key
	switch {
	case !known:
		err = ErrUnknownKey
	case err == nil && who.party && leaf.Subject.CommonName != who.Name:
		err = fmt.Errorf("%w: its certificate is for %q", ErrIdentity, leaf.Subject.CommonName)
	}
	if err != nil {
		return caller{}, who.refused(err)
	}
	return who, nil
}

// checkCertificate returns the key of a certificate. If that is all that is right
// with it, there is an error too.
func checkCertificate(c *x509.Certificate, now time.Time) (ed25519.PublicKey, error) {
	key, ok := c.PublicKey.(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("%w: its key is not an Ed25519 key", ErrCertificate)
	}
	switch day := time.RFC3339; {
	case c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) != nil:
		return key, fmt.Errorf("%w: not signed by its own key", ErrCertificate)
	case now.Before(c.NotBefore):
		return key, fmt.Errorf("%w: valid from %s, it is %s", ErrCertificate, c.NotBefore.UTC().Format(day), now.UTC().Format(day))
	case now.After(c.NotAfter):
		return key, fmt.Errorf("%w: expired %s, it is %s", ErrCertificate, c.NotAfter.UTC().Format(day), now.UTC().Format(day))
	}
	return key, nil
}

// signer returns the function that signs with the own key.
func (i identity) signer() (func([]byte) ([]byte, error), error) {
	c, err := i.own()
	if err != nil {
		return nil, err
	}
	key, ok := c.PrivateKey.(crypto.Signer)
	if !ok || !i.key.Equal(key.Public()) {
		return nil, fmt.Errorf("transport: own certificate: %w: its private key is missing or another", ErrCertificate)
	}
	return func(b []byte) ([]byte, error) { return key.Sign(rand.Reader, b, crypto.Hash(0)) }, nil
}
