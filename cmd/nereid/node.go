package main

import (
	"context"
	"errors"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/identity"
	"github.com/nereid-mhe/nereid/node"
	"github.com/nereid-mhe/nereid/roster"
	"github.com/nereid-mhe/nereid/study"
	"github.com/nereid-mhe/nereid/studyfile"
)

const nodeLong = `Runs this party of a locked study on its host: makes keys with the others, standardises,
trains, and helps to answer the querier. Rows and secrets stay here; what leaves are
ciphertexts and shares, over mutual TLS with the keys of the lock.

A party with an address in the lock opens that one port; a party without one only dials.
The node refuses a lock that it did not sign itself, or that another party did not sign.

It may be stopped or killed at any moment, and goes on when it is started again with
the same lock, identity, rows and directory. The directory holds what it has promised:
never put an older copy in its place; a node that finds one ends with exit code 5. The
node runs until it is stopped, because other parties may need it after its own last step.

"nereid train" is the same command: training needs no other. It starts when the nodes of
all parties run, and a node that has trained goes on to predictions.`

const nodeExample = `  nereid node --lock plan.lock --identity north.identity --data north.csv --dir /var/lib/nereid
  nereid node --lock plan.lock --identity leaf.identity --passphrase-file /run/secrets/passphrase \
      --data leaf.csv --dir state`

// A participant is the flags that say which study and as whom.
type participant struct {
	signer
	lock string
	toy  bool
}

func (o *participant) bind(f *pflag.FlagSet) {
	f.StringVar(&o.lock, "lock", "plan.lock", "`FILE` of the lock that all parties signed")
	o.signer.bind(f)
	f.BoolVar(&o.toy, "insecure", false, "the lock is of a toy ring with NO SECURITY AT ALL")
}

// A lockedStudy is a lock that this identity may act under, and what it means.
type lockedStudy struct {
	lock  roster.Lock
	id    *identity.Identity
	file  studyfile.File
	terms study.Terms
}

// read opens lock and identity.
func (o *participant) read(c *cobra.Command) (l lockedStudy, err error) {
	if l.lock, _, err = load(o.lock, roster.ParseLock); err != nil {
		return l, err
	}
	if l.id, err = o.open(c); err != nil {
		return l, err
	}
	if err := l.lock.Admit(l.id); err != nil {
		return l, inFile(o.lock, err)
	}
	return l, nil
}

// compile adds file and terms, which takes seconds for a network.
func (o *participant) compile(ctx context.Context, l *lockedStudy) (err error) {
	l.file, l.terms, err = studyfile.Locked(ctx, ringOf(o.toy), l.lock)
	return inFile(o.lock, misfit(o.lock, err, o.toy))
}

// misfit gives the error about a lock with other terms than its study the remedy.
func misfit(path string, err error, toy bool) error {
	remedy := "do not use this lock: ask the founder, and have the same version of the program at all parties; a trial on the toy ring needs --insecure"
	if toy {
		remedy = "leave out --insecure, or ask the founder for the right lock"
	}
	return mismatch(path, err, remedy)
}

func ringOf(toy bool) studyfile.Ring {
	if toy {
		return studyfile.Toy
	}
	return studyfile.Secure
}

// A nodeRun is the flags of the command.
type nodeRun struct {
	participant
	printing
	data, dir, listen, metrics string
	attached                   bool
	cores                      int
}

func newNode() *cobra.Command {
	o := nodeRun{printing: defaultPrinting()}
	c := &cobra.Command{
		Use: "node", Aliases: []string{"train"}, Short: "Run a party of a locked study on this host", Long: nodeLong, Example: nodeExample, Args: noArgs,
	}
	groups := []group{
		{"Study", flagSet(o.participant.bind)},
		{"Party", flagSet(func(f *pflag.FlagSet) {
			f.StringVar(&o.data, "data", "", "`FILE` with this party's rows, as the study describes them; required")
			f.StringVar(&o.dir, "dir", "", "`DIRECTORY` for journal and state, this party's own; required")
			f.StringVar(&o.listen, "listen", "", "`HOST:PORT` to open (default: the port of this party's address in the lock, on all interfaces)")
			f.BoolVar(&o.attached, "attached", false, "stop when stdin ends: with the program that started the node, even if it is killed")
			f.IntVar(&o.cores, "cores", 0, "`N` cores to compute on; 0 for all")
			f.StringVar(&o.metrics, "metrics", "", "`PORT` of loopback, or HOST:PORT, to serve /metrics for Prometheus on")
		})},
		{"Output", flagSet(o.bindLog)},
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := o.check(c.Flags()); err != nil {
			return err
		}
		ctx, stop := context.WithCancel(c.Context())
		defer stop()
		if o.attached {
			go func() {
				_, _ = io.Copy(io.Discard, c.InOrStdin()) // an error is an end too
				stop()
			}()
		}
		cfg, err := o.config(ctx, c)
		if err != nil {
			return err
		}
		d := newDisplay(c.ErrOrStderr(), o.quiet)
		defer d.stop()
		cfg.Log, cfg.Progress = newLog(d, c.ErrOrStderr(), o.level), d.update
		return serve(ctx, cfg, o.metrics)
	}
	addFlags(c, groups)
	return c
}

// check refuses flags that cannot be, before anything is read, and completes the address
// of the metrics.
func (o *nodeRun) check(f *pflag.FlagSet) (err error) {
	switch {
	case o.data == "":
		return usageError("name the file with this party's rows", "--data is missing")
	case o.dir == "":
		return usageError("name a directory that outlives the process", "--dir is missing")
	case o.cores < 0:
		return usageError("give 1 or more, or 0 for all", "--cores %d", o.cores)
	}
	if err := o.printing.check(f); err != nil {
		return err
	}
	if o.metrics != "" {
		o.metrics, err = metricsAddress(o.metrics)
	}
	return err
}

// config reads what the node is started with.
func (o *nodeRun) config(ctx context.Context, c *cobra.Command) (node.Config, error) {
	l, err := o.read(c)
	if err != nil {
		return node.Config{}, err
	}
	if _, ok := l.lock.Party(l.id.Key()); !ok {
		return node.Config{}, usageError(`a querier asks with "nereid predict"`, "%v is no party of the study", l.id)
	}
	if err := o.compile(ctx, &l); err != nil {
		return node.Config{}, err
	}
	columns := l.file.Columns()
	columns.Partial = true // of the classes
	table, _, err := dataset.ReadFile(o.data, columns)
	if err != nil {
		return node.Config{}, unreadable(err, "--data")
	}
	return node.Config{Identity: l.id, Lock: l.lock, Terms: l.terms, Table: table, Dir: o.dir, Listen: o.listen, Cores: o.cores}, nil
}

// serve runs a node until it is told to stop, which is no failure of a node. It
// serves metrics if it is given an address for them.
func serve(ctx context.Context, cfg node.Config, metrics string) (err error) {
	n, err := node.Open(cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	if a := n.Addr(); a != nil {
		cfg.Log.Info("listening", "address", a.String())
	}
	if metrics != "" {
		stop, err := serveMetrics(metrics, node.Metrics(n.Status), cfg.Log)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, stop()) }()
	}
	return n.Run(ctx)
}
