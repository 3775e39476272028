package protocols_test

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/nereid-mhe/nereid/protocols"
)

func messages() *rapid.Generator[protocols.Message] {
	return rapid.Custom(func(t *rapid.T) protocols.Message {
		l := labels().Draw(t, "label")
		m := protocols.Message{
			From:   protocols.PartyID(rapid.Uint16().Draw(t, "from")),
			To:     protocols.PartyID(rapid.Uint16().Draw(t, "to")),
			Point:  l.Point,
			Leg:    protocols.Leg(rapid.IntRange(1, 3).Draw(t, "leg")),
			Digest: l.Digest,
		}
		if b := rapid.SliceOfN(rapid.Byte(), 0, 50).Draw(t, "body"); len(b) > 0 {
			m.Body = b
		}
		return seal(m)
	})
}

func TestMessageSurvivesCoding(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := messages().Draw(t, "message")
		b, err := m.AppendBinary([]byte("before"))
		require.NoError(t, err)
		require.Equal(t, "before", string(b[:6]))
		require.Len(t, b[6:], m.Size())
		got, err := protocols.DecodeMessage(b[6:], 50)
		require.NoError(t, err)
		require.Equal(t, m, got)
		require.Equal(t, got.Sum, got.Checksum())
	})
}

// The hash of a body stands for that body, and for no other.
func TestHashedMessage(t *testing.T) {
	body := []byte("share")
	m := seal(protocols.Message{From: 1, To: 2, Point: testPoint([]protocols.PartyID{0, 1, 2}), Leg: protocols.LegShare, Body: body})
	known := m.Hashed()
	require.Equal(t, m.Sum, known.Checksum())
	for name, b := range map[string][]byte{"another": []byte("charm"), "shorter": body[:4], "a copy": bytes.Clone(body), "none": nil} {
		fresh := m
		fresh.Body, known.Body = b, b
		require.Equal(t, fresh.Checksum(), known.Checksum(), name)
		require.Equal(t, fresh.Checksum(), known.Hashed().Checksum(), name)
	}
	body[0]++ // against the rules
	known.Body = body
	require.Equal(t, m.Sum, known.Checksum(), "it is not hashed again")
	require.Equal(t, protocols.Message{}.Checksum(), protocols.Message{}.Hashed().Checksum())
}

// Every bit is covered: a flipped one gives an error or a checksum that does not
// match.
func TestMessageFlippedBits(t *testing.T) {
	m := seal(protocols.Message{From: 1, To: 2, Point: testPoint([]protocols.PartyID{0, 1, 2}), Leg: protocols.LegShare, Body: []byte("share")})
	b := must(m.AppendBinary(nil))
	for i := range 8 * len(b) {
		b[i/8] ^= 1 << (i % 8)
		if got, err := protocols.DecodeMessage(b, 100); err == nil {
			require.NotEqual(t, got.Sum, got.Checksum(), "bit %d", i)
		} else {
			require.ErrorIs(t, err, protocols.ErrMalformed)
		}
		b[i/8] ^= 1 << (i % 8)
	}
	for i := range b {
		_, err := protocols.DecodeMessage(b[:i], 100)
		require.ErrorIs(t, err, protocols.ErrMalformed, "cut to %d bytes", i)
	}
}

// A header that promises gigabytes costs no memory.
func TestDecodeMessageDoesNotTrustSizes(t *testing.T) {
	m := seal(protocols.Message{Point: testPoint([]protocols.PartyID{0, 1}), Leg: protocols.LegInput})
	b := must(m.AppendBinary(nil))
	for _, size := range []uint64{1, 1 << 20, 1 << 40, 1 << 63, ^uint64(0)} {
		binary.BigEndian.PutUint64(b[len(b)-8:], size)
		allocs := testing.AllocsPerRun(1, func() {
			_, err := protocols.DecodeMessage(b, 1<<20)
			require.ErrorIs(t, err, protocols.ErrMalformed)
		})
		require.Less(t, allocs, 40.0)
	}
	_, err := protocols.DecodeMessage(append(must(m.AppendBinary(nil)), 0), 1<<20)
	require.ErrorContains(t, err, "body of 0 bytes, found 1")
	m.Body = make([]byte, 11)
	_, err = protocols.DecodeMessage(must(m.AppendBinary(nil)), 10)
	require.ErrorContains(t, err, "body of 11 bytes, want at most 10")
	_, err = protocols.DecodeMessage(must(m.AppendBinary(nil)), -1)
	require.ErrorIs(t, err, protocols.ErrMalformed)
}

func TestAppendBinaryRefuses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*protocols.Point)
		want   string
	}{
		{"no protocol", func(p *protocols.Point) { p.Protocol = "" }, "without a protocol"},
		{"long protocol", func(p *protocols.Point) { p.Protocol = strings.Repeat("x", 256) }, "256 bytes"},
		{"long place", func(p *protocols.Point) { p.Place = strings.Repeat("x", 256) }, "256 bytes"},
		{"unsorted", func(p *protocols.Point) { p.Active = []protocols.PartyID{1, 0} }, "increasing order"},
		{"twice", func(p *protocols.Point) { p.Active = []protocols.PartyID{1, 1} }, "increasing order"},
		{"too many", func(p *protocols.Point) { p.Active = make([]protocols.PartyID, 1<<16) }, "65536 active"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := testPoint(nil)
			tt.change(&p)
			b, err := protocols.Message{Point: p, Leg: protocols.LegShare}.AppendBinary([]byte{1})
			require.ErrorContains(t, err, tt.want)
			require.Equal(t, []byte{1}, b)
		})
	}
}

func TestLegString(t *testing.T) {
	require.Equal(t, "input share result leg 9", strings.Join([]string{
		protocols.LegInput.String(), protocols.LegShare.String(), protocols.LegResult.String(), protocols.Leg(9).String(),
	}, " "))
}

// What decodes encodes to the same bytes.
func FuzzDecodeMessage(f *testing.F) {
	m := seal(protocols.Message{From: 1, To: 0, Point: testPoint([]protocols.PartyID{0, 1, 2}), Leg: protocols.LegShare, Body: []byte("share")})
	b := must(m.AppendBinary(nil))
	f.Add(b)
	f.Add(b[:len(b)-7])
	f.Add([]byte{})
	m.Point.Active, m.Point.Place, m.Body = nil, "", nil
	f.Add(must(seal(m).AppendBinary(nil)))
	f.Add(must(protocols.Message{Point: testPoint([]protocols.PartyID{5, 65535}), Leg: protocols.LegResult}.AppendBinary(nil)))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := protocols.DecodeMessage(b, 1000)
		if err != nil {
			require.ErrorIs(t, err, protocols.ErrMalformed)
			return
		}
		require.LessOrEqual(t, len(m.Body), 1000)
		again, err := m.AppendBinary(nil)
		require.NoError(t, err)
		require.Equal(t, b, again)
	})
}
