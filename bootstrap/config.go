package bootstrap

import (
	"fmt"
	"math/big"
	"slices"

	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/packing"
	"github.com/nereid-mhe/nereid/params"
)

// A Config says what a refresh does to its inputs: Map to each of them, then Mix
// to all of them together, then After to each of what comes out. What Plus makes of
// the same inputs is added.
type Config struct {
	In, Out int         // levels of inputs and outputs
	Count   int         // inputs of one round
	Map     packing.Map // of every input; zero for none
	Mix     packing.Mix // of all inputs; without outputs for none: then every input is an output
	After   packing.Map // of every output; zero for none
	Plus    []packing.Linear

	// ScaleIn is the scale of the inputs and ScaleOut that of the outputs, to
	// the last bit. A map without a mask cannot change the scale.
	ScaleIn, ScaleOut *big.Float

	Workers int // goroutines inside one call; 0 means 1
}

// Linears returns the maps of which the refresh applies the sum, the first of them
// being that of Map, Mix and After.
func (c Config) Linears() []packing.Linear {
	return append([]packing.Linear{{Before: c.Map, Mix: c.Mix, After: c.After}}, c.Plus...)
}

// Apply returns what comes out for one period of the slots of every input.
func (c Config) Apply(x [][]float64) [][]float64 {
	var sum [][]float64
	for _, l := range c.Linears() {
		y := l.Apply(x)
		if sum == nil {
			sum = y
			continue
		}
		for i := range y {
			for s, v := range y[i] {
				sum[i][s] += v
			}
		}
	}
	return sum
}

// Masked reports whether there are masks, which carry a scale.
func (c Config) Masked() bool { return c.Linears()[0].Depth() > 0 }

// outputs returns the number of outputs.
func (c *Config) outputs() int {
	if len(c.Mix) > 0 {
		return len(c.Mix)
	}
	return c.Count
}

// check also brings a config into its simplest form: without a mix there is
// nothing between Map and After.
func check(set params.Set, cfg *Config) error {
	cfg.Workers = max(1, cfg.Workers)
	switch {
	case cfg.In < set.MaskLevel():
		return fmt.Errorf("%w: refreshing at level %d, the masks need level %d", mhe.ErrShape, cfg.In, set.MaskLevel())
	case cfg.Out <= cfg.In || cfg.Out > set.MaxLevel():
		return fmt.Errorf("%w: refreshing from level %d to %d of %d", mhe.ErrShape, cfg.In, cfg.Out, set.MaxLevel())
	case cfg.Count < 1:
		return fmt.Errorf("%w: refreshing %d ciphertexts", mhe.ErrShape, cfg.Count)
	case cfg.ScaleIn == nil || cfg.ScaleOut == nil || cfg.ScaleIn.Sign() <= 0 || cfg.ScaleOut.Sign() <= 0:
		return fmt.Errorf("%w: refreshing without scales", mhe.ErrShape)
	case !cfg.Masked() && cfg.ScaleIn.Cmp(cfg.ScaleOut) != 0:
		return fmt.Errorf("%w: a map without a mask cannot change the scale", mhe.ErrShape)
	}
	pieces := make(packing.Mix, len(cfg.Mix)) // of all maps, by output
	for _, l := range cfg.Linears() {
		if len(l.Mix) != len(cfg.Mix) || (l.Depth() > 0) != cfg.Masked() || len(cfg.Plus) > 0 && len(cfg.Mix) == 0 {
			return fmt.Errorf("%w: a sum of maps of %d and %d outputs with %d and %d masks: want mixes with as many outputs, and masks in all or none", mhe.ErrShape, len(cfg.Mix), len(l.Mix), cfg.Linears()[0].Depth(), l.Depth())
		}
		used := slices.DeleteFunc(slices.Clone(l.Mix), func(p []packing.Piece) bool { return len(p) == 0 })
		for _, err := range []error{l.Before.Check(set.N()), used.Check(cfg.Count, set.N()), l.After.Check(set.N())} {
			if err != nil {
				return fmt.Errorf("%w: %w", mhe.ErrShape, err)
			}
		}
		for i := range l.Mix {
			pieces[i] = append(pieces[i], l.Mix[i]...)
		}
	}
	if i := slices.IndexFunc(pieces, func(p []packing.Piece) bool { return len(p) == 0 }); i >= 0 {
		return fmt.Errorf("%w: %w: output %d of a mix has no pieces", mhe.ErrShape, packing.ErrShape, i)
	}
	if len(cfg.Mix) == 0 {
		cfg.Mix, cfg.Map, cfg.After = nil, cfg.Map.Then(cfg.After), packing.Map{}
	}
	return nil
}
