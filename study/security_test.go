package study

import (
	"bytes"
	"context"
	"math"
	"path/filepath"
	"testing"

	"log/slog"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/mhe/rns"
	"github.com/nereid-mhe/nereid/protocols"
	"github.com/nereid-mhe/nereid/protocols/sim"
)

// prepared returns a toy study with keys, before training.
func prepared(t testing.TB, parties int) *simulation {
	t.Helper()
	table, err := dataset.Synthetic(dataset.SyntheticConfig{Rows: 30 * parties, Features: 8, Seed: 3})
	require.NoError(t, err)
	c := Default()
	c.Insecure, c.Parties, c.Epochs = true, parties, 2
	s, err := prepare(c.withDefaults(), table)
	require.NoError(t, err)
	s.progress = func(Progress) {}
	require.NoError(t, s.makeParties(slog.New(slog.DiscardHandler)))
	require.NoError(t, s.prepareAll(context.Background()))
	return s
}

// gradient returns an encryption of known values in the place of a summed
// gradient.
func (s *simulation) gradient(t testing.TB, seed string) (mhe.Tensor, []float64) {
	t.Helper()
	v := make([]float64, s.plan.Dense.Dot.Layout.Period())
	for i := range v {
		v[i] = math.Sin(float64(i))
	}
	p := s.parties[0]
	l := protocols.Label{Point: s.point("test", 0, seed)}
	x, err := p.keys.Encryption().Encrypt(p.enc, v, s.plan.GradLevel, mhe.Power(s.plan.Dense.LogScale), p.private(l))
	require.NoError(t, err)
	return x, v
}

// machines returns a refresh of g at every party.
func (s *simulation) machines(t testing.TB, step int, g mhe.Tensor) (ms []protocols.Machine, out []mhe.Tensor) {
	t.Helper()
	out = make([]mhe.Tensor, len(s.parties))
	for i, p := range s.parties {
		task, err := p.refreshTask(step, g, &out[i])
		require.NoError(t, err)
		m, err := p.machine(task)
		require.NoError(t, err)
		ms = append(ms, m)
	}
	return ms, out
}

// reveal opens a tensor with all secrets.
func (s *simulation) reveal(t testing.TB, x mhe.Tensor, parties int) []float64 {
	t.Helper()
	basis := mhe.Basis(s.plan.Set, x.Level())
	m := basis.New()
	basis.Add(m, x.Polys()[0])
	for _, p := range s.parties[:parties] {
		p.sk.MulAdd(x.Level(), m, x.Polys()[1])
	}
	v, err := s.parties[0].enc.Decode(m, x.Scale())
	require.NoError(t, err)
	return v
}

// Real refreshes end right at every party whatever the network does: any order,
// repeated, lost and damaged messages.
func TestRefreshOnABadNetwork(t *testing.T) {
	s := prepared(t, 7)
	g, v := s.gradient(t, "g")
	want := s.plan.Update.Apply(v)
	for seed := range uint64(6) {
		ms, out := s.machines(t, int(seed), g)
		report, err := sim.Run(sim.Options{Seed: seed, Faults: sim.Faults{Duplicate: 0.2, Drop: 0.1, Corrupt: 0.2}}, ms...)
		require.NoError(t, err)
		require.NotEmpty(t, report.Refused, "seed %d damaged nothing", seed)
		for i := range out {
			require.Equal(t, out[0].Polys(), out[i].Polys(), "party %d has another result", i)
		}
		got := s.reveal(t, out[0], len(s.parties))
		for i, x := range got {
			require.InDelta(t, want[i%len(want)], x, 1e-7, "seed %d, slot %d", seed, i)
		}
	}
}

// All parties but one learn nothing: what they can open is noise as large as the
// modulus.
func TestAllButOneDecryptNothing(t *testing.T) {
	s := prepared(t, 4)
	g, _ := s.gradient(t, "g")
	got := s.reveal(t, g, len(s.parties)-1)
	sum := 0.0
	for _, x := range got {
		sum += x * x
	}
	rms := math.Log2(math.Sqrt(sum / float64(len(got))))
	// slots of a polynomial uniform modulo Q, at the scale of the gradient
	want := s.plan.Set.LogModulus(g.Level()) + 0.5*math.Log2(2*float64(s.plan.Set.N())/12) - g.LogScale()
	require.InDelta(t, want, rms, 1)
}

// A party that restarts from its journal sends the same bytes, and none for
// another input.
func TestJournalledRefreshShare(t *testing.T) {
	s := prepared(t, 3)
	g, _ := s.gradient(t, "g")
	other, _ := s.gradient(t, "other")
	leaf := s.parties[2]
	path := filepath.Join(t.TempDir(), "journal")

	send := func(g mhe.Tensor) (out []protocols.Message, err error) {
		j, err := protocols.OpenJournal(path)
		require.NoError(t, err)
		defer func() { require.NoError(t, j.Close()) }()
		leaf.journal = j
		var at mhe.Tensor
		task, err := leaf.refreshTask(0, g, &at)
		require.NoError(t, err)
		m, err := leaf.machine(task)
		require.NoError(t, err)
		_, err = m.Start()
		require.NoError(t, err)
		root, err := s.parties[0].refreshTask(0, g, &at)
		require.NoError(t, err)
		rm, err := s.parties[0].machine(root)
		require.NoError(t, err)
		input, err := rm.Start()
		require.NoError(t, err)
		for _, msg := range input {
			if msg.To != leaf.id {
				continue
			}
			more, err := m.Step(msg)
			if err != nil {
				return nil, err
			}
			out = append(out, more...)
			for _, own := range more {
				if own.To == own.From {
					more, err := m.Step(own)
					if err != nil {
						return nil, err
					}
					out = append(out, more...)
				}
			}
		}
		return out, nil
	}

	s.parties[0].journal = protocols.NewMemoryJournal()
	first, err := send(g)
	require.NoError(t, err)
	share := func(out []protocols.Message) []byte {
		for _, m := range out {
			if m.Leg == protocols.LegShare {
				return m.Body
			}
		}
		return nil
	}
	require.NotNil(t, share(first))
	again, err := send(g)
	require.NoError(t, err)
	require.True(t, bytes.Equal(share(first), share(again)), "a restart must send the same bytes")

	s.parties[0].journal = protocols.NewMemoryJournal()
	out, err := send(other)
	require.ErrorIs(t, err, protocols.ErrBound)
	require.Nil(t, share(out), "nothing may be sent for a second input")
}

