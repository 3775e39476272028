package study

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/nereid-mhe/nereid/bootstrap"
	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/nn"
	"github.com/nereid-mhe/nereid/protocols"
)

// A stage is a part of a study that a party goes through as a whole: it ends with a
// round whose result comes to every party, so that nobody is done with a stage in
// which somebody has not taken part. See [Node].
type stage struct {
	kind  stageKind
	index int // among those of its kind
}

type stageKind uint8

const (
	keyStage     stageKind = iota // a group of rounds of key generation
	momentsStage                  // the moments of all rows
	stepStage                     // a step of training
	layoutStage                   // a network's weights in the layout for queries
	queryStage                    // a query
)

// String names the stage in logs and errors.
func (s stage) String() string {
	switch s.kind {
	case keyStage:
		return fmt.Sprintf("part %d of the keys", s.index+1)
	case momentsStage:
		return "moments"
	case stepStage:
		return fmt.Sprintf("step %d", s.index+1)
	case layoutStage:
		return "layout for predictions"
	default:
		return fmt.Sprintf("query %d", s.index+1)
	}
}

// A course is the order of the stages of a study.
type course struct {
	keys     []keyGroup
	training int // steps
	layout   int // 1 or 0 stages
	queries  int // at most
}

func newCourse(t *terms) course {
	c := course{keys: t.keyGroups(), training: t.steps(), queries: t.policy.openings()}
	if t.net != nil && c.queries > 0 {
		c.layout = 1
	}
	return c
}

// at returns stage n, from 0; it is false after the last.
func (c course) at(n int) (stage, bool) {
	for _, k := range []struct {
		kind  stageKind
		count int
	}{{keyStage, len(c.keys)}, {momentsStage, 1}, {stepStage, c.training}, {layoutStage, c.layout}, {queryStage, c.queries}} {
		if n < k.count {
			return stage{k.kind, n}, true
		}
		n -= k.count
	}
	return stage{}, false
}

// trained is the number of stages up to the last step.
func (c course) trained() int { return len(c.keys) + 1 + c.training }

// A knowledge is what a party knows after some stages. It follows from the outputs
// of these stages and is not changed.
type knowledge struct {
	sums   *keySums        // while keys are made
	keys   *mhe.PublicKeys // when all are
	ev     mhe.Evaluator   //
	scaler dataset.Scaler  // after the moments
	data   nn.Data         // of the party's own, for a regression
	net    nn.NetworkData  // the same for a network
	model  nn.State        // after some steps; of a regression one ciphertext
	chain  [32]byte        // digest of all weights so far
	query  *nn.Predictor   // of a network; used by one goroutine
}

// A member is a party going through stages: what stays the same in all of them.
type member struct {
	*terms
	course
	id    protocols.PartyID
	table dataset.Table
	tools *tools
}

// act goes through a stage on what is known before it, and returns its output.
func (m *member) act(ctx context.Context, p *party, s stage, k knowledge, ask []byte) ([]byte, error) {
	switch s.kind {
	case keyStage:
		return p.generateKeyGroup(ctx, m.keys[s.index], k.sums)
	case momentsStage:
		v, err := p.moments(ctx, m.table, m.prep.unit == 0)
		return encodeMoments(v), err
	case stepStage:
		st, err := m.step(ctx, p, s.index, k)
		if err != nil {
			return nil, err
		}
		return appendModel(nil, m.terms, st, p.chain)
	case layoutStage:
		r := &memo{from: &netParty{p}}
		if _, err := nn.NewPredictor(ctx, m.net, timed{p.ev, p}, r, k.model); err != nil {
			return nil, err
		}
		return appendTensors(nil, m.set, r.given)
	default:
		return m.answer(ctx, p, s.index, k, ask)
	}
}

// step is one step of training.
func (m *member) step(ctx context.Context, p *party, step int, k knowledge) (nn.State, error) {
	if m.net != nil {
		return (&netParty{p}).train(ctx, step, k.model, k.net)
	}
	b, err := k.data.Batch(m.plan, step)
	if err != nil {
		return nn.State{}, err
	}
	w, err := trainer(p).Step(ctx, step, k.model.W[0][0], b)
	return regressionState(w), err
}

// regressionState is the state of a model with one ciphertext of weights.
func regressionState(w mhe.Tensor) nn.State { return nn.State{W: [][]mhe.Tensor{{w}}} }

// answer takes part in answering a query, given at the root, where it returns the
// encoded answer.
func (m *member) answer(ctx context.Context, p *party, part int, k knowledge, ask []byte) ([]byte, error) {
	var answer mhe.Tensor
	if m.net != nil {
		predictor := *k.query
		predictor.Eval, predictor.Refresh = timed{p.ev, p}, &netParty{p}
		a, err := (&netParty{p}).answer(ctx, &predictor, ask, part)
		if err != nil {
			return nil, err
		}
		answer = a
	} else {
		var q query
		if p.isRoot() {
			var err error
			if q, err = m.queryForm().decodeWhole(ask); err != nil {
				return nil, err
			}
		}
		a, err := p.predict(ctx, k.model.W[0][0], q, 1, part)
		if err != nil {
			return nil, err
		}
		if p.isRoot() {
			answer = a[0]
		}
	}
	if !p.isRoot() {
		return nil, nil
	}
	return appendTensors(nil, m.set, [][]mhe.Tensor{{answer}})
}

// start returns what is known before the first stage.
func (m *member) start() (knowledge, error) {
	sums, err := m.tools.made.start(m.terms)
	return knowledge{sums: sums}, err
}

