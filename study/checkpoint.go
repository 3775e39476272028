package study

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/big"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/internal/files"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/nn"
	"github.com/nereid-mhe/nereid/params"
	"github.com/nereid-mhe/nereid/protocols"
)

// checkpointHeader starts the file of a checkpoint: people who open it read it.
const checkpointHeader = `nereid simulation checkpoint v1
SECRET: this file holds the secret seeds of ALL parties of a simulated study. Whoever
reads it can open every ciphertext of that study. Only a simulation in one process can
write such a file; parties on separate hosts keep their seeds to themselves. Do not
share it, and remove it when it is of no more use.

`

// A CheckpointError reports that a simulation cannot go on from its checkpoint, or
// cannot write it. The file is as it was.
type CheckpointError struct {
	File    string
	Problem string
	Remedy  string
	Err     error // of the operating system; may be nil
}

func (e *CheckpointError) Error() string {
	msg := fmt.Sprintf("study: checkpoint %s: %s", e.File, e.Problem)
	if e.Err != nil {
		msg += ": " + e.Err.Error()
	}
	return msg
}

func (e *CheckpointError) Unwrap() error { return e.Err }

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

// A digest is 32 bytes, in JSON as hexadecimal.
type digest [32]byte

// MarshalText implements [encoding.TextMarshaler].
func (d digest) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%x", d[:]), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (d *digest) UnmarshalText(b []byte) error {
	if len(b) != hex.EncodedLen(len(d)) {
		return fmt.Errorf("a digest of %d characters", len(b))
	}
	_, err := hex.Decode(d[:], b)
	return err
}

// MarshalJSON implements [json.Marshaler].
func (l netLap) MarshalJSON() ([]byte, error) {
	return json.Marshal([]time.Duration{l.local, l.refresh, l.combine, l.reduce})
}

// UnmarshalJSON implements [json.Unmarshaler].
func (l *netLap) UnmarshalJSON(b []byte) error {
	var d [4]time.Duration
	err := json.Unmarshal(b, &d)
	l.local, l.refresh, l.combine, l.reduce = d[0], d[1], d[2], d[3]
	return err
}

