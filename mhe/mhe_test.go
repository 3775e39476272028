package mhe_test

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/mhe/rns"
	"github.com/nereid-mhe/nereid/packing"
	"github.com/nereid-mhe/nereid/params"
)

// source is a seeded test source: deterministic, not cryptographic.
func source(seed string) mhe.Source {
	return func(name string) io.Reader {
		var key [32]byte
		copy(key[:], seed+"/"+name)
		if len(seed)+len(name) > 31 {
			panic("test source name is too long: " + seed + "/" + name)
		}
		return rand.NewChaCha8(key)
	}
}

// world is a study of a few parties with all secrets in one place.
type world struct {
	set     params.Set
	secrets []mhe.SecretKey
	keys    *mhe.PublicKeys
	enc     *mhe.Encoder
}

func newWorld(t testing.TB, set params.Set, plan mhe.KeyPlan) world {
	t.Helper()
	w := world{set: set, enc: mhe.NewEncoder(set)}
	var sum1, sum2 mhe.Share
	eph := func(i int) io.Reader { return source(fmt.Sprint("eph", i))("") }
	for i := range set.Parties() {
		sk, err := mhe.NewSecretKey(set, source(fmt.Sprint("sk", i))(""))
		require.NoError(t, err)
		w.secrets = append(w.secrets, sk)
		s, err := plan.Round1(sk, source("c"), source(fmt.Sprint(i)), eph(i))
		require.NoError(t, err)
		sum1 = add(t, plan.Shape1(set), sum1, s)
	}
	for i, sk := range w.secrets {
		s, err := plan.Round2(sk, sum1, source(fmt.Sprint(i, "b")), eph(i))
		require.NoError(t, err)
		sum2 = add(t, plan.Shape2(set), sum2, s)
	}
	keys, err := plan.Finish(set, source("c"), sum1, sum2)
	require.NoError(t, err)
	w.keys = keys
	return w
}

// add sends s through its codec and adds it.
func add(t testing.TB, shape mhe.Shape, acc, s mhe.Share) mhe.Share {
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

// open decrypts t with the given parties' shares and hardly any flooding.
func (w world) open(t testing.TB, x mhe.Tensor, parties int) []float64 {
	t.Helper()
	o := mhe.Opening{Set: w.set, Level: x.Level(), Count: 1, Sigma: 0.01}
	var sum mhe.Share
	for i, sk := range w.secrets[:parties] {
		s, err := o.DecryptShare(sk, []rns.Poly{x.Polys()[1]}, source(fmt.Sprint("open", i)))
		require.NoError(t, err)
		sum = add(t, o.DecryptShape(), sum, s)
	}
	out, err := o.Decrypt(w.enc, []mhe.Tensor{x}, sum)
	require.NoError(t, err)
	return out[0]
}

func (w world) encrypt(t testing.TB, v []float64, level int) mhe.Tensor {
	t.Helper()
	x, err := w.keys.Encryption().Encrypt(w.enc, v, level, mhe.Power(w.set.LogScale()), source("enc"))
	require.NoError(t, err)
	return x
}

func toy(t testing.TB, parties int) params.Set {
	t.Helper()
	set, err := params.InsecureToy(parties, 4)
	require.NoError(t, err)
	return set
}

func random(n int, seed uint64) []float64 {
	r := rand.New(rand.NewPCG(seed, 0))
	v := make([]float64, n)
	for i := range v {
		v[i] = 2*r.Float64() - 1
	}
	return v
}

// maxDiff compares all slots with a periodic vector.
func maxDiff(got, want []float64) float64 {
	d := 0.0
	for i := range got {
		d = math.Max(d, math.Abs(got[i]-want[i%len(want)]))
	}
	return d
}

func TestEvaluatorMatchesClearTwin(t *testing.T) {
	set := toy(t, 3)
	dot, err := packing.NewDot(9, 16, set.N())
	require.NoError(t, err)
	weights, rows, targets := random(9, 1), make([][]float64, 16), random(16, 2)
	for i := range rows {
		rows[i] = random(9, uint64(10+i))
	}
	x := mhe.Plain(dot.Data(rows))
	run := func(ev mhe.Evaluator, w mhe.Tensor) []mhe.Tensor {
		z, err := ev.Dot(dot, w, x)
		require.NoError(t, err)
		p, err := ev.Polynomial([]float64{0.5, 0.15, 0, -0.0016}, z)
		require.NoError(t, err)
		e, err := ev.Sub(p, mhe.Plain(dot.Targets(targets)))
		require.NoError(t, err)
		g, err := ev.Outer(dot, e, x, 40)
		require.NoError(t, err)
		return []mhe.Tensor{z, p, e, g}
	}
	top, scale := set.MaxLevel(), mhe.Power(set.LogScale())

	trace, ev := mhe.NewTrace(set)
	traced := run(ev, mhe.TracedTensor(mhe.Range{Max: 1, RMS: 0.6, Err: 1e-12}, top, scale))
	w := newWorld(t, set, trace.Keys())
	encrypted := run(mhe.NewCKKS(w.keys, 2), w.encrypt(t, dot.Weights(weights), top))
	clear := run(mhe.NewClear(set), mhe.ClearTensor(dot.Weights(weights), top, scale))
	for i, name := range []string{"z", "p", "e", "g"} {
		require.Equal(t, clear[i].Level(), encrypted[i].Level(), name)
		require.Equal(t, traced[i].Level(), encrypted[i].Level(), name)
		require.Zero(t, clear[i].Scale().Cmp(encrypted[i].Scale()), name)
		got := w.open(t, encrypted[i], set.Parties())
		diff := maxDiff(got, clear[i].Values())
		t.Logf("%s: level %d scale 2^%.2f error 2^%.1f, estimate 2^%.1f", name, encrypted[i].Level(), encrypted[i].LogScale(), math.Log2(diff), math.Log2(traced[i].Range().Err))
		require.Less(t, diff, 1e-6, name)
	}
}
