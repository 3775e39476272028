package protocols_test

import (
	"bytes"
	"crypto/sha3"
	"encoding/binary"
	"fmt"
	"math/bits"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/nereid-mhe/nereid/protocols"
)

// blocks adds all 16-byte blocks of the first n bytes of s to seen, and fails if
// one is there already: with 128-bit blocks this never happens by chance.
func blocks(t *rapid.T, seen map[[16]byte]string, name string, s *protocols.Stream, n int) {
	b := read(s, n)
	for i := 0; i+16 <= len(b); i += 16 {
		k := [16]byte(b[i:])
		old, dup := seen[k]
		require.False(t, dup, "block %d of %s is also in %s", i/16, name, old)
		seen[k] = name
	}
}

// Masks never repeat: streams of distinct labels, seeds, purposes and names have
// no block in common.
func TestStreamsHaveNoCommonBlock(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ls := rapid.SliceOfNDistinct(labels(), 2, 4, protocols.Label.Hash).Draw(t, "labels")
		seen := map[[16]byte]string{}
		points := map[[32]byte]bool{}
		for i, l := range ls {
			for seed := range byte(2) {
				s := l.Private(protocols.NewSeed([32]byte{seed}))
				name := fmt.Sprintf("private %d seed %d", i, seed)
				blocks(t, seen, name, s, 2048)
				blocks(t, seen, name+" a", s.Sub("a"), 1024)
				blocks(t, seen, name+" b", s.Sub("b"), 1024)
				blocks(t, seen, name+" a/b", s.Sub("a").Sub("b"), 1024)
			}
			if h := l.Point.Hash(); !points[h] {
				points[h] = true
				blocks(t, seen, fmt.Sprintf("common %d", i), l.Point.Common([32]byte{}), 2048)
			}
		}
	})
}

// The bytes do not depend on how they are read, nor a substream on how much was
// read before.
func TestStreamIsIndependentOfReading(t *testing.T) {
	l := protocols.Label{Point: testPoint(nil)}
	seed := protocols.NewSeed([32]byte{1})
	want := read(l.Private(seed), 4096)
	wantSub := read(l.Private(seed).Sub("x"), 100)
	rapid.Check(t, func(t *rapid.T) {
		s := l.Private(seed)
		var got []byte
		for len(got) < len(want) {
			n := rapid.IntRange(0, 700).Draw(t, "n")
			b := bytes.Repeat([]byte{0xff}, n) // what was in the buffer does not matter
			m, err := s.Read(b)
			require.NoError(t, err)
			require.Equal(t, n, m)
			got = append(got, b...)
		}
		require.Equal(t, want, got[:len(want)])
		require.Equal(t, wantSub, read(s.Sub("x"), 100))
	})
}

// Half of the bits are ones, within six standard deviations (1<<20 bits have a
// standard deviation of 512).
func TestStreamIsBalanced(t *testing.T) {
	ones := 0
	for _, b := range read(testPoint(nil).Common([32]byte{}), 1<<17) {
		ones += bits.OnesCount8(b)
	}
	require.InDelta(t, 1<<19, ones, 6*512)
}

func TestStreamDoesNotPrint(t *testing.T) {
	l := protocols.Label{Point: testPoint(nil)}
	s := l.Private(protocols.NewSeed([32]byte{1}))
	type holder struct{ s *protocols.Stream }
	for _, verb := range verbs {
		if verb != "%p" { // prints the address, whatever the type says
			require.Equal(t, "[stream]", fmt.Sprintf(verb, s), verb)
		}
		require.Less(t, len(fmt.Sprintf(verb, holder{s})), 100, verb) // addresses, no key
	}
	require.Equal(t, "[stream]", s.LogValue().String())
}

func BenchmarkStream(b *testing.B) {
	buf := make([]byte, 1<<20)
	b.Run("aes", func(b *testing.B) {
		s := testPoint(nil).Common([32]byte{})
		b.SetBytes(int64(len(buf)))
		for b.Loop() {
			_, _ = s.Read(buf)
		}
	})
	b.Run("shake", func(b *testing.B) { // what it replaces
		h := sha3.NewSHAKE256()
		b.SetBytes(int64(len(buf)))
		for b.Loop() {
			_, _ = h.Read(buf)
		}
	})
	b.Run("new", func(b *testing.B) {
		l := protocols.Label{Point: testPoint([]protocols.PartyID{0, 1, 2})}
		seed := protocols.NewSeed([32]byte{1})
		for i := uint64(0); b.Loop(); i++ {
			binary.BigEndian.PutUint64(l.Digest[:], i)
			_ = l.Private(seed)
		}
	})
}
