package mhe_test

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/nereid-mhe/nereid/internal/testkit"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/params"
)

// Every period from 8 to N survives encoding, repeated over all slots, at every
// scale up to 2^100. Floats carry 53 bits; a transform of 1024 loses a few.
func TestEncoderRoundTrip(t *testing.T) {
	set := testkit.Toy(t, 2)
	enc := mhe.NewEncoder(set)
	for _, logScale := range []int{30, 45, 62, 100} {
		for p := 8; p <= set.N(); p *= 2 {
			v := testkit.Random(p, uint64(p))
			poly, err := enc.Encode(v, mhe.Power(logScale), mhe.Basis(set, 2))
			require.NoError(t, err)
			got, err := enc.Decode(poly, mhe.Power(logScale))
			require.NoError(t, err)
			require.Len(t, got, set.N())
			limit := 64*math.Exp2(-float64(logScale)) + 1e-13 // 12 deviations of the rounding at a full period
			require.Less(t, testkit.MaxDiff(got, v), limit, "period %d at scale 2^%d", p, logScale)
		}
	}
}

// A period of values is encoded as its repetition is: no coefficient differs by
// more than the last place of a float.
func TestEncoderPeriodIsRepetition(t *testing.T) {
	set := testkit.Toy(t, 2)
	enc, b := mhe.NewEncoder(set), mhe.Basis(set, 3)
	rapid.Check(t, func(t *rapid.T) {
		p := 8 << rapid.IntRange(0, 7).Draw(t, "log period/8")
		v := testkit.Random(p, rapid.Uint64().Draw(t, "seed"))
		short, err := enc.Encode(v, mhe.Power(40), b)
		require.NoError(t, err)
		long, err := enc.Encode(slices.Repeat(v, set.N()/p), mhe.Power(40), b)
		require.NoError(t, err)
		b.Sub(short, long)
		for _, c := range coefficients(b, short) {
			require.LessOrEqual(t, math.Abs(c), 1.0)
		}
	})
}

// An encoding is additive: Encode(x) + Encode(y) decodes to x + y, at any level.
func TestEncoderIsAdditive(t *testing.T) {
	set := testkit.Toy(t, 2)
	enc := mhe.NewEncoder(set)
	rapid.Check(t, func(t *rapid.T) {
		level := rapid.IntRange(0, set.MaxLevel()).Draw(t, "level")
		b := mhe.Basis(set, level)
		x, y := testkit.Random(64, rapid.Uint64().Draw(t, "x")), testkit.Random(64, rapid.Uint64().Draw(t, "y"))
		px, err := enc.Encode(x, mhe.Power(40), b)
		require.NoError(t, err)
		py, err := enc.Encode(y, mhe.Power(40), b)
		require.NoError(t, err)
		b.Add(px, py)
		for i := range x {
			x[i] += y[i]
		}
		got, err := enc.Decode(px, mhe.Power(40))
		require.NoError(t, err)
		require.Less(t, testkit.MaxDiff(got, x), 1e-9)
	})
}

// A scale that no float holds exactly, such as a product of primes, is kept
// exactly through decoding.
func TestEncoderOddScales(t *testing.T) {
	set := testkit.Toy(t, 2)
	enc := mhe.NewEncoder(set)
	scale := mhe.Power(45)
	scale.SetUint64(set.Prime(5))
	v := testkit.Random(64, 1)
	p, err := enc.Encode(v, scale, mhe.Basis(set, 1))
	require.NoError(t, err)
	got, err := enc.Decode(p, scale)
	require.NoError(t, err)
	require.Less(t, testkit.MaxDiff(got, v), 1e-11)
}

func TestEncoderRefuses(t *testing.T) {
	set := testkit.Toy(t, 2)
	enc, b := mhe.NewEncoder(set), mhe.Basis(set, 2)
	with := func(x float64) []float64 { return append(make([]float64, 15), x) }
	for _, tt := range []struct {
		name   string
		values []float64
		log    int
		want   string
	}{
		{"nothing", nil, 40, "encoding 0 values"},
		{"four", make([]float64, 4), 40, "encoding 4 values, want a power of two from 8 to 1024"},
		{"twelve", make([]float64, 12), 40, "encoding 12 values"},
		{"too many", make([]float64, 2048), 40, "encoding 2048 values"},
		{"NaN", with(math.NaN()), 40, "slot 15 is NaN"},
		{"Inf", with(math.Inf(1)), 40, "slot 15 is +Inf"},
		{"-Inf", with(math.Inf(-1)), 40, "slot 15 is -Inf"},
		{"beyond any float at its scale", with(math.MaxFloat64), 40, "at scale 2^40"},
		{"a sum beyond any float", slices.Repeat([]float64{math.MaxFloat64}, 8), 0, "at scale 2^0"},
		{"a scale beyond any float", with(1), 2000, "at scale 2^2000"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := enc.Encode(tt.values, mhe.Power(tt.log), b)
			require.ErrorIs(t, err, mhe.ErrShape)
			require.ErrorContains(t, err, tt.want)
		})
	}
}

// An encoder is safe for concurrent use: results do not depend on who else uses
// it. Run with -race, this finds shared scratch space.
func TestEncoderConcurrently(t *testing.T) {
	set := testkit.Toy(t, 2)
	enc, b := mhe.NewEncoder(set), mhe.Basis(set, 3)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			v := testkit.Random(256, uint64(i))
			for range 5 {
				p, err := enc.Encode(v, mhe.Power(45), b)
				if err != nil {
					t.Error(err)
					return
				}
				got, err := enc.Decode(p, mhe.Power(45))
				if err != nil || testkit.MaxDiff(got, v) > 1e-10 {
					t.Errorf("routine %d: %v, off by %g", i, err, testkit.MaxDiff(got, v))
				}
			}
		})
	}
	wg.Wait()
}

// A set of another ring degree has another transform.
func TestEncoderSizes(t *testing.T) {
	for logN := 8; logN <= 11; logN++ {
		t.Run(fmt.Sprint("logN=", logN), func(t *testing.T) {
			set, err := params.New(params.Config{LogN: logN, LogQ: []int{60, 60, 60, 45}, LogP: []int{60}, LogScale: 45, Parties: 2, Insecure: true})
			require.NoError(t, err)
			enc := mhe.NewEncoder(set)
			v := testkit.Random(set.N(), 1)
			p, err := enc.Encode(v, mhe.Power(45), mhe.Basis(set, 0))
			require.NoError(t, err)
			got, err := enc.Decode(p, mhe.Power(45))
			require.NoError(t, err)
			require.Less(t, testkit.MaxDiff(got, v), 1e-10)
		})
	}
}
