package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/identity"
	"github.com/nereid-mhe/nereid/internal/wan"
	"github.com/nereid-mhe/nereid/node"
	"github.com/nereid-mhe/nereid/protocols"
	"github.com/nereid-mhe/nereid/study"
	"github.com/nereid-mhe/nereid/studyfile"
)

// A measured run of a study.
type measuredRun struct {
	setup, training, predict time.Duration
	cpu                      map[string]time.Duration // by phase, of all parties, the querier and the emulated links
	sent                     map[string]int64         // by phase, of the party that sends most
	wire                     int64                    // bytes on all connections of the busiest party, in and out
	outputs                  [][]float64
}

func (m measuredRun) total() time.Duration { return m.setup + m.training + m.predict }

// A contest is a study of a trial that is run again and again.
type contest struct {
	trial *node.Trial
	terms study.Terms
	rows  dataset.Table // of the querier
}

// openContest returns the contest of a trial.
func openContest(ctx context.Context, ring studyfile.Ring, t *node.Trial) (c contest, err error) {
	c.trial = t
	if _, c.terms, err = studyfile.Locked(ctx, ring, c.trial.Lock); err != nil {
		return c, err
	}
	c.rows, err = c.trial.QuerierRows()
	return c, err
}

// A finish line notes when the last party passes the ends of phases.
type finishLine struct {
	mu      sync.Mutex
	start   time.Time
	waiting map[string]int // parties that are not past the end of a phase
	at      map[string]time.Duration
	cpu     map[string]time.Duration // of the process, by then
	trained chan struct{}            // closed when all are
	steps   int
}

func newFinishLine(parties, steps int) *finishLine {
	return &finishLine{
		waiting: map[string]int{"setup": parties, "train": parties}, at: map[string]time.Duration{}, cpu: map[string]time.Duration{},
		trained: make(chan struct{}), steps: steps,
	}
}

// passed takes what a party reports.
func (f *finishLine) passed(p study.Progress) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case p.Phase == "train" && p.Step == 0:
		f.note("setup")
	case p.Phase == "predict" && p.Step == 0, p.Phase == "train" && p.Step == f.steps:
		if f.at["train"] == 0 && f.note("train") {
			close(f.trained)
		}
	}
}

func (f *finishLine) note(phase string) (last bool) {
	f.waiting[phase]--
	if f.waiting[phase] == 0 {
		f.at[phase] = time.Since(f.start)
		f.cpu[phase], _ = cpuTime()
	}
	return f.waiting[phase] == 0
}

// A party is a node of either kind.
type party interface {
	Run(ctx context.Context) error
}

// race runs all parties from here to the answers for the querier's rows.
func (c contest) race(ctx context.Context, parties []party, line *finishLine, ask func(ctx context.Context) ([][]float64, error)) (m measuredRun, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	line.start = time.Now()
	begin, _ := cpuTime()
	var wg sync.WaitGroup
	for _, p := range parties {
		wg.Go(func() {
			if err := p.Run(ctx); err != nil {
				cancel(err)
			}
		})
	}
	defer wg.Wait()
	defer cancel(nil)
	select {
	case <-line.trained:
	case <-ctx.Done():
		return m, context.Cause(ctx)
	}
	if m.outputs, err = ask(ctx); err != nil {
		return m, errors.Join(err, context.Cause(ctx))
	}
	total := time.Since(line.start)
	end, _ := cpuTime()
	m.cpu = map[string]time.Duration{"setup": line.cpu["setup"] - begin, "training": line.cpu["train"] - line.cpu["setup"], "predict": end - line.cpu["train"]}
	m.setup = line.at["setup"]
	m.training = line.at["train"] - m.setup
	m.predict = total - line.at["train"]
	return m, nil
}

// member opens the identity of a party and reads its rows.
func (c contest) member(name string) (*identity.Identity, dataset.Table, error) {
	id, err := c.trial.Identity(name)
	if err != nil {
		return nil, dataset.Table{}, err
	}
	table, err := c.trial.Rows(name)
	return id, table, err
}

// nodes runs the study with nodes: identities, mutual TLS over loopback, journals on
// disk, which are removed after it. With a link every party's connections go through it.
func (c contest) nodes(ctx context.Context, dir func(party string) string, link *wan.Link) (m measuredRun, err error) {
	members := c.trial.Lock.Parties()
	w := newEmulation(link, c.trial)
	defer func() { err = errors.Join(err, w.close()) }()
	line := newFinishLine(len(members), c.terms.Steps())
	var parties []party
	var nodes []*node.Node
	defer func() {
		for _, n := range nodes {
			err = errors.Join(err, n.Close())
		}
		for _, p := range members {
			err = errors.Join(err, os.RemoveAll(dir(p.Name)))
		}
	}()
	for i, p := range members {
		id, table, err := c.member(p.Name)
		if err != nil {
			return m, err
		}
		n, err := node.Open(node.Config{
			Identity: id, Lock: c.trial.Lock, Terms: c.terms, Table: table, Dir: dir(p.Name),
			Listen: p.Address, Cores: 1, Progress: line.passed, Dial: w.dial(i),
		})
		if err != nil {
			return m, err
		}
		nodes, parties = append(nodes, n), append(parties, n)
	}
	id, err := c.trial.Querier()
	if err != nil {
		return m, err
	}
	client := node.Client{Identity: id, Lock: c.trial.Lock, Dial: w.dial(len(members))}
	m, err = c.race(ctx, parties, line, func(ctx context.Context) ([][]float64, error) {
		return client.Predict(ctx, c.terms, c.seed(id), c.rows.X, nil)
	})
	m.sent = map[string]int64{}
	for _, n := range nodes {
		s := n.Status()
		m.count(s.Sent)
		var wire int64
		for _, p := range s.Peers {
			wire += p.In + p.Out
		}
		m.wire = max(m.wire, wire)
	}
	return m, err
}

