package transport

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/protocols"
)

// Throughput of one connection: bodies of 8 MiB, as one after the other.
func BenchmarkThroughput(b *testing.B) {
	const size = 8 << 20
	w := newWorld(b, 2, 1, 0)
	all := w.openAll()
	body := randomBody(1, size)
	b.SetBytes(size)
	step := 0
	for b.Loop() {
		step++
		require.NoError(b, all[1].Line(w.point(step)).Send(b.Context(), w.message(1, 0, step, body)))
		_, err := all[0].Line(w.point(step)).Receive(b.Context())
		require.NoError(b, err)
		for _, e := range all {
			e.Forget(func(p protocols.Point) bool { return p.Step <= uint64(step) })
		}
	}
}

// Latency of one short message on loopback, directly and through a relay.
func BenchmarkLatency(b *testing.B) {
	for name, from := range map[string]int{"direct": 1, "relayed": 2} {
		b.Run(name, func(b *testing.B) {
			w := newWorld(b, 3, 2, 0)
			to := 0
			if from == 2 {
				to = 1
			}
			all := w.openAll()
			connected(b, all...)
			step := 0
			for b.Loop() {
				step++
				require.NoError(b, all[from].Line(w.point(step)).Send(b.Context(), w.message(from, to, step, []byte("short"))))
				_, err := all[to].Line(w.point(step)).Receive(b.Context())
				require.NoError(b, err)
				for _, e := range all {
					e.Forget(func(p protocols.Point) bool { return p.Step <= uint64(step) })
				}
			}
		})
	}
}
