package main

import (
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nereid-mhe/nereid/node"
	"github.com/nereid-mhe/nereid/protocols/transport"
	"github.com/nereid-mhe/nereid/roster"
	"github.com/nereid-mhe/nereid/study"
	"github.com/nereid-mhe/nereid/studyfile"
)

const commLong = `Prints who connects to whom in a locked study: what firewalls must let through, and the
bytes to expect. A connection is made once, from dialler to listener, over TCP with
mutual TLS, and carries messages in both directions. A party with an address opens that
one port; a party without one opens none. A querier dials the root.

Bytes are of messages and follow from the crypto plan, which is compiled: for a network
that may take a minute. Nobody needs to have signed the lock.`

// A connection is one that a study makes: a contract.
type connection struct {
	Dialler  string `json:"dialler"`
	Listener string `json:"listener"`
	Address  string `json:"address"`
	Use      string `json:"use"` // "tree", "rounds" of other roots than the tree's, "predictions", or "no messages"

	// Bytes from dialler to listener and back; null where the plan has no figure.
	Setup struct {
		Out *int64 `json:"out"`
		In  *int64 `json:"in"`
	} `json:"setup_bytes"`
	Step struct {
		Out *int64 `json:"out"`
		In  *int64 `json:"in"`
	} `json:"step_bytes"`
}

// A commReport is what nereid comm prints: a contract.
type commReport struct {
	Study       string       `json:"study"`
	Party       string       `json:"party,omitempty"` // whose connections they are; empty for all
	Steps       int          `json:"steps"`
	StepBytes   int64        `json:"step_bytes_party"` // sent in a step by the party that sends most
	Connections []connection `json:"connections"`
}

func newComm() *cobra.Command {
	var party, format string
	var toy bool
	c := &cobra.Command{
		Use: "comm [LOCK]", Short: "Print who connects to whom, and how many bytes to expect", Long: commLong,
		Example: "  nereid comm plan.lock\n  nereid comm plan.lock --party south --format json",
		Args:    atMostOne,
	}
	groups := []group{
		{"Study", flagSet(func(f *pflag.FlagSet) {
			f.StringVar(&party, "party", "", "`NAME` of a party or querier whose connections to print (default: all)")
			f.BoolVar(&toy, "insecure", false, "the lock is of a toy ring with NO SECURITY AT ALL")
		})},
		{"Output", flagSet(func(f *pflag.FlagSet) { bindFormat(f, &format) })},
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		path := "plan.lock"
		if len(args) == 1 {
			path = args[0]
		}
		lock, _, err := load(path, roster.ParseLock)
		if err != nil {
			return err
		}
		if party != "" {
			if err := member(lock, party); err != nil {
				return err
			}
		}
		if err := compilingOf(c, lock.Invitation()); err != nil {
			return err
		}
		_, terms, err := studyfile.Locked(c.Context(), ringOf(toy), lock)
		if err != nil {
			return mismatch(path, err, "do not use this lock: ask the founder")
		}
		r, err := connections(lock, terms, party)
		if err != nil {
			return err
		}
		return printReport(c, format, r, r.write)
	}
	addFlags(c, groups)
	return c
}

// member refuses a name that is of no party and no querier.
func member(l roster.Lock, name string) error {
	if _, err := (lockedStudy{lock: l}).party(name); err != nil {
		for _, q := range l.Queriers() {
			if q.Name == name {
				return nil
			}
		}
		return err
	}
	return nil
}

// connections lists the connections of a study, or those of one party.
func connections(l roster.Lock, terms study.Terms, party string) (commReport, error) {
	tree, parties, needs := l.Tree(), l.Parties(), terms.Needs()
	routes, err := transport.NewRoutes(tree, node.Peers(l))
	if err != nil {
		return commReport{}, err
	}
	r := commReport{Study: l.Fingerprint().String(), Party: party, Steps: terms.Steps(), StepBytes: needs.Step, Connections: []connection{}}
	add := func(c connection) {
		if party == "" || party == c.Dialler || party == c.Listener {
			r.Connections = append(r.Connections, c)
		}
	}
	for _, k := range routes.Connections() {
		c := connection{Dialler: parties[k.Dialer].Name, Listener: parties[k.Listener].Name, Address: k.Address, Use: "rounds"}
		up, isChild := tree.Parent(k.Dialer)
		down, isParent := tree.Parent(k.Listener)
		child, parent := isChild && up == k.Listener, isParent && down == k.Dialer
		out, in := needs.StepUp, needs.StepDown
		if parent {
			out, in = in, out
		}
		switch {
		case child || parent:
			c.Use = "tree"
			c.Setup.Out, c.Setup.In = &needs.Setup, &needs.Setup
			if out > 0 {
				c.Step.Out, c.Step.In = &out, &in
			}
		default:
			c.Setup.Out, c.Setup.In = new(int64), new(int64)
			if needs.StepUp > 0 { // of a regression, whose rounds have one root
				c.Use = "no messages"
				c.Step.Out, c.Step.In = new(int64), new(int64)
			}
		}
		add(c)
	}
	if root := parties[tree.Root()]; root.Address != "" {
		for _, q := range l.Queriers() {
			add(connection{Dialler: q.Name, Listener: root.Name, Address: root.Address, Use: "predictions"})
		}
	}
	return r, nil
}

func (r commReport) write(t *page) {
	title := "CONNECTIONS (TCP, mutual TLS; bytes of messages, out: from the dialler)"
	if r.Party != "" {
		title = fmt.Sprintf("CONNECTIONS OF %s (TCP, mutual TLS; bytes of messages)", r.Party)
	}
	t.line("%s", title)
	for _, c := range r.Connections {
		direction := ""
		switch r.Party {
		case c.Dialler:
			direction = "outbound: "
		case c.Listener:
			direction = "inbound: "
		}
		t.line("\n  %s%s dials %s at %s, for %s", direction, c.Dialler, c.Listener, c.Address, c.Use)
		if c.Use == "tree" {
			t.fact("  setup", fmt.Sprintf("%s out, %s in", size(*c.Setup.Out), size(*c.Setup.In)))
		}
		if c.Use == "tree" && c.Step.Out != nil {
			t.fact("  step", fmt.Sprintf("%s out, %s in", size(*c.Step.Out), size(*c.Step.In)))
		}
	}
	t.line("")
	t.fact("steps", fmt.Sprintf("%d, in each of which no party sends more than about %s", r.Steps, size(r.StepBytes)))
}
