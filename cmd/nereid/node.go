package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nereid-mhe/nereid/dataset"
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
never put an older copy in its place. The node runs until it is stopped, because other
parties may need it after its own last step.`

const nodeExample = `  nereid node --lock plan.lock --identity north.identity --data north.csv --dir /var/lib/nereid
  nereid node --lock plan.lock --identity leaf.identity --passphrase-file /run/secrets/passphrase \
      --data leaf.csv --dir state`

// A locked is the flags that say which study and as whom.
type locked struct {
	signer
	lock string
}

func (o *locked) bind(f *pflag.FlagSet) {
	f.StringVar(&o.lock, "lock", "plan.lock", "`FILE` of the lock that all parties signed")
	o.signer.bind(f)
}

// read returns identity, lock, and what the lock means. Compiling the terms takes
// seconds.
func (o *locked) read(c *cobra.Command) (l lockedStudy, err error) {
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

// compile adds file and terms.
func (l *lockedStudy) compile(ctx context.Context) (err error) {
	l.file, l.terms, err = studyfile.Locked(ctx, l.lock)
	return err
}

func newNode() *cobra.Command {
	var o locked
	var data, dir, listen string
	var p printing
	cores := 0
	c := &cobra.Command{
		Use: "node", Short: "Run a party of a locked study on this host", Long: nodeLong, Example: nodeExample, Args: noArgs,
	}
	groups := []group{
		{"Study", flagSet(o.bind)},
		{"Party", flagSet(func(f *pflag.FlagSet) {
			f.StringVar(&data, "data", "", "`FILE` with this party's rows, as the study describes them; required")
			f.StringVar(&dir, "dir", "", "`DIRECTORY` for journal and state, this party's own; required")
			f.StringVar(&listen, "listen", "", "`HOST:PORT` to open (default: the port of this party's address in the lock, on all interfaces)")
			f.IntVar(&cores, "cores", 0, "`N` cores to compute on; 0 for all")
		})},
		{"Output", flagSet(p.bindLog)},
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		switch {
		case data == "":
			return usageError("name the file with this party's rows", "--data is missing")
		case dir == "":
			return usageError("name a directory that outlives the process", "--dir is missing")
		case cores < 0:
			return usageError("give 1 or more, or 0 for all", "--cores %d", cores)
		}
		l, err := o.read(c)
		if err != nil {
			return err
		}
		if err := l.compile(c.Context()); err != nil {
			return err
		}
		columns := l.file.Columns()
		columns.Partial = true // of the classes
		table, _, err := dataset.ReadFile(data, columns)
		if err != nil {
			return unreadable(err, "--data")
		}
		cfg := node.Config{Identity: l.id, Lock: l.lock, Terms: l.terms, Table: table, Dir: dir, Listen: listen, Cores: cores}
		return p.show(c, func(log *slog.Logger, progress func(study.Progress)) error {
			cfg.Log, cfg.Progress = log, progress
			return serve(c.Context(), cfg)
		})
	}
	addFlags(c, groups)
	return c
}

// serve runs a node until it is told to stop, which is no failure of a node.
func serve(ctx context.Context, cfg node.Config) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	n, err := node.Open(cfg)
	if err != nil {
		return err
	}
	if a := n.Addr(); a != nil {
		cfg.Log.Info("listening", "address", a.String())
	}
	err = n.Run(ctx)
	return errors.Join(err, n.Close())
}

// stateOf names a file in a directory of a party.
func stateOf(dir, party, file string) string { return filepath.Join(dir, party, file) }

// partyNamed returns the number of a party of a lock.
func partyNamed(l roster.Lock, name string) (int, error) {
	var names []string
	for i, p := range l.Parties() {
		if p.Name == name {
			return i, nil
		}
		names = append(names, p.Name)
	}
	return 0, usageError(fmt.Sprintf("name one of %q", names), "the lock has no party %q", name)
}
