package roster_test

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/armor"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/nereid-mhe/nereid/identity"
	"github.com/nereid-mhe/nereid/roster"
)

func TestStudies(t *testing.T) {
	for _, name := range []string{"", " heart", "heart ", "heart\n", "a\nb", "a\x1b[2J", "a\u202eb", "a\xffb", strings.Repeat("a", 101)} {
		_, err := roster.NewStudy(name, []byte("x"))
		require.ErrorIs(t, err, roster.Invalid, "%q", name)
	}
	for _, name := range []string{"h", "Heart failure, 2nd try (ä)", strings.Repeat("a", 100)} {
		_, err := roster.NewStudy(name, []byte("x"))
		require.NoError(t, err)
	}
	_, err := roster.NewStudy("heart", nil)
	require.ErrorIs(t, err, roster.Invalid)
	_, err = roster.Invite(roster.Study{Name: "heart", Content: []byte("x")}, newIdentity(t, "north", identity.Party))
	require.ErrorIs(t, err, roster.Damaged, "without a digest")
}

// The same study and founder make the same invitation; another of either another.
func TestInvitations(t *testing.T) {
	a, b := newIdentity(t, "north", identity.Party), newIdentity(t, "north", identity.Party)
	i := invite(t, a, "heart", "x")
	require.Equal(t, encode(t, i), encode(t, invite(t, a, "heart", "x")))
	for _, other := range []roster.Invitation{invite(t, b, "heart", "x"), invite(t, a, "heart", "y"), invite(t, a, "hearts", "x")} {
		require.NotEqual(t, i.Digest(), other.Digest())
	}
	got, err := roster.ParseInvitation(encode(t, i))
	require.NoError(t, err)
	require.Equal(t, i, got)
	require.Equal(t, []byte("x"), got.Study().Content)
	require.Equal(t, a.Key(), got.Founder().Key)
}

// A study that the founder did not sign is refused, also with its right digest.
func TestInvitationIsSigned(t *testing.T) {
	a := newIdentity(t, "north", identity.Party)
	cut := func(content string) (study, founder string) {
		study, founder, ok := strings.Cut(string(encode(t, invite(t, a, "heart", content))), `"founder"`)
		require.True(t, ok)
		return study, `"founder"` + founder
	}
	study, founder := cut("x")
	_, other := cut("y")
	_, err := roster.ParseInvitation([]byte(study + founder))
	require.NoError(t, err)
	_, err = roster.ParseInvitation([]byte(study + other))
	require.ErrorIs(t, err, roster.Forged)
	require.ErrorContains(t, err, "north did not sign this invitation to heart")
}

func TestApprove(t *testing.T) {
	c := newCast(t)
	r, i := c.roster, c.roster.Invitation()
	join := func(id *identity.Identity) identity.Request { return i.Join(id, identity.Digest{}) }
	south := c.people[1]
	card := func(name, address string) *identity.Identity {
		id, err := identity.New(identity.Card{Name: name, Role: identity.Party, Address: address})
		require.NoError(t, err)
		return id
	}
	forged := join(newIdentity(t, "east", identity.Party))
	forged.Name = "eastern"
	for name, tt := range map[string]struct {
		request identity.Request
		want    error
	}{
		"again":        {join(south), nil},
		"founder":      {join(c.people[0]), nil},
		"name":         {join(card("south", "")), roster.Duplicate},
		"case of name": {join(card("South", "")), roster.Duplicate},
		"address":      {join(card("east", "south.example.org:7000")), roster.Duplicate},
		"querier":      {join(newIdentity(t, "south", identity.Querier)), roster.Duplicate},
		"no study":     {card("east", "").Request(identity.Digest{}, identity.Digest{}), roster.Foreign},
		"other study":  {invite(t, c.people[0], "liver", "x").Join(card("east", ""), identity.Digest{}), roster.Foreign},
		"other leader": {invite(t, south, "Heart & lung <1>", "rows and rates").Join(card("east", ""), identity.Digest{}), roster.Foreign},
		"forged":       {forged, roster.Forged},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := r.Approve(tt.request)
			require.ErrorIs(t, err, tt.want)
			if tt.want == nil {
				require.Equal(t, r, got)
			}
		})
	}
	require.Len(t, r.Members(), 4, "the roster itself never changes")

	moved := join(card("south", "elsewhere.example.org:7000"))
	replaced, err := r.Replace(moved)
	require.NoError(t, err)
	require.Equal(t, moved, replaced.Members()[1])
	require.Equal(t, join(south), r.Members()[1])
	_, err = r.Replace(join(card("south", "west.example.org:7000")))
	require.ErrorIs(t, err, roster.Duplicate)

	removed, err := r.Remove("south")
	require.NoError(t, err)
	require.Len(t, removed.Members(), 3)
	_, err = removed.Remove("south")
	require.ErrorIs(t, err, roster.Stranger)
	require.ErrorContains(t, err, "name a member: north, west, lab")
	_, err = r.Replace(join(card("east", "")))
	require.ErrorIs(t, err, roster.Stranger)
	for _, err := range []error{second(r.Remove("north")), second(r.Replace(join(card("north", ""))))} {
		require.ErrorIs(t, err, roster.Invalid)
		require.ErrorContains(t, err, "north founded the study")
	}
}

