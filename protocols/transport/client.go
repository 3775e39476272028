package transport

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/nereid-mhe/nereid/protocols"
	"github.com/nereid-mhe/nereid/protocols/transport/internal/wire"
)

// ErrDeclined is wrapped by errors of [Client.Query] about a query that the party
// understood and does not answer, with its reason.
var ErrDeclined = errors.New("query declined")

// ClientConfig says whom a [Client] asks, and as whom. The caller's key is in the
// roster of the study or among the party's readers.
type ClientConfig struct {
	Server      Peer // the party to ask, with its address
	Study       protocols.StudyID
	Key         ed25519.PublicKey                                           // of the certificate
	Certificate func() (*tls.Certificate, error)                            // as in [Config]
	Dial        func(ctx context.Context, address string) (net.Conn, error) // nil for TCP
	MaxBody     int                                                         // bound of an answer in bytes
}

// A Client asks a party for its status and for answers to queries. It is safe for
// concurrent use; a party answers one query of a key at a time.
type Client struct {
	cfg  ClientConfig
	dial dialer
	ctx  context.Context
	stop context.CancelFunc
}

// NewClient returns a client. It connects when it is used.
func NewClient(cfg ClientConfig) (*Client, error) {
	switch {
	case cfg.Server.Address == "":
		return nil, fmt.Errorf("transport: party %d (%s) has no address", cfg.Server.ID, cfg.Server.Name)
	case cfg.Certificate == nil:
		return nil, errors.New("transport: no Certificate")
	case cfg.MaxBody <= 0:
		return nil, fmt.Errorf("transport: MaxBody is %d bytes, want more than 0", cfg.MaxBody)
	}
	defaults := Config{Dial: cfg.Dial}.withDefaults()
	c := &Client{cfg: cfg}
	c.dial = dialer{
		identity: identity{cfg.Certificate, cfg.Key, map[string]caller{string(cfg.Server.Key): {cfg.Server, true}}},
		net:      defaults.Dial, traffic: &traffic{}, handshake: defaults.Handshake, liveness: defaults.Liveness,
	}
	if _, err := c.dial.identity.own(); err != nil {
		return nil, err
	}
	c.ctx, c.stop = context.WithCancel(context.Background())
	return c, nil
}

// Close ends all calls with [ErrClosed].
func (c *Client) Close() error {
	c.stop()
	return nil
}

// Status returns the party's report on itself, which its Config.Status made. The
// error is a *[PeerError] if either end refuses the other, and an *[UnreachableError]
// if there is no answer.
func (c *Client) Status(ctx context.Context) (report []byte, err error) {
	err = c.call(ctx, func(ctx context.Context, s wire.TransportServiceClient) error {
		r, err := s.Status(ctx, &wire.StatusRequest{Study: c.cfg.Study[:]})
		report = r.GetReport()
		return err
	})
	return report, err // not in one: the call sets report
}

// Query returns the party's answer to a request, which its Config.Query made. It
// waits as long as ctx lets it and asks again when the connection breaks. The
// error is a *[PeerError] if either end refuses the other, and wraps [ErrDeclined]
// if the party declines the query.
func (c *Client) Query(ctx context.Context, request []byte) (answer []byte, err error) {
	wait := newBackoff()
	for {
		answer, err := c.query(ctx, request)
		if err == nil || status.Code(err) != codes.Unavailable || c.ctx.Err() != nil {
			return answer, err
		}
		if !pause(ctx, wait.NextBackOff()) {
			return nil, fmt.Errorf("%w; last: %w", ctx.Err(), err)
		}
	}
}

// call connects, calls f, and explains its error.
func (c *Client) call(ctx context.Context, f func(context.Context, wire.TransportServiceClient) error) error {
	if c.ctx.Err() != nil {
		return ErrClosed
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	conn, k, err := c.dial.dial(c.cfg.Server.Address)
	if err != nil {
		return fmt.Errorf("transport: %w", err)
	}
	defer conn.Close()
	err = k.explain(caller{c.cfg.Server, true}, f(ctx, wire.NewTransportServiceClient(conn)))
	switch {
	case c.ctx.Err() != nil:
		return ErrClosed
	case status.Code(err) == codes.FailedPrecondition:
		return fmt.Errorf("transport: party %d (%s): %w: %s", c.cfg.Server.ID, c.cfg.Server.Name, ErrDeclined, reason(err))
	}
	return err
}

// query asks once.
func (c *Client) query(ctx context.Context, request []byte) (answer []byte, err error) {
	err = c.call(ctx, func(ctx context.Context, s wire.TransportServiceClient) error {
		stream, err := s.Query(ctx)
		if err != nil {
			return err
		}
		if err := c.ask(stream, request); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		first, err := stream.Recv() // also tells why asking failed
		if err != nil {
			return err
		}
		opening := first.GetOpening()
		if opening == nil {
			return fmt.Errorf("%w: no opening", ErrMalformed)
		}
		answer, err = parcel{opening.GetSize(), opening.GetDigest()}.receive(c.cfg.MaxBody, func() ([]byte, error) {
			part, err := stream.Recv()
			return part.GetData(), err
		})
		return err
	})
	return answer, err
}

// ask sends a request.
func (c *Client) ask(stream grpc.BidiStreamingClient[wire.QueryRequest, wire.QueryResponse], request []byte) error {
	digest := sha256.Sum256(request)
	opening := &wire.QueryRequest_Opening{Study: c.cfg.Study[:], Size: uint64(len(request)), Digest: digest[:]}
	if err := stream.Send(&wire.QueryRequest{Part: &wire.QueryRequest_Opening_{Opening: opening}}); err != nil {
		return err
	}
	for part := range slices.Chunk(request, maxChunk) {
		if err := stream.Send(&wire.QueryRequest{Part: &wire.QueryRequest_Data{Data: part}}); err != nil {
			return err
		}
	}
	return stream.CloseSend()
}
