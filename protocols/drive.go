package protocols

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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
// A *[MessageError] is logged as a warning with party, label, field and error,
// and the message is ignored. One that is refused with [ErrEarly] is kept instead,
// one from each peer and leg, and passed to m again after the input: what a peer
// sent before this party restarted overtakes the input. Any other error ends the
// round and is returned: m cannot go on, and the caller builds the round again
// from its [Journal]. A *[BoundError] is logged as a security event.
//
// Drive returns when this party is done. Peers that restart later may still need
// its messages: net, or the caller with m, keeps them until the step is
// checkpointed everywhere.
func Drive(ctx context.Context, log *slog.Logger, m Machine, net Network) error {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	d := driver{ctx: ctx, log: log, m: m, net: net, early: map[source]Message{}}
	var own []Message // to the party itself, after all others
	out, err := m.Start()
	for {
		if err := d.judge(err); err != nil {
			return err
		}
		more, serr := d.send(out)
		if serr != nil {
			return serr
		}
		own = append(own, more...)
		switch {
		case len(own) > 0:
			next := own[0]
			own = own[1:]
			out, err = d.step(next)
		case m.Done():
			return nil
		default:
			out, err = d.receive()
		}
	}
}

// driver holds the arguments of Drive.
type driver struct {
	ctx context.Context
	log *slog.Logger
	m   Machine
	net Network

	early map[source]Message // refused with ErrEarly
	again []Message          // of those, the ones to try now that the input is known
}

// step passes one message to the machine.
func (d *driver) step(msg Message) ([]Message, error) {
	out, err := d.m.Step(msg)
	switch from := (source{msg.Leg, msg.From}); {
	case errors.Is(err, ErrEarly):
		d.log.DebugContext(d.ctx, "kept until the input comes", "peer", msg.From, "leg", msg.Leg.String())
		d.early[from] = msg
		return nil, nil
	case err == nil && msg.Leg == LegInput:
		for _, m := range d.early {
			d.again = append(d.again, m)
		}
		clear(d.early)
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
	if n := len(d.again); n > 0 {
		msg := d.again[n-1]
		d.again = d.again[:n-1]
		return d.step(msg)
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
