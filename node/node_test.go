package node_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/identity"
	"github.com/nereid-mhe/nereid/node"
	"github.com/nereid-mhe/nereid/protocols"
	"github.com/nereid-mhe/nereid/protocols/transport"
	"github.com/nereid-mhe/nereid/roster"
	"github.com/nereid-mhe/nereid/study"
	"github.com/nereid-mhe/nereid/studyfile"
)

const logistic = `version: 1
name: small
model: {kind: logistic}
data: {label: y, features: [a, b, c]}
training: {steps: 2, rate: 1}
parties: {count: 3}
opening: {queriers: [{name: lab, rows: 10}]}
`

const network = `version: 1
name: small
model:
  kind: network
  hidden: [{units: 4, activation: cubic, bound: 3}]
data: {label: y, features: [a, b, c], classes: [0, 1]}
training: {steps: 2, batch: 20, rate: 0.1}
parties: {count: 3}
opening: {queriers: [{name: lab, rows: 10}]}
`

// A world is a trial on the toy ring whose nodes run in this process.
type world struct {
	*node.Trial
	t     testing.TB
	terms study.Terms
	ids   []*identity.Identity
	nodes []*node.Node
	stop  []func()

	// dial makes the connections of a party, nil for TCP.
	dial func(ctx context.Context, address string) (net.Conn, error)
}

func newWorld(t testing.TB, text string, parties int) *world {
	t.Helper()
	f, err := studyfile.Parse("study", []byte(text))
	require.NoError(t, err)
	f.Parties.Count = parties
	table, err := dataset.Synthetic(dataset.SyntheticConfig{Rows: 20*parties + 10, Features: 3, Seed: 3})
	require.NoError(t, err)
	table.Features = f.Data.Features
	part := func(from, to int) dataset.Table {
		p := table
		p.X, p.Y = table.X[from:to], table.Y[from:to]
		return p
	}
	data := node.TrialData{Querier: part(20*parties, 20*parties+10)}
	for i := range parties {
		data.Parties = append(data.Parties, part(20*i, 20*i+20))
	}
	dir := t.TempDir()
	_, err = node.NewTrial(t.Context(), dir, studyfile.Toy, f, data)
	require.NoError(t, err)
	w := &world{t: t}
	w.Trial, err = node.OpenTrial(dir)
	require.NoError(t, err)
	_, w.terms, err = studyfile.Locked(t.Context(), studyfile.Toy, w.Lock)
	require.NoError(t, err)
	for _, p := range w.Lock.Parties() {
		w.ids = append(w.ids, w.open(p.Name))
	}
	w.nodes, w.stop = make([]*node.Node, parties), make([]func(), parties)
	return w
}

// open opens an identity.
func (w *world) open(name string) *identity.Identity {
	id, err := w.Identity(name)
	require.NoError(w.t, err)
	return id
}

// lock returns the lock of an invitation with more members, without signatures.
func lock(t testing.TB, i roster.Invitation, members ...*identity.Identity) roster.Lock {
	t.Helper()
	r := roster.New(i)
	for _, id := range members {
		request, err := studyfile.Join(t.Context(), studyfile.Toy, i, id)
		require.NoError(t, err)
		r, err = r.Approve(request)
		require.NoError(t, err)
	}
	var beacon [32]byte
	_, _ = rand.Read(beacon[:])
	l, err := studyfile.Lock(t.Context(), studyfile.Toy, r, beacon)
	require.NoError(t, err)
	return l
}

func (w *world) config(i int) node.Config {
	name := w.Lock.Parties()[i].Name
	table, err := w.Rows(name)
	require.NoError(w.t, err)
	return node.Config{
		Identity: w.ids[i], Lock: w.Lock, Terms: w.terms, Table: table, Dir: w.StateDir(name),
		Listen: w.Lock.Parties()[i].Address, Cores: 1, Dial: w.dial,
	}
}

