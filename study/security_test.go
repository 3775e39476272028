package study

import (
	"bytes"
	"context"
	"log/slog"
	"math"
	"math/big"
	"path/filepath"
	"slices"
	"testing"

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
	c.Common = c.withDefaults()
	s, err := prepare(c, table)
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
	var secrets []mhe.SecretKey
	for _, p := range s.parties[:parties] {
		secrets = append(secrets, p.sk)
	}
	v, err := mhe.Reveal(s.parties[0].enc, x, secrets...)
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
	want := s.set.LogModulus(g.Level()) + 0.5*math.Log2(2*float64(s.set.N())/12) - g.LogScale()
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

// asked returns a query of three rows, and who answers it at the root and a leaf.
func (s *simulation) asked(t testing.TB) (ask query, root, leaf *switching) {
	t.Helper()
	seed := protocols.GenerateSeed()
	q, err := s.admitted(s.parties[0].enc, seed)
	require.NoError(t, err)
	ask, err = q.encrypt(s.parties[0].keys.Encryption(), s.query[:3], seed, 0)
	require.NoError(t, err)
	o, err := s.opening(1)
	require.NoError(t, err)
	w := s.plan.Initial()
	return ask, &switching{party: s.parties[0], w: w, o: o}, &switching{party: s.parties[1], w: w, o: o}
}

// Parties open a query's outputs and nothing else, to the policy's querier and
// nobody else.
func TestPartiesRefuseOtherOpenings(t *testing.T) {
	s := prepared(t, 3)
	ask, root, leaf := s.asked(t)
	input, err := root.ask(ask)
	require.NoError(t, err)
	require.NoError(t, leaf.open(input))

	g, _ := s.gradient(t, "secret")
	stolen, err := mhe.Drop(g, s.plan.PredictLevel)
	require.NoError(t, err)
	e, err := leaf.o.DecryptShape().Encode(mhe.Share{stolen.Polys()[1]})
	require.NoError(t, err)
	n := len(input) - len(e)
	require.ErrorContains(t, leaf.open(append(input[:n:n], e...)), "not this model's outputs")

	for _, cut := range []int{0, 1, 5, len(input) / 2, len(input) - 1} {
		require.Error(t, leaf.open(input[:cut]), "cut at %d", cut)
	}
	require.Error(t, leaf.open(append(input[:len(input):len(input)], 0)))

	renamed := ask
	renamed.name = "mallory"
	input, err = root.ask(renamed)
	require.NoError(t, err)
	require.ErrorContains(t, leaf.open(input), "mallory")

	other, _, _ := s.asked(t) // pins another key
	s.policy[0].Key = [32]byte{1}
	input, err = root.ask(other)
	require.NoError(t, err)
	require.ErrorContains(t, leaf.open(input), "with this key")
}

// Each party's own ledgers limit what a querier is given, in ciphertexts and in
// rows.
func TestLedgerLimitsOpenings(t *testing.T) {
	s := prepared(t, 3)
	for name, q := range map[string]query{
		"ciphertexts": {name: querierName, rows: slices.Repeat([]int{1}, s.policy.openings()+1)},
		"rows":        {name: querierName, rows: []int{s.policy.totalRows() + 1}},
		"stranger":    {name: "stranger", rows: []int{1}},
	} {
		t.Run(name, func(t *testing.T) {
			sw := &switching{party: s.parties[1], q: q}
			_, err := sw.share(protocols.Label{Point: s.point("switch", 0, name)})
			var budget *protocols.BudgetError
			require.ErrorAs(t, err, &budget)
		})
	}
}

// Sums of moments are exact whatever the units of the columns, and the same
// however the rows are divided.
func TestMomentsAreExact(t *testing.T) {
	values := []float64{0, 1, -1, 614, 0.1, -3.5e-7, 1e18, -7.25e30, 1.0 / 3}
	for _, v := range values {
		total := make([]*big.Int, chunks)
		for i := range total {
			total[i] = new(big.Int)
		}
		for _, w := range values {
			for _, x := range []float64{v, w} {
				c, ok := toChunks(x)
				require.True(t, ok)
				for i := range c {
					require.Less(t, math.Abs(float64(c[i])), math.Exp2(chunkBits))
					total[i].Add(total[i], big.NewInt(c[i]))
				}
			}
		}
		want := 0.0
		for _, w := range values {
			want += w
		}
		require.InEpsilon(t, want+float64(len(values))*v+1e40, fromChunks(total)+1e40, 1e-12)
		c, _ := toChunks(v)
		own := make([]*big.Int, chunks)
		for i := range c {
			own[i] = big.NewInt(c[i])
		}
		require.InDelta(t, v, fromChunks(own), math.Max(1e-17, math.Abs(v)*1e-15))
	}
	for _, v := range []float64{math.NaN(), math.Inf(1), 1e60} {
		_, ok := toChunks(v)
		require.False(t, ok)
	}
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
	zero := mhe.Basis(s.set, g.Level()).New()
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
	form := s.queryForm()
	form.batches, form.rows = 3, 100
	ask, _, _ := s.asked(f)
	b, err := form.encode(ask)
	require.NoError(f, err)
	f.Add(b[:64])
	f.Add([]byte{})
	f.Add([]byte{3, 'a', 'b', 'c', 0, 0, 0, 1, 0, 0, 0, 9})
	f.Add([]byte{0, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		q, rest, err := form.decode(b)
		if err != nil {
			return
		}
		e, err := form.encode(q)
		require.NoError(t, err)
		require.Equal(t, b, append(e, rest...))
	})
}