// encode writes the checkpoint: header, fields with their lengths in front, and a
// SHA-256 of it all.
func (c *checkpoint) encode(w io.Writer, set params.Set) error {
	h := sha256.New()
	out := bufio.NewWriterSize(io.MultiWriter(w, h), 1<<20)
	field := func(b []byte) {
		_, _ = out.Write(binary.BigEndian.AppendUint64(nil, uint64(len(b)))) // Flush returns errors
		_, _ = out.Write(b)
	}
	_, _ = out.WriteString(checkpointHeader)
	meta, err := json.Marshal(c.checkpointMeta)
	if err != nil {
		return err
	}
	field(meta)
	var secret []byte
	for _, s := range c.seeds {
		b := s.Reveal()
		secret = append(secret, b[:]...)
	}
	field(secret)
	for _, ts := range append(append([][]mhe.Tensor{}, c.state.W...), c.state.V...) {
		for _, t := range ts {
			scale, err := t.Scale().GobEncode()
			if err != nil {
				return err
			}
			share, err := t.Share()
			if err != nil {
				return err
			}
			b, err := mhe.CipherShape(set, t.Level()).Encode(share)
			if err != nil {
				return err
			}
			field(scale)
			field(b)
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	_, err = w.Write(h.Sum(nil))
	return err
}

// decodeCheckpoint reads what encode wrote, but for the state.
func decodeCheckpoint(b []byte) (*checkpoint, error) {
	body, ok := bytes.CutPrefix(b, []byte(checkpointHeader))
	if !ok {
		return nil, errors.New("it is no checkpoint of this version")
	}
	n := len(b) - sha256.Size
	if len(body) < sha256.Size {
		return nil, fmt.Errorf("%w: it is cut short", ErrDamaged)
	}
	if sum := sha256.Sum256(b[:n]); !bytes.Equal(sum[:], b[n:]) {
		return nil, fmt.Errorf("%w: it is cut short or was changed", ErrDamaged)
	}
	meta, body, err := cutField(body[:len(body)-sha256.Size])
	if err != nil {
		return nil, err
	}
	c := &checkpoint{}
	if err := json.Unmarshal(meta, &c.checkpointMeta); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	secret, rest, err := cutField(body)
	if err != nil {
		return nil, err
	}
	for ; len(secret) >= 32; secret = secret[32:] {
		c.seeds = append(c.seeds, protocols.NewSeed([32]byte(secret[:32])))
	}
	c.rest = rest
	return c, nil
}

func cutField(b []byte) (field, rest []byte, err error) {
	if len(b) < 8 {
		return nil, nil, fmt.Errorf("%w: a field is missing", ErrDamaged)
	}
	n := binary.BigEndian.Uint64(b)
	if b = b[8:]; n > uint64(len(b)) {
		return nil, nil, fmt.Errorf("%w: a field of %d bytes, %d are left", ErrDamaged, n, len(b))
	}
	return b[:n], b[n:], nil
}

// readTensors reads ciphertexts of the given levels from the rest of a checkpoint.
func (s *NetworkSimulation) readTensors(c *checkpoint, levels [][]int) ([][]mhe.Tensor, error) {
	out := make([][]mhe.Tensor, len(levels))
	for i, cts := range levels {
		for _, level := range cts {
			if level < 0 || level > s.set.MaxLevel() {
				return nil, fmt.Errorf("%w: a ciphertext of level %d, at most %d is possible", ErrDamaged, level, s.set.MaxLevel())
			}
			scale, rest, err := cutField(c.rest)
			if err != nil {
				return nil, err
			}
			encoded, rest, err := cutField(rest)
			if err != nil {
				return nil, err
			}
			f := new(big.Float)
			if err := f.GobDecode(scale); err != nil || f.Sign() <= 0 || f.IsInf() {
				return nil, fmt.Errorf("%w: the scale of a ciphertext", ErrDamaged)
			}
			share, err := mhe.CipherShape(s.set, level).Decode(encoded)
			if err != nil {
				return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
			}
			out[i] = append(out[i], mhe.NewEncrypted(share[0], share[1], f))
			c.rest = rest
		}
	}
	return out, nil
}

// tensorLevels returns the levels of ciphertexts by parameter.
func tensorLevels(ts [][]mhe.Tensor) [][]int {
	out := make([][]int, len(ts))
	for i := range ts {
		for _, t := range ts[i] {
			out[i] = append(out[i], t.Level())
		}
	}
	return out
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
// it: floating point may differ in the last bit, and shares must not.
func (c NetworkConfig) settingsHash() digest {
	return sha256.Sum256(fmt.Appendf(nil, "nereid/simulation-settings/v1 %q %d %q %d %x %d %t %t %x %x %t %d %s",
		c.Name, c.Fanout, c.Partition, c.Seed, c.Clip, c.Flooding, c.Quantum, c.Insecure, c.Unit, c.Floor, c.Regression, c.Predict, runtime.GOARCH))
}

// openCheckpoint reads the file of a checkpoint and returns it with the beacon of
// its study. If there is none it returns nil and a new beacon, and an error if none
// could be written. It removes what a run left that was killed while it wrote.
func openCheckpoint(path string) (*checkpoint, digest, error) {
	var fresh digest
	_, _ = rand.Read(fresh[:]) // does not fail
	if path == "" {
		return nil, fresh, nil
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := removeLeftovers(path); err != nil {
			return nil, fresh, err
		}
		return nil, fresh, checkWritable(path)
	}
	if err != nil {
		return nil, fresh, &CheckpointError{path, "cannot be read", "name a file that can be read and written, in a directory that exists", err}
	}
	c, err := decodeCheckpoint(b)
	if err != nil {
		return nil, fresh, &CheckpointError{path, "cannot be used: " + err.Error(), otherFile, nil}
	}
	return c, c.Beacon, removeLeftovers(path)
}

const otherFile = "name another file to start anew, or remove this one"

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
		if p.chain != s.parties[0].chain {
			return fmt.Errorf("study: after step %d party %d has other weights than party 0", steps, p.id)
		}
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

// write replaces the file of a checkpoint by another, all of it or nothing. Only
// its owner may read it.
func (c *checkpoint) write(path string, set params.Set) error {
	path = behindLinks(path)
	f, err := files.Temp(path, 0o600)
	if err != nil {
		return &CheckpointError{path, "cannot be written", "name a file in a directory that exists and is writable", err}
	}
	err = c.encode(f, set)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(f.Name()))
		return &CheckpointError{path, "cannot be written", "make room on the disk, and run the study again to go on", err}
	}
	if err := files.SyncDir(filepath.Dir(path)); err != nil {
		return &CheckpointError{path, "may not survive a crash", "keep it on a local disk", err}
	}
	return nil
}

// behindLinks returns the file that a path leads to: a link stays, its target is
// replaced.
func behindLinks(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return path
}

// tempLetters is how many random letters end the name of a file of [files.Temp].
const tempLetters = 8

// removeLeftovers removes the temporary files of runs that were killed while they
// wrote the checkpoint: they hold the same secrets. Only files that a write began
// are removed. A run that is writing this very moment, which nobody should start a
// second time, reports that it could not.
func removeLeftovers(path string) error {
	dir, base := filepath.Split(behindLinks(path))
	entries, err := os.ReadDir(cmp.Or(dir, "."))
	if err != nil {
		return nil // what can neither be listed nor written is found by checkWritable
	}
	for _, e := range entries {
		letters, ok := strings.CutPrefix(e.Name(), "."+base+".")
		if !ok || len(letters) != tempLetters || strings.Trim(letters, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") != "" || !e.Type().IsRegular() {
			continue
		}
		file := filepath.Join(dir, e.Name())
		if !beginsAsCheckpoint(file) {
			continue
		}
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return &CheckpointError{path, "has a copy that a run left which was killed, with the same secrets, and it cannot be removed", "remove " + file, err}
		}
	}
	return nil
}

// beginsAsCheckpoint reports whether a file is a checkpoint as far as it goes.
func beginsAsCheckpoint(file string) bool {
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, int64(len(checkpointHeader))))
	return err == nil && strings.HasPrefix(checkpointHeader, string(b))
}

// checkWritable reports whether a checkpoint can be written later. It leaves no
// trace.
func checkWritable(path string) error {
	f, err := files.Temp(path, 0o600)
	if err == nil {
		err = errors.Join(f.Close(), os.Remove(f.Name()))
	}
	if err != nil {
		return &CheckpointError{path, "cannot be written", "name a file in a directory that exists and is writable", err}
	}
	return nil
}

// seedOf returns the secret seed of a party, or of the querier, who comes after the
// last one: that of the checkpoint, or a new one.
func (r *resumable) seedOf(i int) protocols.Seed {
	for len(r.seeds) <= i {
		r.seeds = append(r.seeds, protocols.GenerateSeed())
	}
	return r.seeds[i]
}
