package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/cenkalti/backoff/v5"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/nereid-mhe/nereid/protocols/transport/internal/wire"
)

const minLiveness = 10 * time.Second // gRPC probes no faster

// newBackoff returns the pauses between attempts to connect. They do not end.
func newBackoff() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval = 100 * time.Millisecond
	b.MaxInterval = 5 * time.Second
	return b
}

// pause waits for d and reports whether ctx goes on.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// connectForever keeps a link to n until the endpoint is closed.
func (e *Endpoint) connectForever(n *neighbour) {
	wait := newBackoff()
	for {
		linked, err := e.connect(n)
		if e.ctx.Err() != nil {
			return
		}
		if linked {
			wait.Reset()
		}
		switch {
		case errors.As(err, new(*PeerError)):
			e.refused(err)
		case err != nil:
			e.note(&n.record, err)
		}
		if !pause(e.ctx, wait.NextBackOff()) {
			return
		}
	}
}

// connect makes one connection to n and runs its link. It reports whether there
// was one, and why it ended.
func (e *Endpoint) connect(n *neighbour) (linked bool, err error) {
	ctx, cancel := context.WithCancel(e.ctx)
	defer cancel()
	id := e.identity
	id.callers = map[string]caller{string(n.Key): {n.Peer, true}}
	d := dialer{id, e.cfg.Dial, &n.traffic, e.cfg.Handshake, e.cfg.Liveness}
	conn, k, err := d.dial(n.Address)
	if err != nil {
		return false, &UnreachableError{Peer: n.Peer, Err: err}
	}
	defer conn.Close()
	err = func() error {
		overdue := time.AfterFunc(e.cfg.Handshake, cancel)
		defer overdue.Stop()
		stream, err := wire.NewTransportServiceClient(conn).Link(ctx)
		if err != nil {
			return err
		}
		if err := stream.Send(e.greet(n)); err != nil {
			_, err = stream.Recv() // which knows why
			return err
		}
		f, err := stream.Recv()
		if err != nil {
			return err
		}
		overdue.Stop()
		h, err := e.checkHello(n, f)
		if err != nil {
			return err
		}
		l, err := e.join(n, h, cancel)
		if err != nil {
			return err
		}
		linked = true
		e.expires(n, k.expires())
		return l.run(stream)
	}()
	who := caller{n.Peer, true}
	return linked, k.explain(who, err)
}

// A dialer makes connections to servers whose key it knows.
type dialer struct {
	identity            identity
	net                 func(ctx context.Context, address string) (net.Conn, error)
	traffic             *traffic
	handshake, liveness time.Duration
}

// dial returns a connection that is made when it is used.
func (d dialer) dial(address string) (*grpc.ClientConn, *knock, error) {
	k := newKnock(d.identity)
	conn, err := grpc.NewClient("passthrough:///"+address,
		grpc.WithTransportCredentials(k),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			c, err := d.net(ctx, address)
			if err != nil {
				k.mu.Lock()
				k.dialled = err
				k.mu.Unlock()
				return nil, err
			}
			return newWireConn(c, d.traffic), nil
		}),
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: d.handshake}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time: max(d.liveness, minLiveness), Timeout: d.liveness, PermitWithoutStream: true,
		}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxFrame), grpc.ForceCodecV2(newCodec())),
		grpc.WithStaticStreamWindowSize(window), grpc.WithStaticConnWindowSize(window),
		grpc.WithWriteBufferSize(maxBatch),
		grpc.WithDisableServiceConfig(),
		grpc.WithNoProxy(),
	)
	if err != nil {
		return nil, nil, fmt.Errorf("address %q: %w", address, err)
	}
	return conn, k, nil
}

// expires returns the end of the server's certificate.
func (k *knock) expires() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.until
}

// explain returns err: as a *PeerError if one end refused the other, else as an
// *UnreachableError.
func (k *knock) explain(who caller, err error) error {
	k.mu.Lock()
	refusal, dialled, greeted := k.refusal, k.dialled, !k.until.IsZero()
	k.mu.Unlock()
	var pe *PeerError
	switch code := status.Code(err); {
	case err == nil:
		return nil
	case errors.As(refusal, &pe):
		if pe.Known {
			return pe
		}
		return who.refused(fmt.Errorf("%w: the server has %s", pe.Err, pe.Name))
	case errors.Is(refusal, ErrRefused):
		return who.refused(refusal)
	case refusal != nil:
		return refusal
	case isRefusal(err):
		return who.refused(err)
	case code == codes.PermissionDenied || code == codes.ResourceExhausted || code == codes.Unimplemented:
		return who.refused(fmt.Errorf("%w: %s", ErrRefused, status.Convert(err).Message()))
	case code == codes.FailedPrecondition: // an answer
		return err
	case !greeted && dialled != nil:
		err = &dialError{dialled, err}
	}
	return &UnreachableError{Peer: who.Peer, Met: greeted, Err: err}
}

// A dialError is why there is no connection, with what gRPC makes of it.
type dialError struct{ why, grpc error }

func (e *dialError) Error() string   { return e.why.Error() }
func (e *dialError) Unwrap() []error { return []error{e.why, e.grpc} }
