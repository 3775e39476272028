package mhe_test

import (
	"math"
	"math/big"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/internal/testkit"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/packing"
)

// single is x[x]·y[y].
func single(x, y int) packing.Product {
	return packing.Product{{{Terms: []packing.Term{{X: x, Y: y}}}}}
}

// repeated is a sum of n terms x[0]·y[0].
func repeated(n int) packing.Product {
	return packing.Product{{{Terms: make([]packing.Term, n)}}}
}

// What a product of one backend refuses, every backend does, with the same error.
func TestProductsRefuseAlike(t *testing.T) {
	_, all := kits(t)
	ok := single(0, 0)
	plain := mhe.Plain(testkit.Random(8, 2))
	coarse := func(k kit) mhe.Tensor { // at scale 2^40
		z, err := k.ev.Outer(packing.Dot{}, k.at(6), plain, 40)
		require.NoError(t, err)
		return z
	}
	product := func(p packing.Product, x, y func(k kit) []mhe.Tensor) func(k kit) error {
		return func(k kit) error {
			out, err := k.ev.Product(p, mhe.Operands(x(k)...), mhe.Operands(y(k)...))
			require.Nil(t, out)
			return err
		}
	}
	at := func(levels ...int) func(k kit) []mhe.Tensor {
		return func(k kit) (ts []mhe.Tensor) {
			for _, l := range levels {
				ts = append(ts, k.at(l))
			}
			return ts
		}
	}
	of := func(ts ...mhe.Tensor) func(k kit) []mhe.Tensor { return func(kit) []mhe.Tensor { return ts } }
	scales := func(k kit) []mhe.Tensor { return []mhe.Tensor{k.at(3), coarse(k)} }
	data := func(p packing.Product, x func(k kit) []mhe.Tensor, logScale int, values ...[]float64) func(k kit) error {
		return func(k kit) error {
			d, err := mhe.NewData(values, mhe.Power(logScale))
			require.NoError(t, err)
			out, err := k.ev.ProductData(p, mhe.Operands(x(k)...), d)
			require.Nil(t, out)
			return err
		}
	}
	unknown := func(period int) func(k kit) error {
		return func(k kit) error {
			d := mhe.UnknownData(1, period, mhe.Power(40), mhe.Range{Max: 1, RMS: 1})
			_, err := k.ev.ProductData(ok, mhe.Operands(k.at(3)), d)
			return err
		}
	}
	mul := func(x, y func(k kit) []mhe.Tensor) func(k kit) error {
		return func(k kit) error {
			_, err := k.ev.Mul(x(k)[0], y(k)[0])
			return err
		}
	}
	v := testkit.Random(8, 3)
	with := func(x float64) []float64 { return append(make([]float64, 7), x) }
	for _, tt := range []struct {
		name string
		do   func(k kit) error
		want error
	}{
		{"Product without outputs", product(nil, at(3), at(3)), mhe.ErrShape},
		{"Product without groups", product(packing.Product{{}}, at(3), at(3)), mhe.ErrShape},
		{"Product without terms", product(packing.Product{{{By: 1}}}, at(3), at(3)), mhe.ErrShape},
		{"Product of nothing", product(ok, at(), at()), mhe.ErrShape},
		{"Product without y", product(ok, at(3), at()), mhe.ErrShape},
		{"Product with an index of x beyond", product(single(1, 0), at(3), at(3, 3)), mhe.ErrShape},
		{"Product with an index of y beyond", product(single(0, 1), at(3, 3), at(3)), mhe.ErrShape},
		{"Product with a negative index of x", product(single(-1, 0), at(3), at(3)), mhe.ErrShape},
		{"Product with a negative index of y", product(single(0, -1), at(3), at(3)), mhe.ErrShape},
		{"Product of too many terms", product(repeated(128), at(3), at(3)), mhe.ErrShape},
		{"Product of plain data", product(ok, of(plain), at(3)), mhe.ErrShape},
		{"Product with plain data", product(ok, at(3), of(plain)), mhe.ErrShape},
		{"Product of no tensor", product(ok, of(mhe.Tensor{}), at(3)), mhe.ErrShape},
		{"Product of x of two scales", product(ok, scales, at(3)), mhe.ErrShape},
		{"Product of y of two scales", product(ok, at(3), scales), mhe.ErrShape},
		{"Product of x at level 0", product(ok, at(3, 0), at(3)), mhe.ErrLevel},
		{"Product of y at level 0", product(ok, at(3), at(0)), mhe.ErrLevel},

		{"ProductData without outputs", data(nil, at(3), 40, v), mhe.ErrShape},
		{"ProductData of nothing", data(ok, at(), 40, v), mhe.ErrShape},
		{"ProductData with an index of x beyond", data(single(1, 0), at(3), 40, v, v), mhe.ErrShape},
		{"ProductData with an index of y beyond", data(single(0, 1), at(3, 3), 40, v), mhe.ErrShape},
		{"ProductData with a negative index of y", data(single(0, -1), at(3), 40, v), mhe.ErrShape},
		{"ProductData of too many terms", data(repeated(129), at(3), 40, v), mhe.ErrShape},
		{"ProductData of plain data", data(ok, of(plain), 40, v), mhe.ErrShape},
		{"ProductData of x of two scales", data(ok, scales, 40, v), mhe.ErrShape},
		{"ProductData at level 0", data(ok, at(0), 40, v), mhe.ErrLevel},
		{"ProductData at a coarse scale", data(ok, at(3), 9, v), mhe.ErrShape},
		{"data of no power of two", data(ok, at(3), 40, make([]float64, 12)), mhe.ErrShape},
		{"data of a short period", data(ok, at(3), 40, make([]float64, 4)), mhe.ErrShape},
		{"data of more than all slots", data(ok, at(3), 40, make([]float64, 2048)), mhe.ErrShape},
		{"data of no period", data(ok, at(3), 40, []float64{}), mhe.ErrShape},
		{"data that is nil", data(ok, at(3), 40, nil, nil), mhe.ErrShape},
		{"data of NaN", data(ok, at(3), 40, v, with(math.NaN())), mhe.ErrShape},
		{"data of Inf", data(ok, at(3), 40, with(math.Inf(-1))), mhe.ErrShape},
		{"unknown data of no power of two", unknown(24), mhe.ErrShape},
		{"unknown data of more than all slots", unknown(2048), mhe.ErrShape},

		{"Mul of plain data", mul(of(plain), at(3)), mhe.ErrShape},
		{"Mul with plain data", mul(at(3), of(plain)), mhe.ErrShape},
		{"Mul of no tensor", mul(at(3), of(mhe.Tensor{})), mhe.ErrShape},
		{"Mul at level 0", mul(at(0), at(3)), mhe.ErrLevel},
		{"Mul with level 0", mul(at(3), at(0)), mhe.ErrLevel},
	} {
		for _, k := range all {
			t.Run(tt.name+"/"+k.name, func(t *testing.T) {
				require.NotPanics(t, func() {
					err := tt.do(k)
					require.ErrorIs(t, err, tt.want)
					if tt.want == mhe.ErrLevel {
						var level *mhe.LevelError
						require.ErrorAs(t, err, &level)
						require.Equal(t, mhe.LevelError{Op: level.Op, Have: 0, Need: 1}, *level)
						require.Contains(t, tt.name, level.Op, "the error names the operation")
					}
				})
			})
		}
	}
	for _, k := range all {
		_, err := k.ev.Product(repeated(127), mhe.Operands(k.at(3)), mhe.Operands(k.at(3)))
		require.NoError(t, err, "%s takes as many terms as is promised", k.name)
		err = unknown(8)(k)
		if k.name == "trace" {
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, mhe.ErrShape, "%s of unknown data", k.name)
		}
		for _, o := range all {
			if o.name == k.name {
				continue
			}
			_, err := k.ev.Mul(k.at(3), o.at(3))
			require.ErrorIs(t, err, mhe.ErrShape, "%s with %s", k.name, o.name)
			_, err = k.ev.Add(k.at(3), o.at(3))
			require.ErrorIs(t, err, mhe.ErrShape, "%s with %s", k.name, o.name)
			require.ErrorIs(t, product(ok, o.at2, k.at2)(k), mhe.ErrShape, "%s with %s", k.name, o.name)
			require.ErrorIs(t, product(ok, k.at2, o.at2)(k), mhe.ErrShape, "%s with %s", k.name, o.name)
			require.ErrorIs(t, data(ok, o.at2, 40, v)(k), mhe.ErrShape, "%s with %s", k.name, o.name)
		}
	}
}

