package study

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/nn"
	"github.com/nereid-mhe/nereid/protocols"
)

// A recorder keeps every share that a party makes, by label.
type recorder struct {
	protocols.Journal
	mu     sync.Mutex
	shares map[[32]byte][]byte
	labels map[[32]byte]protocols.Label
	made   func(protocols.Label)
}

func (r *recorder) Share(l protocols.Label, gen func() ([]byte, error)) ([]byte, error) {
	b, err := r.Journal.Share(l, gen)
	r.note(l, b, err)
	return b, err
}

func (r *recorder) Derive(l protocols.Label, gen func() (protocols.Payload, error)) (protocols.Payload, error) {
	p, err := r.Journal.Derive(l, gen)
	r.note(l, p.Body(), err)
	return p, err
}

func (r *recorder) note(l protocols.Label, b []byte, err error) {
	if err != nil {
		return
	}
	r.mu.Lock()
	r.shares[l.Hash()], r.labels[l.Hash()] = bytes.Clone(b), l
	r.mu.Unlock()
	r.made(l)
}

// runRecorded runs a study with recorders for journals, as RunNetwork does.
func runRecorded(ctx context.Context, t *testing.T, c NetworkConfig, table dataset.Table, made func(protocols.Label)) (*NetworkSimulation, []*recorder, NetworkReport, error) {
	t.Helper()
	s, err := PrepareNetwork(context.Background(), c, table, dataset.Table{})
	require.NoError(t, err)
	require.NoError(t, s.runTwin(ctx))
	require.NoError(t, s.makeParties(slog.New(slog.DiscardHandler)))
	var journals []*recorder
	for _, p := range s.parties {
		r := &recorder{Journal: p.journal, shares: map[[32]byte][]byte{}, labels: map[[32]byte]protocols.Label{}, made: made}
		p.journal = r
		journals = append(journals, r)
	}
	require.NoError(t, s.setUp(ctx))
	if err := s.train(ctx); err != nil {
		return s, journals, NetworkReport{}, err
	}
	r, err := s.report()
	return s, journals, r, err
}

// startCheckpoint writes the file of a study before its first step, so that several
// runs have the same secrets.
func startCheckpoint(t *testing.T, c NetworkConfig, table dataset.Table) {
	t.Helper()
	s, err := PrepareNetwork(context.Background(), c, table, dataset.Table{})
	require.NoError(t, err)
	require.NoError(t, s.makeParties(slog.New(slog.DiscardHandler)))
	require.NoError(t, s.save(0, nn.State{}, 0, 0))
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(to, b, 0o600))
}

func same(t *testing.T, a, b [][]mhe.Tensor) {
	t.Helper()
	require.Len(t, b, len(a))
	for i := range a {
		require.Len(t, b[i], len(a[i]))
		for k := range a[i] {
			require.Equal(t, a[i][k].Polys(), b[i][k].Polys())
			require.Zero(t, a[i][k].Scale().Cmp(b[i][k].Scale()))
		}
	}
}

// A run that is stopped within its third step and goes on ends with the same model,
// bit for bit, as one that is not, and makes the same shares for the same labels.
func TestResumeIsBitIdentical(t *testing.T) {
	dir := t.TempDir()
	c, table := toyNetwork(t, 2)
	c.Cores = 1 // the twin adds up in the order in which parties finish
	whole, stopped := c, c
	whole.Checkpoint, stopped.Checkpoint = filepath.Join(dir, "whole"), filepath.Join(dir, "stopped")
	startCheckpoint(t, whole, table)
	copyFile(t, whole.Checkpoint, stopped.Checkpoint)

	ignore := func(protocols.Label) {}
	want, wantShares, wantReport, err := runRecorded(t.Context(), t, whole, table, ignore)
	require.NoError(t, err)

	ctx, cancel := context.WithCancel(t.Context())
	var once sync.Once
	_, before, _, err := runRecorded(ctx, t, stopped, table, func(l protocols.Label) {
		if l.Point.Step == 2 && l.Point.Protocol == "gradient" {
			once.Do(cancel)
		}
	})
	require.ErrorIs(t, err, context.Canceled)
	info, err := os.Stat(stopped.Checkpoint)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	saved, _, err := openCheckpoint(stopped.Checkpoint)
	require.NoError(t, err)
	require.Equal(t, 2, saved.Step)

	got, after, report, err := runRecorded(t.Context(), t, stopped, table, ignore)
	require.NoError(t, err)
	require.Equal(t, want.trained, got.trained)
	same(t, want.state.W, got.state.W)
	same(t, want.state.V, got.state.V)
	require.Equal(t, want.parties[1].chain, got.parties[1].chain)
	require.Positive(t, report.Seconds.IterationParty)
	report.Seconds, wantReport.Seconds = NetworkSeconds{}, NetworkSeconds{}
	require.Equal(t, wantReport, report)

	again := 0
	for i := range want.parties {
		for h, b := range before[i].shares {
			l := before[i].labels[h]
			require.Equal(t, wantShares[i].shares[h], b, "party %d, %v before the stop", i, l)
			if l.Point.Step == 2 {
				require.Equal(t, b, after[i].shares[h], "party %d, %v", i, l)
				again++
			}
		}
		for h, b := range after[i].shares {
			require.Equal(t, wantShares[i].shares[h], b, "party %d, %v after the stop", i, after[i].labels[h])
		}
		require.Less(t, len(after[i].shares), len(wantShares[i].shares), "steps done were run again")
	}
	require.Positive(t, again, "the stop came before the third step")
}

