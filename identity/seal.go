package identity

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"filippo.io/age"
	"filippo.io/age/armor"

	"github.com/nereid-mhe/nereid/internal/canon"
	"github.com/nereid-mhe/nereid/protocols"
)

// secretFile is the plaintext of an age file.
type secretFile struct {
	canon.Header
	Card
	Created time.Time `json:"created"`
	Signing []byte    `json:"signing"` // 32 bytes
	Root    []byte    `json:"root"`    // 32 bytes
}

var secretHeader = canon.Header{Kind: "nereid identity", Version: 1}

// maxSealed is the size of a sealed identity that Open reads: those that Seal
// writes for one recipient have about 1 kB.
const maxSealed = 1 << 16

// IsSealed reports whether b looks like a sealed identity.
func IsSealed(b []byte) bool { return bytes.HasPrefix(b, []byte(armor.Header)) }

// Seal returns the identity as an age file in ASCII armor, encrypted to the
// recipients: one of a passphrase, or the keys of key files. The error is that of
// age, for recipients that do not go together.
func (id *Identity) Seal(to ...age.Recipient) ([]byte, error) {
	signing, root := id.signing.Reveal(), id.root.Reveal()
	plain, err := canon.Encode(secretFile{secretHeader, id.card, id.created, signing[:], root[:]})
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	var sealed bytes.Buffer
	text := armor.NewWriter(&sealed)
	w, err := age.Encrypt(text, to...)
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	_, err = w.Write(plain)
	if err = errors.Join(err, w.Close(), text.Close()); err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	return sealed.Bytes(), nil
}

// Open reads what Seal returned. The error is an *[Error], of reason Locked if
// none of the keys opens it. With a passphrase it takes about a second and 256 MiB
// of memory, which is the point of it.
func Open(sealed []byte, keys ...age.Identity) (*Identity, error) {
	if !IsSealed(sealed) || len(sealed) > maxSealed {
		return nil, &Error{Damaged, "it is no sealed identity", `name the file that "nereid identity new" wrote`}
	}
	r, err := age.Decrypt(armor.NewReader(bytes.NewReader(sealed)), keys...)
	if errors.As(err, new(*age.NoIdentityMatchError)) {
		return nil, &Error{Locked, "the identity does not open", "give the passphrase or key file that it was made with"}
	}
	damaged := func(err error) error {
		return &Error{Damaged, fmt.Sprintf("a damaged identity: %v", err), "restore the file from a copy"}
	}
	if err != nil {
		return nil, damaged(err)
	}
	plain, err := io.ReadAll(r)
	defer clear(plain)
	if err != nil {
		return nil, damaged(err)
	}
	return parseSecret(plain)
}

// parseSecret reads the plaintext of a sealed identity.
func parseSecret(plain []byte) (*Identity, error) {
	var f secretFile
	if err := decode(plain, secretHeader, &f); err != nil {
		return nil, err
	}
	if len(f.Signing) != 32 || len(f.Root) != 32 {
		return nil, &Error{Damaged, "a damaged identity: a secret is not of 32 bytes", "restore the file from a copy"}
	}
	id := restore(f.Card, f.Created, protocols.NewSeed([32]byte(f.Signing)), protocols.NewSeed([32]byte(f.Root)))
	if err := id.Request(Digest{}, Digest{}).Verify(); err != nil {
		return nil, err
	}
	return id, nil
}
