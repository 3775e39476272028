package transport

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/nereid-mhe/nereid/protocols"
	"github.com/nereid-mhe/nereid/protocols/transport/internal/wire"
)

// An intruder speaks the protocol with the key of some party, as it likes.
type intruder struct {
	t      testing.TB
	w      *world
	self   int
	stream grpc.BidiStreamingClient[wire.Frame, wire.Frame]
	hello  *wire.Hello // of the party it talks to
}

// dialAs connects to party to with a key and a certificate.
func (w *world) dialAs(to int, key ed25519.PrivateKey, cert func() (*tls.Certificate, error)) wire.TransportServiceClient {
	w.t.Helper()
	d := dialer{
		identity:  identity{cert, publicKey(key), map[string]caller{string(w.roster[to].Key): {w.roster[to], true}}},
		net:       Config{}.withDefaults().Dial,
		traffic:   &traffic{},
		handshake: time.Minute, liveness: time.Minute,
	}
	conn, _, err := d.dial(w.roster[to].Address)
	require.NoError(w.t, err)
	w.t.Cleanup(func() { conn.Close() })
	return wire.NewTransportServiceClient(conn)
}

// intrude opens a link to party to as party self, without a greeting.
func (w *world) intrude(self, to int) *intruder {
	w.t.Helper()
	c := w.dialAs(to, w.keys[self], certificate(w.t, w.keys[self], w.roster[self].Name))
	stream, err := c.Link(w.t.Context())
	require.NoError(w.t, err)
	return &intruder{t: w.t, w: w, self: self, stream: stream}
}

func (w *world) greeting(from, to int) *wire.Hello {
	return &wire.Hello{Study: w.study[:], From: uint32(from), To: uint32(to), Boot: make([]byte, bootSize), Credit: 1 << 20}
}

// greet makes the intruder a neighbour in good standing.
func (i *intruder) greet(to int) *intruder {
	i.t.Helper()
	i.say(&wire.Frame{Kind: &wire.Frame_Hello{Hello: i.w.greeting(i.self, to)}})
	f, err := i.stream.Recv()
	require.NoError(i.t, err)
	i.hello = f.GetHello()
	require.NotNil(i.t, i.hello)
	return i
}

func (i *intruder) say(f *wire.Frame) {
	i.t.Helper()
	if err := i.stream.Send(f); err != nil && err != io.EOF {
		require.NoError(i.t, err)
	}
}

// offerOf returns the offer of a message, signed with a key.
func offerOf(t testing.TB, m protocols.Message, size int, key ed25519.PrivateKey) *wire.Frame {
	h, err := header(m)
	require.NoError(t, err)
	return &wire.Frame{Kind: &wire.Frame_Offer{Offer: &wire.Offer{Header: h, Size: uint64(size), Signature: ed25519.Sign(key, signed(h, size))}}}
}

func chunkOf(m protocols.Message, offset int, data []byte, early bool) *wire.Frame {
	return &wire.Frame{Kind: &wire.Frame_Chunk{Chunk: &wire.Chunk{Id: m.Sum[:], Offset: uint64(offset), Data: data, Early: early}}}
}

// refused waits until the intruder is told that it is refused.
func (i *intruder) refused() {
	i.t.Helper()
	for {
		if _, err := i.stream.Recv(); err != nil {
			require.Equal(i.t, codes.PermissionDenied, status.Code(err), "%v", err)
			return
		}
	}
}

