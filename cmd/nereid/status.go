package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nereid-mhe/nereid/identity"
	"github.com/nereid-mhe/nereid/node"
	"github.com/nereid-mhe/nereid/protocols"
	"github.com/nereid-mhe/nereid/protocols/transport"
)

const statusLong = `Asks the nodes of a study how they are, over mutual TLS: phase, step, time left, for whom
they wait, bytes, connections, openings. Any party and any querier of the lock may ask
every party that has an address. Of a node that does not answer within a few seconds it
says why, and what to do about it.`

// A nodeStatus is what a node says, or why it does not.
type nodeStatus struct {
	Party   string       `json:"party"`
	Address string       `json:"address"`
	Node    *node.Status `json:"node"` // null for a node that is silent
	Error   string       `json:"error,omitempty"`
	Remedy  string       `json:"remedy,omitempty"`
}

func newStatus() *cobra.Command {
	return statusCommand(&cobra.Command{
		Use: "status [PARTY...]", Short: "Ask nodes how far they are and for whom they wait", Long: statusLong,
		Example: "  nereid status --identity north.identity\n  nereid status south --identity lab.identity --format json\n  nereid status --identity lab.identity --watch",
	}, false)
}

func newWatch() *cobra.Command {
	return statusCommand(&cobra.Command{
		Use: "watch [PARTY...]", Short: `Ask nodes again and again: "nereid status --watch"`, Long: statusLong,
		Example: "  nereid watch --identity north.identity",
	}, true)
}

// statusCommand completes a command that asks for statuses: once, or until it is
// interrupted.
func statusCommand(c *cobra.Command, watching bool) *cobra.Command {
	var o participant
	var format string
	wait := 5 * time.Second
	c.Args = cobra.ArbitraryArgs
	groups := []group{
		{"Study", flagSet(o.bind)},
		{"Output", flagSet(func(f *pflag.FlagSet) {
			bindFormat(f, &format)
			f.DurationVar(&wait, "wait", wait, "`TIME` to wait for an answer")
			if watching {
				return // that is what the command is for
			}
			f.BoolVar(&watching, "watch", false, "ask again every 2 s until interrupted: reports on a terminal, otherwise one JSON line for every change")
		})},
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		l, err := o.read(c)
		if err != nil {
			return err
		}
		var ids []int
		for _, name := range args {
			id, err := l.party(name)
			if err != nil {
				return err
			}
			ids = append(ids, id)
		}
		if len(args) == 0 {
			for i, p := range l.lock.Parties() {
				if p.Address != "" {
					ids = append(ids, i)
				}
			}
		}
		ask := func(ctx context.Context) []nodeStatus {
			return l.ask(ctx, node.Client{Identity: l.id, Lock: l.lock}, ids, wait)
		}
		if watching {
			return watch(c.Context(), c.OutOrStdout(), format, ask)
		}
		all := ask(c.Context())
		return printReport(c, format, all, func(t *page) { writeStatus(t, all) })
	}
	addFlags(c, groups)
	return c
}

// ask asks parties for their status, all at once.
func (l lockedStudy) ask(ctx context.Context, client node.Client, ids []int, wait time.Duration) []nodeStatus {
	all := make([]nodeStatus, len(ids))
	var wg sync.WaitGroup
	for k, id := range ids {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, wait)
			defer cancel()
			p := l.lock.Parties()[id]
			all[k].Party, all[k].Address = p.Name, p.Address
			if p.Address == "" {
				all[k].Error, all[k].Remedy = "it has no address and opens no port", "ask its neighbours, which it connects to"
				return
			}
			s, err := client.Status(ctx, protocols.PartyID(id))
			if err != nil {
				all[k].Error, all[k].Remedy = silence(err)
				return
			}
			all[k].Node = &s
		})
	}
	wg.Wait()
	return all
}

// silence says why there is no status, and what to do about it.
func silence(err error) (problem, remedy string) {
	var silent *transport.UnreachableError
	var refused *transport.PeerError
	switch {
	case errors.As(err, &silent):
		return silent.Problem(), silent.Remedy()
	case errors.As(err, &refused):
		return refused.Err.Error(), refused.Remedy()
	}
	return err.Error(), "have the same version of the program at both ends"
}

// party returns the number of a party.
func (l lockedStudy) party(name string) (int, error) {
	for i, p := range l.lock.Parties() {
		if p.Name == name {
			return i, nil
		}
	}
	return 0, usageError("name one of "+names(l.lock.Parties()), "the lock has no party %q", name)
}

// names lists members of a lock.
func names(members []identity.Request) string {
	var all []string
	for _, m := range members {
		all = append(all, m.Name)
	}
	return strings.Join(all, ", ")
}

func writeStatus(t *page, all []nodeStatus) {
	for _, s := range all {
		t.heading(s.Party)
		if s.Node == nil {
			t.fact("silent", strings.TrimPrefix(s.Address+": "+s.Error, ": "))
			t.fact("remedy", s.Remedy)
			continue
		}
		n := s.Node
		at := fmt.Sprintf("%s, %d of %d", n.Phase, n.Step, n.Steps)
		if n.Stage != "" {
			at += ", in " + n.Stage
		}
		if n.ETA != nil {
			at += fmt.Sprintf(", %s left", seconds(*n.ETA))
		}
		t.fact("phase", at)
		if len(n.Waiting) > 0 {
			t.fact("waits for", strings.Join(n.Waiting, ", "))
		}
		t.fact("model", fmt.Sprintf("%.16s", n.Model))
		for _, a := range n.Opened {
			t.fact("opened", fmt.Sprintf("%d of %d rows to %s", a.Rows, a.Limit, a.Querier))
		}
		for _, p := range n.Peers {
			t.fact(p.Name, peerLine(p))
		}
	}
}

func peerLine(p node.Peer) string {
	line := "connected"
	if !p.Connected {
		line = "not connected"
	}
	line += fmt.Sprintf(", %s in, %s out", size(p.In), size(p.Out))
	if p.Connects > 1 {
		line += fmt.Sprintf(", %s", count(p.Connects-1, "reconnection"))
	}
	if p.Refused > 0 {
		line += fmt.Sprintf(", refused %s", count(p.Refused, "time"))
	}
	if p.Problem != "" {
		line += ": " + p.Problem
	}
	return line
}
