package portable_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/internal/portable"
)

// ulps returns the distance of a from b in units of b's last place.
func ulps(a, b float64) float64 {
	return math.Abs(a-b) / (math.Nextafter(math.Abs(b), math.Inf(1)) - math.Abs(b))
}

func TestAreThoseOfTheLibrary(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200_000 {
		x := rng.NormFloat64() * math.Exp2(float64(rng.IntN(20)-10))
		for name, f := range map[string][2]float64{
			"exp":  {portable.Exp(x), math.Exp(x)},
			"exp2": {portable.Exp2(x), math.Exp2(x)},
			"log":  {portable.Log(math.Abs(x)), math.Log(math.Abs(x))},
			"log2": {portable.Log2(math.Abs(x)), math.Log2(math.Abs(x))},
			"near": {portable.Log(1 + x*1e-6), math.Log(1 + x*1e-6)},
		} {
			if got, want := f[0], f[1]; math.IsInf(want, 0) || want < 1e-300 && want > -1e-300 {
				require.InDelta(t, 0, math.Min(1, math.Abs(got))-math.Min(1, math.Abs(want)), 1e-300, "%s of %g", name, x)
			} else if d := ulps(got, want); !(d <= 3) {
				// log2 near 1 cancels, in the library too
				require.True(t, name == "log2" && math.Abs(got-want) < 4e-16, "%s of %g: %g, want %g: %g ulps", name, x, got, want, d)
			}
		}
		a, b := rng.Float64()*4, rng.Float64()*6
		require.InEpsilon(t, math.Pow(a, b), portable.Pow(a, b), 1e-14)
		require.InEpsilon(t, math.Hypot(x, a), portable.Hypot(x, a), 1e-15)
		turn := rng.Float64()*3 - 1
		sin, cos := portable.Circle(turn)
		require.InDelta(t, math.Sin(2*math.Pi*turn), sin, 3e-15)
		require.InDelta(t, math.Cos(2*math.Pi*turn), cos, 3e-15)
		require.InDelta(t, 1, sin*sin+cos*cos, 4e-16)
	}
}

func first(sin, _ float64) float64 { return sin }

func TestEdges(t *testing.T) {
	inf := math.Inf(1)
	for _, x := range []struct{ got, want float64 }{
		{portable.Exp(0), 1},
		{portable.Exp(inf), inf},
		{portable.Exp(-inf), 0},
		{portable.Exp(709.9), inf},
		{portable.Exp(-800), 0},
		{portable.Exp2(-3), 0.125},
		{portable.Exp2(61), 1 << 61},
		{portable.Exp2(2000), inf},
		{portable.Exp2(inf), inf},
		{portable.Exp2(-inf), 0},
		{portable.Log(1), 0},
		{portable.Log(0), -inf},
		{portable.Log(inf), inf},
		{portable.Log2(1 << 40), 40},
		{portable.Log2(0.25), -2},
		{portable.Log2(inf), inf},
		{portable.Log2(0), -inf},
		{portable.Pow(0, 2), 0},
		{portable.Pow(0, 0), 1},
		{portable.Pow(0.3, 1), 0.3},
		{portable.Pow(1, 17), 1},
		{portable.Hypot(3, 4), 5},
		{first(portable.Circle(0)), 0},
		{first(portable.Circle(0.25)), 1},
		{first(portable.Circle(0.75)), -1},
		{first(portable.Circle(1)), 0},
	} {
		require.Equal(t, x.want, x.got)
	}
	for _, x := range []float64{portable.Exp(math.NaN()), portable.Exp2(math.NaN()), portable.Log(math.NaN()), portable.Log(-1), portable.Log2(math.NaN())} {
		require.True(t, math.IsNaN(x))
	}
}

// The bits themselves: a change here is another plan at every party.
func TestBits(t *testing.T) {
	sum := 0.0
	for i := range 1000 {
		x := float64(i-500) / 37
		y := 1 + float64(x*x)
		sum += portable.Exp(x/8) + portable.Log(y) + portable.Exp2(x/5) + portable.Log2(y) + portable.Pow(y, 0.3)
		sin, cos := portable.Circle(x)
		sum += sin + cos
	}
	require.Equal(t, uint64(0x40cca9be0bc29c1c), math.Float64bits(sum))
}
