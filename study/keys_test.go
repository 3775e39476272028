package study

import (
	"context"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/protocols"
)

// The parties of a process have one set of keys between them.
func TestPartiesShareKeys(t *testing.T) {
	s := prepared(t, 3)
	plan := s.keyPlan
	keys := s.parties[0].keys
	require.Equal(t, len(plan.Rotations), keys.GaloisKeys())
	require.Equal(t, len(plan.Products), keys.ProductKeys())
	require.Equal(t, plan.Bytes(s.set), keys.Bytes())
	for _, p := range s.parties {
		require.Same(t, keys, p.keys)
	}
	require.Len(t, s.parties[0].made.keys, 1)
}

// Sums are decoded once, and a party with another sum gets other keys.
func TestKeyCacheFollowsTheSums(t *testing.T) {
	s := prepared(t, 3)
	c := newKeyCache()
	start, err := c.start(s.terms)
	require.NoError(t, err)
	parts := s.keyPlan.Parts(s.set, maxKeyPart)
	decoded := 0
	run := func(change int) *mhe.PublicKeys { // the sum of one part is another
		sums := start
		for i, part := range parts {
			sum := part.Shape().New()
			if i == change {
				sum[0][0][0] = 1
			}
			b, err := part.Shape().Encode(sum)
			require.NoError(t, err)
			sums, err = c.add(sums, part, s.common(s.keyPoint(part)), b, func() (mhe.Share, error) {
				decoded++
				return part.Shape().Decode(b)
			})
			require.NoError(t, err)
		}
		keys, err := c.finish(sums)
		require.NoError(t, err)
		return keys
	}
	first := run(-1)
	require.Same(t, first, run(-1))
	require.Equal(t, len(parts), decoded)
	for i := range parts {
		decoded = 0
		require.NotSame(t, first, run(i), "part %d", i)
		require.Equal(t, len(parts)-i, decoded, "part %d", i)
	}
	_, err = c.add(start, parts[0], s.common(s.keyPoint(parts[0])), nil, func() (mhe.Share, error) { return parts[0].Shape().Decode(nil) })
	require.ErrorIs(t, err, mhe.ErrShape)
}

// A party binds its shares of the product keys to the sum of their first round:
// for another sum its journal refuses.
func TestProductKeysAreBoundToTheFirstRound(t *testing.T) {
	s := prepared(t, 3)
	p := s.parties[2]
	var first, second mhe.KeyPart
	for _, part := range s.keyPlan.Parts(s.set, maxKeyPart) {
		switch {
		case part.Second():
			second = part
		case part.Name() == relinearisation:
			first = part
		}
	}
	require.True(t, second.Second())
	p.made = newKeyCache()
	start, err := p.made.start(s.terms)
	require.NoError(t, err)
	sum := first.Shape().New()
	b, err := first.Shape().Encode(sum)
	require.NoError(t, err)
	sums, err := p.made.add(start, first, s.common(s.keyPoint(first)), b, func() (mhe.Share, error) { return sum, nil })
	require.NoError(t, err)
	p.transport, p.log = newHub(3, s.maxMessage()).seat(p.id), slog.New(slog.DiscardHandler)
	_, err = p.generateKeyGroup(context.Background(), keyGroup{second}, sums)
	require.ErrorIs(t, err, protocols.ErrBound)
}
