package transport

import (
	"context"
	"crypto/ed25519"
	crand "crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/protocols"
)

// A world is a study whose parties may run in this process, on loopback.
type world struct {
	t         testing.TB
	tree      protocols.Tree
	keys      []ed25519.PrivateKey
	roster    []Peer
	listeners []net.Listener // nil for parties without a port
	study     protocols.StudyID
	journals  []protocols.Journal
	change    func(*Config) // of every party, nil for none
	width     int           // words of a share
}

// newWorld returns a study of n parties of which those in ports can be reached.
func newWorld(t testing.TB, n, fanout int, ports ...int) *world {
	t.Helper()
	tree, err := protocols.NewTree(n, fanout)
	require.NoError(t, err)
	w := &world{t: t, tree: tree, study: protocols.StudyID{1, 2, 3}, listeners: make([]net.Listener, n), width: 64}
	for i := range n {
		w.keys = append(w.keys, testKey(fmt.Sprint("party ", i)))
		w.roster = append(w.roster, Peer{ID: protocols.PartyID(i), Name: fmt.Sprintf("site-%d", i), Key: publicKey(w.keys[i])})
		w.journals = append(w.journals, protocols.NewMemoryJournal())
	}
	for _, i := range ports {
		w.listen(i)
	}
	return w
}

