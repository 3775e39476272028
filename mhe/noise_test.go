package mhe_test

import (
	"fmt"
	"math"
	"math/big"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/internal/testkit"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/packing"
)

// Noise is measured on this many ciphertexts of 1024 slots, under one set of
// keys. A slot of noise times secret is a product of two Gaussians, so that mean
// squares are known within √(8/8192) = 3%, and the size of a ternary secret within
// √(1/2/3072) = 1.3%: together 0.05 bits of the deviation at 3 standard errors.
const noisy = 8

// ciphertexts encrypts zeros noisy times and returns the slots, which are errors.
func ciphertexts(t testing.TB, w testkit.World, level int, scale *big.Float) (in []mhe.Tensor, err [][]float64) {
	t.Helper()
	for i := range noisy {
		x, e := w.Keys.Encryption().Encrypt(w.Encoder, zeros, level, scale, testkit.Source(fmt.Sprint("noise", i)))
		require.NoError(t, e)
		in, err = append(in, x), append(err, w.Open(t, x, w.Set.Parties()))
	}
	return in, err
}

// rmsAll returns the root mean square over several vectors.
func rmsAll(got, want [][]float64) float64 {
	sum := 0.0
	for i := range got {
		r := rms(got[i], want[i])
		sum += r * r
	}
	return math.Sqrt(sum / float64(len(got)))
}

// A fresh encryption under keys of 2 and of 5 parties has the noise of its
// rounding times the secret: the larger, the more parties.
func TestEncryptionNoise(t *testing.T) {
	for _, parties := range []int{2, 5} {
		for _, logP := range []int{60, 20} {
			set := special(t, parties, logP)
			for _, level := range []int{0, 6} {
				scale := mhe.Power(45)
				_, got := ciphertexts(t, world(t, set), level, scale)
				none := make([][]float64, len(got))
				for i := range none {
					none[i] = zeros
				}
				withinBits(t, mhe.NewNoise(set).Encrypt(scale), rmsAll(got, none), 0.1, "%d parties, %d-bit special prime, level %d", parties, logP, level)
			}
		}
	}
}

// A constant mask on zeros adds the rescale alone. It is 3/4 and not 1, which would
// multiply and divide by the same prime, exactly.
func TestRescaleNoise(t *testing.T) {
	set := testkit.Toy(t, 3)
	w := world(t, set)
	ev := mhe.NewCKKS(w.Keys, 1)
	scaled := packing.Map{Steps: []packing.Step{{Mask: []float64{0.75}}}}
	for _, level := range []int{6, 3, 1} {
		in, before := ciphertexts(t, w, level, mhe.Power(45))
		var after, want [][]float64
		for i, x := range in {
			y, err := ev.Map(scaled, x)
			require.NoError(t, err)
			require.Equal(t, level-1, y.Level())
			require.Zero(t, x.Scale().Cmp(y.Scale()))
			after, want = append(after, w.Open(t, y, 3)), append(want, scaled.Apply(before[i]))
		}
		withinBits(t, mhe.NewNoise(set).Rescale(mhe.Power(45)), rmsAll(after, want), 0.1, "rescale from level %d", level)
	}
}

// Key switching, with special primes so narrow that its noise is not hidden by
// the rounding after it: one digit for each prime, and two primes in a digit.
func TestGaloisNoise(t *testing.T) {
	for _, logP := range [][]int{{40}, {50, 50}, {60}} {
		set := special(t, 3, logP...)
		w := world(t, set, 1)
		ev, noise := mhe.NewCKKS(w.Keys, 1), mhe.NewNoise(set)
		for _, level := range []int{6, 3, 0} {
			in, before := ciphertexts(t, w, level, mhe.Power(45))
			var after, want [][]float64
			for i, x := range in {
				y, err := ev.Map(rotation(1), x)
				require.NoError(t, err)
				after, want = append(after, w.Open(t, y, 3)), append(want, rotation(1).Apply(before[i]))
			}
			formula := math.Hypot(noise.KeySwitch(level, false, mhe.Power(45)), noise.Rescale(mhe.Power(45)))
			withinBits(t, formula, rmsAll(after, want), 0.15, "special primes %v, level %d", logP, level)
		}
	}
}

