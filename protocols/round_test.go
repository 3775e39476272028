package protocols_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/nereid-mhe/nereid/protocols"
	"github.com/nereid-mhe/nereid/protocols/sim"
)

var update = flag.Bool("update", false, "rewrite the golden transcripts in testdata")

// The transcript of a round in a binary tree of 7, every message with the start
// of its checksum. A change means that parties of different versions do not
// understand each other, or that shares changed. Rewrite it with -update.
func TestRoundTranscript(t *testing.T) {
	s := newStudy(t, 7, 2)
	var got strings.Builder
	report, err := sim.Run(sim.Options{Seed: 1, Trace: func(m protocols.Message) {
		fmt.Fprintf(&got, "%d->%d %-6s %3d bytes %x\n", m.From, m.To, m.Leg, len(m.Body), m.Sum[:8])
	}}, s.machines()...)
	require.NoError(t, err)
	s.check(t)
	require.Equal(t, 18, report.Total().Messages)
	require.Equal(t, 6, report.Depth, "three legs, two edges each")

	golden := filepath.Join("testdata", "round7.txt")
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(got.String()), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), got.String())
}

// drawStudy returns a study of any shape, with any party at the root and any of
// the optional legs.
func drawStudy(t *rapid.T, tb testing.TB) *study {
	s := newStudy(tb, rapid.IntRange(2, 20).Draw(t, "parties"), rapid.IntRange(1, 8).Draw(t, "fanout"))
	s.tree = must(s.tree.RootedAt(protocols.PartyID(rapid.IntRange(0, s.tree.Parties()-1).Draw(t, "root"))))
	s.hasInput = rapid.Bool().Draw(t, "input")
	s.result = rapid.Bool().Draw(t, "result")
	return s
}

func drawOptions(t *rapid.T) sim.Options {
	return sim.Options{
		Seed: rapid.Uint64().Draw(t, "seed"),
		Faults: sim.Faults{
			Duplicate: rapid.Float64Range(0, 0.5).Draw(t, "duplicate"),
			Drop:      rapid.Float64Range(0, 0.5).Draw(t, "drop"),
			Corrupt:   rapid.Float64Range(0, 0.5).Draw(t, "corrupt"),
		},
		MaxResends: 5000, // a chain of 20 with three messages of four lost needs many
	}
}

// consistent returns a trace that fails if a party ever sends a peer two
// different messages in one leg.
func consistent(t *rapid.T) func(protocols.Message) {
	type edge struct {
		from, to protocols.PartyID
		leg      protocols.Leg
	}
	first := map[edge][]byte{}
	return func(m protocols.Message) {
		e := edge{m.From, m.To, m.Leg}
		b := must(m.AppendBinary(nil))
		if old, ok := first[e]; ok {
			require.Equal(t, old, b, "two messages on %v", e)
		}
		first[e] = b
	}
}

// Every party can be the root: it alone has the input and finishes the sum, its
// messages are as many and its children those of the same place in the tree.
func TestRoundRootedAt(t *testing.T) {
	for _, shape := range []struct{ parties, fanout int }{{2, 1}, {4, 1}, {7, 2}, {8, 3}, {5, 4}} {
		for root := range shape.parties {
			t.Run(fmt.Sprint(shape, " at ", root), func(t *testing.T) {
				s := newStudy(t, shape.parties, shape.fanout)
				at := protocols.PartyID(root)
				s.tree = must(s.tree.RootedAt(at))
				report, err := sim.Run(sim.Options{Seed: uint64(root)}, s.machines()...)
				require.NoError(t, err)
				s.check(t)
				require.Equal(t, 3*s.tree.Depth(), report.Depth)
				edges := shape.parties - 1
				require.Equal(t, 3*edges, report.Total().Messages, "three legs on every edge")
				for _, p := range s.tree.Members() {
					below := len(s.tree.Children(p))
					sent := report.Parties[p].Sent
					require.Equal(t, below, sent[protocols.LegInput].Messages)
					require.Equal(t, below, sent[protocols.LegResult].Messages)
					up := 1
					if p == at {
						up = 0
					}
					require.Equal(t, up, sent[protocols.LegShare].Messages, "party %d", p)
					require.Equal(t, 1, s.gens[p])
				}
			})
		}
	}
}

