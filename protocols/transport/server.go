package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/nereid-mhe/nereid/protocols/transport/internal/wire"
)

// listen opens the port of the configuration, if there is one, and serves it.
func (e *Endpoint) listen() error {
	e.listener = e.cfg.Listener
	if e.listener == nil && e.cfg.Listen == "" {
		return nil
	}
	if e.listener == nil {
		var err error
		if e.listener, err = net.Listen("tcp", e.cfg.Listen); err != nil {
			return fmt.Errorf("transport: opening the port: %w", err)
		}
	}
	g := newGate(e.identity, e.trafficOf, e.refuseStranger)
	e.server = grpc.NewServer(
		grpc.Creds(g),
		grpc.ForceServerCodecV2(newCodec()),
		grpc.ConnectionTimeout(e.cfg.Handshake),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: e.cfg.Liveness, Timeout: e.cfg.Liveness}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minLiveness / 2, PermitWithoutStream: true}),
		grpc.MaxRecvMsgSize(maxFrame),
		grpc.StaticStreamWindowSize(window), grpc.StaticConnWindowSize(window),
		grpc.WriteBufferSize(maxBatch),
		grpc.WaitForHandlers(true),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.MaxHeaderListSize(16<<10),
	)
	wire.RegisterTransportServiceServer(e.server, &service{e: e})
	e.wg.Go(func() { _ = e.server.Serve(e.listener) }) // ends by Close
	return nil
}

// trafficOf returns where the bytes of a caller count.
func (e *Endpoint) trafficOf(c caller) *traffic {
	if n := e.neighbours[c.ID]; c.party && n != nil {
		return &n.traffic
	}
	return &e.outside
}

// refuseStranger notes that a connection was refused before there was a stream.
func (e *Endpoint) refuseStranger(remote net.Addr, err error) {
	var pe *PeerError
	switch {
	case errors.As(err, &pe):
	case errors.Is(err, ErrFlood):
		pe = &PeerError{Name: "connections without a peer, or too many of one", Err: err}
	default:
		pe = &PeerError{Name: "a stranger", Err: fmt.Errorf("%w: no TLS handshake", ErrMalformed)}
	}
	e.cfg.Log.Debug("connection refused", "remote", remote.String(), "err", err)
	e.refused(pe)
}

// service implements the gRPC service of an endpoint.
type service struct {
	wire.UnimplementedTransportServiceServer
	e *Endpoint
}

// callerOf returns who calls. A connection that is not from the gate has no caller.
func callerOf(ctx context.Context) (authInfo, error) {
	if p, ok := peer.FromContext(ctx); ok {
		if info, ok := p.AuthInfo.(authInfo); ok {
			return info, nil
		}
	}
	return authInfo{}, status.Error(codes.Unauthenticated, "no certificate")
}

// refusal turns the reason for which a caller is refused into what it is told.
func (e *Endpoint) refusal(c caller, err error) error {
	e.refused(c.refused(err))
	return status.Error(codes.PermissionDenied, err.Error())
}

// isRefusal reports whether err is a peer's fault, not the network's.
func isRefusal(err error) bool {
	for _, r := range remedies {
		if errors.Is(err, r.reason) {
			return true
		}
	}
	return false
}

// Link implements the service. It returns when the connection is of no more use.
func (s *service) Link(stream grpc.BidiStreamingServer[wire.Frame, wire.Frame]) error {
	info, err := callerOf(stream.Context())
	if err != nil {
		return err
	}
	n := s.e.neighbours[info.ID]
	if !info.party || n == nil || n.dials {
		return s.e.refusal(info.caller, fmt.Errorf("%w: it does not connect to this party in this study", ErrIdentity))
	}
	err = s.e.serve(n, info, stream)
	switch {
	case isRefusal(err):
		return s.e.refusal(info.caller, err)
	case err == nil || errors.Is(err, io.EOF) || errors.Is(err, errReplaced) || errors.Is(err, ErrClosed):
		return status.Error(codes.Unavailable, "the link ended")
	}
	return err
}

// serve exchanges greetings on a stream from n and runs the link.
func (e *Endpoint) serve(n *neighbour, info authInfo, stream frames) error {
	overdue := time.AfterFunc(e.cfg.Handshake, func() { info.conn.Close() })
	f, err := stream.Recv()
	if !overdue.Stop() {
		return fmt.Errorf("%w: no hello for %v", ErrMalformed, e.cfg.Handshake)
	}
	if err != nil {
		return err
	}
	h, err := e.checkHello(n, f)
	if err != nil {
		return err
	}
	if err := stream.Send(e.greet(n)); err != nil {
		return err
	}
	// A peer that does not read would not let the stream end: end the connection.
	cut := func() {
		go func() {
			select {
			case <-time.After(e.cfg.Handshake):
			case <-e.ctx.Done(): // a closed endpoint is not kept in memory for it
			}
			info.conn.Close()
		}()
	}
	l, err := e.join(n, h, cut)
	if err != nil {
		return err
	}
	e.expires(n, info.State.PeerCertificates[0].NotAfter)
	return l.run(stream)
}

// expiryWarning is how long before its end the certificate of a peer is worth a
// warning: identities renew theirs earlier.
const expiryWarning = 7 * 24 * time.Hour

// expires notes until when the certificate of a peer is valid.
func (e *Endpoint) expires(n *neighbour, until time.Time) {
	if time.Until(until) < expiryWarning {
		e.cfg.Log.Warn("the certificate of a peer expires soon, and is not renewed", "peer", n.Name, "until", until.UTC().Format(time.RFC3339))
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	n.record.expires = until
}
