package transport

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/protocols"
)

// Sums over the tree and over trees with other roots, with parties that start in
// any order: all get the same result. Parties 3 and 4 have no port, so what they
// send each other is relayed.
func TestSums(t *testing.T) {
	for name, ports := range map[string][]int{"leaves without ports": {0, 1}, "all ports": {0, 1, 2, 3, 4}, "star": {0}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fanout := 2
			if name == "star" {
				fanout = 4
			}
			w := newWorld(t, 5, fanout, ports...)
			all := make([]*Endpoint, 5)
			for _, i := range rand.Perm(5) {
				all[i] = w.open(i)
			}
			w.check(all, 0, 40, 0, 1, 2, 3, 4)
			for _, e := range all {
				for _, p := range e.Stats().Peers {
					require.Zero(t, p.Refused, "party %d of party %d: %v", e.cfg.Self, p.ID, p.Last)
					require.Equal(t, 1, p.Connects)
				}
				require.Zero(t, e.Stats().Strangers.Refused)
			}
		})
	}
}

// A party that loses everything but its journal, in the middle, gets again what
// it missed.
func TestRestart(t *testing.T) {
	for restarted := range 5 {
		t.Run(w5(restarted), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 5, 2, 0, 1)
			all := w.openAll()
			w.check(all, 0, 5, 0, 3)
			// The others start rounds that the restarted party does not see through.
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			done := make(chan error, 50)
			for _, e := range all {
				if int(e.cfg.Self) != restarted {
					for step := range 10 {
						go func() {
							_, err := w.sum(ctx, e, step, protocols.PartyID(3*(step%2)))
							done <- err
						}()
					}
				}
			}
			half, stop := context.WithCancel(ctx)
			go func() {
				for step := range 7 {
					_, _ = w.sum(half, all[restarted], step, protocols.PartyID(3*(step%2)))
				}
			}()
			time.AfterFunc(time.Duration(rand.IntN(20))*time.Millisecond, stop)
			<-half.Done()
			require.NoError(t, all[restarted].Close())
			if w.listeners[restarted] != nil {
				w.listen(restarted)
			}
			e := w.open(restarted)
			for step := range 10 {
				got, err := w.sum(ctx, e, step, protocols.PartyID(3*(step%2)))
				require.NoError(t, err)
				require.Equal(t, w.want(step), got)
			}
			for range 40 {
				require.NoError(t, <-done)
			}
		})
	}
}

func w5(i int) string { return []string{"root", "inner", "leaf2", "leaf3", "leaf4"}[i] }
