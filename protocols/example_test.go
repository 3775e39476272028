package protocols_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"github.com/nereid-mhe/nereid/protocols"
	"github.com/nereid-mhe/nereid/protocols/sim"
)

// Three parties add up their numbers without showing them: each adds a mask to
// its number, and the masks of all parties cancel. The masks come from a pad for
// each pair of parties, which stands for the cryptography of a real protocol.
func ExampleRound() {
	tree, err := protocols.NewTree(3, 2)
	if err != nil {
		fmt.Println(err)
		return
	}
	point := protocols.Point{Protocol: "sum", Step: 1, Place: "rows", Active: tree.Members()}
	rows := []uint64{768, 1024, 512}
	pads := []protocols.Seed{protocols.GenerateSeed(), protocols.GenerateSeed(), protocols.GenerateSeed()}

	var machines []protocols.Machine
	for _, self := range tree.Members() {
		rules := protocols.Rules[uint64]{
			Gen: func(l protocols.Label) (uint64, error) {
				plus, minus := pads[self], pads[(self+1)%3] // shared with the two neighbours
				return rows[self] + word(l.Private(plus)) - word(l.Private(minus)), nil
			},
			Add:    func(acc, s uint64) (uint64, error) { return acc + s, nil },
			Encode: func(s uint64) ([]byte, error) { return binary.BigEndian.AppendUint64(nil, s), nil },
			Decode: func(b []byte) (uint64, error) {
				if len(b) != 8 {
					return 0, errors.New("want 8 bytes")
				}
				return binary.BigEndian.Uint64(b), nil
			},
			Finish: func(sum uint64) ([]byte, error) {
				return binary.BigEndian.AppendUint64(nil, sum), nil
			},
			Accept: func(result []byte) error {
				fmt.Printf("party %d: %d rows in the study\n", self, binary.BigEndian.Uint64(result))
				return nil
			},
			MaxBody: 8,
		}
		m, err := protocols.NewRound(protocols.Config{
			Self: self, Tree: tree, Point: point, Result: true,
			Journal: protocols.NewMemoryJournal(), // a node uses OpenJournal
		}, rules)
		if err != nil {
			fmt.Println(err)
			return
		}
		machines = append(machines, m)
	}
	report, err := sim.Run(sim.Options{}, machines...)
	fmt.Println(report.Total().Messages, "messages,", report.Depth, "hops, error:", err)
	// Unordered output:
	// party 1: 2304 rows in the study
	// party 2: 2304 rows in the study
	// 4 messages, 2 hops, error: <nil>
}

func word(s *protocols.Stream) uint64 {
	var b [8]byte
	_, _ = s.Read(b[:])
	return binary.BigEndian.Uint64(b[:])
}

// A journal gives one share per label, and none for a second input at a point.
func ExampleJournal() {
	j := protocols.NewMemoryJournal()
	l := protocols.Label{Point: protocols.Point{Protocol: "refresh", Step: 7, Place: "layer1"}, Digest: [32]byte{1}}
	gen := func() ([]byte, error) {
		fmt.Println("making a share")
		return []byte("h"), nil
	}
	for range 2 {
		share, err := j.Share(l, gen)
		fmt.Printf("%s %v\n", share, err)
	}
	l.Digest = [32]byte{2}
	_, err := j.Share(l, gen)
	fmt.Println(errors.Is(err, protocols.ErrBound), err)
	// Output:
	// making a share
	// h <nil>
	// h <nil>
	// true journal: refresh@7/layer1#0 study 00000000 n=0: point is bound to another input: bound to 01000000, refused 02000000
}

// Two polynomials of one label, read in any order or at the same time.
func ExampleStream_Sub() {
	s := protocols.Point{Protocol: "keygen"}.Common([32]byte{})
	a, b := s.Sub("a"), s.Sub("b")
	first := word(a)
	again := word(s.Sub("a"))
	fmt.Println(first == again, first == word(b), bits.OnesCount64(first) > 0)
	// Output: true false true
}

// A policy of three values for one querier.
func ExampleLedger() {
	ledger := protocols.NewLedger("ciphertexts", map[string]int{"clinic": 3})
	label := protocols.Label{Point: protocols.Point{Protocol: "keyswitch", Step: 1}}
	fmt.Println(ledger.Spend(label, "clinic", 2))
	fmt.Println(ledger.Spend(label, "clinic", 2)) // a retry is free
	label.Point.Step = 2
	fmt.Println(ledger.Spend(label, "clinic", 2))
	fmt.Println(ledger.Spend(label, "press", 1))
	fmt.Println(ledger.Spent())
	// Output:
	// <nil>
	// <nil>
	// protocols: opening 2 ciphertexts for "clinic": 2 of 3 are spent
	// protocols: opening 1 ciphertexts: the policy has no querier "press"
	// [{clinic 2 3}]
}
