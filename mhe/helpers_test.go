package mhe_test

import (
	"fmt"
	"io"
	"math"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/internal/testkit"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/mhe/rns"
	"github.com/nereid-mhe/nereid/params"
)

// special returns a toy set of 2^10 slots with special primes of the given
// widths: key switching is the noisier the narrower they are. INSECURE.
func special(t testing.TB, parties int, logP ...int) params.Set {
	t.Helper()
	set, err := params.New(params.Config{
		LogN: 10, LogQ: []int{60, 60, 60, 45, 45, 45, 45}, LogP: logP,
		LogScale: 45, Parties: parties, Insecure: true,
	})
	require.NoError(t, err)
	return set
}

// worlds are made once for all tests: key generation costs more than most of
// what the keys are used for.
var worlds struct {
	sync.Mutex
	made map[string]testkit.World
}

// world returns a study on set with keys for the given rotations at all levels.
func world(t testing.TB, set params.Set, rotations ...int) testkit.World {
	t.Helper()
	worlds.Lock()
	defer worlds.Unlock()
	name := fmt.Sprintf("%x %v", set.Hash(), rotations)
	w, ok := worlds.made[name]
	if !ok {
		w = testkit.NewWorld(t, set, testkit.KeysAt(set.MaxLevel(), rotations...))
		if worlds.made == nil {
			worlds.made = map[string]testkit.World{}
		}
		worlds.made[name] = w
	}
	return w
}

// rms returns the root mean square of got - want, want repeated.
func rms(got, want []float64) float64 {
	sum := 0.0
	for i := range got {
		d := got[i] - want[i%len(want)]
		sum += d * d
	}
	return math.Sqrt(sum / float64(len(got)))
}

// zeros is the period of an encryption of zero: errors show without rounding of
// floats.
var zeros = make([]float64, 8)

// withinBits requires two sizes to be within a factor of 2^bits, both ways.
func withinBits(t testing.TB, want, got, bits float64, what string, args ...any) {
	t.Helper()
	what = fmt.Sprintf(what, args...)
	t.Logf("%s: measured 2^%.2f, formula 2^%.2f", what, math.Log2(got), math.Log2(want))
	require.InDelta(t, math.Log2(want), math.Log2(got), bits, "%s", what)
}

// lostDecryption is log2 of the error of slots, at the scale, when the polynomial
// under them is uniform modulo Q_level: slots are √(2N) times coefficients, which
// have a deviation of Q/√12.
func lostDecryption(set params.Set, level int, logScale float64) float64 {
	return set.LogModulus(level) + 0.5*math.Log2(2*float64(set.N())/12) - logScale
}

// requireLost requires slots to say nothing about v: an error as large as the
// modulus, and no correlation with v within 6 standard errors.
func requireLost(t testing.TB, set params.Set, level int, logScale float64, got, v []float64) {
	t.Helper()
	require.InDelta(t, lostDecryption(set, level, logScale), math.Log2(rms(got, v)), 1, "log2 of the error")
	var gv, gg, vv float64
	for i, g := range got {
		x := v[i%len(v)]
		gv, gg, vv = gv+g*x, gg+g*g, vv+x*x
	}
	require.Less(t, math.Abs(gv)/math.Sqrt(gg*vv), 6/math.Sqrt(float64(len(got))), "correlation")
}

// coefficients returns p, in NTT form, as centred integers of its first limb: for
// noise far below the first prime.
func coefficients(b rns.Basis, p rns.Poly) []float64 {
	x := make([]uint64, b.N())
	b[0].INTT(p[0], x)
	out := make([]float64, len(x))
	for i, r := range x {
		if r > b[0].Modulus/2 {
			out[i] = -float64(b[0].Modulus - r)
		} else {
			out[i] = float64(r)
		}
	}
	return out
}

// clone copies p.
func clone(p rns.Poly) rns.Poly {
	q := make(rns.Poly, len(p))
	for i := range p {
		q[i] = slices.Clone(p[i])
	}
	return q
}

// requireFresh requires that two polynomials have nothing in common: in no limb
// do more than a few residues agree. Two uniform limbs of 1024 residues modulo
// 2^45 agree in one place with probability 2^-35.
func requireFresh(t testing.TB, a, b rns.Poly, what string, args ...any) {
	t.Helper()
	require.Equal(t, len(a), len(b))
	for j := range a {
		same := 0
		for i := range a[j] {
			if a[j][i] == b[j][i] {
				same++
			}
		}
		require.Zero(t, same, "%s: equal residues in limb %d", fmt.Sprintf(what, args...), j)
	}
}

// recording notes the names of the streams that src is asked for.
func recording(src mhe.Source, names *[]string) mhe.Source {
	return func(name string) io.Reader {
		*names = append(*names, name)
		return src(name)
	}
}

// failing opens streams that end at once when their turn comes: the first ok
// streams are good.
func failing(src mhe.Source, ok int) mhe.Source {
	return func(name string) io.Reader {
		if ok--; ok < 0 {
			return io.LimitReader(src(name), 1)
		}
		return src(name)
	}
}

// pollute fills free scratch space with garbage.
func pollute(n int) {
	limbs := make([][]uint64, 256)
	for i := range limbs {
		limbs[i] = rns.BorrowLimb(n)
		for k := range limbs[i] {
			limbs[i][k] = math.MaxUint64
		}
	}
	for _, l := range limbs {
		rns.ReturnLimb(l)
	}
}
