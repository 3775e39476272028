package transport

import (
	"context"
	"crypto/ed25519"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/protocols"
)

// A querier with a key of its own asks the root, over a link that breaks.
func TestClient(t *testing.T) {
	querier := testKey("querier")
	w := newWorld(t, 2, 1, 0)
	proxies := w.behind(4_000_000, 0)
	throughProxy := w.change
	var calls atomic.Int32
	started := make(chan struct{}, 10)
	w.change = func(c *Config) {
		throughProxy(c)
		c.Readers = []ed25519.PublicKey{publicKey(querier)}
		c.Status = func() []byte { return []byte("all is well") }
		c.Query = func(ctx context.Context, from ed25519.PublicKey, request []byte) ([]byte, error) {
			calls.Add(1)
			started <- struct{}{}
			if string(request) == "too many" {
				return nil, errors.New("no openings left")
			}
			if !from.Equal(publicKey(querier)) {
				return nil, errors.New("not the querier")
			}
			return append([]byte("answer to "), request...), nil
		}
	}
	root := w.open(0)
	server := root.routes.roster[0]
	client := func(key ed25519.PrivateKey, change func(*ClientConfig)) *Client {
		cfg := ClientConfig{Server: server, Study: w.study, Key: publicKey(key), Certificate: certificate(t, key, "querier"), MaxBody: 8 << 20}
		change(&cfg)
		c, err := NewClient(cfg)
		require.NoError(t, err)
		t.Cleanup(func() { c.Close() })
		return c
	}
	same := func(*ClientConfig) {}
	c := client(querier, same)
	report, err := c.Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, "all is well", string(report))

	request := randomBody(3, 1<<20)
	go func() { // once while the answer is on its way
		<-started
		proxies[0].cut()
	}()
	answer, err := c.Query(t.Context(), request)
	require.NoError(t, err)
	require.Equal(t, append([]byte("answer to "), request...), answer)
	require.GreaterOrEqual(t, calls.Load(), int32(2))
	answer, err = c.Query(t.Context(), nil)
	require.NoError(t, err)
	require.Equal(t, "answer to ", string(answer))

	_, err = c.Query(t.Context(), []byte("too many"))
	require.ErrorIs(t, err, ErrDeclined)
	require.ErrorContains(t, err, "no openings left")

	_, err = client(querier, func(c *ClientConfig) { c.Study = protocols.StudyID{5} }).Query(t.Context(), request)
	require.ErrorIs(t, err, ErrRefused)
	require.ErrorContains(t, err, "another study")
	_, err = client(querier, func(c *ClientConfig) { c.MaxBody = 100 }).Query(t.Context(), request)
	require.ErrorIs(t, err, ErrTooBig)
	_, err = client(querier, func(c *ClientConfig) { c.Server.Key = publicKey(querier) }).Status(t.Context())
	require.ErrorIs(t, err, ErrUnknownKey)
	_, err = client(testKey("stranger"), same).Status(t.Context())
	var pe *PeerError
	require.ErrorAs(t, err, &pe)
	require.ErrorIs(t, err, ErrRefused)

	// A reader is no party.
	stream, err := w.dialAs(0, querier, certificate(t, querier, "querier")).Link(t.Context())
	require.NoError(t, err)
	_, err = stream.Recv()
	require.ErrorContains(t, err, "does not connect to this party")

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.NoError(t, root.Close())
	_, err = c.Query(ctx, request)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, c.Close())
	_, err = c.Status(t.Context())
	require.ErrorIs(t, err, ErrClosed)
}
