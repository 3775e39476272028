package nn

import (
	"context"
	"crypto/sha3"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/params"
)

// FitNetwork plans n on the smallest secure set that its layout needs, with two
// special primes if they leave room for a scale that is large enough. Errors wrap
// [ErrModel], [params.ErrConfig] and what they are made of: all that was tried.
func FitNetwork(n Network, l Layout, quantum bool) (*NetworkPlan, error) {
	levels, err := NetworkLevels(n, l)
	if err != nil {
		return nil, err
	}
	var errs []error
	for logN := 14; logN <= 16; logN++ {
		for special := 2; special >= 1; special-- {
			set, err := params.FitChain(n.Parties, levels, params.Wide, special, logN, quantum)
			var p *NetworkPlan
			if err == nil {
				p, err = CompileNetwork(set, n, l)
			}
			if err == nil {
				return p, nil
			}
			errs = append(errs, err)
		}
	}
	return nil, fmt.Errorf("%w: no parameters fit the network: %w", ErrModel, errors.Join(errs...))
}

// FitNetworkInsecure is [FitNetwork] on a toy ring WITHOUT ANY SECURITY of 2^logN
// slots, for tests and for demonstrations that say so.
func FitNetworkInsecure(n Network, l Layout, logN int) (*NetworkPlan, error) {
	levels, err := NetworkLevels(n, l)
	if err != nil {
		return nil, err
	}
	q := []int{60, 60, 60}
	for range levels {
		q = append(q, 43)
	}
	set, err := params.New(params.Config{LogN: logN, LogQ: q, LogP: []int{60, 60}, LogScale: 43, Parties: n.Parties, Insecure: true})
	if err != nil {
		return nil, err
	}
	return CompileNetwork(set, n, l)
}

// A NetworkTrainer is one party's side of training. It is used by one goroutine.
type NetworkTrainer struct {
	Plan    *NetworkPlan
	Eval    mhe.Evaluator
	Refresh LocalRefresher
	Update  Updater
}

// Step returns the state after one step: MAP with its refreshes, COMBINE, REDUCE.
func (t NetworkTrainer) Step(ctx context.Context, step int, st State, batches []NetworkBatch) (State, error) {
	g, err := t.Plan.gradients(t.Eval, batches, func(i int) *pass {
		return &pass{
			p: t.Plan, ev: t.Eval,
			refresh: func(point int, x mhe.Tensor) (mhe.Tensor, error) {
				return t.Refresh.RefreshLocal(ctx, step, i, point, x)
			},
			weights: func(param, _ int, _ mhe.Tensor) []mhe.Tensor { return st.W[param] },
		}
	})
	if err != nil {
		return State{}, err
	}
	for i := range g {
		for c := range g[i] {
			if g[i][c], err = mhe.Drop(g[i][c], t.Plan.Parameters[i].GradLevel); err != nil {
				return State{}, err
			}
		}
	}
	u, err := t.Update.Update(ctx, step, g, func(part Part, sum []mhe.Tensor) ([]mhe.Tensor, error) {
		return t.Plan.combine(t.Eval, st, step, part, sum)
	})
	if err != nil {
		return State{}, err
	}
	return t.Plan.apply(t.Eval, st, u)
}

// Hash identifies the plan: parties that computed equal hashes run the same
// study.
func (p *NetworkPlan) Hash() [32]byte {
	n, set := p.Net, p.Set.Hash()
	b := fmt.Appendf(nil, "nereid/network-plan/v4 %d %d %q %+v %d %d %d %x %x %x %x %+v %+v",
		n.Features, n.Outputs, n.Loss.hash(), n.Optimiser, n.Steps, n.Parties, n.Batch, n.Seed, n.Gain, n.MaxFeature, n.MaxTarget, p.Layout, p.Keys)
	for _, h := range n.Hidden {
		b = fmt.Appendf(b, " %d %x %q", h.Units, h.Gain, h.Activation.hash())
	}
	scale := func(s interface{ Text(byte, int) string }) { b = fmt.Appendf(b, " %s", s.Text('p', 0)) }
	for _, r := range p.Points {
		b = binary.BigEndian.AppendUint64(b, uint64(r.In)<<32|uint64(r.Out))
		if !r.Skipped {
			scale(r.Scale)
		}
	}
	for _, q := range p.Parameters {
		b = binary.BigEndian.AppendUint64(b, uint64(q.Level)<<32|uint64(q.Count))
		scale(q.Scale)
		scale(q.GradScale)
	}
	for _, y := range p.layers { // units in shared ciphertexts follow from them
		scale(y.scale)
		scale(y.grad)
	}
	b = fmt.Appendf(b, " %+v", p.Parts)
	if q := p.Query; q != nil { // flooding follows from it
		b = fmt.Appendf(b, " %d %d %d %x", q.Rows, q.Blocks, q.OutputLevel, q.OutputErr)
	}
	return sha3.Sum256(append(b, set[:]...))
}
