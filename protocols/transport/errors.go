package transport

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/nereid-mhe/nereid/protocols"
)

// Reasons for which a peer is refused, wrapped by [PeerError].
var (
	ErrUnknownKey  = errors.New("key not in the roster")
	ErrCertificate = errors.New("bad certificate")
	ErrIdentity    = errors.New("claims to be another party")
	ErrStudy       = errors.New("another study")
	ErrForged      = errors.New("bad signature or checksum")
	ErrTooBig      = errors.New("too big")
	ErrMalformed   = errors.New("malformed or out of turn")
	ErrFlood       = errors.New("too many connections or messages")
	ErrRefused     = errors.New("the peer refused this party")
)

// ErrClosed is returned by an endpoint, line or client after Close, and by a line
// that another line of the same point replaced.
var ErrClosed = errors.New("transport: closed")

// remedies says what a person does about each reason.
var remedies = []struct {
	reason error
	remedy string
}{
	{ErrUnknownKey, "compare the key's fingerprint with the roster of the study"},
	{ErrCertificate, "the peer renews its certificate with the key in the roster; compare the clocks of both hosts"},
	{ErrIdentity, "the peer uses the name and number that the roster gives its key"},
	{ErrStudy, "both parties use the same lock file of the study"},
	{ErrForged, "the peer is faulty or hostile: tell its operator"},
	{ErrTooBig, "both parties use the same version and plan; otherwise the peer is hostile"},
	{ErrMalformed, "both parties use the same version; otherwise the peer is faulty or hostile"},
	{ErrFlood, "the peer is faulty or hostile: tell its operator"},
	{ErrRefused, "see the peer's log; compare roster, study and certificate dates with it"},
}

// A PeerError reports that a peer was refused, or that it refused this party. The
// connection is closed and made again later; the endpoint stays up. It wraps one
// of the reasons of this package.
type PeerError struct {
	Peer  protocols.PartyID // if Known
	Known bool              // whether the peer is a party of the study
	Name  string            // of the party, otherwise fingerprint and address
	Err   error
}

func (e *PeerError) Error() string {
	who := e.Name
	if e.Known {
		who = fmt.Sprintf("party %d (%s)", e.Peer, e.Name)
	}
	return fmt.Sprintf("transport: %s: %v; remedy: %s", who, e.Err, e.Remedy())
}

func (e *PeerError) Unwrap() error { return e.Err }

// Remedy says what to do about the error.
func (e *PeerError) Remedy() string {
	for _, r := range remedies {
		if errors.Is(e.Err, r.reason) {
			return r.remedy
		}
	}
	return "see the log of the peer"
}

// Fingerprint returns the SHA-256 of a key, as people compare it.
func Fingerprint(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}
