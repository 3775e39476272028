// Package testkit holds what the tests of several packages share: seeded
// randomness, and studies whose secrets sit in one place. Nothing but tests may
// import it.
package testkit

import (
	"crypto/sha3"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/params"
)

// Source is a seeded test source: deterministic, not cryptographic.
func Source(seed string) mhe.Source {
	return func(name string) io.Reader {
		return rand.NewChaCha8(sha3.Sum256(fmt.Appendf(nil, "%q %q", seed, name)))
	}
}

// A World is a study of a few parties with all secrets in one place.
type World struct {
	Set     params.Set
	Secrets []mhe.SecretKey
	Keys    *mhe.PublicKeys
	Encoder *mhe.Encoder
}

// NewWorld runs key generation, every share through its codec.
func NewWorld(t testing.TB, set params.Set, plan mhe.KeyPlan) World {
	t.Helper()
	return newWorld(t, set, plan, set.Parties())
}

// OneParty returns keys of a single party: they cost less to make, and as much to
// use.
func OneParty(t testing.TB, set params.Set, plan mhe.KeyPlan) *mhe.PublicKeys {
	t.Helper()
	return newWorld(t, set, plan, 1).Keys
}

func newWorld(t testing.TB, set params.Set, plan mhe.KeyPlan, parties int) World {
	t.Helper()
	w := World{Set: set, Encoder: mhe.NewEncoder(set)}
	for i := range parties {
		sk, err := mhe.NewSecretKey(set, Source(fmt.Sprint("sk", i))(""))
		require.NoError(t, err)
		w.Secrets = append(w.Secrets, sk)
	}
	b, err := mhe.NewKeyBuilder(set, plan)
	require.NoError(t, err)
	var relin mhe.Share
	for _, part := range plan.Parts(set, 1<<20) {
		var sum mhe.Share
		for i, sk := range w.Secrets {
			s, err := part.Share(sk, Source("c"), Source(fmt.Sprint(i)), Source(fmt.Sprint("eph", i))(""), relin)
			require.NoError(t, err)
			sum = Add(t, part.Shape(), sum, s)
		}
		if part.Name() == "relinearisation" {
			relin = sum
		}
		b, err = b.Add(part, Source("c"), sum)
		require.NoError(t, err)
	}
	w.Keys, err = b.Finish()
	require.NoError(t, err)
	return w
}

// KeysAt is the plan of a relinearisation key and some Galois keys, all at level.
func KeysAt(level int, rotations ...int) mhe.KeyPlan {
	plan := mhe.KeyPlan{Products: []mhe.Key{{By: 0, Level: level}}}
	for _, by := range rotations {
		plan.Rotations = append(plan.Rotations, mhe.Key{By: by, Level: level})
	}
	return plan
}

// Add sends s through its codec and adds it.
func Add(t testing.TB, shape mhe.Shape, acc, s mhe.Share) mhe.Share {
	t.Helper()
	b, err := shape.Encode(s)
	require.NoError(t, err)
	require.Len(t, b, shape.Size())
	s, err = shape.Decode(b)
	require.NoError(t, err)
	if acc == nil {
		return s
	}
	acc, err = shape.Add(acc, s)
	require.NoError(t, err)
	return acc
}

// Open decrypts x with the secrets of the first parties.
func (w World) Open(t testing.TB, x mhe.Tensor, parties int) []float64 {
	t.Helper()
	v, err := mhe.Reveal(w.Encoder, x, w.Secrets[:parties]...)
	require.NoError(t, err)
	return v
}

// Encrypt encrypts one period of values at the default scale.
func (w World) Encrypt(t testing.TB, v []float64, level int) mhe.Tensor {
	t.Helper()
	x, err := w.Keys.Encryption().Encrypt(w.Encoder, v, level, mhe.Power(w.Set.LogScale()), Source("enc"))
	require.NoError(t, err)
	return x
}

// Toy returns the insecure test set.
func Toy(t testing.TB, parties int) params.Set {
	t.Helper()
	set, err := params.InsecureToy(parties, 4)
	require.NoError(t, err)
	return set
}

// Random returns n numbers uniform in [-1, 1).
func Random(n int, seed uint64) []float64 {
	r := rand.New(rand.NewPCG(seed, 0))
	v := make([]float64, n)
	for i := range v {
		v[i] = 2*r.Float64() - 1
	}
	return v
}

// MaxDiff compares all slots with a periodic vector.
func MaxDiff(got, want []float64) float64 {
	d := 0.0
	for i := range got {
		d = math.Max(d, math.Abs(got[i]-want[i%len(want)]))
	}
	return d
}
