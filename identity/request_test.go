package identity_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/nereid-mhe/nereid/identity"
)

func TestCards(t *testing.T) {
	label := strings.Repeat("a", 63)
	for name, tt := range map[string]struct {
		card identity.Card
		want string // in the error; empty for a good card
	}{
		"party":         {identity.Card{Name: "a", Role: identity.Party, Address: "a.example.org:7000"}, ""},
		"leaf":          {identity.Card{Name: "a-b_9", Role: identity.Party}, ""},
		"querier":       {identity.Card{Name: "q", Role: identity.Querier}, ""},
		"IPv4":          {identity.Card{Name: "a", Role: identity.Party, Address: "10.0.0.1:1"}, ""},
		"IPv6":          {identity.Card{Name: "a", Role: identity.Party, Address: "[2001:db8::1]:65535"}, ""},
		"longest":       {identity.Card{Name: label, Role: identity.Party, Address: label + ".b:1"}, ""},
		"no name":       {identity.Card{Role: identity.Party}, "the name"},
		"long name":     {identity.Card{Name: label + "a", Role: identity.Party}, "the name"},
		"capitals":      {identity.Card{Name: "North.1", Role: identity.Party}, ""},
		"accents":       {identity.Card{Name: "nörd", Role: identity.Party}, "the name"},
		"dot first":     {identity.Card{Name: ".north", Role: identity.Party}, "the name"},
		"path":          {identity.Card{Name: "../a", Role: identity.Party}, "the name"},
		"line":          {identity.Card{Name: "a\n", Role: identity.Party}, "the name"},
		"no role":       {identity.Card{Name: "a"}, "the role"},
		"other role":    {identity.Card{Name: "a", Role: "root"}, "the role"},
		"no port":       {identity.Card{Name: "a", Role: identity.Party, Address: "a.example.org"}, "missing port"},
		"port 0":        {identity.Card{Name: "a", Role: identity.Party, Address: "a:0"}, "port"},
		"port 65536":    {identity.Card{Name: "a", Role: identity.Party, Address: "a:65536"}, "port"},
		"port 07":       {identity.Card{Name: "a", Role: identity.Party, Address: "a:07"}, "port"},
		"port name":     {identity.Card{Name: "a", Role: identity.Party, Address: "a:https"}, "port"},
		"no host":       {identity.Card{Name: "a", Role: identity.Party, Address: ":7000"}, "host name"},
		"any host":      {identity.Card{Name: "a", Role: identity.Party, Address: "0.0.0.0:7000"}, "nobody can dial"},
		"any host, v6":  {identity.Card{Name: "a", Role: identity.Party, Address: "[::]:7000"}, "nobody can dial"},
		"long form":     {identity.Card{Name: "a", Role: identity.Party, Address: "[2001:db8:0::1]:1"}, "write the host as 2001:db8::1"},
		"host capitals": {identity.Card{Name: "a", Role: identity.Party, Address: "A.org:1"}, "host name"},
		"space in host": {identity.Card{Name: "a", Role: identity.Party, Address: "a b:1"}, "host name"},
		"URL":           {identity.Card{Name: "a", Role: identity.Party, Address: "https://a:1"}, "too many colons"},
		"dot at end":    {identity.Card{Name: "a", Role: identity.Party, Address: "a.:1"}, "host name"},
		"long host":     {identity.Card{Name: "a", Role: identity.Party, Address: strings.Repeat(label+".", 4) + "a:1"}, "host name"},
	} {
		t.Run(name, func(t *testing.T) {
			id, err := identity.New(tt.card)
			if tt.want != "" {
				require.ErrorIs(t, err, identity.Invalid)
				require.ErrorContains(t, err, tt.want)
				return
			}
			require.NoError(t, err)
			r, err := identity.ParseRequest(encode(t, id.Request(identity.Digest{9}, identity.Digest{})))
			require.NoError(t, err)
			require.Equal(t, id.Request(identity.Digest{9}, identity.Digest{}), r)
			require.Equal(t, tt.card, r.Card)
		})
	}
}

// Who changes a field must have the key.
func TestRequestIsSigned(t *testing.T) {
	id := newIdentity(t, card)
	for name, change := range map[string]func(*identity.Request){
		"name":      func(r *identity.Request) { r.Name = "south" },
		"role":      func(r *identity.Request) { r.Role = identity.Querier },
		"address":   func(r *identity.Request) { r.Address = "" },
		"key":       func(r *identity.Request) { r.Key = newIdentity(t, card).Key() },
		"created":   func(r *identity.Request) { r.Created = r.Created.Add(time.Second) },
		"study":     func(r *identity.Request) { r.Study[0]++ },
		"no study":  func(r *identity.Request) { r.Study = identity.Digest{} },
		"signature": func(r *identity.Request) { r.Signature[63] ^= 1 },
	} {
		t.Run(name, func(t *testing.T) {
			r := id.Request(identity.Digest{1}, identity.Digest{})
			require.NoError(t, r.Verify())
			change(&r)
			require.ErrorIs(t, r.Verify(), identity.Forged)
			_, err := identity.ParseRequest(encode(t, r))
			require.ErrorIs(t, err, identity.Forged)
		})
	}
	r := id.Request(identity.Digest{}, identity.Digest{})
	r.Created = r.Created.Add(time.Nanosecond)
	require.ErrorIs(t, r.Verify(), identity.Invalid)
}

