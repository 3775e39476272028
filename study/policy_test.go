package study

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/protocols"
)

func TestPolicyFill(t *testing.T) {
	p := Policy{{Querier: "lab", Rows: 21}, {Querier: "ward", Rows: 10, Requests: 4}}
	got, err := p.fill(10)
	require.NoError(t, err)
	require.Equal(t, Policy{{Querier: "lab", Rows: 21, Requests: 3}, {Querier: "ward", Rows: 10, Requests: 4}}, got)
	require.Equal(t, 7, got.openings())
	require.Equal(t, 31, got.totalRows())
	require.Zero(t, p[0].Requests, "the argument is not changed")

	p[0].Requests = 2
	_, err = p.fill(10)
	require.ErrorIs(t, err, ErrConfig)
	require.ErrorContains(t, err, `querier "lab" may have 21 rows in 2 requests, which hold 10 rows each: allow 3 requests`)
}

func TestPolicyCheck(t *testing.T) {
	for want, p := range map[string]Policy{
		"two allowances":                   {{Querier: "lab", Rows: 1}, {Querier: "lab", Rows: 2}},
		"for nobody":                       {{Rows: 1}},
		`"lab" may have 0 rows`:            {{Querier: "lab"}},
		`"lab" may have 3 rows in -1`:      {{Querier: "lab", Rows: 3, Requests: -1}},
		"a querier's name of 300 bytes":    {{Querier: string(make([]byte, 300)), Rows: 1}},
		`"ward" may have -2 rows in 0 req`: {{Querier: "lab", Rows: 1}, {Querier: "ward", Rows: -2}},
	} {
		var v violations
		p.check(&v)
		require.Len(t, v, 1, want)
		require.ErrorContains(t, v[0], want)
	}
}

// Each of several queriers has a key and a budget of its own at every party, and the
// flooding is for all of them together: they may be one.
func TestSeveralQueriers(t *testing.T) {
	for name, c := range map[string]*cluster{"regression": regressionCluster(t), "network": networkCluster(t)} {
		t.Run(name, func(t *testing.T) {
			alone, err := c.terms.noiseOfAnswers()
			require.NoError(t, err)
			ward := protocols.NewSeed([32]byte{42})
			next := *c.terms.terms
			next.policy = append(c.terms.Policy(), Allowance{Querier: "ward", Rows: 2, Requests: 6})
			q, err := NewQuerier(Terms{&next}, "ward", ward)
			require.NoError(t, err)
			next.policy[1].Key = q.Pin()
			require.NoError(t, next.seal())
			c.terms = Terms{&next}
			both, err := next.noiseOfAnswers()
			require.NoError(t, err)
			require.InDelta(t, 2, both/alone, 0.1, "8 openings in place of 2 need twice the noise")

			c.then = func(ctx context.Context) { c.wardAsks(ctx, ward) }
			c.run(t, t.TempDir(), make([][]*fuse, len(c.tables)))
		})
	}
}

// noiseOfAnswers returns the standard deviation of an opened output.
func (t *terms) noiseOfAnswers() (float64, error) {
	if t.net != nil {
		return t.netOutputNoise(t.net)
	}
	return t.outputNoise()
}

// wardAsks is the second querier, after the first one had its rows.
func (c *cluster) wardAsks(ctx context.Context, seed protocols.Seed) {
	t, root := c.t, c.node(0)
	q, err := NewQuerier(c.terms, "ward", seed)
	require.NoError(t, err)
	p, err := root.Publication()
	require.NoError(t, err)
	require.NoError(t, q.Learn(p))
	ask := func(rows [][]float64) ([][]float64, error) {
		r, err := q.Requests(rows)
		require.NoError(t, err)
		require.Len(t, r, 1)
		answer, err := root.Ask(ctx, "ward", r[0].Bytes)
		if err != nil {
			return nil, err
		}
		return q.Outputs(r[0], answer)
	}
	z, err := ask(c.rows[:2])
	require.NoError(t, err)
	for i := range z {
		require.InDelta(t, c.outputs[i][0], z[i][0], 2, "the same model answers")
	}
	_, err = ask(c.rows[2:])
	var budget *protocols.BudgetError
	require.ErrorAs(t, err, &budget)
	require.Equal(t, "ward", budget.Querier)
	for id := range c.tables {
		for done := false; !done; c.pause() {
			s := c.node(protocols.PartyID(id)).Status()
			done = s.Rows[1].Spent == 2
			require.Equal(t, len(c.rows), s.Rows[0].Spent, "lab's account is its own")
		}
	}

	// its key is good for nobody else's name
	other, err := NewQuerier(c.terms, "lab", seed)
	require.NoError(t, err)
	require.ErrorIs(t, other.Learn(p), ErrConfig)
	stranger, err := NewQuerier(c.terms, "mallory", seed)
	require.NoError(t, err)
	require.ErrorContains(t, stranger.Learn(p), `no querier "mallory"`)
}
