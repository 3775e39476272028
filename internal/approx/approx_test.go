package approx_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/internal/approx"
)

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

func TestOddFitsSigmoid(t *testing.T) {
	last := 1.0
	for _, degree := range []int{1, 3, 5, 7} {
		c, err := approx.Odd(sigmoid, degree, 6)
		require.NoError(t, err)
		require.Len(t, c, degree+1)
		require.Equal(t, 0.5, c[0])
		for k := 2; k < len(c); k += 2 {
			require.Zero(t, c[k])
		}
		worst := 0.0
		for x := -6.0; x <= 6; x += 0.01 {
			worst = math.Max(worst, math.Abs(approx.Eval(c, x)-sigmoid(x)))
		}
		require.Less(t, worst, last, "degree %d must be better than %d", degree, degree-2)
		last = worst
	}
	require.Less(t, last, 0.02)
}

// The residual of a least squares fit is orthogonal to every basis function.
func TestOddIsOptimal(t *testing.T) {
	const bound = 5.0
	c, err := approx.Odd(sigmoid, 3, bound)
	require.NoError(t, err)
	for _, k := range []float64{1, 3} {
		sum := 0.0
		for i := range 2001 {
			u := 2*float64(i)/2000 - 1
			sum += (approx.Eval(c, bound*u) - sigmoid(bound*u)) * math.Pow(u, k)
		}
		require.InDelta(t, 0, sum, 1e-9)
	}
}

func TestOddRefuses(t *testing.T) {
	for _, tt := range []struct {
		degree int
		bound  float64
	}{{0, 1}, {2, 1}, {-1, 1}, {3, 0}, {3, -1}, {3, math.Inf(1)}, {3, math.NaN()}} {
		_, err := approx.Odd(sigmoid, tt.degree, tt.bound)
		require.ErrorIs(t, err, approx.ErrFit)
	}
}

func TestMax(t *testing.T) {
	require.InDelta(t, 8, approx.Max([]float64{0, 0, 0, 1}, 2, 0), 1e-12)
	require.InDelta(t, 9, approx.Max([]float64{0, 0, 0, 1}, 2, 1), 1e-12)
}
