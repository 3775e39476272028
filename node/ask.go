package node

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/nereid-mhe/nereid/identity"
	"github.com/nereid-mhe/nereid/protocols"
	"github.com/nereid-mhe/nereid/protocols/transport"
	"github.com/nereid-mhe/nereid/roster"
	"github.com/nereid-mhe/nereid/study"
)

// What a request to a node is, in its first byte.
const (
	askPublication = 1 // answered with a study.Publication in JSON, by any party
	askPrediction  = 2 // followed by a request of the querier, for the root
)

var errRequest = errors.New("node: malformed request")

// answer serves requests of parties and queriers.
func (n *Node) answer(ctx context.Context, from ed25519.PublicKey, request []byte) ([]byte, error) {
	if len(request) == 0 {
		return nil, fmt.Errorf("%w: it is empty", errRequest)
	}
	party := n.party.Load()
	for ; party == nil; party = n.party.Load() { // it is being opened
		if err := pause(ctx); err != nil {
			return nil, err
		}
	}
	switch body := request[1:]; request[0] {
	case askPublication:
		for {
			p, err := party.Publication()
			if err == nil {
				return json.Marshal(p)
			}
			if !errors.Is(err, study.ErrNotReady) {
				return nil, err
			}
			if err := pause(ctx); err != nil {
				return nil, err
			}
		}
	case askPrediction:
		q, ok := n.cfg.Lock.Querier(identity.Key(from))
		if !ok {
			return nil, fmt.Errorf("%w: only a querier of the lock may ask for predictions", errRequest)
		}
		querier := n.cfg.Lock.Queriers()[q].Name
		n.cfg.Log.InfoContext(ctx, "asked for predictions", "querier", querier, "bytes", len(body))
		answer, err := party.Ask(ctx, querier, body)
		if errors.Is(err, study.ErrStopped) { // no answer yet: the querier is to ask again
			err = fmt.Errorf("%w: %w", err, context.Canceled)
		}
		return answer, err
	}
	return nil, fmt.Errorf("%w: of kind %d", errRequest, request[0])
}

// pause waits a little for something that comes by itself.
func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(250 * time.Millisecond):
		return nil
	}
}

// A Client asks the nodes of a study. It is safe for concurrent use.
type Client struct {
	Identity *identity.Identity // of a party or a querier of the lock
	Lock     roster.Lock

	// Dial makes connections, nil for TCP.
	Dial func(ctx context.Context, address string) (net.Conn, error)
}

// maxStatus bounds the bytes of a status.
const maxStatus = 1 << 20

// connect returns a client of the transport for a party.
func (c Client) connect(party protocols.PartyID, maxBody int) (*transport.Client, error) {
	key := c.Identity.Key()
	return transport.NewClient(transport.ClientConfig{
		Server: Peers(c.Lock)[party], Study: study.StudyID(c.Lock.Plan()), Key: key[:], Certificate: c.Identity.Certificate, Dial: c.Dial, MaxBody: maxBody,
	})
}

// Status asks a party for its status.
func (c Client) Status(ctx context.Context, party protocols.PartyID) (s Status, err error) {
	t, err := c.connect(party, maxStatus)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	b, err := t.Status(ctx)
	if err != nil {
		return s, err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	if err := d.Decode(&s); err != nil {
		return s, fmt.Errorf("node: status of %s: %w", Peers(c.Lock)[party].Name, err)
	}
	return s, nil
}

// Predict returns the trained model's outputs for rows, as they are in a file: one
// list for each row, with the noise of the flooding. The querier's seed is that of
// the lock's invitation. It waits until the model is trained. done, if not nil, is
// called with the rows answered so far.
//
// The same rows give the same requests, which are charged once: after a failure it
// is asked again for free.
func (c Client) Predict(ctx context.Context, terms study.Terms, seed protocols.Seed, rows [][]float64, done func(rows int)) (out [][]float64, err error) {
	q, err := study.NewQuerier(terms, c.Identity.Card().Name, seed)
	if err != nil {
		return nil, err
	}
	t, err := c.connect(terms.Tree().Root(), terms.MaxMessage())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	b, err := t.Query(ctx, []byte{askPublication})
	if err != nil {
		return nil, fmt.Errorf("node: asking for the collective key: %w", err)
	}
	var p study.Publication
	if err := json.Unmarshal(b, &p); err != nil {
		return nil, fmt.Errorf("node: the collective key: %w", err)
	}
	if err := q.Learn(p); err != nil {
		return nil, err
	}
	requests, err := q.Requests(rows)
	if err != nil {
		return nil, err
	}
	for _, r := range requests {
		answer, err := t.Query(ctx, append([]byte{askPrediction}, r.Bytes...))
		if err != nil {
			return nil, fmt.Errorf("node: predictions after %d rows: %w", len(out), err)
		}
		z, err := q.Outputs(r, answer)
		if err != nil {
			return nil, err
		}
		out = append(out, z...)
		if done != nil {
			done(len(out))
		}
	}
	return out, nil
}
