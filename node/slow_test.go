package node_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
)

// slowLink returns a proxy in front of an address, at 4 Mbit/s and 100 ms in either
// direction.
func slowLink(t *testing.T, upstream string) *toxiproxy.Proxy {
	p := toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()), "link", "127.0.0.1:0", upstream)
	require.NoError(t, p.Start())
	t.Cleanup(p.Stop)
	for _, stream := range []string{"upstream", "downstream"} {
		for _, toxic := range []string{`"bandwidth", "attributes": {"rate": 500}`, `"latency", "attributes": {"latency": 100}`} {
			_, err := p.Toxics.AddToxicJson(strings.NewReader(fmt.Sprintf(`{"stream": %q, "type": %s}`, stream, toxic)))
			require.NoError(t, err)
		}
	}
	return p
}

// With default settings a study ends over slow links that break at random.
func TestSlowLinks(t *testing.T) {
	if testing.Short() {
		t.Skip("runs for up to a minute")
	}
	t.Parallel()
	w := newWorld(t, logistic, 5)
	links := map[string]string{}
	ctx, stop := context.WithCancel(context.Background())
	var cutting sync.WaitGroup
	for _, p := range w.Lock.Parties() {
		link := slowLink(t, p.Address)
		links[p.Address] = link.Listen
		cutting.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case <-time.After(2*time.Second + rand.N(6*time.Second)):
				}
				link.Stop()
				for link.Start() != nil { // the port is free in a moment
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	w.dial = func(ctx context.Context, address string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", links[address])
	}
	start := time.Now()
	w.runAll()
	w.check()
	stop()
	cutting.Wait()
	connects, refused := 0, 0
	for _, n := range w.nodes {
		for _, p := range n.Status().Peers {
			connects += p.Connects
			refused += p.Refused
		}
	}
	t.Logf("%v, %d connections", time.Since(start), connects)
	require.Greater(t, connects, 2*(len(w.nodes)-1), "the links were cut")
	require.Zero(t, refused)
}
