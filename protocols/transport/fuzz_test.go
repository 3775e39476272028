package transport

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/nereid-mhe/nereid/protocols"
	"github.com/nereid-mhe/nereid/protocols/transport/internal/wire"
)

// Whatever a neighbour sends is handled or refused. It makes no panic, and the
// endpoint holds no more than its limits.
func FuzzFrames(f *testing.F) {
	w := newWorld(f, 3, 2, 0)
	m := w.message(1, 0, 1, []byte("body"))
	relayed := w.message(1, 2, 1, []byte("body"))
	for _, frames := range [][]*wire.Frame{
		{{Kind: &wire.Frame_Hello{Hello: w.greeting(1, 0)}}},
		{offerOf(f, m, 4, w.keys[1]), chunkOf(m, 0, m.Body, true)},
		{offerOf(f, m, 4, w.keys[1]), chunkOf(m, 0, []byte("bo"), true), chunkOf(m, 2, []byte("dy"), false)},
		{offerOf(f, relayed, 4, w.keys[1]), chunkOf(relayed, 0, m.Body, true)},
		{{Kind: &wire.Frame_Want{Want: &wire.Want{Id: m.Sum[:], Offset: 3, Attempt: 1}}}, {Kind: &wire.Frame_Have{Have: &wire.Have{Id: m.Sum[:]}}}},
		{{Kind: &wire.Frame_Credit{Credit: &wire.Credit{Bytes: 1 << 20}}}, {}},
	} {
		var b []byte
		for _, fr := range frames {
			one, err := proto.Marshal(fr)
			if err != nil {
				f.Fatal(err)
			}
			b = append(append(b, byte(len(one)>>8), byte(len(one))), one...)
		}
		f.Add(b, true)
	}
	cfg := w.config(0)
	cfg.MemoryLimit, cfg.Listener = 1<<20, nil
	w.listeners[0].Close()
	f.Fuzz(func(t *testing.T, b []byte, open bool) {
		e, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		if open {
			e.Line(w.point(1))
		}
		n := e.neighbours[1]
		e.greet(n)
		l, err := e.join(n, w.greeting(1, 0), func() {})
		if err != nil {
			t.Fatal(err)
		}
		for len(b) >= 2 {
			size := min(int(b[0])<<8|int(b[1]), len(b)-2)
			var a arrival
			if newCodec().Unmarshal(cut(b[2:2+size], int(b[0])), &a) == nil && e.handle(l, &a) != nil {
				break
			}
			a.release()
			for range 10 {
				e.mu.Lock()
				frame, _ := l.pick()
				e.mu.Unlock()
				if frame == nil {
					break
				}
			}
			b = b[2+size:]
		}
		if held := e.held(); held > 1<<20 {
			t.Fatalf("%d bytes held", held)
		}
		e.Forget(func(protocols.Point) bool { return true })
		if held := e.held(); held != 0 || n.held() != 0 {
			t.Fatalf("%d bytes held after all was forgotten", held)
		}
	})
}