// Parties that disagree about the root refuse each other: no sum is made.
func TestRoundOfAnotherRoot(t *testing.T) {
	s := newStudy(t, 3, 2)
	machines := s.machines()
	s.tree = must(s.tree.RootedAt(1))
	machines[1] = s.machine(1) // a root of its own, with an input of its own
	report, err := sim.Run(sim.Options{MaxResends: 2}, machines...)
	require.ErrorContains(t, err, "no progress")
	require.NotEmpty(t, report.Refused)
	for _, err := range report.Refused {
		require.ErrorIs(t, err, protocols.ErrUnexpected)
	}
	require.Nil(t, s.results[0])
	require.Nil(t, s.results[1])
}

// The sum is right at the root and the result the same everywhere, whatever is
// lost, repeated, reordered or damaged. Every share is made once.
func TestRoundSumsUnderFaults(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := drawStudy(rt, t)
		opts := drawOptions(rt)
		opts.Trace = consistent(rt)
		_, err := sim.Run(opts, s.machines()...)
		require.NoError(rt, err)
		s.check(rt)
		for p, n := range s.gens {
			require.Equal(rt, 1, n, "shares made by party %d", p)
		}
	})
}

// Where nothing is lost the sum is right in any order, with messages that come twice
// too, and afterwards the round holds nothing of what it has sent.
func TestRoundKeepsNothingWhereNothingIsLost(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := drawStudy(rt, t)
		s.lossless = true
		opts := drawOptions(rt)
		opts.Faults = sim.Faults{Duplicate: opts.Faults.Duplicate}
		opts.Trace = consistent(rt)
		machines := s.machines()
		report, err := sim.Run(opts, machines...)
		require.NoError(rt, err)
		require.Zero(rt, report.Resends)
		require.Empty(rt, report.Refused)
		s.check(rt)
		for _, m := range machines {
			again, err := m.Start()
			require.NoError(rt, err)
			require.Empty(rt, again)
		}
	})
}

// A mortal is a machine whose process is killed now and then: what is left is the
// journal. It dies before it sees a message, or before what it causes is sent.
type mortal struct {
	protocols.Machine
	build func() protocols.Machine
	rng   *rand.Rand
	lives int
}

func (m *mortal) Step(msg protocols.Message) ([]protocols.Message, error) {
	if m.lives == 0 || m.rng.IntN(3) > 0 {
		return m.Machine.Step(msg)
	}
	m.lives--
	if m.rng.IntN(2) == 0 {
		_, _ = m.Machine.Step(msg) // its journal entries stay
	}
	m.Machine = m.build()
	out, err := m.Start()
	if err != nil || m.rng.IntN(2) == 0 {
		return out, err
	}
	more, err := m.Machine.Step(msg) // the network delivers it again
	return append(out, more...), err
}

func (s *study) mortals(seed uint64) []protocols.Machine {
	var all []protocols.Machine
	for _, p := range s.tree.Members() {
		build := func() protocols.Machine { return s.machine(p) }
		all = append(all, &mortal{build(), build, rand.New(rand.NewPCG(seed, uint64(p))), 5})
	}
	return all
}

// Parties killed at any point and built again from their journals send the same
// bytes, and the round ends with the same result.
func TestRoundSurvivesKills(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := drawStudy(rt, t)
		opts := drawOptions(rt)
		opts.Trace = consistent(rt)
		_, err := sim.Run(opts, s.mortals(opts.Seed)...)
		require.NoError(rt, err)
		s.check(rt)
		for p, n := range s.gens {
			require.Equal(rt, 1, n, "shares made by party %d", p)
		}
	})
}