// run runs the node of a party until w.stop[i] is called or the test ends.
func (w *world) run(i int) {
	n, err := node.Open(w.config(i))
	require.NoError(w.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- errors.Join(n.Run(ctx), n.Close()) }()
	w.nodes[i], w.stop[i] = n, sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			w.t.Errorf("party %d: %v", i, err)
		}
	})
	w.t.Cleanup(w.stop[i])
}

func (w *world) runAll() {
	for i := range w.nodes {
		w.run(i)
	}
}

func (w *world) client() node.Client {
	return node.Client{Identity: w.open("lab"), Lock: w.Lock}
}

// predict asks for the querier's rows.
func (w *world) predict(rows [][]float64) ([][]float64, error) {
	c := w.client()
	return c.Predict(w.t.Context(), w.terms, studyfile.QuerierSeed(c.Identity, w.Lock.Invitation()), rows, nil)
}

// query asks the root, as the transport does.
func (w *world) query(as *identity.Identity, request []byte) ([]byte, error) {
	key := as.Key()
	c, err := transport.NewClient(transport.ClientConfig{
		Server: node.Peers(w.Lock)[0], Study: w.terms.ID(), Key: key[:], Certificate: as.Certificate, MaxBody: w.terms.MaxMessage(),
	})
	require.NoError(w.t, err)
	defer func() { require.NoError(w.t, c.Close()) }()
	return c.Query(w.t.Context(), request)
}

// publication returns what the root publishes.
func (w *world) publication() (p study.Publication) {
	b, err := w.query(w.open("lab"), []byte{1})
	require.NoError(w.t, err)
	require.NoError(w.t, json.Unmarshal(b, &p))
	return p
}

// ask sends the bytes of a request for predictions to the root and returns the reason
// for which it is declined.
func (w *world) ask(as *identity.Identity, request []byte) error {
	_, err := w.query(as, append([]byte{2}, request...))
	require.ErrorIs(w.t, err, transport.ErrDeclined)
	return err
}

// check predicts, and wants the same trained model at all parties.
func (w *world) check() [][]float64 {
	rows, err := w.QuerierRows()
	require.NoError(w.t, err)
	out, err := w.predict(rows.X)
	require.NoError(w.t, err)
	require.Len(w.t, out, rows.Rows())
	for i, n := range w.nodes {
		require.Eventually(w.t, func() bool { return n.Status().Trained }, 10*time.Second, 10*time.Millisecond, "party %d", i)
		require.Equal(w.t, w.nodes[0].Status().Model, n.Status().Model, "party %d", i)
	}
	return out
}

// Nodes train and predict, stop, and go on. Before, between and after they tell how
// they are.
func TestStudy(t *testing.T) {
	for name, text := range map[string]string{"logistic": logistic, "network": network} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, text, 3)
			require.Equal(t, "party-0", node.Opening(w.config(0)).Status().Party)
			w.run(0)
			s, err := w.client().Status(t.Context(), 0)
			require.NoError(t, err)
			require.Equal(t, "party-0", s.Party)
			require.Equal(t, "setup", s.Phase)
			require.False(t, s.Trained)
			require.Equal(t, w.Lock.Fingerprint().String(), s.Study)
			require.Equal(t, []node.Account{{Querier: "lab", Rows: 0, Limit: 10}}, s.Opened)
			w.run(1)
			w.run(2)
			first := w.check()
			s, err = w.client().Status(t.Context(), 2)
			require.NoError(t, err)
			require.True(t, s.Trained)
			require.Equal(t, []node.Account{{Querier: "lab", Rows: 10, Limit: 10}}, s.Opened)
			require.Empty(t, s.Waiting)

			for _, stop := range w.stop {
				stop()
			}
			_, err = w.client().Status(t.Context(), 2)
			require.Error(t, err)
			w.runAll()
			require.Equal(t, first, w.check(), "the same answers, for free")
		})
	}
}

