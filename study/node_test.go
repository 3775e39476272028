package study

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/protocols"
)

var kills = flag.Int("kills", 0, "kill points of each node test, 0 for a few")

// A cluster is a study whose parties are killed and restarted.
type cluster struct {
	t       *testing.T
	terms   Terms
	dir     string
	tables  []dataset.Table
	rows    [][]float64 // of the querier
	seeds   []protocols.Seed
	then    func(context.Context)   // before the parties end
	stored  func(protocols.PartyID) // a party has a new state, nil for nothing
	dead    func(protocols.PartyID) // it was killed, the same
	refused func(error) bool        // whether a party may end so, which ends the study
	wire    *wire
	fuses   [][]*fuse // of each party, one for each incarnation

	mu      sync.Mutex
	nodes   []*Node
	shares  map[string][32]byte // by party and point
	done    []int               // stages of each party that were durable, at most
	twice   []string
	used    []int // operations of the first incarnation
	deaths  []string
	answers [][]byte
	outputs [][]float64
	pauses  int
	over    bool // a party has ended with an error
}

func (c *cluster) note(self protocols.PartyID, l protocols.Label, share []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	name := fmt.Sprintf("%d: %v", self, l.Point)
	sum := sha256.Sum256(append(l.Digest[:], share...))
	if old, ok := c.shares[name]; ok && old != sum {
		c.twice = append(c.twice, name)
	}
	c.shares[name] = sum
}

// noteDone takes the state that a party has stored.
func (c *cluster) noteDone(self protocols.PartyID, state []byte) error {
	var s nodeState
	err := json.Unmarshal(state, &s)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done[self] = max(c.done[self], s.Done)
	return err
}

// early reports whether a party sends something of a stage before all of the stage
// before is durable.
func (c *cluster) early(m protocols.Message) bool {
	course, stage := newCourse(c.terms.terms), 0
	switch p := m.Point; p.Protocol {
	case "keys1", "keys2":
		stage = slices.IndexFunc(course.keys, func(g keyGroup) bool {
			return slices.ContainsFunc(g, func(k mhe.KeyPart) bool {
				at := c.terms.keyPoint(k)
				return at.Protocol == p.Protocol && at.Place == p.Place
			})
		})
	case "moments", "decrypt":
		stage = len(course.keys)
	case "refresh", "gradient", "update":
		var query int
		switch _, err := fmt.Sscanf(p.Place, "query %d ", &query); {
		case err == nil:
			stage = course.trained() + course.layout + query
		case strings.HasPrefix(p.Place, "layout "):
			stage = course.trained()
		default:
			stage = len(course.keys) + 1 + int(p.Step)
		}
	case "query", "switch":
		stage = course.trained() + course.layout + int(p.Step)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.done[m.From] < stage
}

func (c *cluster) path(id protocols.PartyID, name string) string {
	return filepath.Join(c.dir, fmt.Sprint(id), name)
}

// party runs a party through all its deaths.
func (c *cluster) party(ctx context.Context, id protocols.PartyID) error {
	for life := 0; ; life++ {
		f := &fuse{}
		if life < len(c.fuses[id]) {
			f = c.fuses[id][life]
		}
		err := c.live(ctx, id, f)
		c.mu.Lock()
		c.nodes[id] = nil
		if life == 0 {
			c.used[id] = f.count
		}
		if f.blown {
			c.deaths = append(c.deaths, fmt.Sprintf("party %d, life %d, operation %d: %s", id, life, f.count, f.where))
		}
		c.mu.Unlock()
		if !f.blown {
			return err
		}
		c.wire.mu.Lock()
		c.wire.ends[id] = nil
		c.wire.mu.Unlock()
		if c.dead != nil {
			c.dead(id)
		}
		if f.after != (f.count%4 < 2) {
			time.Sleep(time.Millisecond) // until all others wait
		}
	}
}

func (c *cluster) live(ctx context.Context, id protocols.PartyID, f *fuse) error {
	ctx, f.cancel = context.WithCancel(ctx)
	defer f.cancel()
	store, err := OpenStore(c.path(id, "store"))
	if err != nil {
		return err
	}
	journal, err := protocols.OpenJournal(c.path(id, "journal"))
	if err != nil {
		return err
	}
	defer journal.Close()
	end := c.wire.join(id, f)
	n, err := NewNode(NodeConfig{
		Terms: c.terms, Self: id, Seed: c.seeds[id], Table: c.tables[id], Cores: 2,
		Journal: &fusedJournal{journal, f, c, id}, Store: &fusedStore{store, f, c, id}, Transport: end,
	})
	if err != nil {
		return err
	}
	end.attach(n)
	c.mu.Lock()
	c.nodes[id] = n
	c.mu.Unlock()
	return n.Run(ctx)
}

func (c *cluster) ended() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.over
}

