package identity

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"time"

	"github.com/nereid-mhe/nereid/internal/canon"
)

// A Role is what someone does in a study.
type Role string

// The roles.
const (
	Party   Role = "party"   // owns rows and holds a share of the collective key
	Querier Role = "querier" // asks for predictions
)

// A Card is what is public about an identity, besides its key.
type Card struct {
	Name    string `json:"name"` // 1 to 63 ASCII letters, digits and ._-, the first a letter or digit
	Role    Role   `json:"role"`
	Address string `json:"address"` // host:port where peers dial it; empty if nobody can
}

// A Request is a card with its public key, signed by that key: what leaves the
// host of an identity. The signature shows that the sender has the key; whose key
// it is, people confirm by comparing its fingerprint.
type Request struct {
	Card
	Key       Key       `json:"key"`
	Created   time.Time `json:"created"`            // of the identity; whole seconds, UTC
	Study     Digest    `json:"study,omitzero"`     // the invitation that it answers; zero for none
	QueryKey  Digest    `json:"query_key,omitzero"` // of the key that predictions in the study go to; only of a querier
	Signature Signature `json:"signature"`
}

const requestContext = "nereid/request/v1"

var requestHeader = canon.Header{Kind: "nereid request", Version: 1}

type requestFile struct {
	canon.Header
	Request
}

// Digest returns the hash of all that is signed. Different requests have
// different digests.
func (r Request) Digest() Digest {
	created := r.Created.UTC().Format(time.RFC3339Nano)
	return canon.Hash(requestContext,
		[]byte(r.Name), []byte(r.Role), []byte(r.Address), r.Key[:], []byte(created), r.Study[:], r.QueryKey[:])
}

// Verify checks all fields and the signature. The error is an *[Error] of reason
// Invalid or Forged.
func (r Request) Verify() error {
	if err := r.check(); err != nil {
		return err
	}
	if r.Created.IsZero() || !r.Created.Equal(r.Created.Truncate(time.Second)) {
		return &Error{Invalid, fmt.Sprintf("%s was created at %v", r.Name, r.Created), "make the request again"}
	}
	if r.QueryKey != (Digest{}) && (r.Role != Querier || r.Study == Digest{}) {
		return &Error{Invalid, fmt.Sprintf("%s has a key for predictions and is no querier of a study", r.Name), "make the request again"}
	}
	if !r.Key.Verify(requestContext, r.Digest(), r.Signature) {
		return &Error{Forged, fmt.Sprintf("the request of %s is not signed by its key", r.Name), "get the request again from its owner: it was changed on the way"}
	}
	return nil
}

// Encode returns the form that [ParseRequest] reads.
func (r Request) Encode() ([]byte, error) { return canon.Encode(requestFile{requestHeader, r}) }

// ParseRequest reads a request and verifies it. The error is an *[Error].
func ParseRequest(b []byte) (Request, error) {
	var f requestFile
	if err := decode(b, requestHeader, &f); err != nil {
		return Request{}, err
	}
	if err := f.Verify(); err != nil {
		return Request{}, err
	}
	return f.Request, nil
}

// check returns what is wrong with the fields of c.
func (c Card) check() error {
	if !validName.MatchString(c.Name) {
		return &Error{Invalid, fmt.Sprintf("the name %.100q", c.Name), "use 1 to 63 letters, digits, dots, hyphens and underscores, starting with a letter or a digit"}
	}
	if c.Role != Party && c.Role != Querier {
		return &Error{Invalid, fmt.Sprintf("%s has the role %.40q", c.Name, c.Role), "the roles are party and querier"}
	}
	if c.Address == "" {
		return nil
	}
	if err := checkAddress(c.Address); err != nil {
		return &Error{Invalid, fmt.Sprintf("the address %.100q of %s: %v", c.Address, c.Name, err), "give host:port as other parties reach it, such as node.example.org:7000, or none"}
	}
	return nil
}

// validName is what study files take for the names of parties and queriers.
var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

var validHost = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$`)

// checkAddress takes one spelling of an address only, so that equal ones are
// found.
func checkAddress(a string) error {
	host, port, err := net.SplitHostPort(a)
	if err != nil {
		return err
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || port != strconv.FormatUint(n, 10) {
		return fmt.Errorf("port %q is no number from 1 to 65535", port)
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		switch {
		case ip.String() != host:
			return fmt.Errorf("write the host as %s", ip)
		case ip.IsUnspecified() || ip.IsMulticast():
			return fmt.Errorf("nobody can dial %s", ip)
		}
		return nil
	}
	if len(host) > 253 || !validHost.MatchString(host) {
		return fmt.Errorf("%q is no host name of small letters, digits, hyphens and dots, and no IP address", host)
	}
	return nil
}
