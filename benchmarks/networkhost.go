package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/nereid-mhe/nereid/identity"
	"github.com/nereid-mhe/nereid/internal/wan"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/nn"
	"github.com/nereid-mhe/nereid/protocols"
	"github.com/nereid-mhe/nereid/protocols/transport"
	"github.com/nereid-mhe/nereid/study"
)

// loadedCosts measures the costs of arithmetic while all cores compute, as they do
// when parties share them: cores that share caches or execution units are slower
// together than alone. The costs are the means over the cores.
func loadedCosts(ctx context.Context) (mhe.Costs, error) {
	all, errs := make([]mhe.Costs, runtime.NumCPU()), make([]error, runtime.NumCPU())
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() { all[i], errs[i] = nn.CalibrateCosts(ctx, mhe.Machine{}) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return mhe.Costs{}, err
	}
	c := all[0]
	for i := range c.Samples {
		for _, other := range all[1:] {
			c.Samples[i].Seconds += other.Samples[i].Seconds
		}
		c.Samples[i].Seconds /= float64(len(all))
	}
	return c, nil
}

// measureHost measures what durability and messages cost here, with so many parties
// at once, for a study that has not run.
func measureHost(ctx context.Context, dir string, costs mhe.Costs, parties int, link wan.Link) (study.Host, error) {
	h := study.Host{
		Costs: costs, Sharing: parties, Cores: runtime.NumCPU(),
		Link: study.Link{Mbit: link.Mbit, Latency: float64(link.Latency) / float64(time.Millisecond)},
	}
	var err error
	if h.Commit, h.Put, h.Byte, err = measureDisk(dir, parties); err != nil {
		return h, err
	}
	h.Wire, err = measureWire(ctx, link)
	return h, err
}

// together runs f for every number below n at once and returns how long it took.
func together(n int, f func(i int) error) (time.Duration, error) {
	errs := make([]error, n)
	start := time.Now()
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	return time.Since(start), errors.Join(errs...)
}

// measureDisk times journals and stores of several parties that write at once.
func measureDisk(dir string, parties int) (commit, put, perByte float64, err error) {
	const small, big, size = 30, 4, 8 << 20
	journals, stores := make([]*protocols.FileJournal, parties), make([]*study.FileStore, parties)
	defer func() {
		for _, j := range journals {
			if j != nil {
				err = errors.Join(err, j.Close())
			}
		}
	}()
	for i := range parties {
		place := filepath.Join(dir, fmt.Sprint(i))
		if err := os.MkdirAll(place, 0o700); err != nil {
			return 0, 0, 0, err
		}
		if journals[i], err = protocols.OpenJournal(filepath.Join(place, "journal")); err != nil {
			return 0, 0, 0, err
		}
		if stores[i], err = study.OpenStore(filepath.Join(place, "store")); err != nil {
			return 0, 0, 0, err
		}
	}
	shares := func(protocol string, count, size int) (time.Duration, error) {
		body := make([]byte, size)
		return together(parties, func(i int) error {
			for k := range count {
				l := protocols.Label{Point: protocols.Point{Protocol: protocol, Step: uint64(k)}}
				if _, err := journals[i].Share(l, func() ([]byte, error) { return body, nil }); err != nil {
					return err
				}
			}
			return nil
		})
	}
	few, err := shares("small", small, 1)
	if err != nil {
		return 0, 0, 0, err
	}
	commit = few.Seconds() / small / 2 // a binding, and a share
	much, err := shares("big", big, size)
	if err != nil {
		return 0, 0, 0, err
	}
	perByte = max(0, much.Seconds()/big-2*commit) / float64(size*parties)
	puts, err := together(parties, func(i int) error {
		for k := range small {
			if err := stores[i].Put("value", []byte{byte(k)}); err != nil {
				return err
			}
		}
		return nil
	})
	return commit, puts.Seconds() / small, perByte, err
}

// measureWire returns the processor seconds that a byte of a message costs both ends
// of an edge, and the emulated link between them: rounds of two parties that add up
// bytes, over mutual TLS.
func measureWire(ctx context.Context, link wan.Link) (perByte float64, err error) {
	const size, rounds = 8 << 20, 6
	tree, err := protocols.NewTree(2, 1)
	if err != nil {
		return 0, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	proxy, err := wan.Connect(wan.NewEnd(link), wan.NewEnd(link), listener.Addr().String())
	if err != nil {
		return 0, errors.Join(err, listener.Close())
	}
	defer func() { err = errors.Join(err, proxy.Close()) }()
	var peers []transport.Peer
	var ids []*identity.Identity
	for i, name := range []string{"root", "leaf"} {
		id, err := identity.New(identity.Card{Name: name, Role: identity.Party})
		if err != nil {
			return 0, err
		}
		key := id.Key()
		ids, peers = append(ids, id), append(peers, transport.Peer{ID: protocols.PartyID(i), Name: name, Key: ed25519.PublicKey(key[:])})
	}
	peers[0].Address = proxy.Address()
	ends := make([]*transport.Endpoint, 2)
	for i, id := range ids {
		c := transport.Config{Self: protocols.PartyID(i), Roster: peers, Tree: tree, Certificate: id.Certificate, MaxBody: size}
		if i == 0 {
			c.Listener = listener
		}
		if ends[i], err = transport.Open(c); err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, ends[i].Close()) }()
	}
	var start time.Duration
	for k := range rounds + 1 {
		if k == 1 { // the first one connects
			start, _ = cpuTime()
		}
		if _, err = together(2, func(i int) error { return exchange(ctx, ends[i], tree, protocols.PartyID(i), k, size) }); err != nil {
			return 0, err
		}
	}
	end, _ := cpuTime()
	return (end - start).Seconds() / float64(rounds*2*size), nil // a share up and a result down
}

// exchange is a party's side of a round that sends bytes up and down.
func exchange(ctx context.Context, e *transport.Endpoint, tree protocols.Tree, self protocols.PartyID, step, size int) error {
	point := protocols.Point{Protocol: "exchange", Step: uint64(step), Active: tree.Members()}
	body := make([]byte, size)
	body[0] = byte(step)
	same := func(b []byte) ([]byte, error) { return b, nil }
	m, err := protocols.NewRound(protocols.Config{Self: self, Tree: tree, Point: point, Result: true, Journal: protocols.NewMemoryJournal()}, protocols.Rules[[]byte]{
		Gen: func(protocols.Label) ([]byte, error) { return body, nil }, Encode: same, Decode: same, Finish: same,
		Add: func(acc, _ []byte) ([]byte, error) { return acc, nil }, Accept: func([]byte) error { return nil }, MaxBody: size,
	})
	if err != nil {
		return err
	}
	line := e.Line(point)
	if err := protocols.Drive(ctx, nil, m, line); err != nil {
		return err
	}
	e.Forget(func(p protocols.Point) bool { return p.Step+1 < uint64(step) })
	return nil
}