// The same with journals on disk, closed and opened at every kill.
func TestRoundSurvivesKillsOnDisk(t *testing.T) {
	s := newStudy(t, 5, 2)
	dir := t.TempDir()
	files := make([]*protocols.FileJournal, 5)
	var machines []protocols.Machine
	for _, p := range s.tree.Members() {
		build := func() protocols.Machine {
			if files[p] != nil {
				require.NoError(t, files[p].Close())
			}
			files[p] = must(protocols.OpenJournal(filepath.Join(dir, fmt.Sprint(p))))
			s.journals[p] = files[p]
			return s.machine(p)
		}
		machines = append(machines, &mortal{build(), build, rand.New(rand.NewPCG(1, uint64(p))), 5})
	}
	_, err := sim.Run(sim.Options{Faults: sim.Faults{Drop: 0.1}}, machines...)
	require.NoError(t, err)
	s.check(t)
	for p, f := range files {
		require.Equal(t, 1, s.gens[p])
		require.NoError(t, f.Close())
	}
}

// A second input for a point that is bound, after a restart, stops the party: no
// message leaves it, not even the forwarded input, and it makes no share.
func TestRoundRefusesSecondInput(t *testing.T) {
	for _, p := range []protocols.PartyID{0, 1, 3} { // root, inner party, leaf
		t.Run(fmt.Sprint("party ", p), func(t *testing.T) {
			s := newStudy(t, 7, 2)
			s.honest()
			s.input = []byte("c1 of other ciphertexts")
			m := s.machine(p)
			out, err := m.Start()
			if p != 0 {
				require.NoError(t, err)
				require.Empty(t, out)
				parent, _ := s.tree.Parent(p)
				out, err = m.Step(s.inputFor(p, parent))
			}
			require.Empty(t, out)
			require.ErrorIs(t, err, protocols.ErrBound)
			require.ErrorContains(t, err, fmt.Sprintf("protocols: party %d: journal: refresh@3", p))
			require.NotErrorAs(t, err, new(*protocols.MessageError), "the driver must stop")
			require.Equal(t, 1, s.gens[p])

			out, again := m.Start() // it is dead for good
			require.Empty(t, out)
			require.Equal(t, err, again)
			_, again = m.Step(protocols.Message{})
			require.Equal(t, err, again)
			require.False(t, m.Done())
		})
	}
}

// inputFor returns the message with s.input to party p as a root sends it that
// checks nothing and remembers nothing.
func (s *study) inputFor(p, parent protocols.PartyID) protocols.Message {
	cfg, rules := s.config(s.tree.Root()), s.rules(s.tree.Root())
	cfg.Journal, rules.Open = protocols.NewMemoryJournal(), nil
	out, err := must(protocols.NewRound(cfg, rules)).Start()
	require.NoError(s.t, err)
	msg := out[0]
	msg.From, msg.To = parent, p
	return seal(msg)
}

// Start called again returns every message so far, byte for byte.
func TestRoundStartAgain(t *testing.T) {
	s := newStudy(t, 3, 2)
	honest := s.honest()
	m := s.machine(0)
	first, err := m.Start()
	require.NoError(t, err)
	again, err := m.Start()
	require.NoError(t, err)
	require.Equal(t, first, again)
	require.Equal(t, honest[:2], first[:2])
	require.Equal(t, protocols.PartyID(0), first[2].To, "the reminder comes last")
	for _, msg := range append(first[2:], to(0, honest)...) {
		_, err := m.Step(msg)
		require.NoError(t, err)
	}
	require.True(t, m.Done())
	all, err := m.Start()
	require.NoError(t, err)
	require.Equal(t, from(0, honest), all)
}

func to(p protocols.PartyID, all []protocols.Message) (some []protocols.Message) {
	for _, m := range all {
		if m.To == p {
			some = append(some, m)
		}
	}
	return some
}