// pause waits until every other goroutine waits for something: synctest's time
// stands still until then. Should that not help often, nothing ever will.
func (c *cluster) pause() {
	c.mu.Lock()
	c.pauses++
	stuck := c.pauses > 1000
	c.mu.Unlock()
	if stuck {
		for _, n := range c.nodes {
			if n != nil {
				s := n.Status()
				c.t.Logf("party %d: %s waits for %v", n.id, s.Stage, s.Waiting)
			}
		}
		require.FailNow(c.t, "nobody gets any further", "after %v", c.deaths)
	}
	time.Sleep(time.Millisecond)
}

// node returns a living party's node, waiting for it if it is dead. It is nil when the
// study is over.
func (c *cluster) node(id protocols.PartyID) *Node {
	for {
		c.mu.Lock()
		n, over := c.nodes[id], c.over
		c.mu.Unlock()
		if over {
			return nil
		}
		if n != nil {
			return n
		}
		c.pause()
	}
}

// predict is the querier, who forgets everything but its seed before each request.
func (c *cluster) predict(ctx context.Context) (outputs [][]float64) {
	root := c.terms.Tree().Root()
	seed := c.seeds[len(c.seeds)-1]
	for i := 0; ; {
		q, err := NewQuerier(c.terms, "lab", seed)
		require.NoError(c.t, err)
		n := c.node(root)
		if n == nil {
			return outputs
		}
		p, err := n.Publication()
		if errors.Is(err, ErrNotReady) {
			c.pause()
			continue
		}
		require.NoError(c.t, err)
		require.NoError(c.t, q.Learn(p))
		requests, err := q.Requests(c.rows)
		require.NoError(c.t, err)
		if i == len(requests) {
			return outputs
		}
		answer, err := n.Ask(ctx, "lab", requests[i].Bytes)
		again := answer
		if err == nil {
			if n = c.node(root); n == nil {
				return outputs
			}
			again, err = n.Ask(ctx, "lab", requests[i].Bytes)
		}
		if errors.Is(err, ErrStopped) || errors.Is(err, errKilled) || errors.Is(err, context.Canceled) {
			continue
		}
		require.NoError(c.t, err)
		require.Equal(c.t, answer, again)
		z, err := q.Outputs(requests[i], answer)
		require.NoError(c.t, err)
		outputs = append(outputs, z...)
		c.answers = append(c.answers, answer)
		i++
	}
}

// A result is what must not depend on who was killed when.
type result struct {
	models  [][]byte
	answers [][]byte
	outputs [][]float64
	used    []int
	deaths  []string
}

// run runs the study with the given fuses, each party in its own directory.
func (c *cluster) run(t *testing.T, dir string, fuses [][]*fuse) (r result) {
	c.dir, c.fuses, c.wire, c.shares = dir, fuses, newWire(len(c.tables)), map[string][32]byte{}
	c.wire.early, c.done = c.early, make([]int, len(c.tables))
	c.nodes, c.used, c.deaths, c.answers, c.twice, c.pauses, c.over = make([]*Node, len(c.tables)), make([]int, len(c.tables)), nil, nil, nil, 0, false
	synctest.Test(t, func(t *testing.T) {
		c.t = t
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		var wg sync.WaitGroup
		for id := range c.tables {
			wg.Go(func() {
				if err := c.party(ctx, protocols.PartyID(id)); err != nil {
					if c.refused == nil || !c.refused(err) {
						t.Errorf("party %d: %v", id, err)
					}
					c.mu.Lock()
					c.over = true
					c.mu.Unlock()
					cancel()
				}
			})
		}
		r.outputs = c.predict(ctx)
		c.outputs = r.outputs
		if c.ended() {
			wg.Wait()
			return
		}
		for id := range c.tables { // until everyone has seen the last answer
			for done := 0; ; {
				n := c.node(protocols.PartyID(id))
				if n == nil {
					wg.Wait()
					return
				}
				s := n.Status()
				if done = s.Step; s.Phase == "predict" && done == len(r.outputs)/max(1, c.terms.queryForm().rows)+min(1, len(r.outputs)%c.terms.queryForm().rows) {
					break
				}
				c.pause()
			}
		}
		for id := range c.tables { // every party has charged all openings, once
			s := c.node(protocols.PartyID(id)).Status()
			require.Equal(t, len(c.answers), s.Openings[0].Spent, "party %d", id)
			require.Equal(t, len(c.rows), s.Rows[0].Spent, "party %d", id)
			require.True(t, s.Trained)
		}
		if c.then != nil {
			c.then(ctx)
		}
		cancel()
		wg.Wait()
	})
	require.Empty(t, c.twice, "labels with two shares, after %v", c.deaths)
	require.Empty(t, c.wire.bad, "messages that changed or were early, after %v", c.deaths)
	if c.ended() {
		return r
	}
	var journals [][]string
	for id := range c.tables {
		p := protocols.PartyID(id)
		journals = append(journals, []string{c.path(p, "journal")})
		store, err := OpenStore(c.path(p, "store"))
		require.NoError(t, err)
		b, err := store.Get(outputName(newCourse(c.terms.terms).trained() - 1))
		require.NoError(t, err)
		cut := cutter{b: b}
		cut.next(cut.number()) // labels, in any order
		r.models = append(r.models, cut.b)
	}
	audit, err := protocols.VerifyJournals(journals...)
	require.NoError(t, err)
	require.Empty(t, audit.Findings)
	r.answers, r.used, r.deaths = c.answers, c.used, c.deaths
	return r
}