// A party that is authentic and hostile is refused with the reason. The run of
// the others, of which it is none at that moment, goes on.
func TestHostileParty(t *testing.T) {
	const self = 1
	w := newWorld(t, 3, 2, 0)
	root, other := w.open(0), w.open(2)
	small := w.message(self, 0, 1, []byte("body"))
	relayed := w.message(self, 2, 1, []byte("body"))
	forged := w.message(2, 0, 1, []byte("body"))
	stale := small
	stale.Point.Study = protocols.StudyID{9}
	stale.Sum = stale.Checksum()
	empty := w.message(self, 0, 2, nil)
	empty.Sum[0]++
	hello := func(change func(*wire.Hello)) *wire.Frame {
		h := w.greeting(self, 0)
		change(h)
		return &wire.Frame{Kind: &wire.Frame_Hello{Hello: h}}
	}
	for name, c := range map[string]struct {
		greet  bool
		frames []*wire.Frame
		want   error
	}{
		"another party's number":   {false, []*wire.Frame{hello(func(h *wire.Hello) { h.From = 2 })}, ErrIdentity},
		"to another party":         {false, []*wire.Frame{hello(func(h *wire.Hello) { h.To = 2 })}, ErrIdentity},
		"a stale study":            {false, []*wire.Frame{hello(func(h *wire.Hello) { h.Study = make([]byte, 32) })}, ErrStudy},
		"a short study":            {false, []*wire.Frame{hello(func(h *wire.Hello) { h.Study = nil })}, ErrMalformed},
		"absurd credit":            {false, []*wire.Frame{hello(func(h *wire.Hello) { h.Credit = 1 << 60 })}, ErrMalformed},
		"no hello":                 {false, []*wire.Frame{{Kind: &wire.Frame_Credit{}}}, ErrMalformed},
		"a second hello":           {true, []*wire.Frame{hello(func(h *wire.Hello) {})}, ErrMalformed},
		"an empty frame":           {true, []*wire.Frame{{}}, ErrMalformed},
		"a nil offer":              {true, []*wire.Frame{{Kind: &wire.Frame_Offer{}}}, ErrMalformed},
		"garbage in an offer":      {true, []*wire.Frame{{Kind: &wire.Frame_Offer{Offer: &wire.Offer{Header: []byte("garbage"), Signature: make([]byte, 64)}}}}, ErrMalformed},
		"10 GB announced":          {true, []*wire.Frame{offerOf(t, small, 10<<30, w.keys[self])}, ErrTooBig},
		"a message of a study":     {true, []*wire.Frame{offerOf(t, stale, 4, w.keys[self])}, ErrStudy},
		"a relay's forgery":        {true, []*wire.Frame{offerOf(t, forged, 4, w.keys[self])}, ErrMalformed},
		"a wrong signature":        {true, []*wire.Frame{offerOf(t, small, 4, w.keys[2])}, ErrForged},
		"a wrong signature onward": {true, []*wire.Frame{offerOf(t, relayed, 4, w.keys[2])}, ErrForged},
		"another size":             {true, []*wire.Frame{func() *wire.Frame { f := offerOf(t, small, 4, w.keys[self]); f.GetOffer().Size++; return f }()}, ErrForged},
		"an empty body":            {true, []*wire.Frame{offerOf(t, empty, 0, w.keys[self])}, ErrForged},
		"another body":             {true, []*wire.Frame{offerOf(t, small, 4, w.keys[self]), chunkOf(small, 0, []byte("ydob"), true)}, ErrForged},
		"a gap":                    {true, []*wire.Frame{offerOf(t, small, 4, w.keys[self]), chunkOf(small, 2, []byte("dy"), true)}, ErrMalformed},
		"more than announced":      {true, []*wire.Frame{offerOf(t, small, 4, w.keys[self]), chunkOf(small, 0, []byte("bodybody"), true)}, ErrTooBig},
		"nobody asked":             {true, []*wire.Frame{offerOf(t, small, 4, w.keys[self]), chunkOf(small, 0, []byte("body"), false)}, ErrMalformed},
		"a chunk too big":          {true, []*wire.Frame{chunkOf(small, 0, make([]byte, maxChunk+1), true)}, ErrMalformed},
		"an offset beyond it all":  {true, []*wire.Frame{chunkOf(small, 1<<50, []byte{1}, true)}, ErrTooBig},
		"a short name":             {true, []*wire.Frame{{Kind: &wire.Frame_Have{Have: &wire.Have{Id: []byte{1}}}}}, ErrMalformed},
		"endless credit":           {true, []*wire.Frame{{Kind: &wire.Frame_Credit{Credit: &wire.Credit{Bytes: 1 << 63}}}}, ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			before := root.Stats().Peers[0].Refused
			i := w.intrude(self, 0)
			if c.greet {
				i.greet(0)
			}
			for _, f := range c.frames {
				i.say(f)
			}
			i.refused()
			s := root.Stats().Peers[0]
			require.Equal(t, before+1, s.Refused)
			var pe *PeerError
			require.ErrorAs(t, s.Last, &pe)
			require.ErrorIs(t, s.Last, c.want)
			require.Equal(t, protocols.PartyID(self), pe.Peer)
			require.NotEmpty(t, pe.Remedy())
			root.Forget(func(protocols.Point) bool { return true })
			delete(root.forgotten, small.Point.Hash())
		})
	}
	// The honest party with that key is welcome, and the study goes on.
	w.check([]*Endpoint{root, w.open(self), other}, 10, 10, 0, 1, 2)
	require.Zero(t, other.Stats().Peers[0].Refused)
}