func second[T any](_ T, err error) error { return err }

// One key cannot be there under two names.
func TestApproveKeyTwice(t *testing.T) {
	c := newCast(t)
	twin := renamed(t, c.people[1], "east")
	_, err := c.roster.Approve(c.roster.Invitation().Join(twin, identity.Digest{}))
	require.ErrorIs(t, err, roster.Duplicate)
	require.ErrorContains(t, err, "east has the key")
}

// renamed returns an identity with another name and the same key, as its owner
// could make it.
func renamed(t *testing.T, id *identity.Identity, name string) *identity.Identity {
	t.Helper()
	key, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	sealed, err := id.Seal(key.Recipient())
	require.NoError(t, err)
	r, err := age.Decrypt(armor.NewReader(bytes.NewReader(sealed)), key)
	require.NoError(t, err)
	plain, err := io.ReadAll(r)
	require.NoError(t, err)
	var b bytes.Buffer
	a := armor.NewWriter(&b)
	w, err := age.Encrypt(a, key.Recipient())
	require.NoError(t, err)
	_, err = w.Write(bytes.ReplaceAll(plain, []byte(id.Card().Name), []byte(name)))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	require.NoError(t, a.Close())
	twin, err := identity.Open(b.Bytes(), key)
	require.NoError(t, err)
	return twin
}

// Any change of one byte of any document is refused with an error of the package.
func TestByteByByte(t *testing.T) {
	for kind, good := range newCast(t).documents(t) {
		t.Run(kind, func(t *testing.T) {
			again, err := reencode(kind, good)
			require.NoError(t, err)
			require.Equal(t, good, again)
			rapid.Check(t, func(t *rapid.T) {
				b := bytes.Clone(good)
				b[rapid.IntRange(0, len(b)-1).Draw(t, "place")] ^= rapid.ByteRange(1, 255).Draw(t, "bits")
				_, err := reencode(kind, b)
				require.ErrorAs(t, err, new(*roster.Error))
			})
		})
	}
}

func TestVersions(t *testing.T) {
	for kind, good := range newCast(t).documents(t) {
		_, err := reencode(kind, bytes.Replace(good, []byte(`"version": 1`), []byte(`"version": 2`), 1))
		require.ErrorIs(t, err, roster.Unsupported, kind)
		for other := range newCast(t).documents(t) {
			if other != kind {
				_, err := reencode(other, good)
				require.ErrorIs(t, err, roster.Damaged)
				require.ErrorContains(t, err, "it is a")
			}
		}
	}
}

func fuzz(f *testing.F, kind string) {
	c := newCast(f)
	f.Add(c.documents(f)[kind])
	f.Add(encode(f, c.lock(f)))
	f.Add(encode(f, roster.New(c.roster.Invitation())))
	f.Fuzz(func(t *testing.T, b []byte) {
		again, err := reencode(kind, b)
		if err != nil {
			require.ErrorAs(t, err, new(*roster.Error))
			return
		}
		require.Equal(t, b, again)
	})
}

// What parses has one form.
func FuzzParseInvitation(f *testing.F) { fuzz(f, "invitation") }
func FuzzParse(f *testing.F)           { fuzz(f, "roster") }
func FuzzParseLock(f *testing.F)       { fuzz(f, "lock") }
