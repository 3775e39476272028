package transport

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/protocols"
)

// A proxy is a TCP proxy in front of a party's port that limits rate and delays,
// and that can be cut.
type proxy struct{ *toxiproxy.Proxy }

// newProxy returns a proxy to an address. Rate is in bytes per second in either
// direction, 0 for no limit; delay is added in either direction.
func newProxy(t testing.TB, upstream string, rate int, delay time.Duration) proxy {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	p := proxy{toxiproxy.NewProxy(server, "link", "127.0.0.1:0", upstream)}
	require.NoError(t, p.Start())
	t.Cleanup(p.Stop)
	for _, stream := range []string{"upstream", "downstream"} {
		if rate > 0 {
			p.add(t, `{"type": "bandwidth", "stream": %q, "attributes": {"rate": %d}}`, stream, rate/1000)
		}
		if delay > 0 {
			p.add(t, `{"type": "latency", "stream": %q, "attributes": {"latency": %d}}`, stream, delay.Milliseconds())
		}
	}
	return p
}

func (p proxy) add(t testing.TB, format string, args ...any) {
	_, err := p.Toxics.AddToxicJson(strings.NewReader(fmt.Sprintf(format, args...)))
	require.NoError(t, err)
}

// cut closes all connections.
func (p proxy) cut() {
	p.Stop()
	for p.Start() != nil { // the port is free in a moment
		time.Sleep(time.Millisecond)
	}
}

// behind puts a proxy in front of each port of the study.
func (w *world) behind(rate int, delay time.Duration) []proxy {
	var all []proxy
	roster := slices.Clone(w.roster)
	for i, p := range roster {
		if p.Address != "" {
			all = append(all, newProxy(w.t, p.Address, rate, delay))
			roster[i].Address = all[len(all)-1].Listen
		}
	}
	w.change = func(c *Config) { c.Roster = roster }
	return all
}

// Slow links that break all the time delay a run, but do not change it.
func TestLinksCutAtRandom(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 5, 2, 0, 1)
	w.width = 8 << 10 // 64 KiB
	proxies := w.behind(2_000_000, 10*time.Millisecond)
	all := w.openAll()
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, p := range proxies {
		wg.Go(func() {
			for pause(ctx, time.Duration(100+rand.IntN(400))*time.Millisecond) {
				p.cut()
			}
		})
	}
	w.check(all, 0, 6, 0, 1, 2, 3, 4)
	stop()
	wg.Wait()
	connects := 0
	for _, e := range all {
		for _, p := range e.Stats().Peers {
			require.Zero(t, p.Refused, "party %d of party %d: %v", e.cfg.Self, p.ID, p.Last)
			connects += p.Connects
		}
	}
	require.Greater(t, connects, 8+2, "the links were cut")
}

// After a cut a transfer goes on where it was.
func TestTransferResumes(t *testing.T) {
	const size = 12 << 20
	w := newWorld(t, 2, 1, 0)
	proxies := w.behind(6_000_000, 0)
	all := w.openAll()
	body := randomBody(1, size)
	line := all[0].Line(w.point(1))
	require.NoError(t, all[1].Line(w.point(1)).Send(t.Context(), w.message(1, 0, 1, body)))
	const cuts = 4
	for i := range cuts {
		require.Eventually(t, func() bool {
			return all[0].Stats().Peers[0].BytesIn > int64(i+1)*size/(cuts+1)
		}, 30*time.Second, time.Millisecond)
		proxies[0].cut()
	}
	got, err := line.Receive(t.Context())
	require.NoError(t, err)
	require.Equal(t, body, got.Body)
	// What the sender wrote, besides the body, was in the buffers of the broken
	// connections.
	again := all[1].Stats().Peers[0].BytesOut - size
	t.Logf("%d cuts: %d of %d bytes were sent again", cuts, again, size)
	require.Less(t, again, int64(size/2))
	arrived := all[0].Stats().Peers[0].BytesIn - size
	require.Less(t, arrived, int64(cuts+1)*(maxChunk+32<<10), "bytes that arrived and were of no use")
}