// Relinearisation of a product of zeros: with special primes as narrow as the
// prime it is rescaled by, its noise is what is left.
func TestRelinearisationNoise(t *testing.T) {
	for _, logP := range [][]int{{20}, {30, 30}} {
		set := special(t, 3, logP...)
		w := world(t, set)
		ev, noise := mhe.NewCKKS(w.Keys, 1), mhe.NewNoise(set)
		for _, level := range []int{6, 3} {
			scale := mhe.Power(45)
			in, _ := ciphertexts(t, w, level, scale)
			var got, none [][]float64
			raw := mhe.Power(90)
			for i := range in {
				y, err := ev.Dot(one(t, set), in[i], in[(i+1)%len(in)], 0)
				require.NoError(t, err)
				got, none = append(got, w.Open(t, y, 3)), append(none, zeros)
				scale = y.Scale()
			}
			formula := math.Hypot(noise.KeySwitch(level, true, raw), noise.Rescale(scale))
			require.Greater(t, noise.KeySwitch(level, true, raw), 4*noise.Rescale(scale), "the test must see the key's noise")
			withinBits(t, formula, rmsAll(got, none), 0.15, "special primes %v, level %d", logP, level)
		}
	}
}

// Keys that relinearise and rotate have the noise of relinearisation, at the level
// of use, whatever their own. The Galois key that goes with them has less.
func TestProductKeyNoise(t *testing.T) {
	for _, logP := range [][]int{{20}, {30, 30}} {
		set := special(t, 3, logP...)
		w := testkit.NewWorld(t, set, rotated())
		noise := mhe.NewNoise(set)
		for _, tt := range []struct{ by, level int }{{0, 4}, {1, 5}, {1, 3}, {7, 3}, {1023, 6}} {
			in, _ := ciphertexts(t, w, tt.level, mhe.Power(45))
			raw, scale := mhe.Power(90), mhe.Power(45)
			var got, none [][]float64
			for i := range in {
				y, err := mhe.MultiplyRotated(w.Keys, in[i], in[(i+1)%len(in)], tt.by)
				require.NoError(t, err)
				got, none = append(got, w.Open(t, y, 3)), append(none, zeros)
				scale = y.Scale()
			}
			formula := math.Hypot(noise.KeySwitch(tt.level, true, raw), noise.Rescale(scale))
			if tt.by != 0 {
				formula = math.Hypot(formula, noise.KeySwitch(tt.level, false, raw))
			}
			require.Greater(t, noise.KeySwitch(tt.level, true, raw), 4*noise.Rescale(scale), "the test must see the key's noise")
			withinBits(t, formula, rmsAll(got, none), 0.15, "special primes %v, rotation by %d at level %d", logP, tt.by, tt.level)
		}
	}
}

// Encoding rounds the coefficients of one period: p of N, and the fewer, the
// smaller the error of a slot. At scale 2^20 floats do not matter. The p
// coefficients of 64 encodings are known within √(0.8/(64·8)) = 4%, and of a
// period of 8 the constant, half as large as the others, makes it 15/16.
func TestEncodingNoise(t *testing.T) {
	set := testkit.Toy(t, 2)
	enc, noise := mhe.NewEncoder(set), mhe.NewNoise(set)
	b, scale := mhe.Basis(set, 0), mhe.Power(20)
	for p := 8; p <= set.N(); p *= 2 {
		var got, want [][]float64
		for i := range 64 {
			v := testkit.Random(p, uint64(i))
			poly, err := enc.Encode(v, scale, b)
			require.NoError(t, err)
			slots, err := enc.Decode(poly, scale)
			require.NoError(t, err)
			got, want = append(got, slots), append(want, v)
		}
		withinBits(t, noise.Encode(p, scale), rmsAll(got, want), 0.15, "period %d", p)
	}
}

// Errors at a scale are those of coefficients over it.
func TestNoiseScales(t *testing.T) {
	noise := mhe.NewNoise(testkit.Toy(t, 2))
	for name, f := range map[string]func(*big.Float) float64{
		"Slots": func(s *big.Float) float64 { return noise.Slots(1, s) }, "Rescale": noise.Rescale, "Encrypt": noise.Encrypt,
		"Encode":    func(s *big.Float) float64 { return noise.Encode(8, s) },
		"KeySwitch": func(s *big.Float) float64 { return noise.KeySwitch(3, true, s) },
	} {
		require.InEpsilon(t, 1<<10, f(mhe.Power(30))/f(mhe.Power(40)), 1e-12, name)
	}
}
