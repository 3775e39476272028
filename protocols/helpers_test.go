package protocols_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/protocols"
	"github.com/nereid-mhe/nereid/protocols/sim"
)

// A vector is the share type of these tests: words added modulo 2^64.
type vector []uint64

func encodeVector(v vector) ([]byte, error) {
	b := make([]byte, 0, 8*len(v))
	for _, x := range v {
		b = binary.BigEndian.AppendUint64(b, x)
	}
	return b, nil
}

func decodeVector(width int) func([]byte) (vector, error) {
	return func(b []byte) (vector, error) {
		if len(b) != 8*width {
			return nil, errors.New("wrong length")
		}
		v := make(vector, width)
		for i := range v {
			v[i] = binary.BigEndian.Uint64(b[8*i:])
		}
		return v, nil
	}
}

func addVectors(acc, s vector) (vector, error) {
	if len(acc) != len(s) {
		return nil, errors.New("lengths differ")
	}
	for i := range acc {
		acc[i] += s[i]
	}
	return acc, nil
}

func readVector(r io.Reader, width int) vector {
	b := make([]byte, 8*width)
	_, _ = io.ReadFull(r, b)
	v, _ := decodeVector(width)(b)
	return v
}

// A study is a round of n parties whose shares look like those of the real
// protocols: value·common + mask, the value being the party's number + 1.
type study struct {
	t        testing.TB
	tree     protocols.Tree
	point    protocols.Point
	hasInput bool
	result   bool
	lossless bool
	input    []byte
	width    int
	seeds    []protocols.Seed
	journals []protocols.Journal

	labels  []protocols.Label // by party, as seen by Gen
	gens    []int             // calls of Gen by party
	opened  [][]byte          // inputs by party
	results [][]byte          // by party; at the root the sum
}

func newStudy(t testing.TB, n, fanout int) *study {
	t.Helper()
	tree, err := protocols.NewTree(n, fanout)
	require.NoError(t, err)
	s := &study{
		t: t, tree: tree, width: 8, hasInput: true, result: true, input: []byte("c1 of some ciphertexts"),
		point:   testPoint(tree.Members()),
		labels:  make([]protocols.Label, n),
		gens:    make([]int, n),
		opened:  make([][]byte, n),
		results: make([][]byte, n),
	}
	for p := range n {
		s.seeds = append(s.seeds, protocols.NewSeed([32]byte{byte(p), byte(p >> 8), 7}))
		s.journals = append(s.journals, protocols.NewMemoryJournal())
	}
	return s
}

func testPoint(active []protocols.PartyID) protocols.Point {
	return protocols.Point{Study: protocols.StudyID{0xab, 0xcd, 0xef}, Protocol: "refresh", Step: 3, Place: "layer1/forward", Active: active}
}

// share is what party p sends for l.
func (s *study) share(p protocols.PartyID, l protocols.Label) vector {
	common := readVector(l.Point.Common([32]byte{1}), s.width)
	mask := readVector(l.Private(s.seeds[p]).Sub("mask"), s.width)
	v := make(vector, s.width)
	for i := range v {
		v[i] = (uint64(p)+1)*common[i] + mask[i]
	}
	return v
}

func (s *study) config(p protocols.PartyID) protocols.Config {
	cfg := protocols.Config{
		Self: p, Tree: s.tree, Point: s.point, Journal: s.journals[p],
		Context: []byte("plan"), HasInput: s.hasInput, Result: s.result, Lossless: s.lossless,
	}
	if s.hasInput && p == s.tree.Root() {
		cfg.Input = s.input
	}
	return cfg
}

func (s *study) rules(p protocols.PartyID) protocols.Rules[vector] {
	return protocols.Rules[vector]{
		Open: func(input []byte) error {
			if !bytes.HasPrefix(input, []byte("c1 ")) {
				return errors.New("not a ciphertext")
			}
			s.opened[p] = input
			return nil
		},
		Gen: func(l protocols.Label) (vector, error) {
			s.labels[p] = l
			s.gens[p]++
			return s.share(p, l), nil
		},
		Add:    addVectors,
		Encode: encodeVector,
		Decode: decodeVector(s.width),
		Finish: func(sum vector) ([]byte, error) {
			b, err := encodeVector(sum)
			s.results[p] = b
			return b, err
		},
		Accept: func(b []byte) error {
			if _, err := decodeVector(s.width)(b); err != nil {
				return err
			}
			s.results[p] = b
			return nil
		},
		MaxBody: 1 << 20,
		Retry:   true,
	}
}

func (s *study) machine(p protocols.PartyID) *protocols.Round[vector] {
	return must(protocols.NewRound(s.config(p), s.rules(p)))
}

func (s *study) machines() []protocols.Machine {
	s.t.Helper()
	var all []protocols.Machine
	for _, p := range s.tree.Members() {
		all = append(all, s.machine(p))
	}
	return all
}

// want is the sum by the oracle: all shares for the root's label.
func (s *study) want() []byte {
	sum := make(vector, s.width)
	for _, p := range s.tree.Members() {
		sum, _ = addVectors(sum, s.share(p, s.labels[0]))
	}
	b, _ := encodeVector(sum)
	return b
}

// check compares what the parties got with the oracle.
func (s *study) check(t require.TestingT) {
	want := s.want()
	for p := range s.results {
		require.Equal(t, s.labels[0], s.labels[p], "label of party %d", p)
		if s.hasInput {
			require.Equal(t, s.input, s.opened[p], "input of party %d", p)
		}
		if s.result || protocols.PartyID(p) == s.tree.Root() {
			require.Equal(t, want, s.results[p], "result of party %d", p)
		}
	}
}

// honest runs the round and returns its messages in order of sending.
func (s *study) honest() []protocols.Message {
	s.t.Helper()
	var all []protocols.Message
	_, err := sim.Run(sim.Options{Trace: func(m protocols.Message) { all = append(all, m) }}, s.machines()...)
	require.NoError(s.t, err)
	s.check(s.t)
	return all
}

// seal returns m with a valid checksum.
func seal(m protocols.Message) protocols.Message {
	m.Sum = m.Checksum()
	return m
}
