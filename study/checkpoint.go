package study

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/nn"
	"github.com/nereid-mhe/nereid/protocols"
)

// checkpointHeader starts the file of a checkpoint: people who open it read it.
const checkpointHeader = `nereid simulation checkpoint v1
SECRET: this file holds the secret seeds of ALL parties of a simulated study. Whoever
reads it can open every ciphertext of that study. Only a simulation in one process can
write such a file; parties on separate hosts keep their seeds to themselves. Do not
share it, and remove it when it is of no more use.

`

// A checkpoint is a simulation after a number of steps, and all that it takes to go
// on with the same keys. Secrets derive from the parties' seeds and labels, so that
// keys that are made again, and shares of a step that was interrupted, are the
// same bit for bit: a label never gets a second share.
//
// It is of a simulation, which holds all secrets anyway. A party on a host of its
// own has a journal instead, and no other party's seed.
type checkpoint struct {
	checkpointMeta
	seeds []protocols.Seed // of all parties and of the querier
	state nn.State         // zero before the first step
	rest  []byte           // of the file: the state, which needs parameters to be read
}

// resumable is what a simulation has for its checkpoint.
type resumable struct {
	saved    *checkpoint // nil for none
	written  bool        // the file is this run's own
	dataHash digest
	seeds    []protocols.Seed // of the parties that have one, and of the querier
}

// checkpointMeta is what is public in a checkpoint.
type checkpointMeta struct {
	Plan, Data, Settings digest // what the study must match
	Beacon, Study        digest
	Step                 int    // steps done
	Chain                digest // of the weights of all steps

	// For the report.
	Diffs        []float64
	Laps         [][]netLap
	Sent         []map[string]int64 // by party, without setup
	CPU, Elapsed time.Duration

	Weights, Momentum [][]int // levels of ciphertexts by parameter
}

// dataHash identifies the rows of all parties and of the test.
func dataHash(tables []dataset.Table, test dataset.Table) digest {
	h := sha256.New()
	var b []byte
	number := func(v uint64) { b = binary.BigEndian.AppendUint64(b, v) }
	for _, t := range append(append([]dataset.Table{}, tables...), test) {
		number(uint64(t.Rows()))
		number(uint64(t.Dim()))
		for i, row := range t.X {
			for _, v := range row {
				number(math.Float64bits(v))
			}
			number(math.Float64bits(t.Y[i]))
			_, _ = h.Write(b) // a hash never fails
			b = b[:0]
		}
	}
	_, _ = h.Write(b)
	return digest(h.Sum(nil))
}

// settingsHash identifies what the plan leaves open. The kind of processor is among
// it: nobody has run a whole study on two kinds.
func (c NetworkConfig) settingsHash() digest {
	return sha256.Sum256(fmt.Appendf(nil, "nereid/simulation-settings/v1 %q %d %q %d %x %d %t %t %x %x %t %d %s",
		c.Name, c.Fanout, c.Partition, c.Seed, c.Clip, c.Flooding, c.Quantum, c.Insecure, c.Unit, c.Floor, c.Regression, c.Predict, runtime.GOARCH))
}

// restore checks that the checkpoint, if there is one, is of this study, and reads
// its state.
func (s *NetworkSimulation) restore() error {
	path, c := s.config.Checkpoint, s.saved
	if path == "" {
		return nil
	}
	s.dataHash = dataHash(s.tables, s.testing)
	if c == nil {
		return nil
	}
	var differ []string
	for _, d := range []struct {
		what     string
		got, has digest
	}{
		{"another network, training or parameters", s.net.Hash(), c.Plan},
		{"other data", s.dataHash, c.Data},
		{"other settings, or another kind of processor", s.config.settingsHash(), c.Settings},
	} {
		if d.got != d.has {
			differ = append(differ, d.what)
		}
	}
	if len(differ) > 0 {
		return &CheckpointError{path, "is of another study: it has " + strings.Join(differ, "; "), "go on with the data and settings that it was made with, " + otherFile, nil}
	}
	if err := s.readState(c); err != nil {
		return &CheckpointError{path, "cannot be used: " + err.Error(), otherFile, nil}
	}
	s.seeds = c.seeds
	return nil
}