// seeds returns seeds for parties and querier.
func testSeeds(n int) (s []protocols.Seed) {
	for i := range n {
		s = append(s, protocols.NewSeed([32]byte{byte(i + 1), 7}))
	}
	return s
}

// regressionCluster is a small logistic regression.
func regressionCluster(t *testing.T) *cluster {
	t.Helper()
	const parties = 5
	table, err := dataset.Synthetic(dataset.SyntheticConfig{Rows: 30*parties + 20, Features: 4, Seed: 3})
	require.NoError(t, err)
	test := dataset.Table{Features: table.Features, X: table.X[:20], Y: table.Y[:20]}
	train := dataset.Table{Features: table.Features, X: table.X[20:], Y: table.Y[20:]}
	tables, err := dataset.Divide(train, parties, dataset.PartitionEven, 1)
	require.NoError(t, err)
	cfg := Default()
	cfg.Insecure, cfg.Parties, cfg.Fanout, cfg.Epochs = true, parties, 2, 4
	terms, err := cfg.Terms(declare(tables), Policy{{Querier: "lab", Rows: 20, Requests: 2}}, [32]byte{1})
	require.NoError(t, err)
	return newCluster(t, terms, tables, test.X[:3])
}

// withQuerier returns the terms with the hash of a querier's key.
func withQuerier(t *testing.T, terms Terms, pin [32]byte) Terms {
	t.Helper()
	next := *terms.terms
	next.policy = terms.Policy()
	next.policy[0].Key = pin
	require.NoError(t, next.seal())
	return Terms{&next}
}

func newCluster(t *testing.T, terms Terms, tables []dataset.Table, rows [][]float64) *cluster {
	t.Helper()
	seeds := testSeeds(len(tables) + 1)
	q, err := NewQuerier(terms, "lab", seeds[len(tables)])
	require.NoError(t, err)
	terms = withQuerier(t, terms, q.Pin())
	return &cluster{terms: terms, tables: tables, rows: rows, seeds: seeds}
}

// killAll runs the study with parties that are killed, several times each.
func killAll(t *testing.T, c *cluster, points, each int) {
	want := c.run(t, t.TempDir(), make([][]*fuse, len(c.tables)))
	for _, m := range want.models {
		require.Equal(t, want.models[0], m)
	}
	t.Logf("operations %v", want.used)
	if *kills > 0 {
		points = *kills
	}
	for run := 0; points > 0; run++ {
		rng := rand.New(rand.NewPCG(uint64(run), 5))
		fuses := make([][]*fuse, len(c.tables))
		for range each {
			id := rng.IntN(len(fuses))
			at := 1 + rng.IntN(want.used[id])
			if rng.IntN(4) == 0 { // setup has most operations, predictions the fewest
				at = want.used[id] - rng.IntN(want.used[id]/8)
			}
			fuses[id] = append(fuses[id], &fuse{left: at, after: rng.IntN(2) == 0})
		}
		for _, f := range fuses { // later lives have less to do
			slices.SortFunc(f, func(a, b *fuse) int { return a.left - b.left })
			for i := len(f) - 1; i > 0; i-- {
				f[i].left = max(1, f[i].left-f[i-1].left)
			}
		}
		got := c.run(t, t.TempDir(), fuses)
		require.Equal(t, want.models, got.models, "run %d, after %v", run, got.deaths)
		require.Equal(t, want.answers, got.answers, "run %d, after %v", run, got.deaths)
		require.NotEmpty(t, got.deaths)
		points -= len(got.deaths)
		for _, d := range got.deaths {
			t.Log(run, d)
		}
	}
}

func TestNodesSurviveKills(t *testing.T) { killAll(t, regressionCluster(t), 40, 10) }

// networkCluster is a small network.
func networkCluster(t *testing.T) *cluster {
	t.Helper()
	const parties = 4
	cfg, table := toyNetwork(t, parties)
	cfg.Fanout, cfg.Steps, cfg.Hidden = 2, 2, cfg.Hidden[:1]
	tables, err := dataset.Divide(table, parties, dataset.PartitionEven, 1)
	require.NoError(t, err)
	cfg.MaxOutputNoise = 10
	terms, err := cfg.Terms(t.Context(), declare(tables), Policy{{Querier: "lab", Rows: 20, Requests: 2}}, [32]byte{2})
	require.NoError(t, err)
	return newCluster(t, terms, tables, table.X[:3])
}

func TestNetworkNodesSurviveKills(t *testing.T) { killAll(t, networkCluster(t), 16, 8) }
