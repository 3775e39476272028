package study

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/protocols"
)

// A node opens no more than the policy says, for nobody else, and repeats answers.
func TestNodesKeepToThePolicy(t *testing.T) {
	c := regressionCluster(t)
	c.then = func(ctx context.Context) {
		root := c.node(0)
		p, err := root.Publication()
		require.NoError(t, err)
		seed := c.seeds[len(c.seeds)-1]
		requests := func(terms Terms, seed protocols.Seed, rows [][]float64) []Request {
			q, err := NewQuerier(terms, "lab", seed)
			require.NoError(t, err)
			p.Study = terms.ID()
			require.NoError(t, q.Learn(p))
			r, err := q.Requests(rows)
			require.NoError(t, err)
			return r
		}
		other := protocols.NewSeed([32]byte{99})
		q, err := NewQuerier(c.terms, "lab", other)
		require.NoError(t, err)
		require.ErrorContains(t, q.Learn(p), `the terms know querier "lab" with key`)
		_, err = q.Requests(c.rows)
		require.ErrorIs(t, err, ErrNotReady)
		own := withQuerier(t, c.terms, q.Pin())
		_, err = root.Ask(ctx, "lab", requests(own, other, c.rows)[0].Bytes)
		require.ErrorContains(t, err, "the policy does not know querier")

		_, err = c.node(1).Ask(ctx, "lab", nil)
		require.ErrorContains(t, err, "ask party 0")
		_, err = root.Ask(ctx, "lab", []byte("garbage"))
		require.ErrorIs(t, err, ErrConfig)
		_, err = root.Ask(ctx, "ward", requests(c.terms, seed, c.rows[:1])[0].Bytes)
		require.ErrorContains(t, err, `a request of querier "lab" from querier "ward"`)
		var budget *protocols.BudgetError
		_, err = root.Ask(ctx, "lab", requests(c.terms, seed, slices.Repeat(c.rows, 6))[0].Bytes) // 18 rows, 17 are left
		require.ErrorAs(t, err, &budget)
		_, err = root.Ask(ctx, "lab", requests(c.terms, seed, c.rows[:1])[0].Bytes)
		require.NoError(t, err)
		_, err = root.Ask(ctx, "lab", requests(c.terms, seed, c.rows[:2])[0].Bytes)
		require.ErrorAs(t, err, &budget, "both ciphertexts are spent")
		answer, err := root.Ask(ctx, "lab", requests(c.terms, seed, c.rows)[0].Bytes)
		require.NoError(t, err)
		require.Equal(t, c.answers[0], answer)
	}
	c.run(t, t.TempDir(), make([][]*fuse, len(c.tables)))
}

// A node does not go on with the state of another study, with other rows, another
// seed or another journal, and not with less than it had.
func TestNodeRefusesOtherState(t *testing.T) {
	c := regressionCluster(t)
	dir := t.TempDir()
	c.run(t, dir, make([][]*fuse, len(c.tables)))
	node := func(change func(*NodeConfig)) error {
		store, err := OpenStore(c.path(2, "store"))
		require.NoError(t, err)
		journal, err := protocols.OpenJournal(c.path(2, "journal"))
		require.NoError(t, err)
		defer journal.Close()
		cfg := NodeConfig{Terms: c.terms, Self: 2, Seed: c.seeds[2], Table: c.tables[2], Journal: journal, Store: store, Transport: c.wire.join(2, &fuse{})}
		change(&cfg)
		_, err = NewNode(cfg)
		return err
	}
	require.NoError(t, node(func(*NodeConfig) {}))
	for name, tt := range map[string]struct {
		change func(*NodeConfig)
		want   string
		is     error
	}{
		"other rows": {func(n *NodeConfig) {
			n.Table.X = slices.Clone(n.Table.X)
			n.Table.X[3] = []float64{1, 2, 3, 4}
		}, "the rows or the secret seed are not those", ErrResume},
		"other labels": {func(n *NodeConfig) {
			n.Table.Y = slices.Clone(n.Table.Y)
			n.Table.Y[0] = 1 - n.Table.Y[0]
		}, "the rows or the secret seed are not those", ErrResume},
		"other seed":  {func(n *NodeConfig) { n.Seed = c.seeds[0] }, "the rows or the secret seed are not those", ErrResume},
		"other study": {func(n *NodeConfig) { n.Terms = withQuerier(t, n.Terms, [32]byte{1}) }, "another study", ErrResume},
		"new journal": {func(n *NodeConfig) {
			j, err := protocols.OpenJournal(filepath.Join(t.TempDir(), "journal"))
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, j.Close()) })
			n.Journal = j
		}, "the journal is not the one", ErrResume},
		"no seed":      {func(n *NodeConfig) { n.Seed = protocols.Seed{} }, "seed", ErrConfig},
		"no journal":   {func(n *NodeConfig) { n.Journal = nil }, "journal", ErrConfig},
		"no terms":     {func(n *NodeConfig) { n.Terms = Terms{} }, "terms", ErrConfig},
		"no member":    {func(n *NodeConfig) { n.Self = 9 }, "party 9", ErrConfig},
		"fewer rows":   {func(n *NodeConfig) { n.Table.X = n.Table.X[:3] }, "declared at least", ErrConfig},
		"another file": {func(n *NodeConfig) { n.Table.X = slices.Repeat([][]float64{{1}}, 30) }, "has 1 features", ErrConfig},
	} {
		t.Run(name, func(t *testing.T) {
			err := node(tt.change)
			require.ErrorIs(t, err, tt.is)
			require.ErrorContains(t, err, tt.want)
		})
	}
	for _, name := range []string{nodeName, ledgerName + unitRows} {
		file := filepath.Join(c.path(2, "store"), name)
		b, err := os.ReadFile(file)
		require.NoError(t, err)
		b[len(b)/2] ^= 1
		require.NoError(t, os.WriteFile(file, b, 0o600))
		require.ErrorIs(t, node(func(*NodeConfig) {}), ErrDamaged, name)
		b[len(b)/2] ^= 1
		require.NoError(t, os.WriteFile(file, b, 0o600))
	}
}

