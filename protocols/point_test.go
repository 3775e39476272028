package protocols_test

import (
	"encoding/hex"
	"io"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/nereid-mhe/nereid/protocols"
)

func points() *rapid.Generator[protocols.Point] {
	return rapid.Custom(func(t *rapid.T) protocols.Point {
		active := rapid.SliceOfNDistinct(rapid.Uint16Range(0, 40), 0, 6, rapid.ID[uint16]).Draw(t, "active")
		slices.Sort(active)
		p := protocols.Point{
			Protocol: rapid.StringMatching(`[a-c]{1,3}`).Draw(t, "protocol"),
			Step:     rapid.Uint64().Draw(t, "step"),
			Place:    rapid.StringMatching(`[a-c]{0,3}`).Draw(t, "place"),
			Attempt:  rapid.Uint32().Draw(t, "attempt"),
		}
		copy(p.Study[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "study"))
		for _, a := range active {
			p.Active = append(p.Active, protocols.PartyID(a))
		}
		return p
	})
}

func labels() *rapid.Generator[protocols.Label] {
	return rapid.Custom(func(t *rapid.T) protocols.Label {
		l := protocols.Label{Point: points().Draw(t, "point")}
		copy(l.Digest[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "digest"))
		return l
	})
}

// Every change of one field, and every shift of bytes from one field to its
// neighbour, gives another hash and other streams.
func TestPointFieldsAllCount(t *testing.T) {
	base := protocols.Point{Protocol: "ab", Place: "c", Step: 1, Active: []protocols.PartyID{0, 1, 2}}
	change := func(f func(*protocols.Point)) protocols.Point {
		p := base
		p.Active = slices.Clone(base.Active)
		f(&p)
		return p
	}
	variants := map[string]protocols.Point{
		"base":             base,
		"study":            change(func(p *protocols.Point) { p.Study[31] = 1 }),
		"protocol":         change(func(p *protocols.Point) { p.Protocol = "aB" }),
		"step":             change(func(p *protocols.Point) { p.Step = 2 }),
		"step high":        change(func(p *protocols.Point) { p.Step = 1 << 56 }),
		"place":            change(func(p *protocols.Point) { p.Place = "" }),
		"active":           change(func(p *protocols.Point) { p.Active[2] = 3 }),
		"active shorter":   change(func(p *protocols.Point) { p.Active = p.Active[:2] }),
		"active bytes":     change(func(p *protocols.Point) { p.Active = []protocols.PartyID{0, 256, 2} }),
		"attempt":          change(func(p *protocols.Point) { p.Attempt = 1 }),
		"a|bc":             change(func(p *protocols.Point) { p.Protocol, p.Place = "a", "bc" }),
		"abc|":             change(func(p *protocols.Point) { p.Protocol, p.Place = "abc", "" }),
		"|abc":             change(func(p *protocols.Point) { p.Protocol, p.Place = "", "abc" }),
		"step into name":   change(func(p *protocols.Point) { p.Protocol, p.Step = "ab\x00\x00\x00\x00\x00\x00\x00\x01", 0 }),
		"active into name": change(func(p *protocols.Point) { p.Place, p.Active = "c\x00\x00", p.Active[1:] }),
	}
	seen := map[string]string{}
	add := func(name string, b []byte) {
		old, dup := seen[string(b)]
		require.False(t, dup, "%s equals %s", name, old)
		seen[string(b)] = name
	}
	seed := [32]byte{5}
	for _, name := range slices.Sorted(maps.Keys(variants)) {
		p := variants[name]
		h := p.Hash()
		add(name+" hash", h[:])
		add(name+" common", read(p.Common(seed), 32))
		add(name+" common, other seed", read(p.Common([32]byte{6}), 32))
		l := protocols.Label{Point: p}
		add(name+" private", read(l.Private(protocols.NewSeed(seed)), 32))
		add(name+" private, other seed", read(l.Private(protocols.NewSeed([32]byte{6})), 32))
		l.Digest[0] = 1
		add(name+" private, other digest", read(l.Private(protocols.NewSeed(seed)), 32))
	}
}

// The hash is a fixed format: journals on disk and parties of other versions
// depend on it.
func TestHashesAreStable(t *testing.T) {
	l := protocols.Label{Point: testPoint([]protocols.PartyID{0, 1, 2}), Digest: [32]byte{9}}
	p, h := l.Point.Hash(), l.Hash()
	require.Equal(t, pinned["point"], hex.EncodeToString(p[:]))
	require.Equal(t, pinned["label"], hex.EncodeToString(h[:]))
	require.Equal(t, pinned["common"], hex.EncodeToString(read(l.Point.Common([32]byte{1}), 16)))
	require.Equal(t, pinned["private"], hex.EncodeToString(read(l.Private(protocols.NewSeed([32]byte{1})), 16)))
	require.Equal(t, pinned["sub"], hex.EncodeToString(read(l.Private(protocols.NewSeed([32]byte{1})).Sub("mask"), 16)))
}

func TestPointString(t *testing.T) {
	l := protocols.Label{Point: testPoint([]protocols.PartyID{0, 1, 2}), Digest: [32]byte{9}}
	require.Equal(t, "refresh@3/layer1/forward#0 study abcdef00 n=3", l.Point.String())
	require.Equal(t, "refresh@3/layer1/forward#0 study abcdef00 n=3 input 09000000", l.String())
	require.Len(t, l.Point.Study.String(), 64)
}

func read(r io.Reader, n int) []byte {
	b := make([]byte, n)
	_, _ = io.ReadFull(r, b)
	return b
}
