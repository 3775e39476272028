package packing_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/nereid-mhe/nereid/packing"
)

// drawLayout draws one to three axes, each of 1 to 6 elements in up to 8 places,
// in a ciphertext of up to four periods.
func drawLayout(t *rapid.T) packing.Layout {
	var axes []packing.Axis
	period := 1
	for i := range rapid.IntRange(1, 3).Draw(t, "axes") {
		a := packing.Axis{Name: fmt.Sprint("axis", i), Len: rapid.IntRange(1, 6).Draw(t, "len")}
		size := 1
		for size < a.Len {
			size *= 2
		}
		if rapid.Bool().Draw(t, "wide") {
			size *= 2
			a.Size = size // 0 asks for the smallest
		}
		period *= size
		axes = append(axes, a)
	}
	l, err := packing.NewLayout(period*rapid.SampledFrom([]int{1, 2, 4}).Draw(t, "repetitions"), axes...)
	require.NoError(t, err)
	require.Equal(t, period, l.Period())
	return l
}

// indices calls f for every index of the layout's elements in use, outermost
// axis first, in the order of nested loops.
func indices(l packing.Layout, f func(index []int)) {
	var walk func(prefix []int)
	walk = func(prefix []int) {
		if len(prefix) == len(l.Axes) {
			f(prefix)
			return
		}
		for i := range l.Axes[len(prefix)].Len {
			walk(append(slices.Clone(prefix), i))
		}
	}
	walk(nil)
}

// An element sits at the sum of its indices times the strides of their axes, a
// stride being the product of the sizes further in; no two elements share a slot.
func TestSlotIsIndexTimesStride(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawLayout(t)
		seen := map[int]bool{}
		indices(l, func(index []int) {
			want := 0
			for i, x := range index {
				stride := 1
				for _, inner := range l.Axes[i+1:] {
					stride *= inner.Size
				}
				a, got, ok := l.Axis(l.Axes[i].Name)
				require.True(t, ok)
				require.Equal(t, l.Axes[i], a)
				require.Equal(t, stride, got)
				want += x * stride
			}
			s := l.Slot(index...)
			require.Equal(t, want, s)
			require.Less(t, s, l.Period())
			require.False(t, seen[s])
			seen[s] = true
		})
		_, _, ok := l.Axis("no such axis")
		require.False(t, ok)
	})
}

// Pack puts f(index) at Slot(index) for every element in use and 0 in the padding.
func TestPackIsSlotBySlot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawLayout(t)
		f := func(index []int) float64 {
			x := 1.0
			for _, i := range index {
				x = 10*x + float64(i)
			}
			return x
		}
		want := make([]float64, l.Period())
		indices(l, func(index []int) { want[l.Slot(index...)] = f(index) })
		require.Equal(t, want, l.Pack(f))
	})
}

func TestNewLayoutRefuses(t *testing.T) {
	axis := func(name string, length, size int) packing.Axis {
		return packing.Axis{Name: name, Len: length, Size: size}
	}
	for _, tt := range []struct {
		name  string
		slots int
		axes  []packing.Axis
		want  string
	}{
		{"no slots", 0, []packing.Axis{axis("a", 1, 0)}, "0 slots, want a power of two"},
		{"negative slots", -8, []packing.Axis{axis("a", 1, 0)}, "-8 slots"},
		{"slots not a power of two", 12, []packing.Axis{axis("a", 1, 0)}, "12 slots"},
		{"no axes", 8, nil, "no axes"},
		{"empty axis", 8, []packing.Axis{axis("a", 0, 0)}, `axis "a" has 0 elements`},
		{"negative axis", 8, []packing.Axis{axis("a", -2, 0)}, `axis "a" has -2 elements`},
		{"size not a power of two", 8, []packing.Axis{axis("a", 2, 3)}, `axis "a" has size 3 for 2 elements`},
		{"size below length", 8, []packing.Axis{axis("a", 4, 2)}, `axis "a" has size 2 for 4 elements`},
		{"negative size", 8, []packing.Axis{axis("a", 4, -8)}, `axis "a" has size -8`},
		{"equal names", 8, []packing.Axis{axis("a", 2, 0), axis("b", 2, 0), axis("a", 2, 0)}, `two axes are called "a"`},
		{"one too many", 8, []packing.Axis{axis("a", 9, 0)}, "needs more than the 8 slots of a ciphertext"},
		{"together too many", 8, []packing.Axis{axis("a", 4, 0), axis("b", 3, 0)}, "needs more than the 8 slots of a ciphertext"},
		{"a period beyond any integer", 8, []packing.Axis{axis("a", 1, 1<<40), axis("b", 1, 1<<40)}, "needs more than the 8 slots of a ciphertext"},
		{"a length beyond any power of two", 8, []packing.Axis{axis("a", math.MaxInt, 0)}, "elements"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := packing.NewLayout(tt.slots, tt.axes...)
			require.ErrorIs(t, err, packing.ErrShape)
			require.ErrorContains(t, err, tt.want)
		})
	}
	axes := []packing.Axis{axis("a", 2, 0)}
	l, err := packing.NewLayout(8, axes...)
	require.NoError(t, err)
	require.Zero(t, axes[0].Size, "arguments are not changed")
	require.Equal(t, 2, l.Axes[0].Size)
}
