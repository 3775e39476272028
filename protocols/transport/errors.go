package transport

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

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
	return fmt.Sprintf("transport: %s: %v; %s", who, e.Err, e.Remedy())
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

// An UnreachableError reports that a party could not be asked or did not answer: there
// is no connection, or it ended, or nothing came over it in time. It is tried again.
type UnreachableError struct {
	Peer Peer // with its address
	Met  bool // whether there was a connection, with the peer's key
	Err  error
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("transport: party %d (%s) at %s: %s; %s", e.Peer.ID, e.Peer.Name, e.Peer.Address, e.Problem(), e.Remedy())
}

func (e *UnreachableError) Unwrap() error { return e.Err }

// late reports whether time was up.
func (e *UnreachableError) late() bool {
	var timeout interface{ Timeout() bool }
	return status.Code(e.Err) == codes.DeadlineExceeded || errors.Is(e.Err, context.DeadlineExceeded) || errors.As(e.Err, &timeout) && timeout.Timeout()
}

// Problem says what is wrong, in one line.
func (e *UnreachableError) Problem() string {
	switch {
	case e.late() && e.Met:
		return "connected, but no answer in time"
	case e.late():
		return "no connection in time"
	}
	return reason(e.Err)
}

// Remedy says what to do about the error.
func (e *UnreachableError) Remedy() string {
	var dns *net.DNSError
	switch {
	case errors.As(e.Err, &dns):
		return "compare the address in the lock, and the name service of this host"
	case e.Met && e.late():
		return "its host is busy or the link slow: wait longer"
	case e.late():
		return "see whether its host is up and a firewall lets its port through, or wait longer"
	case e.Met:
		return "it was stopped, or the link broke: see its log"
	}
	return "see whether its node runs, at this address, and a firewall lets its port through"
}

// reason returns what an error says of its cause, without what the layers between
// put in front.
func reason(err error) string {
	var op *net.OpError
	var grpc interface{ GRPCStatus() *status.Status }
	switch {
	case errors.As(err, &op):
		return op.Err.Error()
	case errors.As(err, new(*dialError)):
	case errors.As(err, &grpc):
		return grpc.GRPCStatus().Message()
	}
	return err.Error()
}

// Fingerprint returns the SHA-256 of a key, as people compare it.
func Fingerprint(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}
