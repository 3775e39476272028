package study

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"math/big"
	"slices"
	"sync"

	"github.com/nereid-mhe/nereid/bootstrap"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/mhe/rns"
	"github.com/nereid-mhe/nereid/nn"
	"github.com/nereid-mhe/nereid/protocols"
)

const phaseRefresh = "refresh" // of tensors of the parties' own

// A netParty is a party's side of training a network. Unlike [party] it takes part
// in several rounds at once: in one of its own and in one of every other party,
// each on a tree with the owner at its root.
type netParty struct{ *party }

var (
	_ nn.LocalRefresher = &netParty{}
	_ nn.Updater        = &netParty{}
)

// train is one step of training on the party's rows.
func (p *netParty) train(ctx context.Context, step int, st nn.State, data nn.NetworkData) (nn.State, error) {
	var b []nn.NetworkBatch
	err := p.compute(phaseMap, func() (err error) {
		x, y := data.Batch(step)
		b, err = p.net.NetworkBatch(x, y)
		return err
	})
	if err != nil {
		return nn.State{}, err
	}
	t := nn.NetworkTrainer{Plan: p.net, Eval: timed{p.ev, p.party}, Refresh: p, Update: p}
	return t.Step(ctx, step, st, b)
}

// A refreshCache holds prepared refreshes: of the points, and of the parts of the
// last steps. They are read-only, so that the parties of a process share them.
type refreshCache struct {
	mu   sync.Mutex
	enc  *mhe.Encoder
	net  *nn.NetworkPlan
	made map[[2]int]func() (*bootstrap.Refresh, error) // by point and -1, or part and step
}

func newRefreshCache(enc *mhe.Encoder, net *nn.NetworkPlan) *refreshCache {
	return &refreshCache{enc: enc, net: net, made: map[[2]int]func() (*bootstrap.Refresh, error){}}
}

func (c *refreshCache) get(key [2]int, config func() bootstrap.Config) (*bootstrap.Refresh, error) {
	c.mu.Lock()
	f, ok := c.made[key]
	if !ok {
		f = sync.OnceValues(func() (*bootstrap.Refresh, error) { return bootstrap.New(c.net.Set, c.enc, config()) })
		c.made[key] = f
		if key[1] >= 2 {
			delete(c.made, [2]int{key[0], key[1] - 2}) // all parties are past it
		}
	}
	c.mu.Unlock()
	return f()
}

func (c *refreshCache) point(i int) (*bootstrap.Refresh, error) {
	return c.get([2]int{i, -1}, func() bootstrap.Config { return c.net.PointConfig(i) })
}

func (c *refreshCache) part(i, step int) (*bootstrap.Refresh, error) {
	return c.get([2]int{i, step}, func() bootstrap.Config { return c.net.UpdateConfig(c.net.Parts[i], step) })
}

// together runs f(0), …, f(n-1) at once; the first error ends the others.
func together(ctx context.Context, n int, f func(ctx context.Context, i int) error) error {
	return inOrder(ctx, n, n, f)
}

