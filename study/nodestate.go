package study

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/protocols"
)

// ErrResume is wrapped by errors about a node whose state is not that of the study
// it is started for.
var ErrResume = errors.New("cannot go on with the state of an earlier run")

// ErrRolledBack is wrapped by errors about a node whose state, or a part of it, is an
// older copy of itself.
var ErrRolledBack = errors.New("the state is an older copy of itself")

// Names of values in the store.
const (
	nodeName   = "node"
	ledgerName = "ledger-" // and its unit
)

func outputName(stage int) string { return fmt.Sprintf("output-%08d", stage) }
func requestName(part int) string { return fmt.Sprintf("request-%08d", part) }

func answerName(request [32]byte) string { return fmt.Sprintf("answer-%x", request) }

// A nodeState says of which study the store is, and how far the node has come.
type nodeState struct {
	Version int    `json:"version"`
	Study   digest `json:"study"`
	Rows    digest `json:"rows"`    // of the table and the seed; see mark
	Journal digest `json:"journal"` // what the journal was given when the study began
	Done    int    `json:"done"`    // stages
	Points  int    `json:"points"`  // bound in the journal, at least
}

const nodeVersion = 1

// open checks that the state, if there is one, is of this study, these rows, this
// seed and this journal, and makes one otherwise.
func (n *Node) open() error {
	journal, err := n.journalMark()
	if err != nil {
		return err
	}
	fresh := nodeState{Version: nodeVersion, Study: digest(n.study), Rows: n.mark(), Journal: journal}
	has, err := n.state()
	if errors.Is(err, fs.ErrNotExist) {
		return n.putState(fresh)
	}
	if err != nil {
		return err
	}
	for _, d := range []struct {
		what   string
		differ bool
	}{
		{"it was written by another version of the program", has.Version != fresh.Version},
		{"it is of another study: start this one in another directory", has.Study != fresh.Study},
		{"the rows or the secret seed are not those with which the study began: go on with these, or start a new study", has.Rows != fresh.Rows},
		{"the journal is not the one with which the study began: bring it back; if it is lost, the study needs to start again with a new beacon", has.Journal != fresh.Journal},
		{"it has more stages than the study", has.Done < 0 || has.Done > n.trained()+n.layout+n.queries},
	} {
		if d.differ {
			return fmt.Errorf("study: party %d: %w: %s", n.id, ErrResume, d.what)
		}
	}
	n.stages, n.highest = uint64(has.Done), uint64(has.Done)
	points, err := n.cfg.Journal.Len()
	if err == nil && points < has.Points {
		err = fmt.Errorf("study: party %d: %w: the journal has %d points, and had %d when the last stage ended: %s", n.id, ErrRolledBack, points, has.Points, newestCopy)
	}
	return err
}

const newestCopy = "put the newest copy of journal and store back, both of the same moment; if it is lost, the study needs to start again with a new lock"

// Reached takes what a peer says of how many stages somebody has done. Nobody can be
// more than one stage ahead of this node: should that be so, its state is an older copy
// of itself, and [Node.Run] ends with an error wrapping [ErrRolledBack].
func (n *Node) Reached(peer protocols.PartyID, stages uint64) {
	n.mu.Lock()
	last, own, news := uint64(n.trained()+n.layout+n.queries), n.stages, stages > n.highest
	switch {
	case stages > last: // of no study like this: it says nothing about the node
		news = false
		n.cfg.Log.Warn("a peer says that more stages are done than there are", "peer", peer, "stages", stages, "of", last)
	case stages > own+1:
		news = false
		n.stopOlder(fmt.Errorf("study: party %d: %w: %d stages are done here and %d elsewhere, says party %d, and nobody can be more than one ahead: %s", n.id, ErrRolledBack, own, stages, peer, newestCopy))
	case news:
		n.highest = stages
	}
	n.mu.Unlock()
	if news {
		n.cfg.Transport.Reach(stages)
	}
}