// at2 is one tensor at level 3, of the kit whatever the argument.
func (k kit) at2(kit) []mhe.Tensor { return []mhe.Tensor{k.at(3)} }

func TestNewDataRefuses(t *testing.T) {
	v := make([]float64, 8)
	for name, f := range map[string]func() (*mhe.Data, error){
		"nothing":         func() (*mhe.Data, error) { return mhe.NewData(nil, mhe.Power(40)) },
		"no scale":        func() (*mhe.Data, error) { return mhe.NewData([][]float64{v}, nil) },
		"scale 0":         func() (*mhe.Data, error) { return mhe.NewData([][]float64{v}, new(big.Float)) },
		"negative scale":  func() (*mhe.Data, error) { return mhe.NewData([][]float64{v}, big.NewFloat(-1)) },
		"shorter vector":  func() (*mhe.Data, error) { return mhe.NewData([][]float64{v, v[:4]}, mhe.Power(40)) },
		"longer vector":   func() (*mhe.Data, error) { return mhe.NewData([][]float64{v, make([]float64, 16)}, mhe.Power(40)) },
		"vector of nil":   func() (*mhe.Data, error) { return mhe.NewData([][]float64{v, nil}, mhe.Power(40)) },
		"nil and another": func() (*mhe.Data, error) { return mhe.NewData([][]float64{nil, v}, mhe.Power(40)) },
	} {
		d, err := f()
		require.ErrorIs(t, err, mhe.ErrShape, name)
		require.Nil(t, d, name)
	}
}