// Nothing secret is on a node's disk but shares in its journal: not its seed, not
// its secret key, not its rows.
func TestNodeKeepsSecretsOffTheDisk(t *testing.T) {
	c := regressionCluster(t)
	dir := t.TempDir()
	c.run(t, dir, make([][]*fuse, len(c.tables)))
	secret := c.seeds[2].Reveal()
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		require.NoError(t, err)
		require.Zero(t, info.Mode().Perm()&0o077, "%s can be read by others", path)
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NotContains(t, string(b), string(secret[:]), path)
		return nil
	}))
}

func TestFileStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	s, err := OpenStore(dir)
	require.NoError(t, err)
	_, err = s.Get("value")
	require.ErrorIs(t, err, fs.ErrNotExist)
	for _, v := range [][]byte{[]byte("first"), {}, []byte("second")} {
		require.NoError(t, s.Put("value", v))
		got, err := s.Get("value")
		require.NoError(t, err)
		require.Equal(t, string(v), string(got))
	}
	require.NoError(t, s.Put("other", []byte("x")))
	require.NoError(t, s.Delete("other"))
	require.NoError(t, s.Delete("other"), "twice")
	for _, name := range []string{"", "../up", "A", "a b", ".writing-x"} {
		require.Error(t, s.Put(name, nil), name)
	}

	left := filepath.Join(dir, tempPrefix+"1")
	require.NoError(t, os.WriteFile(left, []byte("half"), 0o600))
	s, err = OpenStore(dir)
	require.NoError(t, err)
	require.NoFileExists(t, left)

	file := filepath.Join(dir, "value")
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "swapped"), b, 0o600))
	_, err = s.Get("swapped")
	require.ErrorIs(t, err, ErrDamaged)
	for _, bad := range [][]byte{b[:5], b[:len(b)-1], append([]byte{1}, b...)} {
		require.NoError(t, os.WriteFile(file, bad, 0o600))
		_, err = s.Get("value")
		require.ErrorIs(t, err, ErrDamaged)
	}
}