func testKey(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

func publicKey(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

// listen opens the port of a party, the same as before if it had one.
func (w *world) listen(i int) {
	w.t.Helper()
	address := w.roster[i].Address
	if address == "" {
		address = "127.0.0.1:0"
	}
	var err error
	require.Eventually(w.t, func() bool {
		w.listeners[i], err = net.Listen("tcp", address)
		return err == nil
	}, 5*time.Second, 10*time.Millisecond, "%v", err)
	w.roster[i].Address = w.listeners[i].Addr().String()
}

// certificate returns a certificate callback, of a certificate valid around now.
func certificate(t testing.TB, key ed25519.PrivateKey, name string) func() (*tls.Certificate, error) {
	c, err := newCertificate(key, name, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	require.NoError(t, err)
	return func() (*tls.Certificate, error) { return c, nil }
}

func (w *world) config(i int) Config {
	c := Config{
		Self: protocols.PartyID(i), Roster: w.roster, Tree: w.tree, Study: w.study,
		Certificate: certificate(w.t, w.keys[i], w.roster[i].Name), Listener: w.listeners[i], MaxBody: 64 << 20,
	}
	if w.change != nil {
		w.change(&c)
	}
	return c
}

// open starts a party, which ends with the test if not before.
func (w *world) open(i int) *Endpoint {
	w.t.Helper()
	e, err := Open(w.config(i))
	require.NoError(w.t, err)
	w.t.Cleanup(func() { e.Close() })
	return e
}

func (w *world) openAll() []*Endpoint {
	w.t.Helper()
	all := make([]*Endpoint, w.tree.Parties())
	for i := range all {
		all[i] = w.open(i)
	}
	return all
}

func (w *world) point(step int) protocols.Point {
	return protocols.Point{Study: w.study, Protocol: "sum", Step: uint64(step), Active: w.tree.Members()}
}

// message returns a valid message with a body that its arguments determine.
func (w *world) message(from, to, step int, body []byte) protocols.Message {
	m := protocols.Message{
		From: protocols.PartyID(from), To: protocols.PartyID(to), Point: w.point(step),
		Leg: protocols.LegShare, Body: body,
	}
	m.Sum = m.Checksum()
	return m
}

func randomBody(seed uint64, n int) []byte {
	var s [32]byte
	binary.BigEndian.PutUint64(s[:], seed)
	b := make([]byte, n)
	_, _ = rand.NewChaCha8(s).Read(b)
	return b
}

// share is what a party adds in a step, a vector of words.
func (w *world) share(p protocols.PartyID, step uint64) []uint64 {
	v := make([]uint64, w.width)
	for i := range v {
		v[i] = uint64(p+1)<<40 ^ step<<20 ^ uint64(i)*0x9e3779b97f4a7c15
	}
	return v
}

func encode(v []uint64) ([]byte, error) {
	b := make([]byte, 0, 8*len(v))
	for _, x := range v {
		b = binary.BigEndian.AppendUint64(b, x)
	}
	return b, nil
}

func (w *world) decode(b []byte) ([]uint64, error) {
	if len(b) != 8*w.width {
		return nil, errors.New("wrong length")
	}
	v := make([]uint64, w.width)
	for i := range v {
		v[i] = binary.BigEndian.Uint64(b[8*i:])
	}
	return v, nil
}

func add(acc, s []uint64) ([]uint64, error) {
	for i := range acc {
		acc[i] += s[i]
	}
	return acc, nil
}

// sum runs a party's side of a round with input, sum and result. The root of the
// round may be any party. It returns the result.
func (w *world) sum(ctx context.Context, e *Endpoint, step int, root protocols.PartyID) ([]uint64, error) {
	tree, err := w.tree.RootedAt(root)
	if err != nil {
		return nil, err
	}
	self := e.cfg.Self
	var result []uint64
	input, _ := encode(w.share(root, uint64(step)^0xffff))
	cfg := protocols.Config{
		Self: self, Tree: tree, Point: w.point(step), Journal: w.journals[self], HasInput: true, Result: true,
	}
	if self == root {
		cfg.Input = input
	}
	rules := protocols.Rules[[]uint64]{
		Open:    func(b []byte) error { _, err := w.decode(b); return err },
		Gen:     func(l protocols.Label) ([]uint64, error) { return w.share(self, l.Point.Step), nil },
		Add:     add,
		Encode:  encode,
		Decode:  w.decode,
		Finish:  func(s []uint64) ([]byte, error) { result = s; return encode(s) },
		Accept:  func(b []byte) (err error) { result, err = w.decode(b); return err },
		MaxBody: 8 * w.width,
	}
	m, err := protocols.NewRound(cfg, rules)
	if err != nil {
		return nil, err
	}
	line := e.Line(w.point(step))
	if err := protocols.Drive(ctx, nil, m, line); err != nil {
		return nil, err
	}
	return slices.Clone(result), nil
}

// want is what sum must return.
func (w *world) want(step int) []uint64 {
	total := make([]uint64, w.width)
	for _, p := range w.tree.Members() {
		total, _ = add(total, w.share(p, uint64(step)))
	}
	return total
}

// check runs rounds at all parties at once, with several rounds of a party in
// flight, and compares all results. The root of a round is roots[step%len(roots)].
func (w *world) check(all []*Endpoint, from, rounds int, roots ...protocols.PartyID) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	errs := make(chan error, rounds*len(all))
	for _, e := range all {
		inFlight := make(chan struct{}, 1+int(e.cfg.Self)%3) // parties differ in haste
		wg.Go(func() {
			for step := from; step < from+rounds; step++ {
				inFlight <- struct{}{}
				wg.Go(func() {
					defer func() { <-inFlight }()
					got, err := w.sum(ctx, e, step, roots[step%len(roots)])
					if err == nil && fmt.Sprint(got) != fmt.Sprint(w.want(step)) {
						err = errors.New("wrong sum")
					}
					if err != nil {
						errs <- fmt.Errorf("party %d, step %d: %w", e.cfg.Self, step, err)
					}
				})
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		require.NoError(w.t, err)
	}
}

// connected waits until every party has all its connections.
func connected(t testing.TB, all ...*Endpoint) {
	t.Helper()
	require.Eventually(t, func() bool {
		for _, e := range all {
			for _, p := range e.Stats().Peers {
				if !p.Connected {
					return false
				}
			}
		}
		return true
	}, 20*time.Second, 5*time.Millisecond)
}

// spilled returns the files in a directory.
func spilled(t testing.TB, dir string) (files []os.FileInfo) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		info, err := e.Info()
		require.NoError(t, err)
		files = append(files, info)
	}
	return files
}

// newCertificate returns a self-signed certificate of the party with the given
// name, valid between two times.
func newCertificate(key ed25519.PrivateKey, name string, from, until time.Time) (*tls.Certificate, error) {
	serial, err := crand.Int(crand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("transport: certificate: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    from,
		NotAfter:     until,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(crand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("transport: certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("transport: certificate: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}