// Nothing that one party does not take keeps others from getting through.
func TestRelayIsNotBlocked(t *testing.T) {
	w := newWorld(t, 4, 3, 0) // a star: everything goes through the root
	w.change = func(c *Config) { c.MemoryLimit = 4 << 20 }
	all := w.openAll()
	const size = 1 << 20
	ctx := t.Context()
	// Far more than the root may hold goes to party 3, which opens no line for it.
	for step := range 20 {
		for _, from := range []int{1, 2} {
			require.NoError(t, all[from].Line(w.point(step)).Send(ctx, w.message(from, 3, step, randomBody(uint64(step), size))))
		}
	}
	for _, from := range []int{1, 2} {
		body := randomBody(100, size)
		require.NoError(t, all[from].Line(w.point(100)).Send(ctx, w.message(from, 3, 100, body)))
	}
	line := all[3].Line(w.point(100))
	for range 2 {
		m, err := line.Receive(ctx)
		require.NoError(t, err)
		require.Len(t, m.Body, size)
	}
	for _, e := range []*Endpoint{all[0], all[3]} {
		require.LessOrEqual(t, e.held(), int64(4<<20), "bytes held by party %d", e.cfg.Self)
	}
	// All of it arrives once it is wanted, last first.
	for step := 19; step >= 0; step-- {
		line := all[3].Line(w.point(step))
		for range 2 {
			m, err := line.Receive(ctx)
			require.NoError(t, err)
			require.Equal(t, randomBody(uint64(step), size), m.Body)
		}
	}
	require.Eventually(t, func() bool { return all[0].held() == 0 }, 10*time.Second, time.Millisecond)
}

// held returns the bytes of bodies of others in memory.
func (e *Endpoint) held() (sum int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, t := range e.transfers {
		if !t.own() {
			sum += int64(len(t.data))
		}
	}
	return sum
}

// A relay that restarts while messages pass through it loses none.
func TestRelayRestarts(t *testing.T) {
	w := newWorld(t, 3, 2, 0)
	all := w.openAll()
	body := randomBody(7, 3<<20)
	send := func(step int) {
		require.NoError(t, all[1].Line(w.point(step)).Send(t.Context(), w.message(1, 2, step, body)))
	}
	send(0)
	require.Eventually(t, func() bool { return all[2].Stats().Peers[0].BytesIn > 1<<20 }, 10*time.Second, time.Millisecond)
	require.NoError(t, all[0].Close())
	send(1)
	w.listen(0)
	w.open(0)
	for step := range 2 {
		m, err := all[2].Line(w.point(step)).Receive(t.Context())
		require.NoError(t, err)
		require.Equal(t, body, m.Body)
	}
}

// Messages sent are kept in files above the limit, until they are forgotten.
func TestSpill(t *testing.T) {
	w := newWorld(t, 2, 1, 0)
	dir := t.TempDir()
	w.change = func(c *Config) {
		if c.Self == 1 {
			c.SpillDir, c.MemoryLimit = dir, 4<<20
		}
	}
	all := w.openAll()
	const size = 1 << 20
	for step := range 8 {
		require.NoError(t, all[1].Line(w.point(step)).Send(t.Context(), w.message(1, 0, step, randomBody(uint64(step), size))))
	}
	s := all[1].Stats()
	require.EqualValues(t, 2*size, s.InMemory)
	require.EqualValues(t, 6*size, s.Spilled)
	files := spilled(t, dir)
	require.Len(t, files, 6)
	for _, f := range files {
		require.EqualValues(t, 0o600, f.Mode().Perm())
	}
	for step := range 8 {
		m, err := all[0].Line(w.point(step)).Receive(t.Context())
		require.NoError(t, err)
		require.Equal(t, randomBody(uint64(step), size), m.Body)
	}
	all[1].Forget(func(p protocols.Point) bool { return p.Step < 7 })
	require.Empty(t, spilled(t, dir))
	require.EqualValues(t, size, all[1].Stats().InMemory)
}

// A connection on which nothing comes any more, and nothing says so, is noticed
// by both ends and made again.
func TestSilentConnection(t *testing.T) {
	if testing.Short() {
		t.Skip("gRPC probes no faster than every 10 s")
	}
	t.Parallel()
	w := newWorld(t, 2, 1, 0)
	proxies := w.behind(0, 0)
	throughProxy := w.change
	w.change = func(c *Config) { throughProxy(c); c.Liveness = time.Second }
	all := w.openAll()
	connected(t, all...)
	for _, stream := range []string{"upstream", "downstream"} {
		proxies[0].add(t, `{"type": "timeout", "stream": %q, "attributes": {"timeout": 0}}`, stream)
	}
	for _, e := range all {
		require.Eventually(t, func() bool { return !e.Stats().Peers[0].Connected }, 20*time.Second, time.Millisecond)
	}
	proxies[0].Toxics.ResetToxics(context.Background())
	connected(t, all...)
	w.check(all, 0, 3, 0, 1)
}