// stopOlder ends the node for a reason. The mutex is held.
func (n *Node) stopOlder(err error) {
	if n.older != nil {
		return
	}
	if n.older = err; n.cancel != nil {
		n.cancel(err)
	}
}

// journalMark returns what the journal was given when the study began, and gives it
// something random if it has nothing: a new journal has another mark.
func (n *Node) journalMark() (mark digest, err error) {
	b, err := n.cfg.Journal.Share(protocols.Label{Point: n.point("journal", 0, "")}, func() ([]byte, error) {
		var fresh [32]byte
		_, _ = rand.Read(fresh[:]) // does not fail
		return fresh[:], nil
	})
	if err != nil {
		return mark, err
	}
	return sha256.Sum256(b), nil
}

// mark identifies the rows. It is made with the seed, so that whoever finds it
// cannot try rows, and so that another seed is noticed.
func (n *Node) mark() digest {
	h := dataHash([]dataset.Table{n.table}, dataset.Table{})
	l := protocols.Label{Point: n.point("rows", 0, ""), Digest: h}
	var b [32]byte
	_, _ = l.Private(n.cfg.Seed).Read(b[:]) // never fails
	return b
}

func (n *Node) state() (s nodeState, err error) {
	b, err := n.cfg.Store.Get(nodeName)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, fmt.Errorf("study: party %d: state: %w: %w", n.id, ErrDamaged, err)
	}
	return s, nil
}

func (n *Node) putState(s nodeState) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return n.cfg.Store.Put(nodeName, b)
}

// done returns the number of stages with durable outputs.
func (n *Node) done() (int, error) {
	s, err := n.state()
	return s.Done, err
}

func (n *Node) putDone(stages int) error {
	s, err := n.state()
	if err != nil {
		return err
	}
	if s.Points, err = n.cfg.Journal.Len(); err != nil {
		return err
	}
	s.Done = stages
	return n.putState(s)
}

// A storedLabel is a label of the study. All members take part in every round.
type storedLabel struct {
	Protocol string `json:"p"`
	Step     uint64 `json:"s"`
	Place    string `json:"l"`
	Digest   digest `json:"d"`
}

// encodeLabels returns what is stored in front of an output: the labels of its stage.
func (n *Node) encodeLabels(used []protocols.Label) ([]byte, error) {
	labels := make([]storedLabel, len(used))
	for i, l := range used {
		labels[i] = storedLabel{l.Point.Protocol, l.Point.Step, l.Point.Place, digest(l.Digest)}
	}
	b, err := json.Marshal(labels)
	if err != nil {
		return nil, err
	}
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...), nil
}

// output returns the stored output of a stage and the labels of its shares.
func (n *Node) output(stage int) (out []byte, used []protocols.Label, err error) {
	b, err := n.cfg.Store.Get(outputName(stage))
	if err != nil {
		return nil, nil, err
	}
	c := cutter{b: b}
	head := c.next(c.number())
	var labels []storedLabel
	err = json.Unmarshal(head, &labels)
	if err != nil || c.short {
		return nil, nil, fmt.Errorf("study: party %d: output %d: %w: its labels", n.id, stage, ErrDamaged)
	}
	for _, l := range labels {
		used = append(used, protocols.Label{Point: n.point(l.Protocol, int(l.Step), l.Place), Digest: l.Digest})
	}
	return c.b, used, nil
}

// openLedger returns a ledger whose openings are in the store.
func (n *Node) openLedger(unit string, limits map[string]int) (*protocols.Ledger, error) {
	name := ledgerName + unit
	var past []protocols.Opening
	b, err := n.cfg.Store.Get(name)
	if err == nil {
		err = json.Unmarshal(b, &past)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("study: party %d: %s: %w", n.id, name, err)
	}
	return protocols.RestoreLedger(unit, limits, past, func(all []protocols.Opening) error {
		b, err := json.Marshal(all)
		if err != nil {
			return err
		}
		return n.cfg.Store.Put(name, b)
	})
}
