package identity

import (
	"crypto/ed25519"
	"crypto/tls"
	"fmt"
	"sync"
	"time"

	"github.com/nereid-mhe/nereid/internal/canon"
	"github.com/nereid-mhe/nereid/protocols"
)

// An Identity is a card with its secrets: an Ed25519 key, which signs documents
// and TLS handshakes, and 32 bytes from which the seeds of studies derive. It is
// safe for concurrent use.
type Identity struct {
	card    Card
	key     Key
	created time.Time
	signing protocols.Seed // of the Ed25519 key
	root    protocols.Seed // of the seeds of studies

	mu   sync.Mutex
	cert *tls.Certificate // nil before the first
}

// New returns an identity with fresh secrets. The error is an *[Error] of reason
// Invalid.
func New(c Card) (*Identity, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	return restore(c, time.Now().UTC().Truncate(time.Second), protocols.GenerateSeed(), protocols.GenerateSeed()), nil
}

func restore(c Card, created time.Time, signing, root protocols.Seed) *Identity {
	id := &Identity{card: c, created: created, signing: signing, root: root}
	id.key = Key(id.private().Public().(ed25519.PublicKey))
	return id
}

func (id *Identity) private() ed25519.PrivateKey {
	seed := id.signing.Reveal()
	return ed25519.NewKeyFromSeed(seed[:])
}

// At returns the same identity with another address, for a study in which it has
// one. The error is an *[Error] of reason Invalid.
func (id *Identity) At(address string) (*Identity, error) {
	c := id.card
	c.Address = address
	if err := c.check(); err != nil {
		return nil, err
	}
	return restore(c, id.created, id.signing, id.root), nil
}

// Card returns what is public.
func (id *Identity) Card() Card { return id.card }

// Key returns the public key.
func (id *Identity) Key() Key { return id.key }

// String returns name, role and the first digits of the fingerprint.
func (id *Identity) String() string {
	return fmt.Sprintf("%s (%s, %.9s)", id.card.Name, id.card.Role, id.key.Fingerprint())
}

// Request returns the signed request of the identity that answers the invitation
// to a study, or none if study is zero. queryKey is the hash of a querier's key for
// the study, and zero for others. The same arguments give the same request.
func (id *Identity) Request(study, queryKey Digest) Request {
	r := Request{Card: id.card, Key: id.key, Created: id.created, Study: study, QueryKey: queryKey}
	r.Signature = id.Sign(requestContext, r.Digest())
	return r
}

// Sign signs a digest for one use, which context names: 1 to 255 bytes. The
// signature is good in no other context. The same input gives the same signature.
func (id *Identity) Sign(context string, digest [32]byte) Signature {
	s, err := id.private().Sign(nil, digest[:], &ed25519.Options{Context: context})
	if err != nil {
		panic("identity: signing in context " + context + ": " + err.Error()) // only for a context that is too long
	}
	return Signature(s)
}

// Seed returns the secret seed of this identity in a study. Seeds of different
// studies say nothing about each other, nor about the identity.
func (id *Identity) Seed(study protocols.StudyID) protocols.Seed {
	root := id.root.Reveal()
	return protocols.NewSeed(canon.Hash("nereid/seed/v1", root[:], study[:]))
}