// A party that opens no port takes part all the same; only its status is out of reach.
func TestPartyWithoutAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t, logistic, 3)
	var err error
	w.ids[2], err = identity.New(identity.Card{Name: w.Lock.Parties()[2].Name, Role: identity.Party})
	require.NoError(t, err)
	w.Lock = lock(t, w.Lock.Invitation(), w.ids[1], w.ids[2], w.open("lab"))
	for _, id := range w.ids {
		w.Lock, err = w.Lock.Sign(id)
		require.NoError(t, err)
	}
	_, w.terms, err = studyfile.Locked(t.Context(), studyfile.Toy, w.Lock)
	require.NoError(t, err)
	w.runAll()
	require.Nil(t, w.nodes[2].Addr())
	w.check()
	_, err = w.client().Status(t.Context(), 2)
	require.ErrorContains(t, err, "address")
}

// A node that finds an older copy of its directory does not go on: its peers tell it how
// far the study is.
func TestOlderDirectory(t *testing.T) {
	t.Parallel()
	w := newWorld(t, logistic, 3)
	dir, older := w.StateDir("party-2"), filepath.Join(t.TempDir(), "older")
	w.run(2)
	w.stop[2]()
	require.NoError(t, os.CopyFS(older, os.DirFS(dir)))
	w.runAll()
	w.check()
	w.stop[2]()
	newest := filepath.Join(t.TempDir(), "newest")
	require.NoError(t, os.Rename(dir, newest))
	require.NoError(t, os.Rename(older, dir))
	n, err := node.Open(w.config(2))
	require.NoError(t, err)
	err = n.Run(t.Context())
	require.ErrorIs(t, err, study.ErrRolledBack)
	require.ErrorContains(t, err, "0 stages are done here")
	require.NoError(t, n.Close())

	// with the newest copy it goes on
	require.NoError(t, os.RemoveAll(dir))
	require.NoError(t, os.Rename(newest, dir))
	w.run(2)
	require.Eventually(t, func() bool { return w.nodes[2].Status().Trained }, 10*time.Second, 10*time.Millisecond)
	w.check()
	var journals [][]string
	for _, p := range w.Lock.Parties() {
		journals = append(journals, []string{node.JournalFile(w.StateDir(p.Name))})
	}
	for _, stop := range w.stop {
		stop()
	}
	audit, err := protocols.VerifyJournals(journals...)
	require.NoError(t, err)
	require.Empty(t, audit.Findings)
}

// Several queriers ask at once, each with a key and a budget of its own, and none in
// another's name.
func TestSeveralQueriers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, strings.Replace(logistic, "rows: 10}", "rows: 10}, {name: ward, rows: 3, requests: 2}", 1), 2)
	w.runAll()
	ward := node.Client{Identity: w.open("ward"), Lock: w.Lock}
	seed := studyfile.QuerierSeed(ward.Identity, w.Lock.Invitation())
	rows, err := w.QuerierRows()
	require.NoError(t, err)
	asked := make(chan error, 1)
	var got [][]float64
	go func() {
		var err error
		got, err = ward.Predict(t.Context(), w.terms, seed, rows.X[:2], nil)
		asked <- err
	}()
	want := w.check()
	require.NoError(t, <-asked)
	for i := range got {
		require.InDelta(t, want[i][0], got[i][0], 1, "the same model")
	}
	_, err = ward.Predict(t.Context(), w.terms, seed, rows.X[2:4], nil)
	require.ErrorContains(t, err, `for "ward": 2 of 3 are spent`)

	q, err := study.NewQuerier(w.terms, "ward", seed)
	require.NoError(t, err)
	p := w.publication()
	require.NoError(t, q.Learn(p))
	r, err := q.Requests(rows.X[2:3])
	require.NoError(t, err)
	require.ErrorContains(t, w.ask(w.open("lab"), r[0].Bytes), `a request of querier "ward" from querier "lab"`)
	for i, n := range w.nodes {
		require.Eventually(t, func() bool { return n.Status().Opened[1].Rows == 2 }, 10*time.Second, 10*time.Millisecond, "party %d", i)
		require.Equal(t, node.Account{Querier: "lab", Rows: 10, Limit: 10}, n.Status().Opened[0])
	}
}