// count adds the bytes of a party by phase: setup, training, predict.
func (m *measuredRun) count(sent map[string]int64) {
	var training int64
	for phase, b := range sent {
		if phase != "setup" && phase != "predict" {
			training += b
		}
	}
	for phase, b := range map[string]int64{"setup": sent["setup"], "training": training, "predict": sent["predict"]} {
		m.sent[phase] = max(m.sent[phase], b)
	}
}

func (c contest) seed(querier *identity.Identity) protocols.Seed {
	return studyfile.QuerierSeed(querier, c.trial.Lock.Invitation())
}

// inMemory runs the study with the parties of nodes, but on a network, with journals
// and with stores in memory: the same work without TLS and disk.
func (c contest) inMemory(ctx context.Context) (m measuredRun, err error) {
	members := c.trial.Lock.Parties()
	wires := study.NewMemoryNetwork(c.terms)
	line := newFinishLine(len(members), c.terms.Steps())
	var parties []party
	var nodes []*study.Node
	for i, p := range members {
		id, table, err := c.member(p.Name)
		if err != nil {
			return m, err
		}
		self := protocols.PartyID(i)
		n, err := study.NewNode(study.NodeConfig{
			Terms: c.terms, Self: self, Seed: id.Seed(c.trial.Lock.ID()), Table: table,
			Journal: protocols.NewMemoryJournal(), Store: &study.MemoryStore{}, Transport: wires.Transport(self), Cores: 1, Progress: line.passed,
		})
		if err != nil {
			return m, err
		}
		nodes, parties = append(nodes, n), append(parties, n)
	}
	id, err := c.trial.Querier()
	if err != nil {
		return m, err
	}
	root := nodes[c.terms.Tree().Root()]
	return c.race(ctx, parties, line, func(ctx context.Context) (out [][]float64, err error) {
		q, err := study.NewQuerier(c.terms, id.Card().Name, c.seed(id))
		if err != nil {
			return nil, err
		}
		public, err := root.Publication()
		if err != nil {
			return nil, err
		}
		if err := q.Learn(public); err != nil {
			return nil, err
		}
		requests, err := q.Requests(c.rows.X)
		if err != nil {
			return nil, err
		}
		for _, r := range requests {
			answer, err := root.Ask(ctx, id.Card().Name, r.Bytes)
			if err != nil {
				return nil, err
			}
			z, err := q.Outputs(r, answer)
			if err != nil {
				return nil, err
			}
			out = append(out, z...)
		}
		return out, nil
	})
}

// An emulation is links for all parties of a trial, and for the querier after them.
type emulation struct {
	ends    []*wan.End            // none for plain loopback
	places  map[string]int        // of parties, by address
	mu      sync.Mutex            //
	proxies map[[2]int]*wan.Proxy // by who dials and who listens
}

func newEmulation(link *wan.Link, t *node.Trial) *emulation {
	e := &emulation{places: map[string]int{}, proxies: map[[2]int]*wan.Proxy{}}
	for i, p := range t.Lock.Parties() {
		e.places[p.Address] = i
	}
	if link != nil {
		for range len(e.places) + 1 {
			e.ends = append(e.ends, wan.NewEnd(*link))
		}
	}
	return e
}

// dial returns what a party dials with, nil for loopback.
func (e *emulation) dial(from int) func(ctx context.Context, address string) (net.Conn, error) {
	if len(e.ends) == 0 {
		return nil
	}
	return func(ctx context.Context, address string) (net.Conn, error) {
		p, err := e.proxy(from, address)
		if err != nil {
			return nil, err
		}
		return new(net.Dialer).DialContext(ctx, "tcp", p.Address())
	}
}

func (e *emulation) proxy(from int, address string) (*wan.Proxy, error) {
	to, ok := e.places[address]
	if !ok {
		return nil, fmt.Errorf("no party has the address %s", address)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	key := [2]int{from, to}
	if p := e.proxies[key]; p != nil {
		return p, nil
	}
	p, err := wan.Connect(e.ends[from], e.ends[to], address)
	if err == nil {
		e.proxies[key] = p
	}
	return p, err
}

func (e *emulation) close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	var errs []error
	for _, p := range slices.Collect(maps.Values(e.proxies)) {
		errs = append(errs, p.Close())
	}
	return errors.Join(errs...)
}