// Terms follow from what is declared and from nothing else, and say in what they
// differ.
func TestTerms(t *testing.T) {
	cfg := Default()
	cfg.Insecure, cfg.Parties = true, 3
	d := Declared{Features: 4, Rows: []int{30, 40, 50}}
	policy := Policy{{Querier: "lab", Rows: 20}}
	terms := func(change func(*Config, *Declared, *Policy)) Terms {
		c, d, p := cfg, Declared{d.Features, slices.Clone(d.Rows)}, slices.Clone(policy)
		change(&c, &d, &p)
		out, err := c.Terms(d, p, [32]byte{1})
		require.NoError(t, err)
		return out
	}
	same := func(*Config, *Declared, *Policy) {}
	first := terms(same)
	require.Equal(t, first.ID(), terms(same).ID())
	require.Equal(t, first.Canonical(), terms(same).Canonical())
	require.Equal(t, Policy{{Querier: "lab", Rows: 20, Requests: 1}}, first.Policy())
	seen := map[protocols.StudyID]bool{first.ID(): true}
	for _, change := range []func(*Config, *Declared, *Policy){
		func(c *Config, _ *Declared, _ *Policy) { c.Epochs++ },
		func(c *Config, _ *Declared, _ *Policy) { c.Seed++ },
		func(c *Config, _ *Declared, _ *Policy) { c.Name = "x" },
		func(c *Config, _ *Declared, _ *Policy) { c.Flooding++ },
		func(c *Config, _ *Declared, _ *Policy) { c.Fanout = 1 },
		func(c *Config, _ *Declared, _ *Policy) { c.Clip = 0.5 },
		func(c *Config, _ *Declared, _ *Policy) { c.Clip = 0.25 }, // the plan is that of 0.5
		func(_ *Config, d *Declared, _ *Policy) { d.Rows[0]++ },
		func(_ *Config, d *Declared, _ *Policy) { d.Features++ },
		func(_ *Config, _ *Declared, p *Policy) { (*p)[0].Rows++ },
		func(_ *Config, _ *Declared, p *Policy) { (*p)[0].Requests = 2 },
		func(_ *Config, _ *Declared, p *Policy) { (*p)[0].Querier = "other" },
		func(_ *Config, _ *Declared, p *Policy) { (*p)[0].Key = [32]byte{1} },
		func(_ *Config, _ *Declared, p *Policy) { *p = append(*p, Allowance{Querier: "ward", Rows: 1}) },
	} {
		id := terms(change).ID()
		require.False(t, seen[id], "change %d", len(seen))
		seen[id] = true
	}
	other, err := cfg.Terms(d, policy, [32]byte{2})
	require.NoError(t, err)
	require.NotEqual(t, first.ID(), other.ID(), "another beacon")

	seed := protocols.NewSeed([32]byte{5})
	q, err := NewQuerier(first, "lab", seed)
	require.NoError(t, err)
	complete := withQuerier(t, other, q.Pin())
	require.NotEqual(t, first.ID(), complete.ID())
	again, err := NewQuerier(complete, "lab", seed)
	require.NoError(t, err)
	require.Equal(t, q.Pin(), again.Pin())
	require.Equal(t, []protocols.PartyID{1, 2}, complete.Neighbours(0))
	require.Equal(t, []protocols.PartyID{0}, complete.Neighbours(2))

	d.Rows = []int{30, 0}
	policy[0].Querier = ""
	_, err = cfg.Terms(d, policy, [32]byte{1})
	require.ErrorIs(t, err, ErrConfig)
	for _, want := range []string{"declared rows of 2 parties", "party 1 declares 0 rows", "for nobody"} {
		require.ErrorContains(t, err, want)
	}
}

func FuzzCutTensors(f *testing.F) {
	cfg := Default()
	cfg.Insecure, cfg.Parties = true, 3
	terms, err := cfg.Terms(Declared{4, []int{30, 30, 30}}, Policy{}, [32]byte{1})
	require.NoError(f, err)
	b, err := appendModel(nil, terms.terms, regressionState(terms.plan.Initial()), [32]byte{1})
	require.NoError(f, err)
	_, _, err = decodeModel(terms.terms, b)
	require.NoError(f, err)
	f.Add(b[32:])
	f.Add(b[32:100])
	f.Add([]byte{})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		groups, rest, err := cutTensors(terms.set, b)
		if err != nil {
			require.ErrorIs(t, err, ErrDamaged)
			return
		}
		again, err := appendTensors(nil, terms.set, groups)
		require.NoError(t, err)
		back, _, err := cutTensors(terms.set, append(again, rest...))
		require.NoError(t, err)
		require.Equal(t, len(groups), len(back))
	})
}

func TestDecodeMoments(t *testing.T) {
	m := dataset.Moments{N: 3, Sum: []float64{1, -2.5}, SumSq: []float64{4, 1e-300}}
	got, err := decodeMoments(encodeMoments(m), 2)
	require.NoError(t, err)
	require.Equal(t, m, got)
	for _, n := range []int{0, 8, 16, 23, 32, 48} {
		_, err := decodeMoments(make([]byte, n), 2)
		require.ErrorIs(t, err, ErrDamaged, "%d bytes", n)
	}
}