// A finished study is not run again, with or without momentum.
func TestResumeAtTheEnd(t *testing.T) {
	for _, o := range []nn.Optimiser{{Rate: 0.2}, {Rate: 0.2, Momentum: 0.5, Nesterov: true}} {
		c, table := toyNetwork(t, 2)
		c.Cores, c.Steps, c.Optimiser = 1, 2, o
		c.Checkpoint = filepath.Join(t.TempDir(), "file")
		first, err := RunNetwork(t.Context(), c, table, dataset.Table{}, nil, nil)
		require.NoError(t, err)
		was, err := os.ReadFile(c.Checkpoint)
		require.NoError(t, err)
		require.Contains(t, string(was), "SECRET: this file holds the secret seeds of ALL parties")
		second, err := RunNetwork(t.Context(), c, table, dataset.Table{}, nil, func(p Progress) {
			require.False(t, p.Phase == "train" && p.Step < 2, "%+v", p)
		})
		require.NoError(t, err)
		first.Seconds, second.Seconds = NetworkSeconds{}, NetworkSeconds{}
		require.Equal(t, first, second)
		is, err := os.ReadFile(c.Checkpoint)
		require.NoError(t, err)
		require.Equal(t, was, is)
	}
}

// A file that does not fit is refused before keys are made, by name, and stays as it
// is.
func TestCheckpointRefuses(t *testing.T) {
	c, table := toyNetwork(t, 2)
	c.Steps = 1
	c.Checkpoint = filepath.Join(t.TempDir(), "file")
	_, err := RunNetwork(t.Context(), c, table, dataset.Table{}, nil, nil)
	require.NoError(t, err)
	good, err := os.ReadFile(c.Checkpoint)
	require.NoError(t, err)
	other, err := dataset.Synthetic(dataset.SyntheticConfig{Rows: 100, Features: 6, Seed: 9})
	require.NoError(t, err)
	flipped := bytes.Clone(good)
	flipped[len(flipped)/2] ^= 1

	for _, tt := range []struct {
		name   string
		file   []byte
		change func(*NetworkConfig)
		table  dataset.Table
		want   string
	}{
		{"other rate", good, func(c *NetworkConfig) { c.Optimiser.Rate = 0.1 }, table, "is of another study: it has another network, training or parameters"},
		{"more steps", good, func(c *NetworkConfig) { c.Steps = 2 }, table, "another network, training or parameters"},
		{"other data", good, nil, other, "is of another study: it has other data"},
		{"other fan-out", good, func(c *NetworkConfig) { c.Fanout = 2 }, table, "other settings"},
		{"other name", good, func(c *NetworkConfig) { c.Name = "x" }, table, "other settings"},
		{"cut short", good[:len(good)-100], nil, table, "cannot be used: damaged: it is cut short or was changed"},
		{"cut to the header", good[:len(checkpointHeader)+3], nil, table, "cannot be used: damaged: it is cut short"},
		{"changed", flipped, nil, table, "cannot be used: damaged"},
		{"empty", nil, nil, table, "no checkpoint of this version"},
		{"another kind of file", []byte("a,b,c\n1,2,3\n"), nil, table, "no checkpoint of this version"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := c
			d.Checkpoint = filepath.Join(t.TempDir(), "file")
			require.NoError(t, os.WriteFile(d.Checkpoint, tt.file, 0o600))
			if tt.change != nil {
				tt.change(&d)
			}
			_, err := PrepareNetwork(context.Background(), d, tt.table, dataset.Table{})
			var refused *CheckpointError
			require.ErrorAs(t, err, &refused)
			require.ErrorContains(t, err, d.Checkpoint)
			require.ErrorContains(t, err, tt.want)
			require.Contains(t, refused.Remedy, "name another file")
			is, err := os.ReadFile(d.Checkpoint)
			require.NoError(t, err)
			require.True(t, bytes.Equal(tt.file, is), "the file was changed")
		})
	}

	d := c // somebody else's file appears after the start
	d.Checkpoint = filepath.Join(t.TempDir(), "file")
	_, err = RunNetwork(t.Context(), d, table, dataset.Table{}, nil, func(p Progress) {
		if p.Phase == "train" && p.Step == 0 {
			require.NoError(t, os.WriteFile(d.Checkpoint, []byte("mine"), 0o600))
		}
	})
	var meanwhile *CheckpointError
	require.ErrorAs(t, err, &meanwhile)
	is, err := os.ReadFile(d.Checkpoint)
	require.NoError(t, err)
	require.Equal(t, "mine", string(is))

	for _, path := range []string{t.TempDir(), filepath.Join(t.TempDir(), "no", "file")} {
		d := c
		d.Checkpoint = path
		_, err := PrepareNetwork(context.Background(), d, table, dataset.Table{})
		var refused *CheckpointError
		require.ErrorAs(t, err, &refused)
		require.True(t, strings.HasPrefix(refused.Remedy, "name a file"), refused.Remedy)
	}
}

