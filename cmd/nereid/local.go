package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/node"
	"github.com/nereid-mhe/nereid/protocols"
	"github.com/nereid-mhe/nereid/study"
	"github.com/nereid-mhe/nereid/studyfile"
)

const localLong = `Runs a study with every party in a process of its own on this machine: what "nereid node"
does on separate hosts, with identities, a lock that all have signed, mutual TLS over
loopback, journals and restarts. A process that dies is started again, after a pause; one
that dies again and again without getting any further ends the trial. When the model is
trained the querier asks for predictions of the rows that were kept back.

Everything is kept in --dir; the same command goes on from there after a stop. The
directory holds the keys of ALL parties: it is for trials.`

type local struct {
	study, dir string
	data       []string
	toy        bool
	cores      int
	printing
}

func newLocal() *cobra.Command {
	o := local{printing: defaultPrinting(), cores: 1}
	c := &cobra.Command{
		Use: "local", Short: "Run a study with every party in a process of its own on this machine", Long: localLong,
		Example: "  nereid local --study study.yaml --data table.csv --dir trial", Args: noArgs,
	}
	groups := []group{
		{"Study", flagSet(func(f *pflag.FlagSet) {
			f.StringVar(&o.study, "study", "", "study `FILE`; required for a new trial")
			f.StringSliceVar(&o.data, "data", nil, "`FILE` with rows, dealt to the parties as simulate does; required for a new trial")
			f.StringVar(&o.dir, "dir", "trial", "`DIRECTORY` of the trial")
			f.IntVar(&o.cores, "cores", o.cores, "`N` cores for each party")
			f.BoolVar(&o.toy, "insecure", false, "NO SECURITY AT ALL: a toy ring that runs in seconds, to try the command out")
		})},
		{"Output", flagSet(o.bind)},
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		out := output{o.output, c.OutOrStdout()}
		if err := errors.Join(o.check(c.Flags()), out.check()); err != nil {
			return err
		}
		if o.cores < 1 {
			return usageError("give 1 or more", "--cores %d", o.cores)
		}
		t, err := o.trial(c)
		if err != nil {
			return err
		}
		var r localReport
		d := newDisplay(c.ErrOrStderr(), o.quiet)
		r, err = o.run(c.Context(), t, d)
		d.stop()
		if err != nil {
			return err
		}
		if o.format == "json" {
			return printReport(c, o.format, r, nil)
		}
		return printReport(c, o.format, r, func(p *page) { r.write(p) })
	}
	addFlags(c, groups)
	return c
}

// trial opens the trial in the directory, or makes one.
func (o *local) trial(c *cobra.Command) (*node.Trial, error) {
	t, err := node.OpenTrial(o.dir)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return t, err
	}
	switch {
	case o.study == "":
		return nil, usageError(`name a study file, such as "nereid init" writes, or the --dir of an earlier trial`, "--study is missing, and %s holds no trial", o.dir)
	case len(o.data) == 0:
		return nil, usageError("name a file with rows for the parties", "--data is missing")
	}
	f, err := readStudy(o.study)
	if err != nil {
		return nil, err
	}
	in := input{data: o.data}
	table, _, err := in.read(f)
	if err != nil {
		return nil, err
	}
	s := f.Simulate
	if s == nil {
		s = studyfile.NewSimulate()
	}
	train, test, err := dataset.Split(table, s.TestFraction, f.Training.Seed)
	if err != nil {
		return nil, err
	}
	if most := f.Opening.Rows(); test.Rows() > most { // no more than the policy allows
		test.X, test.Y = test.X[:most], test.Y[:most]
	}
	parties := f.Parties.Count
	if n := len(f.Parties.Roster); n > 0 {
		parties = n
	}
	tables, err := dataset.Divide(train, parties, dataset.Partition(s.Partition), f.Training.Seed)
	if err != nil {
		return nil, err
	}
	compiling(c, f)
	return node.NewTrial(c.Context(), o.dir, ringOf(o.toy), f, node.TrialData{Parties: tables, Querier: test})
}

// run starts all parties, waits for the model, and asks for predictions.
func (o *local) run(ctx context.Context, t *node.Trial, d display) (r localReport, err error) {
	_, terms, err := studyfile.Locked(ctx, ringOf(o.toy), t.Lock)
	if err != nil {
		return r, misfit(t.LockFile(), err, o.toy)
	}
	ctx, stop := context.WithCancel(ctx)
	var restarts atomic.Int64
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	failed := make(chan error, len(t.Lock.Parties()))
	for _, p := range t.Lock.Parties() {
		wg.Go(func() {
			if err := o.keepAlive(ctx, t, p.Name, &restarts); err != nil {
				failed <- err
				stop()
			}
		})
	}
	id, err := t.Querier()
	if err != nil {
		return r, err
	}
	r, err = o.follow(ctx, t, terms, node.Client{Identity: id, Lock: t.Lock}, d)
	r.Restarts = restarts.Load()
	select {
	case first := <-failed: // which has ended ctx
		return r, first
	default:
		return r, err
	}
}

