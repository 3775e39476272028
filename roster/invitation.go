package roster

import (
	"fmt"
	"regexp"
	"unicode/utf8"

	"github.com/nereid-mhe/nereid/identity"
	"github.com/nereid-mhe/nereid/internal/canon"
)

// A Study is what parties agree on: data, model, training, opening policy. The
// content is opaque here; it must be the canonical form of the study.
type Study struct {
	Name    string          `json:"name"`   // 1 to 100 printable characters, without a blank at either end
	Digest  identity.Digest `json:"digest"` // of name and content
	Content []byte          `json:"content"`
}

// NewStudy returns the study with the given name and canonical bytes, 1 byte or
// more. The error is an *[Error] of reason Invalid.
func NewStudy(name string, content []byte) (Study, error) {
	s := Study{Name: name, Content: content}
	s.Digest = s.digest()
	return s, s.check()
}

func (s Study) digest() identity.Digest {
	return canon.Hash("nereid/study/v1", []byte(s.Name), s.Content)
}

// validTitle is what study files take for the name of a study.
var validTitle = regexp.MustCompile(`^[^\p{C}\s](?:[^\p{C}\n]{0,98}[^\p{C}\s])?$`)

func (s Study) check() error {
	if !validTitle.MatchString(s.Name) || !utf8.ValidString(s.Name) {
		return &Error{Invalid, fmt.Sprintf("the study's name %.100q", s.Name), "give it a name of 1 to 100 printable characters"}
	}
	if len(s.Content) == 0 {
		return &Error{Invalid, fmt.Sprintf("the study %s is empty", s.Name), "describe the study"}
	}
	if s.Digest != s.digest() {
		return &Error{Damaged, fmt.Sprintf("the study %s is not the one of its digest", s.Name), "get the file again: it was changed"}
	}
	return nil
}

// An Invitation is a study with the request of its founder, who signs it thereby.
// The same study and founder make the same invitation. It is immutable.
type Invitation struct{ body invitationBody }

type invitationBody struct {
	Study   Study            `json:"study"`
	Founder identity.Request `json:"founder"` // bound to this invitation
}

var invitationHeader = canon.Header{Kind: KindInvitation, Version: 1}

type invitationFile struct {
	canon.Header
	invitationBody
}

// Invite returns the invitation of a founder to a study. The founder may be a
// party or a querier, but the request of a founder holds no key for predictions.
func Invite(s Study, founder *identity.Identity) (Invitation, error) {
	if err := s.check(); err != nil {
		return Invitation{}, err
	}
	b := invitationBody{Study: s}
	b.Founder.Key = founder.Key()
	b.Founder = founder.Request(b.digest(), identity.Digest{})
	return Invitation{b}, b.check()
}

// digest covers the study and the founder's key; the founder's signature covers
// the digest.
func (b invitationBody) digest() identity.Digest {
	return canon.Hash("nereid/invitation/v1", b.Study.Digest[:], b.Founder.Key[:])
}

func (b invitationBody) check() error {
	if err := b.Study.check(); err != nil {
		return err
	}
	if err := verify(b.Founder); err != nil {
		return err
	}
	if b.Founder.Study != b.digest() {
		return &Error{Forged, fmt.Sprintf("%s did not sign this invitation to %s", b.Founder.Name, b.Study.Name), "get the invitation again from the founder"}
	}
	return nil
}

// Study returns what the invitation is to.
func (i Invitation) Study() Study { return i.body.Study }

// Founder returns the request of who invites.
func (i Invitation) Founder() identity.Request { return i.body.Founder }

// Digest returns what requests are bound to: a hash of the study and the founder's
// key.
func (i Invitation) Digest() identity.Digest { return i.body.digest() }

// Join returns the request of an identity that agrees to the study. queryKey is the
// hash of the key that a querier has for the study, and zero for parties.
func (i Invitation) Join(id *identity.Identity, queryKey identity.Digest) identity.Request {
	return id.Request(i.Digest(), queryKey)
}

// Encode returns the form that [ParseInvitation] reads.
func (i Invitation) Encode() ([]byte, error) {
	return canon.Encode(invitationFile{invitationHeader, i.body})
}

// ParseInvitation reads an invitation and checks it. The error is an *[Error].
func ParseInvitation(b []byte) (Invitation, error) {
	var f invitationFile
	if err := decode(b, invitationHeader, &f); err != nil {
		return Invitation{}, err
	}
	if err := f.check(); err != nil {
		return Invitation{}, err
	}
	return Invitation{f.invitationBody}, nil
}