// inOrder runs f(0), …, f(n-1), begun in this order and up to width of them at once;
// the first error ends the others.
func inOrder(ctx context.Context, n, width int, f func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	places := make(chan struct{}, max(width, 1))
	for i := range n {
		places <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		wg.Go(func() {
			defer func() { <-places }()
			if err := f(ctx, i); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// RefreshLocal implements [nn.LocalRefresher]: a round of every party's own, all at
// once, or as many as the parties of a process have agreed on: they begin them in one
// order, so that the first round that is not done is under way at all of them. Down
// the owner's tree go the second polynomials, up the shares; what comes out stays with
// the owner.
func (p *netParty) RefreshLocal(ctx context.Context, step, pass, point int, t mhe.Tensor) (out mhe.Tensor, err error) {
	r, err := p.points.point(point)
	if err != nil {
		return out, err
	}
	name := p.net.Points[point].Name
	if pass > 0 {
		name = fmt.Sprintf("%s, pass %d", name, pass)
	}
	if t, err = p.hide(step, name, t); err != nil {
		return out, err
	}
	parties := p.tree.Parties()
	err = inOrder(ctx, parties, cmp.Or(p.pace.owners, parties), func(ctx context.Context, owner int) error {
		return p.refreshOf(ctx, r, step, name, protocols.PartyID(owner), t, &out)
	})
	return out, err // not in one: the rounds set out
}

// hide rerandomises a tensor of the party's own. Its second polynomial is a
// function of the party's rows, of public weights and of ciphertexts that only this
// party has: after the first layer, whoever saw it could solve for the rows. The
// randomness depends on the tensor too.
func (p *netParty) hide(step int, place string, t mhe.Tensor) (out mhe.Tensor, err error) {
	label := protocols.Label{Point: p.point("rerandomise", step, place), Digest: protocols.Digest(slices.Concat(p.context, p.chain[:]), nil, false)}
	err = p.compute(phaseRefresh, func() error {
		s, err := t.Share()
		if err != nil {
			return err
		}
		b, err := mhe.CipherShape(p.set, t.Level()).Encode(s)
		if err != nil {
			return err
		}
		out, err = p.keys.Encryption().Rerandomise(t, p.privateFor(label, b))
		return err
	})
	return out, err
}

// refreshOf takes part in the refresh of owner's tensor; at the owner that is t,
// and out is set.
func (p *netParty) refreshOf(ctx context.Context, r *bootstrap.Refresh, step int, name string, owner protocols.PartyID, t mhe.Tensor, out *mhe.Tensor) error {
	tree, err := p.tree.RootedAt(owner)
	if err != nil {
		return err
	}
	hash := r.Hash()
	in := r.InputShape()
	task := task{
		phase: phaseRefresh, protocol: "refresh", place: fmt.Sprintf("%s of %d", name, owner), step: step,
		tree: &tree, context: slices.Concat(p.chain[:], hash[:]), shape: r.Shape(), derived: true, hasInput: true, maxIn: in.Size(),
	}
	var c1, a mhe.Share
	task.open = func(b []byte) (err error) {
		if c1, err = in.Decode(b); err == nil {
			a, err = r.Common(p.common(p.point(task.protocol, step, task.place)))
		}
		return err
	}
	task.gen = func(l protocols.Label) (mhe.Share, error) { return r.Share(p.sk, c1, a, p.private(l)) }
	if owner == p.id {
		task.finish = func(sum mhe.Share) ([]byte, error) {
			ts, err := r.Finish([]rns.Poly{t.Polys()[0]}, a, sum)
			if err == nil {
				*out = ts[0]
			}
			return nil, err
		}
		if err := p.compute(phaseRefresh, func() (err error) {
			task.input, err = in.Encode(mhe.Share{t.Polys()[1]})
			return err
		}); err != nil {
			return err
		}
	}
	return p.run(ctx, task)
}

// Update implements [nn.Updater]: all parts at once. The parts end with results
// that every party accepts, in whatever order; their digests then move the digest
// of the weights on in the order of the parts.
func (p *netParty) Update(ctx context.Context, step int, g [][]mhe.Tensor, combine nn.Combine) ([][]mhe.Tensor, error) {
	out := make([][]mhe.Tensor, len(g))
	for i := range g {
		out[i] = make([]mhe.Tensor, len(g[i]))
	}
	digests := make([][32]byte, len(p.net.Parts))
	err := together(ctx, len(p.net.Parts), func(ctx context.Context, i int) error {
		part := p.net.Parts[i]
		tree, err := p.tree.RootedAt(protocols.PartyID(part.Owner))
		if err != nil {
			return err
		}
		r, err := p.points.part(i, step)
		if err != nil {
			return err
		}
		u := &update{netParty: p, r: r, tree: &tree, step: step, place: fmt.Sprintf("part %d", i), scale: p.net.Parameters[part.Parameter].Scale}
		if err := u.gather(ctx, g[part.Parameter][part.Lo:part.Hi]); err != nil {
			return err
		}
		if u.owner() {
			if err := u.combine(combine, part); err != nil { // whose evaluator waits for a core
				return err
			}
		}
		ts, err := u.refresh(ctx)
		if err != nil {
			return err
		}
		copy(out[part.Parameter][part.Lo:part.Hi], ts)
		digests[i] = u.digest
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, d := range digests {
		p.weightsChanged(d[:])
	}
	return out, nil
}

// An update is one party's side of the aggregated refresh of a part. Only second
// polynomials are added up on the way to the owner: first polynomials of a party's
// own join its share of the refresh, see [bootstrap.Refresh.ShareOwn].
type update struct {
	*netParty
	r     *bootstrap.Refresh
	tree  *protocols.Tree
	step  int
	place string
	scale *big.Float // of what comes out

	own    []mhe.Tensor // this party's gradients, rerandomised
	sum    mhe.Share    // second polynomials of the sum, at the owner
	data   []byte       // hash of the first polynomials of own
	digest [32]byte     // of the result
}

func (u *update) owner() bool { return u.tree.Root() == u.id }

// gather is phase COMBINE: it adds up the second polynomials. The gradients are
// rerandomised before anything leaves, because they are functions of this party's
// data in the clear. The label has no input and is known before the round.
func (u *update) gather(ctx context.Context, g []mhe.Tensor) error {
	in := u.r.InputShape()
	t := task{phase: phaseCombine, protocol: "gradient", place: u.place, step: u.step, tree: u.tree, context: u.chain[:], shape: in, derived: true}
	label := protocols.Label{Point: u.point(t.protocol, t.step, t.place), Digest: protocols.Digest(slices.Concat(u.context, t.context), nil, false)}
	if err := u.compute(phaseCombine, func() error { return u.rerandomise(label, g) }); err != nil {
		return err
	}
	t.gen = func(l protocols.Label) (mhe.Share, error) {
		if l.Hash() != label.Hash() {
			return nil, fmt.Errorf("study: gradients were rerandomised for %v, not %v", label, l)
		}
		var share mhe.Share
		for _, x := range u.own {
			share = append(share, x.Polys()[1])
		}
		return share, nil
	}
	t.finish = func(sum mhe.Share) ([]byte, error) {
		u.sum = sum
		return nil, nil
	}
	return u.run(ctx, t)
}

// rerandomise sets own. The randomness depends on the gradients too.
func (u *update) rerandomise(label protocols.Label, g []mhe.Tensor) error {
	h := sha256.New()
	for _, x := range g {
		shape := mhe.CipherShape(u.set, x.Level())
		s, err := x.Share()
		if err != nil {
			return err
		}
		b, err := shape.Encode(s)
		if err != nil {
			return err
		}
		h.Write(b)
	}
	u.data = h.Sum(nil)
	for i, x := range g {
		y, err := u.keys.Encryption().Rerandomise(x, u.privateFor(label, append(slices.Clone(u.data), byte(i), byte(i>>8))))
		if err != nil {
			return err
		}
		u.own = append(u.own, y)
	}
	return nil
}

// combine adds momentum and decay at the owner, to the sum's second polynomials
// and to the first polynomials of its own summand.
func (u *update) combine(combine nn.Combine, part nn.Part) error {
	sums := make([]mhe.Tensor, len(u.own))
	for i, x := range u.own {
		sums[i] = mhe.NewEncrypted(x.Polys()[0], u.sum[i], x.Scale())
	}
	sums, err := combine(part, sums)
	if err != nil {
		return err
	}
	for i, x := range sums {
		u.own[i] = x
		u.sum[i] = x.Polys()[1]
	}
	return nil
}

// refresh is phase REDUCE: down go the second polynomials of the sum, up the
// shares, down the first polynomials of the results.
func (u *update) refresh(ctx context.Context) (out []mhe.Tensor, err error) {
	hash := u.r.Hash()
	in, top := u.r.InputShape(), u.r.OutputShape()
	t := task{
		phase: phaseReduce, protocol: "update", place: u.place, step: u.step, tree: u.tree,
		context: slices.Concat(u.chain[:], hash[:]), shape: u.r.Shape(), derived: true, hasInput: true, result: true, maxIn: max(in.Size(), top.Size()),
	}
	var c1, a mhe.Share
	t.open = func(b []byte) (err error) {
		if c1, err = in.Decode(b); err == nil {
			a, err = u.r.Common(u.common(u.point(t.protocol, t.step, t.place)))
		}
		return err
	}
	t.gen = func(l protocols.Label) (mhe.Share, error) {
		own := make([]rns.Poly, len(u.own))
		for i, x := range u.own {
			own[i] = x.Polys()[0]
		}
		return u.r.ShareOwn(u.sk, own, c1, a, u.privateFor(l, u.data))
	}
	t.finish = func(sum mhe.Share) ([]byte, error) {
		if out, err = u.r.Finish(nil, a, sum); err != nil {
			return nil, err
		}
		var c0 mhe.Share
		for _, x := range out {
			c0 = append(c0, x.Polys()[0])
		}
		b, err := top.Encode(c0)
		u.digest = sha256.Sum256(b)
		return b, err
	}
	t.accept = func(b []byte) error {
		c0, err := top.Decode(b)
		if err != nil {
			return err
		}
		for i := range c0 {
			out = append(out, mhe.NewEncrypted(c0[i], a[i], u.scale))
		}
		u.digest = sha256.Sum256(b)
		return nil
	}
	if u.owner() {
		if err := u.compute(phaseReduce, func() (err error) { t.input, err = in.Encode(u.sum); return err }); err != nil {
			return nil, err
		}
	}
	err = u.run(ctx, t)
	return out, err // not in one: the run sets out
}