// follow waits for the model, asks for predictions, and compares the models.
func (o *local) follow(ctx context.Context, t *node.Trial, terms study.Terms, client node.Client, d display) (r localReport, err error) {
	start := time.Now()
	if _, err := o.await(ctx, client, d); err != nil {
		return r, err
	}
	r.Seconds.Training = time.Since(start).Seconds()
	start = time.Now()
	if err := o.predict(ctx, t, terms, client, d, &r); err != nil {
		return r, err
	}
	r.Seconds.Predict = time.Since(start).Seconds()
	if r.Nodes, err = o.await(ctx, client, d); err != nil { // a party may have been killed again
		return r, err
	}
	r.Insecure, r.Depth, r.Links = o.toy, terms.Tree().Depth(), treeLinks(terms.Tree(), r.Nodes)
	r.Study, r.Parties, r.Model = t.Lock.Fingerprint().String(), len(r.Nodes), r.Nodes[0].Model
	for _, n := range r.Nodes {
		if n.Model != r.Model {
			return r, fmt.Errorf("%s has another model than %s", n.Party, r.Nodes[0].Party)
		}
	}
	return r, nil
}

// keepAlive runs the process of a party until ctx ends, again whenever it dies.
func (o *local) keepAlive(ctx context.Context, t *node.Trial, name string, restarts *atomic.Int64) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(t.Dir, name, "log.jsonl"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() // by the process itself, which has written
	args := []string{
		"node", "--lock", t.LockFile(), "--identity", t.IdentityFile(name), "--key-file", t.KeyFile(),
		"--data", t.RowsFile(name), "--dir", t.StateDir(name), "--cores", fmt.Sprint(o.cores), "--log-level", "info", "--attached",
	}
	if o.toy {
		args = append(args, "--insecure")
	}
	if err := vacate(ctx, t.StateDir(name)); err != nil {
		return err
	}
	var p patience
	for ctx.Err() == nil {
		start := time.Now()
		c := exec.CommandContext(ctx, self, args...)
		c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
		c.WaitDelay = 10 * time.Second
		c.Stderr = log
		if _, err := c.StdinPipe(); err != nil { // ends with this process, whatever ends that
			return err
		}
		err := c.Run()
		var exit *exec.ExitError
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil, errors.As(err, &exit) && (!exit.Exited() || exit.ExitCode() == exitInterrupted): // stopped or killed
			if err := p.revive(ctx, name, t.StateDir(name), log.Name(), time.Since(start), ended(c)); err != nil {
				return err
			}
			restarts.Add(1)
		default:
			return fmt.Errorf("the process of %s ended: %w; its log is %s", name, err, log.Name())
		}
	}
	return nil
}

// ended says how a process ended, such as by a signal.
func ended(c *exec.Cmd) error { return errors.New(c.ProcessState.String()) }

// vacate waits until no process of an earlier run has a party's journal open: it may
// have been killed a moment ago, and its parties are ending.
func vacate(ctx context.Context, dir string) error {
	file := node.JournalFile(dir)
	for start := time.Now(); ; {
		j, err := protocols.OpenJournal(file)
		switch {
		case err == nil:
			return j.Close()
		case errors.Is(err, fs.ErrNotExist): // there was no earlier run
			return nil
		case !errors.Is(err, protocols.ErrInUse), ctx.Err() != nil:
			return err
		case time.Since(start) > 10*time.Second:
			return usageError("stop the other process of this trial", "%w", err)
		}
	}
}

// await waits until all parties have the trained model, and returns what they say
// then. It shows how far the root is: the others are a message behind it or ahead.
func (o *local) await(ctx context.Context, client node.Client, d display) ([]node.Status, error) {
	all := make([]node.Status, len(client.Lock.Parties()))
	var shown study.Progress
	for i := range all {
		for !all[i].Trained {
			wait, cancel := context.WithTimeout(ctx, 5*time.Second)
			s, err := client.Status(wait, protocols.PartyID(i))
			cancel()
			if err == nil {
				all[i] = s
			}
			if i == 0 && err == nil && (s.Phase != shown.Phase || s.Step != shown.Step) {
				shown = study.Progress{Phase: s.Phase, Step: s.Step, Steps: s.Steps, Elapsed: time.Duration(s.Elapsed * float64(time.Second))}
				d.update(shown)
			}
			if all[i].Trained {
				break
			}
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(300 * time.Millisecond):
			}
		}
	}
	return all, nil
}

// predict asks for the outputs of the querier's rows and scores them.
func (o *local) predict(ctx context.Context, t *node.Trial, terms study.Terms, client node.Client, d display, r *localReport) error {
	rows, err := t.QuerierRows()
	if err != nil {
		return err
	}
	r.Steps = terms.Steps()
	z, err := client.Predict(ctx, terms, studyfile.QuerierSeed(client.Identity, t.Lock.Invitation()), rows.X, func(done int) {
		d.update(study.Progress{Phase: "predict", Step: done, Steps: rows.Rows()})
	})
	if err != nil {
		return err
	}
	if r.Twin, err = compareTwin(ctx, t, terms, rows, z); err != nil {
		return err
	}
	right, square := 0.0, 0.0
	for i, out := range z {
		square += (out[0] - rows.Y[i]) * (out[0] - rows.Y[i])
		if terms.Class(out) == int(rows.Y[i]) {
			right++
		}
	}
	n := float64(len(z))
	r.Predicted = len(z)
	if right /= n; t.File.Data.Target == "number" {
		square = math.Sqrt(square / n)
		r.RMSE = &square
	} else {
		r.Accuracy = &right
	}
	return nil
}