// learn returns what is known after a stage, from its output.
func (m *member) learn(s stage, k knowledge, out []byte) (knowledge, error) {
	switch s.kind {
	case keyStage:
		return m.learnKeys(s.index, k, out)
	case momentsStage:
		return m.learnMoments(k, out)
	case stepStage:
		var err error
		k.model, k.chain, err = decodeModel(m.terms, out)
		return k, err
	case layoutStage:
		layout, rest, err := cutTensors(m.set, out)
		if err == nil && len(rest) > 0 {
			err = fmt.Errorf("study: %w: %d bytes after the layout", ErrDamaged, len(rest))
		}
		if err != nil {
			return k, err
		}
		k.query, err = nn.NewPredictor(context.Background(), m.net, k.ev, &memo{given: layout}, k.model)
		return k, err
	}
	return k, nil
}

func (m *member) learnKeys(i int, k knowledge, out []byte) (knowledge, error) {
	if want := m.keys[i].size(); len(out) != want {
		return k, fmt.Errorf("study: %w: sums of keys of %d bytes, want %d", ErrDamaged, len(out), want)
	}
	for _, part := range m.keys[i] {
		b := out[:part.Size()]
		out = out[part.Size():]
		var err error
		k.sums, err = m.tools.made.add(k.sums, part, m.common(m.keyPoint(part)), b, func() (mhe.Share, error) { return part.Shape().Decode(b) })
		if err != nil {
			return k, err
		}
	}
	if i+1 < len(m.keys) {
		return k, nil
	}
	var err error
	if k.keys, err = m.tools.made.finish(k.sums); err == nil {
		k.ev = mhe.NewCKKS(k.keys, 1)
	}
	return k, err
}

func (m *member) learnMoments(k knowledge, out []byte) (knowledge, error) {
	v, err := decodeMoments(out, m.declared.Features)
	if err != nil {
		return k, err
	}
	if k.scaler, err = m.prep.scaler(v); err != nil {
		return k, err
	}
	if m.net != nil {
		if k.net, err = m.networkData(k.scaler, m.table, int(m.id)); err == nil {
			k.model, err = m.net.Initial(m.tools.enc)
		}
		return k, err
	}
	k.data, err = m.regressionData(k.scaler, m.table, int(m.id))
	k.model = regressionState(m.plan.Initial())
	return k, err
}

// A memo notes what refreshes gave, or gives it again.
type memo struct {
	from  nn.PublicRefresher // nil to give again
	given [][]mhe.Tensor
}

// RefreshPublic implements [nn.PublicRefresher].
func (r *memo) RefreshPublic(ctx context.Context, place string, c bootstrap.Config, in []mhe.Tensor) ([]mhe.Tensor, error) {
	if r.from != nil {
		out, err := r.from.RefreshPublic(ctx, place, c, in)
		r.given = append(r.given, out)
		return out, err
	}
	if len(r.given) == 0 {
		return nil, fmt.Errorf("study: %w: the layout for predictions lacks %q", ErrDamaged, place)
	}
	out := r.given[0]
	r.given = r.given[1:]
	return out, nil
}

// appendModel appends the encoding of a model after a step.
func appendModel(b []byte, t *terms, st nn.State, chain [32]byte) ([]byte, error) {
	b = slices.Grow(b, len(chain)+tensorsRoom(t.set, st.W)+tensorsRoom(t.set, st.V))
	b, err := appendTensors(append(b, chain[:]...), t.set, st.W)
	if err != nil {
		return nil, err
	}
	return appendTensors(b, t.set, st.V)
}

func decodeModel(t *terms, b []byte) (st nn.State, chain [32]byte, err error) {
	if len(b) < len(chain) {
		return st, chain, fmt.Errorf("study: %w: a model of %d bytes", ErrDamaged, len(b))
	}
	chain, b = [32]byte(b[:32]), b[32:]
	if st.W, b, err = cutTensors(t.set, b); err != nil {
		return st, chain, err
	}
	if st.V, b, err = cutTensors(t.set, b); err != nil {
		return st, chain, err
	}
	fits := len(st.W) == 1 && len(st.W[0]) == 1
	if t.net != nil {
		fits = (&checkpoint{state: st}).fits(t.net)
	}
	if !fits || len(b) > 0 {
		return st, chain, fmt.Errorf("study: %w: a model that is not of the plan", ErrDamaged)
	}
	return st, chain, nil
}

// encodeMoments returns the bits of moments: the rows, the sums, and the squares if
// there are any.
func encodeMoments(m dataset.Moments) (b []byte) {
	for _, v := range slices.Concat([]float64{m.N}, m.Sum, m.SumSq) {
		b = binary.BigEndian.AppendUint64(b, math.Float64bits(v))
	}
	return b
}

func decodeMoments(b []byte, features int) (m dataset.Moments, err error) {
	if n := len(b) / 8; len(b)%8 != 0 || n != 1+features && n != 1+2*features {
		return m, fmt.Errorf("study: %w: moments of %d bytes for %d features", ErrDamaged, len(b), features)
	}
	var v []float64
	for c := range slices.Chunk(b, 8) {
		v = append(v, math.Float64frombits(binary.BigEndian.Uint64(c)))
	}
	m = dataset.Moments{N: v[0], Sum: v[1 : 1+features]}
	if len(v) > 1+features {
		m.SumSq = v[1+features:]
	}
	return m, nil
}