func from(p protocols.PartyID, all []protocols.Message) (some []protocols.Message) {
	for _, m := range all {
		if m.From == p {
			some = append(some, m)
		}
	}
	return some
}

// A repeated message is answered with what its sender may have lost.
func TestRoundAnswers(t *testing.T) {
	s := newStudy(t, 7, 2)
	honest := s.honest()
	m := s.machine(1) // parent 0, children 3 and 4
	_, err := m.Start()
	require.NoError(t, err)
	var input, share3, result protocols.Message
	for _, msg := range to(1, honest) {
		switch {
		case msg.Leg == protocols.LegInput:
			input = msg
		case msg.Leg == protocols.LegResult:
			result = msg
		case msg.From == 3:
			share3 = msg
		}
	}
	step := func(msg protocols.Message) []string {
		out, err := m.Step(msg)
		require.NoError(t, err)
		var text []string
		for _, o := range out {
			text = append(text, fmt.Sprintf("%v to %d", o.Leg, o.To))
		}
		return text
	}
	require.Equal(t, []protocols.PartyID{0}, m.Waiting())
	require.Equal(t, []string{"input to 3", "input to 4", "share to 1"}, step(input))
	require.Empty(t, step(input), "nothing to answer yet")
	require.Empty(t, step(share3))
	require.Equal(t, []protocols.PartyID{4}, m.Waiting())
	require.Empty(t, step(share3), "already added")
	for _, msg := range to(1, honest) {
		if msg.From == 4 {
			require.Equal(t, []string{"share to 0"}, step(msg))
		}
	}
	require.Equal(t, []protocols.PartyID{0}, m.Waiting())
	require.Equal(t, []string{"share to 0"}, step(input))
	require.Empty(t, step(share3), "no result yet")
	require.False(t, m.Done())
	require.Equal(t, []string{"result to 3", "result to 4"}, step(result))
	require.True(t, m.Done())
	require.Empty(t, m.Waiting())
	require.Equal(t, []string{"result to 3"}, step(share3))
	require.Equal(t, []string{"share to 0"}, step(input))
	require.Empty(t, step(result))
	require.True(t, bytes.Equal(s.want(), s.results[1]))
}

// A party that restarts and hears the result first is not done before its parent,
// which may have restarted too, has the sum of its subtree.
func TestRoundIsNotDoneBeforeItsSum(t *testing.T) {
	s := newStudy(t, 7, 2)
	mine := to(1, s.honest()) // input, two shares, result
	m := s.machine(1)
	_, err := m.Start()
	require.NoError(t, err)
	var out []protocols.Message
	step := func(msg protocols.Message) {
		more, err := m.Step(msg)
		require.NoError(t, err)
		out = append(out, more...)
	}
	step(mine[0])
	step(mine[3])
	require.False(t, m.Done())
	require.Equal(t, []protocols.PartyID{3, 4}, m.Waiting())
	step(mine[1])
	require.False(t, m.Done())
	step(mine[2])
	require.True(t, m.Done())
	require.True(t, slices.ContainsFunc(out, func(m protocols.Message) bool { return m.Leg == protocols.LegShare && m.To == 0 }))
}

