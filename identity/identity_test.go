package identity_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/armor"
	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/identity"
	"github.com/nereid-mhe/nereid/protocols"
)

func TestSealAndOpen(t *testing.T) {
	id := newIdentity(t, card)
	x, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	other, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	for name, tt := range map[string]struct {
		to    age.Recipient
		right age.Identity
		wrong []age.Identity
	}{
		"passphrase": {weak(t, "correct horse"), passphrase(t, "correct horse"), []age.Identity{passphrase(t, "correct horses"), x}},
		"key file":   {x.Recipient(), x, []age.Identity{other, passphrase(t, "correct horse")}},
	} {
		t.Run(name, func(t *testing.T) {
			sealed, err := id.Seal(tt.to)
			require.NoError(t, err)
			require.True(t, identity.IsSealed(sealed))
			again, err := identity.Open(sealed, tt.right)
			require.NoError(t, err)
			require.Equal(t, id.Request(identity.Digest{}, identity.Digest{}), again.Request(identity.Digest{}, identity.Digest{}))
			require.Equal(t, id.Seed(protocols.StudyID{1}).Reveal(), again.Seed(protocols.StudyID{1}).Reveal())
			for _, key := range tt.wrong {
				_, err := identity.Open(sealed, key)
				require.ErrorIs(t, err, identity.Locked)
			}
			for i := range sealed {
				bad := bytes.Clone(sealed)
				bad[i] ^= 1
				if opened, err := identity.Open(bad, tt.right); err == nil { // a line end that armor allows
					require.Equal(t, id.Key(), opened.Key())
				}
			}
		})
	}
	_, err = identity.Open([]byte("hello"), x)
	require.ErrorIs(t, err, identity.Damaged)
	_, err = identity.Open(bytes.Repeat([]byte(armor.Header), 3000), x)
	require.ErrorIs(t, err, identity.Damaged)
	_, err = id.Seal()
	require.ErrorContains(t, err, "no recipients")
}

// An age file of something else is refused as damaged.
func TestOpenOtherContent(t *testing.T) {
	for name, plain := range map[string]string{
		"text":         "hello",
		"no secrets":   "{\n  \"kind\": \"nereid identity\",\n  \"version\": 1,\n  \"name\": \"a\",\n  \"role\": \"party\",\n  \"address\": \"\",\n  \"created\": \"2026-01-01T00:00:00Z\",\n  \"signing\": \"\",\n  \"root\": \"\"\n}\n",
		"other secret": "{\n  \"kind\": \"nereid identity\",\n  \"version\": 1,\n  \"secret\": 1\n}\n",
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			a := armor.NewWriter(&b)
			w, err := age.Encrypt(a, weak(t, "p"))
			require.NoError(t, err)
			_, err = w.Write([]byte(plain))
			require.NoError(t, err)
			require.NoError(t, w.Close())
			require.NoError(t, a.Close())
			_, err = identity.Open(b.Bytes(), passphrase(t, "p"))
			require.ErrorIs(t, err, identity.Damaged)
		})
	}
}

// A version that is not known is told from damage.
func TestVersions(t *testing.T) {
	b := encode(t, newIdentity(t, card).Request(identity.Digest{}, identity.Digest{}))
	_, err := identity.ParseRequest(bytes.Replace(b, []byte(`"version": 1`), []byte(`"version": 2`), 1))
	require.ErrorIs(t, err, identity.Unsupported)
	require.ErrorContains(t, err, "use the same version of the program at all parties")
}

// Seeds differ by study and by identity, and come back for the same.
func TestSeeds(t *testing.T) {
	a, b := newIdentity(t, card), newIdentity(t, card)
	one, two := protocols.StudyID{1}, protocols.StudyID{2}
	require.Equal(t, a.Seed(one).Reveal(), a.Seed(one).Reveal())
	require.NotEqual(t, a.Seed(one).Reveal(), a.Seed(two).Reveal())
	require.NotEqual(t, a.Seed(one).Reveal(), b.Seed(one).Reveal())
}

// With another address it is the same identity otherwise.
func TestAt(t *testing.T) {
	id := newIdentity(t, card)
	moved, err := id.At("elsewhere.example.org:7000")
	require.NoError(t, err)
	want := id.Request(identity.Digest{}, identity.Digest{})
	want.Address = "elsewhere.example.org:7000"
	got := moved.Request(identity.Digest{}, identity.Digest{})
	want.Signature = got.Signature
	require.Equal(t, want, got)
	require.NoError(t, got.Verify())
	require.Equal(t, card, id.Card())
	require.Equal(t, id.Seed(protocols.StudyID{1}).Reveal(), moved.Seed(protocols.StudyID{1}).Reveal())
	_, err = id.At("elsewhere")
	require.ErrorIs(t, err, identity.Invalid)
}

// Nothing that holds a secret prints it, whatever the verb.
func TestSecretsDoNotPrint(t *testing.T) {
	id := newIdentity(t, card)
	cert, err := id.Certificate()
	require.NoError(t, err)
	secrets := identity.Secrets(id)
	holder := struct {
		a any
		B any
		c *identity.Identity
	}{id, cert, id}
	var logged bytes.Buffer
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "id", id, "cert", cert.PrivateKey, "holder", holder)
	slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "id", id, "cert", cert.PrivateKey, "holder", holder)
	asJSON, _ := json.Marshal([]any{id, cert.PrivateKey})
	out := logged.String() + string(asJSON)
	for _, v := range []any{id, *cert, cert, cert.PrivateKey, holder, &holder} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			out += fmt.Sprintf(verb, v)
		}
	}
	require.Contains(t, out, "north (party, ")
	for _, s := range secrets {
		b := s.Reveal()
		for _, form := range []string{
			hex.EncodeToString(b[:6]), strings.ToUpper(hex.EncodeToString(b[:6])), base64.StdEncoding.EncodeToString(b[:6]), string(b[:6]),
			strings.Trim(fmt.Sprint(b[:4]), "[]"), strings.ReplaceAll(strings.Trim(fmt.Sprint(b[:4]), "[]"), " ", ", "),
			fmt.Sprintf("%#x, %#x, %#x", b[0], b[1], b[2]),
		} {
			require.NotContains(t, out, form)
		}
	}
}

func TestDigests(t *testing.T) {
	d := newIdentity(t, card).Key().Fingerprint()
	s := d.String()
	require.Regexp(t, `^([0-9a-f]{4}-){15}[0-9a-f]{4}$`, s)
	for _, same := range []string{s, strings.ToUpper(s), strings.ReplaceAll(s, "-", " "), strings.ReplaceAll(s, "-", ""), " " + s + " "} {
		got, err := identity.ParseDigest(same)
		require.NoError(t, err)
		require.Equal(t, d, got)
	}
	for _, bad := range []string{"", s[:len(s)-1], s + "0", "x" + s[1:], strings.Repeat("-", 64)} {
		_, err := identity.ParseDigest(bad)
		require.ErrorIs(t, err, identity.Invalid, bad)
	}
}

// A signature holds for its key, context and digest, and for nothing else; nor is
// it one in TLS.
func TestSign(t *testing.T) {
	id, other := newIdentity(t, card), newIdentity(t, card)
	digest := [32]byte{1}
	s := id.Sign("one", digest)
	require.True(t, id.Key().Verify("one", digest, s))
	require.False(t, id.Key().Verify("two", digest, s))
	require.False(t, id.Key().Verify("", digest, s))
	require.False(t, id.Key().Verify("one", [32]byte{2}, s))
	require.False(t, other.Key().Verify("one", digest, s))
	s[0] ^= 1
	require.False(t, id.Key().Verify("one", digest, s))
}