// A learning rate that makes the clear twin diverge is refused with one that works,
// before keys are made and without a checkpoint.
func TestDivergingRate(t *testing.T) {
	c, table := toyNetwork(t, 2)
	c.Checkpoint = filepath.Join(t.TempDir(), "file")
	c.Optimiser.Rate = 6
	_, err := RunNetwork(t.Context(), c, table, dataset.Table{}, nil, func(p Progress) { require.NotEqual(t, "setup", p.Phase) })
	var works *RateError
	require.ErrorAs(t, err, &works)
	require.ErrorIs(t, err, nn.ErrModel)
	require.Less(t, works.Rate, 6.0)
	require.NoFileExists(t, c.Checkpoint)

	c.Checkpoint, c.Optimiser.Rate = "", works.Rate
	s, err := PrepareNetwork(context.Background(), c, table, dataset.Table{})
	require.NoError(t, err)
	require.NoError(t, s.runTwin(t.Context()))

	c.Gain, c.Optimiser.Rate = 1e6, 6 // no rate helps
	_, err = RunNetwork(t.Context(), c, table, dataset.Table{}, nil, nil)
	require.ErrorIs(t, err, nn.ErrModel)
	require.False(t, strings.Contains(err.Error(), "works"), err)
}

// What a run left that was killed while it wrote its checkpoint holds all secrets
// too: it goes when the checkpoint is opened, whether or not there is one, and
// nothing else does.
func TestLeftoversOfCheckpointsAreRemoved(t *testing.T) {
	c, table := toyNetwork(t, 2)
	prepare := func(checkpoint string) error {
		c.Checkpoint = checkpoint
		_, err := PrepareNetwork(context.Background(), c, table, dataset.Table{})
		return err
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	names := func() (all []string) {
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		for _, e := range entries {
			all = append(all, e.Name())
		}
		return all
	}
	write := func(name, content string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	leave := func() {
		write(".file.ABCDEFGH", checkpointHeader+"the rest is missing")
		write(".file.ZYXW2345", checkpointHeader[:20])
		write(".file.AAAAAAAA", "")
	}
	others := []string{".file.ABCDEFG", ".file.ABCDEFG1", ".file.BCDEFGHI", ".other.ABCDEFGH", "file.ABCDEFGH"}
	for _, name := range others {
		write(name, checkpointHeader)
	}
	write(".file.BCDEFGHI", "not of a checkpoint")
	require.NoError(t, os.Mkdir(filepath.Join(dir, ".file.DIRECTOR"), 0o700))
	others = append(others, ".file.DIRECTOR")

	leave()
	require.NoError(t, prepare(path))
	require.ElementsMatch(t, others, names(), "without a checkpoint")

	c.Checkpoint = path
	startCheckpoint(t, c, table)
	leave()
	require.NoError(t, prepare(path))
	require.ElementsMatch(t, append(slices.Clone(others), "file"), names(), "with a checkpoint")

	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(path, link))
	leave()
	require.NoError(t, prepare(link))
	require.ElementsMatch(t, append(slices.Clone(others), "file"), names(), "behind a link")

	leave() // what is no checkpoint is somebody's, and so may be what is beside it
	write("file", "a,b,c\n")
	require.Error(t, prepare(path))
	require.FileExists(t, filepath.Join(dir, ".file.ABCDEFGH"))
}
