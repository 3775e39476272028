package protocols

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
)

// ErrIdle is returned by a [Network] from which nothing came for a while.
var ErrIdle = errors.New("nothing arrived for a while")

// A Network carries the messages of one party in one round. It may lose, repeat
// and reorder messages; it authenticates them, so that Message.From is true.
type Network interface {
	// Send passes m on to party m.To. It may keep m.
	Send(ctx context.Context, m Message) error

	// Receive waits for the next message. It returns an error wrapping ErrIdle
	// when nothing arrived for a while, upon which every message so far is sent
	// again, and a *MessageError for bytes of a peer that do not decode. Any
	// other error ends the round.
	Receive(ctx context.Context) (Message, error)
}

// Drive runs m over net until m is done. It is the only place where a protocol
// meets the network, the context and the log; a nil log is silent.
//
// A message that comes before the input, as it does after a restart, is kept and
// given to m again when m took another: one for each peer and leg, the last.
//
// A *[MessageError] is logged as a warning with party, label, field and error,
// and the message is ignored. Any other error ends the round and is returned: m
// cannot go on, and the caller builds the round again from its [Journal]. A
// *[BoundError] is logged as a security event.
//
// Drive returns when this party is done. Peers that restart later may still need
// what it has to say: the caller goes on with [Attend] until the step is
// checkpointed everywhere.
func Drive(ctx context.Context, log *slog.Logger, m Machine, net Network) error {
	out, err := m.Start()
	return newDriver(ctx, log, m, net).run(out, err, m.Done)
}

// Attend lets m, which is done, go on to answer peers. A party that restarted may
// be done before it has summed what is below it, and a parent that restarts later
// needs that sum. It returns when ctx ends, net ends or m fails, with the reason.
func Attend(ctx context.Context, log *slog.Logger, m Machine, net Network) error {
	return newDriver(ctx, log, m, net).run(nil, nil, func() bool { return false })
}

func newDriver(ctx context.Context, log *slog.Logger, m Machine, net Network) *driver {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &driver{ctx: ctx, log: log, m: m, net: net}
}

// driver holds what Drive and Attend are about, and the messages that came too early.
type driver struct {
	ctx   context.Context
	log   *slog.Logger
	m     Machine
	net   Network
	early []Message
	due   []Message // those that m may take by now
}

// run sends out, judges err, and goes on with what arrives until done.
func (d *driver) run(out []Message, err error, done func() bool) error {
	var own []Message // to the party itself, after all others
	for {
		if err := d.judge(err); err != nil {
			return err
		}
		more, serr := d.send(out)
		if serr != nil {
			return serr
		}
		own = append(own, more...)
		own, d.due = append(own, d.due...), nil
		switch {
		case len(own) > 0:
			next := own[0]
			own = own[1:]
			out, err = d.step(next)
		case done():
			return nil
		default:
			out, err = d.receive()
		}
	}
}

// step passes msg to the machine, and keeps it if it came too early.
func (d *driver) step(msg Message) ([]Message, error) {
	out, err := d.m.Step(msg)
	switch {
	case errors.Is(err, ErrEarly):
		d.log.DebugContext(d.ctx, "message kept until the input is here", "peer", msg.From, "leg", msg.Leg.String())
		d.early = slices.DeleteFunc(d.early, func(m Message) bool { return m.From == msg.From && m.Leg == msg.Leg })
		d.early = append(d.early, msg)
		return nil, nil
	case err == nil:
		d.due, d.early = d.early, nil
	}
	return out, err
}

// judge returns the errors that end the round.
func (d *driver) judge(err error) error {
	var refused *MessageError
	var bound *BoundError
	switch {
	case err == nil:
	case errors.As(err, &refused):
		d.log.WarnContext(d.ctx, "message refused", "peer", refused.Peer, "label", refused.Point.String(), "field", refused.Field, "err", refused.Err)
		return nil
	case errors.As(err, &bound):
		d.log.ErrorContext(d.ctx, "security event: second input for one point, no share made", "label", bound.Point.String(), "err", err)
	}
	return err
}

// send sends the messages to others and returns those to the party itself.
func (d *driver) send(out []Message) (own []Message, err error) {
	for _, msg := range out {
		if msg.To == msg.From {
			own = append(own, msg)
			continue
		}
		if err := d.net.Send(d.ctx, msg); err != nil {
			return nil, fmt.Errorf("protocols: sending to party %d: %w", msg.To, err)
		}
		d.log.DebugContext(d.ctx, "sent", "peer", msg.To, "leg", msg.Leg.String(), "bytes", len(msg.Body))
	}
	return own, nil
}

// receive waits for one message and returns what it causes.
func (d *driver) receive() ([]Message, error) {
	if err := d.ctx.Err(); err != nil {
		return nil, fmt.Errorf("protocols: %w", err)
	}
	msg, err := d.net.Receive(d.ctx)
	switch {
	case errors.Is(err, ErrIdle):
		d.log.WarnContext(d.ctx, "nothing arrived, sending again")
		return d.m.Start()
	case errors.As(err, new(*MessageError)):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("protocols: receiving: %w", err)
	}
	d.log.DebugContext(d.ctx, "received", "peer", msg.From, "leg", msg.Leg.String(), "bytes", len(msg.Body))
	return d.step(msg)
}