// readState reads the ciphertexts of a checkpoint of this study.
func (s *NetworkSimulation) readState(c *checkpoint) (err error) {
	n := s.net.Net
	if digest(s.study) != c.Study || len(c.seeds) != n.Parties+1 || c.Step < 0 || c.Step > n.Steps || len(c.Diffs) != c.Step || len(c.Laps) != c.Step || len(c.Sent) != n.Parties {
		return fmt.Errorf("%w: it contradicts itself", ErrDamaged)
	}
	if c.state.W, err = s.readTensors(c, c.Weights); err != nil {
		return err
	}
	if c.state.V, err = s.readTensors(c, c.Momentum); err != nil {
		return err
	}
	if len(c.rest) > 0 || c.Step > 0 && !c.fits(s.net) {
		return fmt.Errorf("%w: it has other ciphertexts than the plan", ErrDamaged)
	}
	return nil
}

// fits reports whether the state has the ciphertexts of a plan.
func (c *checkpoint) fits(p *nn.NetworkPlan) bool {
	if len(c.state.W) != len(p.Parameters) || len(c.state.V) != len(p.Parameters) {
		return false
	}
	for i, q := range p.Parameters {
		if len(c.state.W[i]) != q.Count || len(c.state.V[i]) != q.Count && c.state.V[i] != nil {
			return false
		}
	}
	return true
}

// resume puts parties and report where the checkpoint has them, and returns the
// state, the number of steps done and the time they took.
func (s *NetworkSimulation) resume() (nn.State, int, time.Duration, error) {
	c := s.saved
	if c == nil || c.Step == 0 {
		st, err := s.net.Initial(s.parties[0].enc)
		return st, 0, 0, err
	}
	for i, p := range s.parties {
		p.chain = c.Chain
		for phase, bytes := range c.Sent[i] {
			p.sent[phase] += bytes
		}
	}
	s.diffs, s.laps, s.cpu = c.Diffs, c.Laps, c.CPU
	var err error
	s.trained, err = s.reveal(c.state)
	return c.state, c.Step, c.Elapsed, err
}

// save writes the checkpoint after a number of steps.
func (s *NetworkSimulation) save(steps int, st nn.State, elapsed, cpu time.Duration) error {
	if s.config.Checkpoint == "" {
		return nil
	}
	c := checkpoint{state: st, checkpointMeta: checkpointMeta{
		Plan: s.net.Hash(), Data: s.dataHash, Settings: s.config.settingsHash(), Beacon: digest(s.beacon), Study: digest(s.study),
		Step: steps, Chain: s.parties[0].chain, Diffs: s.diffs, Laps: s.laps, Elapsed: elapsed, CPU: cpu,
		Weights: tensorLevels(st.W), Momentum: tensorLevels(st.V),
	}}
	for _, p := range s.parties {
		sent := map[string]int64{}
		for phase, bytes := range p.sent {
			if phase != phaseSetup { // which is run again
				sent[phase] = bytes
			}
		}
		c.Sent, c.seeds = append(c.Sent, sent), append(c.seeds, p.seed)
	}
	c.seeds = append(c.seeds, s.seedOf(len(s.parties)))
	if _, err := os.Stat(s.config.Checkpoint); err == nil && s.saved == nil && !s.written {
		return &CheckpointError{s.config.Checkpoint, "was written by another run meanwhile", "name another file", nil}
	}
	s.written = true
	return c.write(s.config.Checkpoint, s.set)
}

// seedOf returns the secret seed of a party, or of the querier, who comes after the
// last one: that of the checkpoint, or a new one.
func (r *resumable) seedOf(i int) protocols.Seed {
	for len(r.seeds) <= i {
		r.seeds = append(r.seeds, protocols.GenerateSeed())
	}
	return r.seeds[i]
}