// The root cannot have anything opened but the model's outputs.
func TestPartiesRefuseOtherOpenings(t *testing.T) {
	s := prepared(t, 3)
	root, leaf := s.parties[0], s.parties[1]
	w := s.plan.Initial()
	seed := protocols.GenerateSeed()
	q, err := newQuerier(s.terms, root.enc, querierName, seed)
	require.NoError(t, err)
	ask, err := q.encrypt(root.keys.Encryption(), s.query[:3], seed, 0)
	require.NoError(t, err)
	o, err := s.opening(1, 10)
	require.NoError(t, err)
	honest := &switching{party: root, w: w, o: o, limit: 10}
	input, err := honest.ask(ask)
	require.NoError(t, err)

	check := &switching{party: leaf, w: w, o: o, limit: 10}
	require.NoError(t, check.open(input))

	g, _ := s.gradient(t, "secret")
	stolen, err := mhe.Drop(g, s.plan.PredictLevel)
	require.NoError(t, err)
	e, err := o.DecryptShape().Encode(mhe.Share{stolen.Polys()[1]})
	require.NoError(t, err)
	require.ErrorContains(t, check.open(append(input[:len(input)-len(e):len(input)-len(e)], e...)), "not this model's outputs")

	for _, cut := range []int{0, 1, 5, len(input) / 2, len(input) - 1} {
		require.Error(t, check.open(input[:cut]), "cut at %d", cut)
	}
	require.Error(t, check.open(append(input[:len(input):len(input)], 0)))
	require.ErrorIs(t, (&switching{party: leaf, w: w, o: o}).open(input), errQuery, "beyond the policy")
}

// Each party's own ledger limits what a querier is given.
func TestLedgerLimitsOpenings(t *testing.T) {
	s := prepared(t, 3)
	leaf := s.parties[1]
	sw := &switching{party: leaf, q: query{name: querierName, rows: make([]int, s.limit()+1)}}
	_, err := sw.share(protocols.Label{Point: s.point("switch", 0, querierName)})
	var budget *protocols.BudgetError
	require.ErrorAs(t, err, &budget)
	sw.q = query{name: "stranger", rows: []int{1}}
	_, err = sw.share(protocols.Label{Point: s.point("switch", 1, "stranger")})
	require.ErrorAs(t, err, &budget)
}

// A gradient that leaves a party is not the deterministic function of its data
// that it computed: both polynomials are fresh under every label.
func TestGradientsAreRerandomised(t *testing.T) {
	s := prepared(t, 3)
	p := s.parties[0]
	b, err := s.local[0].Batch(s.plan, 0)
	require.NoError(t, err)
	g, err := trainer(p).Gradient(s.plan.Initial(), b)
	require.NoError(t, err)
	zero := mhe.Basis(s.plan.Set, g.Level()).New()
	require.Equal(t, zero, g.Polys()[1], "the first gradient of public weights is in the clear inside the party")
	var seen []rns.Poly
	for step := range 2 {
		l := protocols.Label{Point: s.point("gradient", step, "")}
		r, err := p.keys.Encryption().Rerandomise(g, p.private(l))
		require.NoError(t, err)
		for _, c := range r.Polys() {
			for _, limb := range c {
				same := 0
				for i, x := range limb {
					if x == 0 || slotEqual(seen, i, x) {
						same++
					}
				}
				require.Less(t, same, 4, "residues repeat")
			}
			seen = append(seen, c)
		}
	}
}

func slotEqual(seen []rns.Poly, i int, x uint64) bool {
	for _, c := range seen {
		for _, limb := range c {
			if limb[i] == x {
				return true
			}
		}
	}
	return false
}

func FuzzDecodeQuery(f *testing.F) {
	s := prepared(f, 3)
	set := s.plan.Set
	root := s.parties[0]
	seed := protocols.GenerateSeed()
	q, err := newQuerier(s.terms, root.enc, querierName, seed)
	require.NoError(f, err)
	ask, err := q.encrypt(root.keys.Encryption(), s.query[:3], seed, 0)
	require.NoError(f, err)
	b, err := ask.encode(set)
	require.NoError(f, err)
	f.Add(b[:64])
	f.Add([]byte{})
	f.Add([]byte{3, 'a', 'b', 'c', 0, 0, 0, 1, 0, 0, 0, 9})
	f.Add([]byte{0, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		q, rest, err := decodeQuery(set, b, 3, 100)
		if err != nil {
			return
		}
		e, err := q.encode(set)
		require.NoError(t, err)
		require.Equal(t, b, append(e, rest...))
	})
}
