package node

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"time"

	"github.com/nereid-mhe/nereid/protocols"
	"github.com/nereid-mhe/nereid/study"
)

// Status is how a node is, for people and programs that watch it. Nothing in it is
// secret: the parties and queriers of the study may all read it. Times are seconds.
type Status struct {
	Study   string   `json:"study"` // the lock's fingerprint
	Party   string   `json:"party"`
	Phase   string   `json:"phase"`   // setup, train or predict
	Step    int      `json:"step"`    // done in the phase
	Steps   int      `json:"steps"`   // of the phase
	Stage   string   `json:"stage"`   // what it does; empty when nothing is left to do
	Elapsed float64  `json:"elapsed"` // of the phase, since this process began it
	ETA     *float64 `json:"eta"`     // of the phase; null while unknown
	Waiting []string `json:"waiting"` // parties whose messages it needs to go on
	Trained bool     `json:"trained"`
	Model   string   `json:"model"` // digest of the encrypted weights: equal at all parties after the same step

	Compute map[string]float64 `json:"compute"` // by phase, since the process began
	Sent    map[string]int64   `json:"sent"`    // the same of bytes
	Opened  []Account          `json:"opened"`  // by querier
	Peers   []Peer             `json:"peers"`

	Strangers int       `json:"strangers"` // refusals of connections that are of no party
	Journal   int64     `json:"journal"`   // bytes of the journal's file
	Time      time.Time `json:"time"`      // by the node's clock
}

// An Account is what a querier has had, of what the policy allows.
type Account struct {
	Querier string `json:"querier"`
	Rows    int    `json:"rows"`
	Limit   int    `json:"limit"`
}

// A Peer is a connection of a node.
type Peer struct {
	Name      string  `json:"name"`
	Connected bool    `json:"connected"`
	Connects  int     `json:"connects"`
	In        int64   `json:"in"` // bytes on the wire
	Out       int64   `json:"out"`
	Silent    float64 `json:"silent"`            // since something last came or went; -1 for never
	Expires   string  `json:"expires,omitempty"` // the end of its certificate
	Refused   int     `json:"refused"`
	Problem   string  `json:"problem,omitempty"`
}

// Status returns how the node is.
func (n *Node) Status() Status {
	parties := n.cfg.Lock.Parties()
	name := func(id protocols.PartyID) string { return parties[id].Name }
	var from study.Status
	if party := n.party.Load(); party != nil {
		from = party.Status()
	}
	s := Status{
		Study: n.cfg.Lock.Fingerprint().String(), Party: name(n.self),
		Phase: from.Phase, Step: from.Step, Steps: from.Steps, Stage: from.Stage, Elapsed: from.Elapsed.Seconds(),
		Waiting: []string{}, Trained: from.Trained, Model: hex.EncodeToString(from.Model[:]),
		Compute: map[string]float64{}, Sent: from.Sent, Opened: []Account{}, Peers: []Peer{},
	}
	if from.Step > 0 && from.Stage != "" && from.Phase != "predict" { // queries come when they come
		eta := s.Elapsed / float64(from.Step) * float64(from.Steps-from.Step)
		s.ETA = &eta
	}
	for _, p := range from.Waiting {
		s.Waiting = append(s.Waiting, name(p))
	}
	for phase, d := range from.Compute {
		s.Compute[phase] = d.Seconds()
	}
	for _, a := range from.Rows {
		s.Opened = append(s.Opened, Account{a.Querier, a.Spent, a.Limit})
	}
	now := time.Now()
	s.Time = now.UTC()
	if info, err := os.Stat(filepath.Join(n.cfg.Dir, journalFile)); err == nil {
		s.Journal = info.Size()
	}
	endpoint := n.net.Load()
	if endpoint == nil {
		return s
	}
	stats := endpoint.Stats()
	s.Strangers = stats.Strangers.Refused
	for _, p := range stats.Peers {
		peer := Peer{Name: p.Name, Connected: p.Connected, Connects: p.Connects, In: p.BytesIn, Out: p.BytesOut, Silent: -1, Refused: p.Refused}
		if !p.Progress.IsZero() {
			peer.Silent = now.Sub(p.Progress).Seconds()
		}
		if !p.Expires.IsZero() {
			peer.Expires = p.Expires.UTC().Format(time.RFC3339)
		}
		if p.Problem != nil {
			peer.Problem = p.Problem.Error()
		}
		s.Peers = append(s.Peers, peer)
	}
	return s
}

// report is the status as it travels.
func (n *Node) report() []byte {
	b, err := json.Marshal(n.Status())
	if err != nil { // of a struct of numbers and strings
		return []byte("{}")
	}
	return b
}