// A querier waits while the root is stopped and started again.
func TestRootStopsWhileAsked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, logistic, 2)
	w.runAll()
	for _, n := range w.nodes {
		require.Eventually(t, func() bool { return n.Status().Trained }, 20*time.Second, 10*time.Millisecond)
	}
	w.stop[1]()
	asked := make(chan error, 1)
	go func() {
		_, err := w.predict([][]float64{{1, 2, 3}})
		asked <- err
	}()
	require.Eventually(t, func() bool { return len(w.nodes[0].Status().Waiting) > 0 }, 20*time.Second, 10*time.Millisecond)
	w.stop[0]()
	w.runAll()
	require.NoError(t, <-asked)
	require.Equal(t, 1, w.nodes[0].Status().Opened[0].Rows)
}

// Who is not in the lock, or has no right, is told so.
func TestRefusals(t *testing.T) {
	w := newWorld(t, logistic, 2)
	stranger, err := identity.New(identity.Card{Name: "lab", Role: identity.Querier})
	require.NoError(t, err)

	t.Run("a lock that is not signed", func(t *testing.T) {
		unsigned, err := lock(t, w.Lock.Invitation(), w.ids[1], w.open("lab")).Sign(w.ids[1])
		require.NoError(t, err)
		for i := range w.ids {
			c := w.config(i)
			c.Lock = unsigned
			_, err := node.Open(c)
			var refused *roster.Error
			require.ErrorAs(t, err, &refused)
			require.NoDirExists(t, c.Dir)
		}
	})
	t.Run("a querier", func(t *testing.T) {
		c := w.config(0)
		c.Identity = w.open("lab")
		_, err := node.Open(c)
		require.ErrorContains(t, err, "is no party of the study")
	})

	w.runAll()
	t.Run("a second process", func(t *testing.T) {
		_, err := node.Open(w.config(0))
		require.ErrorIs(t, err, protocols.ErrInUse)
	})
	t.Run("a stranger", func(t *testing.T) {
		c := node.Client{Identity: stranger, Lock: w.Lock}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		_, err := c.Status(ctx, 0)
		require.Error(t, err)
		_, err = c.Predict(ctx, w.terms, studyfile.QuerierSeed(stranger, w.Lock.Invitation()), [][]float64{{1, 2, 3}}, nil)
		require.Error(t, err)
	})
	t.Run("a party that asks for predictions", func(t *testing.T) {
		c := node.Client{Identity: w.ids[1], Lock: w.Lock}
		_, err := c.Predict(t.Context(), w.terms, studyfile.QuerierSeed(w.open("lab"), w.Lock.Invitation()), [][]float64{{1, 2, 3}}, nil)
		require.ErrorIs(t, err, study.ErrConfig, "its own program knows")
		require.ErrorContains(t, w.ask(w.ids[1], []byte("rows")), "only a querier")
	})
	t.Run("more rows than the policy allows", func(t *testing.T) {
		w.check()
		_, err := w.predict([][]float64{{1, 2, 3}})
		require.ErrorIs(t, err, transport.ErrDeclined)
		require.NotEmpty(t, fmt.Sprint(err))
		t.Log(err)
		for _, n := range w.nodes {
			require.Equal(t, 10, n.Status().Opened[0].Rows)
		}
	})
}

// A trial does not overwrite another one, and what is no trial is not opened.
func TestTrialFiles(t *testing.T) {
	w := newWorld(t, logistic, 2)
	_, err := node.NewTrial(t.Context(), w.Dir, studyfile.Toy, w.File, node.TrialData{})
	require.ErrorIs(t, err, os.ErrExist)
	_, err = node.OpenTrial(t.TempDir())
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, os.WriteFile(w.KeyFile(), []byte("AGE-SECRET-KEY-1XYZ"), 0o600))
	_, err = node.OpenTrial(w.Dir)
	require.ErrorContains(t, err, "no age key file")
	require.NotContains(t, err.Error(), "XYZ")
	require.NoError(t, os.WriteFile(filepath.Join(w.Dir, "plan.lock"), []byte("{}"), 0o600))
	_, err = node.OpenTrial(w.Dir)
	var bad *roster.Error
	require.ErrorAs(t, err, &bad)
}
