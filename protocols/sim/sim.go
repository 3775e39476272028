package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/nereid-mhe/nereid/protocols"
)

// Faults are probabilities, from 0 to 1, with which a message is delivered twice,
// not at all, or with a bit flipped or the end cut off.
type Faults struct{ Duplicate, Drop, Corrupt float64 }

// Options say how messages are delivered. The zero Options are a network without
// faults in the order of seed 0.
type Options struct {
	Seed   uint64 // of the order of delivery and of the faults
	Faults Faults

	// Direct passes messages by reference instead of as bytes, for large runs.
	// It excludes corruption.
	Direct bool

	// MaxResends bounds how often all machines are asked to send again when
	// nothing is under way. Zero means 100.
	MaxResends int

	// MaxBody bounds the bodies that are decoded. Zero means 1 GiB.
	MaxBody int

	// Trace, if not nil, sees every message when it is sent.
	Trace func(protocols.Message)
}

// Run delivers messages between machines, of which number i is party i, until
// all are done and nothing is under way. When nothing is under way and somebody
// is not done, it calls Start of every machine again.
//
// Refused messages are listed in the report. Run returns the first error of a
// machine that is not a *[protocols.MessageError], with the party's number, and
// an error saying who waits for whom if MaxResends is used up. The report is
// valid in any case.
func Run(opts Options, machines ...protocols.Machine) (Report, error) {
	s := &simulation{
		opts:     opts,
		machines: machines,
		rng:      rand.New(rand.NewPCG(opts.Seed, 0)),
		clock:    make([]int, len(machines)),
		report:   newReport(len(machines)),
	}
	err := s.run()
	if err != nil {
		err = fmt.Errorf("sim: seed %d: %w", opts.Seed, err)
	}
	return s.report, err
}

// A simulation is one call of Run.
type simulation struct {
	opts     Options
	machines []protocols.Machine
	rng      *rand.Rand
	queue    []envelope
	clock    []int // by party: the depth of the deepest message it has seen
	report   Report
}

// An envelope is a message under way, as a value or as bytes. Its addresses stay
// whole when the message does not.
type envelope struct {
	from, to protocols.PartyID
	leg      protocols.Leg
	msg      protocols.Message
	raw      []byte // empty in direct mode and for messages to oneself
	size     int
	depth    int
}

func (s *simulation) run() error {
	if s.opts.Direct && s.opts.Faults.Corrupt > 0 {
		return errors.New("corruption needs encoded messages")
	}
	if s.opts.MaxResends == 0 {
		s.opts.MaxResends = 100
	}
	if s.opts.MaxBody == 0 {
		s.opts.MaxBody = 1 << 30
	}
	if err := s.start(); err != nil {
		return err
	}
	for {
		for len(s.queue) > 0 {
			if err := s.deliver(s.pick()); err != nil {
				return err
			}
		}
		waiting := s.waiting()
		if len(waiting) == 0 {
			return nil
		}
		if s.report.Resends == s.opts.MaxResends {
			return fmt.Errorf("no progress after sending again %d times: %s", s.report.Resends, strings.Join(waiting, ", "))
		}
		s.report.Resends++
		if err := s.start(); err != nil {
			return err
		}
	}
}

func (s *simulation) start() error {
	for p, m := range s.machines {
		out, err := m.Start()
		if err != nil {
			return fmt.Errorf("party %d: %w", p, err)
		}
		if err := s.send(p, out); err != nil {
			return err
		}
	}
	return nil
}

// send puts messages of party p under way, with their faults.
func (s *simulation) send(p int, out []protocols.Message) error {
	for _, msg := range out {
		if int(msg.To) >= len(s.machines) || int(msg.From) != p {
			return fmt.Errorf("party %d sends a message from %d to %d", p, msg.From, msg.To)
		}
		e := envelope{from: msg.From, to: msg.To, leg: msg.Leg, msg: msg, size: msg.Size(), depth: s.clock[p]}
		if msg.To == msg.From { // a reminder: no network, no faults
			s.queue = append(s.queue, e)
			continue
		}
		if s.opts.Trace != nil {
			s.opts.Trace(msg)
		}
		e.depth++
		count(s.report.Parties[p].Sent, msg.Leg, e.size)
		if !s.opts.Direct {
			var err error
			if e.raw, err = msg.AppendBinary(nil); err != nil {
				return fmt.Errorf("party %d: %w", p, err)
			}
		}
		s.post(e)
	}
	return nil
}

// post puts one message into the queue, once, twice or not at all.
func (s *simulation) post(e envelope) {
	copies := 1
	if s.chance(s.opts.Faults.Duplicate) {
		s.report.Duplicated++
		copies++
	}
	for range copies {
		if s.chance(s.opts.Faults.Drop) {
			s.report.Dropped++
			continue
		}
		c := e
		if s.chance(s.opts.Faults.Corrupt) {
			s.report.Corrupted++
			c.raw = s.corrupt(e.raw)
		}
		s.queue = append(s.queue, c)
	}
}

func (s *simulation) chance(p float64) bool { return p > 0 && s.rng.Float64() < p }

// corrupt returns b with a bit flipped or its end cut off.
func (s *simulation) corrupt(b []byte) []byte {
	if s.rng.IntN(4) == 0 {
		return b[:s.rng.IntN(len(b))]
	}
	b = append([]byte(nil), b...)
	b[s.rng.IntN(len(b))] ^= 1 << s.rng.IntN(8)
	return b
}

// pick takes a message out of the queue.
func (s *simulation) pick() envelope {
	k, last := s.rng.IntN(len(s.queue)), len(s.queue)-1
	e := s.queue[k]
	s.queue[k] = s.queue[last]
	s.queue[last] = envelope{}
	s.queue = s.queue[:last]
	return e
}

func (s *simulation) deliver(e envelope) error {
	p := int(e.to)
	if e.from != e.to {
		count(s.report.Parties[p].Received, e.leg, e.size)
		s.clock[p] = max(s.clock[p], e.depth)
		s.report.Depth = max(s.report.Depth, e.depth)
	}
	msg, err := e.open(s.opts.MaxBody)
	var out []protocols.Message
	if err == nil {
		out, err = s.machines[p].Step(msg)
	}
	switch {
	case errors.As(err, new(*protocols.MessageError)):
		s.report.Refused = append(s.report.Refused, err)
	case err != nil:
		return fmt.Errorf("party %d: %w", p, err)
	}
	return s.send(p, out)
}

// open returns the message as it arrives.
func (e envelope) open(maxBody int) (protocols.Message, error) {
	if e.raw == nil {
		return e.msg, nil
	}
	msg, err := protocols.DecodeMessage(e.raw, maxBody)
	if err != nil {
		return msg, &protocols.MessageError{Peer: e.from, Point: e.msg.Point, Field: "encoding", Err: err}
	}
	return msg, nil
}

// waiting says of each party that is not done for whom it waits, if it can.
func (s *simulation) waiting() []string {
	var all []string
	for p, m := range s.machines {
		if m.Done() {
			continue
		}
		text := fmt.Sprintf("party %d is not done", p)
		if w, ok := m.(interface{ Waiting() []protocols.PartyID }); ok {
			text = fmt.Sprintf("party %d waits for %v", p, w.Waiting())
		}
		all = append(all, text)
	}
	return all
}