// Messages that are never forgotten are bounded in number, for those who make
// them before those who pass them on.
func TestFloodOfOffers(t *testing.T) {
	w := newWorld(t, 3, 2, 0)
	all := w.openAll()
	connected(t, all...)
	for _, e := range all {
		e.mu.Lock()
		e.offered[1] = maxOpen
		e.mu.Unlock()
	}
	require.NoError(t, all[1].Line(w.point(1)).Send(t.Context(), w.message(1, 2, 1, []byte("one more"))))
	require.Eventually(t, func() bool { return all[0].Stats().Peers[0].Refused > 0 }, 5*time.Second, time.Millisecond)
	require.ErrorIs(t, all[0].Stats().Peers[0].Last, ErrFlood)
	all[0].mu.Lock()
	all[0].offered[1] = 0
	all[0].mu.Unlock()
	_, err := all[2].Line(w.point(1)).Receive(t.Context())
	require.NoError(t, err)
	require.Zero(t, all[2].Stats().Peers[0].Refused)
}

// A neighbour that sends more than anyone asked for, or announces and does not
// send, takes no more memory than the limit.
func TestHostileMemory(t *testing.T) {
	const self, limit = 1, 16 << 20
	w := newWorld(t, 3, 2, 0)
	w.change = func(c *Config) { c.MemoryLimit, c.MaxBody = limit, 1<<30 }
	root := w.open(0)
	before := heap()
	i := w.intrude(self, 0).greet(0)
	require.LessOrEqual(t, i.hello.Credit, uint64(limit))
	// A thousand bodies of 1 GB, for the party and to be passed on, of open rounds too.
	for step := range 1000 {
		root.Line(w.point(step % 10))
		m := w.message(self, 2*(step%2), step, []byte{byte(step)})
		i.say(offerOf(t, m, 1<<30, w.keys[self]))
		i.say(chunkOf(m, 0, make([]byte, 1000), true))
	}
	i.stream.CloseSend()
	require.Eventually(t, func() bool { return !root.Stats().Peers[0].Connected }, 10*time.Second, time.Millisecond)
	require.Zero(t, root.Stats().Peers[0].Refused, "%v", root.Stats().Peers[0].Last)
	growth := int64(heap()) - int64(before)
	t.Logf("heap grew by %d KiB", growth>>10)
	require.Less(t, growth, int64(limit))
	// Beyond the credit it is refused.
	i = w.intrude(self, 0).greet(0)
	body := make([]byte, 64<<20)
	m := w.message(self, 0, 5000, body)
	i.say(offerOf(t, m, len(body), w.keys[self]))
	for offset := 0; offset < len(body); offset += maxChunk {
		i.say(chunkOf(m, offset, body[offset:offset+maxChunk], true))
	}
	i.refused()
	require.ErrorIs(t, root.Stats().Peers[0].Last, ErrFlood)
	require.LessOrEqual(t, root.held(), int64(limit))
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// Frames recorded and sent again deliver nothing twice.
func TestReplayedStream(t *testing.T) {
	w := newWorld(t, 2, 1, 0)
	root := w.open(0)
	line := root.Line(w.point(1))
	m := w.message(1, 0, 1, []byte("body"))
	for range 3 {
		i := w.intrude(1, 0).greet(0)
		for range 3 {
			i.say(offerOf(t, m, 4, w.keys[1]))
			i.say(chunkOf(m, 0, []byte("body"), true))
		}
		i.stream.CloseSend()
		require.Eventually(t, func() bool { return !root.Stats().Peers[0].Connected }, 10*time.Second, time.Millisecond)
	}
	got, err := line.Receive(t.Context())
	require.NoError(t, err)
	require.Equal(t, m.Hashed(), got, "with the hash that was verified")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = line.Receive(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

// Connections that do not get anywhere are bounded in number and time, and honest
// parties still connect.
func TestSlowLoris(t *testing.T) {
	w := newWorld(t, 3, 2, 0)
	w.change = func(c *Config) { c.Handshake = 500 * time.Millisecond }
	root := w.open(0)
	before := heap()
	var idle []net.Conn
	for range 3 * maxHandshakes {
		c, err := net.Dial("tcp", w.roster[0].Address)
		require.NoError(t, err)
		defer c.Close()
		_, _ = c.Write([]byte{0x16, 0x03}) // the beginning of a handshake
		idle = append(idle, c)
	}
	require.Eventually(t, func() bool { return root.Stats().Strangers.Refused >= 2*maxHandshakes }, 10*time.Second, time.Millisecond)
	require.Less(t, int64(heap())-int64(before), int64(8<<20))
	// One that is authentic and says nothing, or does not complete its hello.
	w.intrude(2, 0)
	others := []*Endpoint{root, w.open(1)}
	require.Eventually(t, func() bool { return others[0].Stats().Peers[0].Connected }, 10*time.Second, time.Millisecond)
	require.Eventually(t, func() bool {
		s := root.Stats()
		return s.Strangers.Refused >= 3*maxHandshakes && s.Peers[1].Refused == 1
	}, 10*time.Second, time.Millisecond)
	require.ErrorIs(t, root.Stats().Peers[1].Last, ErrMalformed)
	for _, c := range idle {
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		_, err := io.Copy(io.Discard, c)
		require.NotErrorIs(t, err, context.DeadlineExceeded, "the connection is closed")
	}
	w.check(append(others, w.open(2)), 0, 5, 0, 1, 2)
}

// One key has a bounded number of connections.
func TestManyConnectionsOfOneKey(t *testing.T) {
	w := newWorld(t, 2, 1, 0)
	root := w.open(0)
	for range 3 * maxConnections {
		w.intrude(1, 0)
	}
	require.Eventually(t, func() bool { return root.Stats().Strangers.Refused >= 2*maxConnections }, 10*time.Second, time.Millisecond)
	require.ErrorIs(t, root.Stats().Strangers.Last, ErrFlood)
	w.check([]*Endpoint{root, w.open(1)}, 0, 5, 0, 1)
}

// What a relay makes up or changes is refused by the party it is for, which takes
// the right message when that comes.
func TestForgingRelay(t *testing.T) {
	w := newWorld(t, 3, 2, 0)
	all := w.openAll()
	connected(t, all...)
	relay, reader := all[0], all[2]
	insert := func(m protocols.Message, key ed25519.PrivateKey, body []byte) {
		h, err := header(m)
		require.NoError(t, err)
		bare := m
		bare.Body = nil
		relay.mu.Lock()
		defer relay.mu.Unlock()
		relay.know(&transfer{
			offer: offer{bare, len(m.Body), ed25519.Sign(key, signed(h, len(m.Body)))}, id: m.Sum, round: m.Point.Hash(),
			up: relay.neighbours[1], data: body, whole: true, push: true,
		})
	}
	refusals := func() Refusals { return reader.Stats().Peers[0].Refusals }
	line := reader.Line(w.point(1))
	for name, insertion := range map[string]func(){
		"made up": func() { insert(w.message(1, 2, 1, []byte("forged")), w.keys[0], []byte("forged")) },
		"changed": func() { insert(w.message(1, 2, 1, []byte("right")), w.keys[1], []byte("wrong")) },
	} {
		before := refusals().Refused
		insertion()
		require.Eventually(t, func() bool { return refusals().Refused > before }, 5*time.Second, time.Millisecond, name)
		require.ErrorIs(t, refusals().Last, ErrForged, name)
		relay.Forget(func(protocols.Point) bool { return true })
		delete(relay.forgotten, w.message(1, 2, 1, nil).Point.Hash())
	}
	m := w.message(1, 2, 1, []byte("right"))
	require.NoError(t, all[1].Line(w.point(1)).Send(t.Context(), m))
	got, err := line.Receive(t.Context())
	require.NoError(t, err)
	require.Equal(t, m.Hashed(), got, "with the hash that was verified")
}