// Errors and panics of the party's own functions end the round with an error
// that is not a MessageError, and without a message.
func TestRoundOwnFailures(t *testing.T) {
	boom := errors.New("boom")
	for _, tt := range []struct {
		name   string
		change func(*protocols.Rules[vector])
		want   string
	}{
		{"Gen fails", func(r *protocols.Rules[vector]) {
			r.Gen = func(protocols.Label) (vector, error) { return nil, boom }
		}, "making the share of refresh@3"},
		{"Gen panics", func(r *protocols.Rules[vector]) {
			r.Gen = func(protocols.Label) (vector, error) { panic("degrees differ") }
		}, "panic: degrees differ at "},
		{"Encode fails", func(r *protocols.Rules[vector]) {
			r.Encode = func(vector) ([]byte, error) { return nil, boom }
		}, "encoding a share"},
		{"share too big", func(r *protocols.Rules[vector]) { r.MaxBody = 63 }, "64 bytes, want at most 63"},
		{"own input", func(r *protocols.Rules[vector]) { r.Open = func([]byte) error { return boom } }, "own input: boom"},
		{"own share does not decode", func(r *protocols.Rules[vector]) {
			r.Decode = func([]byte) (vector, error) { return nil, boom }
		}, "own share"},
		{"Finish fails", func(r *protocols.Rules[vector]) {
			r.Finish = func(vector) ([]byte, error) { return nil, boom }
		}, "finishing refresh@3"},
		{"result too big", func(r *protocols.Rules[vector]) {
			r.Finish = func(vector) ([]byte, error) { return make([]byte, 1<<20+1), nil }
		}, "result of 1048577 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStudy(t, 2, 1)
			rules := s.rules(0)
			tt.change(&rules)
			m, err := protocols.NewRound(s.config(0), rules)
			require.NoError(t, err)
			_, err = sim.Run(sim.Options{}, m, s.machine(1))
			require.ErrorContains(t, err, tt.want)
			require.NotErrorAs(t, err, new(*protocols.MessageError))
			_, again := m.Start()
			require.ErrorContains(t, again, tt.want)
		})
	}
}

func TestNewRoundRefuses(t *testing.T) {
	s := newStudy(t, 3, 2)
	for _, tt := range []struct {
		name  string
		cfg   func(*protocols.Config)
		rules func(*protocols.Rules[vector])
		want  string
	}{
		{"no tree", func(c *protocols.Config) { c.Tree = protocols.Tree{} }, nil, "tree of 0 parties"},
		{"stranger", func(c *protocols.Config) { c.Self = 3 }, nil, "party 3 of a tree of 3"},
		{"active set", func(c *protocols.Config) { c.Point.Active = c.Point.Active[:2] }, nil, "active set of 2"},
		{"no journal", func(c *protocols.Config) { c.Journal = nil }, nil, "no journal"},
		{"no protocol", func(c *protocols.Config) { c.Point.Protocol = "" }, nil, "without a protocol"},
		{"input without leg", func(c *protocols.Config) { c.HasInput = false }, nil, "without an input leg"},
		{"input too big", nil, func(r *protocols.Rules[vector]) { r.MaxBody = 3 }, "input of 22 bytes, want at most 3"},
		{"no bound", nil, func(r *protocols.Rules[vector]) { r.MaxBody = 0 }, "MaxBody is 0"},
		{"no Gen", nil, func(r *protocols.Rules[vector]) { r.Gen = nil }, "rules without Gen"},
		{"no Finish", nil, func(r *protocols.Rules[vector]) { r.Finish = nil }, "rules without Finish"},
		{"no Accept", func(c *protocols.Config) { c.Self = 1 }, func(r *protocols.Rules[vector]) { r.Accept = nil }, "rules without Accept"},
		{"retry", func(c *protocols.Config) { c.Point.Attempt = 1 }, func(r *protocols.Rules[vector]) { r.Retry = false }, "attempt 1 of a protocol that is never retried"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg, rules := s.config(0), s.rules(0)
			if tt.cfg != nil {
				tt.cfg(&cfg)
			}
			if tt.rules != nil {
				tt.rules(&rules)
			}
			m, err := protocols.NewRound(cfg, rules)
			require.ErrorContains(t, err, tt.want)
			require.Nil(t, m)
		})
	}
	_, err := protocols.NewRound(protocols.Config{}, protocols.Rules[vector]{})
	require.ErrorContains(t, err, "no journal")
	require.ErrorContains(t, err, "rules without Decode", "all of it at once")
	_, err = s.machine(0).Step(protocols.Message{})
	require.ErrorContains(t, err, "Step before Start")
}
