package study

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/nereid-mhe/nereid/protocols"
)

var errKilled = errors.New("killed")

// A fuse kills one incarnation of a party: at its n-th operation on anything that
// is not its own memory, before or after that takes place. From then on nothing
// that the party does has an effect.
type fuse struct {
	mu     sync.Mutex
	left   int
	after  bool
	blown  bool
	cancel context.CancelFunc
	count  int
	where  string
	disk   sync.RWMutex // held by those who write to the journal
}

// do is one operation.
func (f *fuse) do(what string, op func() error) error {
	f.mu.Lock()
	if f.blown {
		f.mu.Unlock()
		return errKilled
	}
	f.count++
	f.left--
	last := f.left == 0
	if last {
		f.where = what
		f.blown = !f.after
	}
	f.mu.Unlock()
	if last && !f.after {
		f.cancel()
		return errKilled
	}
	err := op()
	if last {
		f.mu.Lock()
		f.blown = true
		f.mu.Unlock()
		f.cancel()
		return errKilled
	}
	return err
}

// A wire is a network between parties that restart. What a party was given to send
// it keeps until it forgets or dies; what it received dies with it.
type wire struct {
	mu   sync.Mutex
	wake *sync.Cond
	ends []*wireEnd // of living parties
	sent map[string][32]byte
	bad  []string // messages that were not what they had been

	early func(protocols.Message) bool // sent before its time
}

type wireEnd struct {
	w      *wire
	self   protocols.PartyID
	fuse   *fuse
	kept   map[[32]byte]map[protocols.PartyID][][]byte // by round and receiver
	open   map[[32]byte]*wireLine
	closed map[[32]byte]bool
	stages uint64
	heard  func(protocols.PartyID, uint64)
}

type wireLine struct {
	end  *wireEnd
	key  [32]byte
	box  [][]byte
	sent int64
}

func newWire(parties int) *wire {
	w := &wire{ends: make([]*wireEnd, parties), sent: map[string][32]byte{}, early: func(protocols.Message) bool { return false }}
	w.wake = sync.NewCond(&w.mu)
	return w
}

func (w *wire) join(self protocols.PartyID, f *fuse) *wireEnd {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := &wireEnd{
		w: w, self: self, fuse: f, kept: map[[32]byte]map[protocols.PartyID][][]byte{},
		open: map[[32]byte]*wireLine{}, closed: map[[32]byte]bool{}, heard: func(protocols.PartyID, uint64) {},
	}
	w.ends[self] = e
	return e
}

// Reach tells the neighbours in a chain, so that what others know has to be passed on.
func (e *wireEnd) Reach(stages uint64) {
	e.w.mu.Lock()
	e.stages = max(e.stages, stages)
	stages = e.stages
	var tell []func(protocols.PartyID, uint64)
	for _, o := range e.w.ends {
		if o != nil && (o.self == e.self+1 || o.self+1 == e.self) {
			tell = append(tell, o.heard)
		}
	}
	e.w.mu.Unlock()
	for _, heard := range tell {
		heard(e.self, stages)
	}
}

// attach gives a party's node what its neighbours say, from now on and so far.
func (e *wireEnd) attach(n *Node) {
	e.w.mu.Lock()
	e.heard = n.Reached
	var said []*wireEnd
	for _, o := range e.w.ends {
		if o != nil && (o.self == e.self+1 || o.self+1 == e.self) {
			said = append(said, &wireEnd{self: o.self, stages: o.stages})
		}
	}
	e.w.mu.Unlock()
	for _, o := range said {
		n.Reached(o.self, o.stages)
	}
}

func (e *wireEnd) Line(p protocols.Point) Line {
	e.w.mu.Lock()
	defer e.w.mu.Unlock()
	l := &wireLine{end: e, key: p.Hash()}
	e.open[l.key] = l
	for _, o := range e.w.ends {
		if o != nil && o != e {
			l.box = append(l.box, o.kept[l.key][e.self]...)
		}
	}
	return l
}

func (e *wireEnd) Forget(closed func(protocols.Point) bool) {
	e.w.mu.Lock()
	defer e.w.mu.Unlock()
	for key := range e.kept {
		for _, bodies := range e.kept[key] {
			if m, err := protocols.DecodeMessage(bodies[0], math.MaxInt); err == nil && closed(m.Point) {
				delete(e.kept, key)
				e.closed[key] = true
			}
			break
		}
	}
}