// A key for predictions is that of a querier in a study, and signed.
func TestQueryKeys(t *testing.T) {
	study, key := identity.Digest{1}, identity.Digest{2}
	q := newIdentity(t, identity.Card{Name: "lab", Role: identity.Querier})
	r, err := identity.ParseRequest(encode(t, q.Request(study, key)))
	require.NoError(t, err)
	require.Equal(t, key, r.QueryKey)
	r.QueryKey[31]++
	require.ErrorIs(t, r.Verify(), identity.Forged)
	r.QueryKey = identity.Digest{}
	require.ErrorIs(t, r.Verify(), identity.Forged)
	require.ErrorIs(t, q.Request(identity.Digest{}, key).Verify(), identity.Invalid)
	require.ErrorIs(t, newIdentity(t, card).Request(study, key).Verify(), identity.Invalid)
}

// Any change of one byte is refused.
func TestRequestByteByByte(t *testing.T) {
	good := encode(t, newIdentity(t, card).Request(identity.Digest{7}, identity.Digest{}))
	rapid.Check(t, func(t *rapid.T) {
		b := bytes.Clone(good)
		b[rapid.IntRange(0, len(b)-1).Draw(t, "place")] ^= rapid.ByteRange(1, 255).Draw(t, "bits")
		_, err := identity.ParseRequest(b)
		require.Error(t, err)
	})
}

// Different requests have different digests, whatever their fields.
func TestRequestDigestIsInjective(t *testing.T) {
	gen := rapid.Custom(func(t *rapid.T) identity.Request {
		word := rapid.StringOfN(rapid.RuneFrom([]rune("ab")), 0, 3, -1)
		var r identity.Request
		r.Name, r.Role, r.Address = word.Draw(t, "name"), identity.Role(word.Draw(t, "role")), word.Draw(t, "address")
		r.Created = time.Unix(rapid.Int64Range(0, 2).Draw(t, "s"), rapid.Int64Range(0, 2).Draw(t, "ns")).UTC()
		r.Key[0], r.Study[0] = rapid.ByteRange(0, 1).Draw(t, "key"), rapid.ByteRange(0, 1).Draw(t, "study")
		r.QueryKey[0] = rapid.ByteRange(0, 1).Draw(t, "query key")
		return r
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := gen.Draw(t, "a"), gen.Draw(t, "b")
		require.Equal(t, a == b, a.Digest() == b.Digest())
	})
}

// What parses has one form, and a signature that holds.
func FuzzParseRequest(f *testing.F) {
	id := newIdentity(f, card)
	f.Add(encode(f, id.Request(identity.Digest{}, identity.Digest{})))
	f.Add(encode(f, id.Request(identity.Digest{1}, identity.Digest{})))
	f.Add([]byte(`{"kind": "nereid request", "version": 1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := identity.ParseRequest(b)
		if err != nil {
			require.ErrorAs(t, err, new(*identity.Error))
			return
		}
		require.Equal(t, b, encode(t, r))
		require.NoError(t, r.Verify())
	})
}

func FuzzOpen(f *testing.F) {
	x, err := age.GenerateX25519Identity()
	require.NoError(f, err)
	sealed, err := newIdentity(f, card).Seal(x.Recipient())
	require.NoError(f, err)
	f.Add(sealed)
	f.Add([]byte("{\n  \"kind\": \"nereid identity\",\n  \"version\": 1,\n  \"name\": \"a\",\n  \"role\": \"party\",\n  \"address\": \"\",\n  \"created\": \"2026-01-01T00:00:00Z\",\n  \"signing\": \"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\",\n  \"root\": \"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"\n}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, open := range []func() (*identity.Identity, error){
			func() (*identity.Identity, error) { return identity.Open(b, x) },
			func() (*identity.Identity, error) { return identity.ParseSecret(b) },
		} {
			id, err := open()
			if err != nil {
				require.ErrorAs(t, err, new(*identity.Error))
				continue
			}
			require.NoError(t, id.Request(identity.Digest{}, identity.Digest{}).Verify())
		}
	})
}