func (l *wireLine) Sent() int64 { return l.sent }

func (l *wireLine) Send(ctx context.Context, m protocols.Message) error {
	return l.end.fuse.do("send "+m.Leg.String()+" of "+m.Point.Protocol, func() error {
		b, err := m.AppendBinary(nil)
		if err != nil {
			return err
		}
		w := l.end.w
		w.mu.Lock()
		defer w.mu.Unlock()
		name := fmt.Sprintf("%d to %d, %v of %v", m.From, m.To, m.Leg, m.Point)
		sum := sha256.Sum256(b)
		if old, ok := w.sent[name]; ok && old != sum {
			w.bad = append(w.bad, name)
		}
		w.sent[name] = sum
		if w.early(m) {
			w.bad = append(w.bad, name+", before the stage before was durable")
		}
		if l.end.kept[l.key] == nil {
			l.end.kept[l.key] = map[protocols.PartyID][][]byte{}
		}
		l.end.kept[l.key][m.To] = append(l.end.kept[l.key][m.To], b)
		if to := w.ends[m.To]; to != nil && !to.closed[l.key] && to.open[l.key] != nil {
			to.open[l.key].box = append(to.open[l.key].box, b)
			w.wake.Broadcast()
		}
		return ctx.Err()
	})
}

func (l *wireLine) Receive(ctx context.Context) (m protocols.Message, err error) {
	w := l.end.w
	stop := context.AfterFunc(ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.wake.Broadcast()
	})
	defer stop()
	w.mu.Lock()
	for len(l.box) == 0 && ctx.Err() == nil {
		w.wake.Wait()
	}
	if err := ctx.Err(); err != nil {
		w.mu.Unlock()
		return m, err
	}
	b := l.box[0]
	l.box = l.box[1:]
	w.mu.Unlock()
	err = l.end.fuse.do("receive", func() error {
		m, err = protocols.DecodeMessage(b, 1<<26)
		return err
	})
	return m, err
}

// A fusedJournal is a journal that remembers, beyond the party's death, what it gave.
type fusedJournal struct {
	*protocols.FileJournal
	fuse *fuse
	c    *cluster
	self protocols.PartyID
}

func (j *fusedJournal) Share(l protocols.Label, gen func() ([]byte, error)) ([]byte, error) {
	var b []byte
	err := j.share(l, func() (_ []byte, err error) {
		b, err = j.FileJournal.Share(l, gen)
		return b, err
	})
	return b, err
}

func (j *fusedJournal) Derive(l protocols.Label, gen func() (protocols.Payload, error)) (protocols.Payload, error) {
	var p protocols.Payload
	err := j.share(l, func() (_ []byte, err error) {
		p, err = j.FileJournal.Derive(l, gen)
		return p.Body(), err
	})
	return p, err
}

func (j *fusedJournal) share(l protocols.Label, do func() ([]byte, error)) error {
	return j.fuse.do("journal "+l.Point.Protocol, func() error {
		j.fuse.disk.RLock()
		defer j.fuse.disk.RUnlock()
		b, err := do()
		if err == nil {
			j.c.note(j.self, l, b)
		}
		return err
	})
}

func (j *fusedJournal) Forget(l ...protocols.Label) error {
	return j.fuse.do("forget", func() error { return j.FileJournal.Forget(l...) })
}

type fusedStore struct {
	*FileStore
	fuse *fuse
	c    *cluster
	self protocols.PartyID
}

func (s *fusedStore) Put(name string, value ...[]byte) error {
	return s.fuse.do("put "+name, func() error {
		err := s.FileStore.Put(name, value...)
		if err == nil && name == nodeName {
			err = s.c.noteDone(s.self, slices.Concat(value...))
		}
		if err == nil && name == nodeName && s.c.stored != nil {
			s.fuse.disk.Lock() // a copy of a journal that is being written is worth nothing
			defer s.fuse.disk.Unlock()
			s.c.stored(s.self)
		}
		return err
	})
}

func (s *fusedStore) Delete(name string) error {
	return s.fuse.do("delete "+name, func() error { return s.FileStore.Delete(name) })
}
