package protocols_test

import (
	"fmt"
	"testing"

	"github.com/nereid-mhe/nereid/protocols"
	"github.com/nereid-mhe/nereid/protocols/sim"
)

// One round with input and result, all parties on one core, by reference and
// with memory journals: what the machines cost besides the cryptography.
func BenchmarkRound(b *testing.B) {
	for _, parties := range []int{3, 10, 31, 100} {
		for _, words := range []int{8, 1 << 17} { // 1<<17 words are the megabyte of a refresh share
			b.Run(fmt.Sprintf("parties=%d/bytes=%d", parties, 8*words), func(b *testing.B) {
				if parties*words > 1<<23 {
					b.Skip("needs gigabytes")
				}
				s := newStudy(b, parties, 3)
				s.width = words
				var report sim.Report
				for step := uint64(0); b.Loop(); step++ {
					s.point.Step = step
					for p := range s.journals {
						s.journals[p] = protocols.NewMemoryJournal()
					}
					var err error
					if report, err = sim.Run(sim.Options{Seed: step, Direct: true}, s.machines()...); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(report.Total().Messages), "msgs/op")
				b.ReportMetric(float64(report.Depth), "hops/op")
				b.ReportMetric(float64(report.Total().Bytes), "sentB/op")
			})
		}
	}
}

func BenchmarkMessage(b *testing.B) {
	m := protocols.Message{Point: testPoint([]protocols.PartyID{0, 1, 2}), Leg: protocols.LegShare, Body: make([]byte, 1<<20)}
	b.Run("checksum", func(b *testing.B) {
		b.SetBytes(int64(len(m.Body)))
		for b.Loop() {
			m.Sum = m.Checksum()
		}
	})
	b.Run("encode", func(b *testing.B) {
		buf := make([]byte, 0, m.Size())
		b.SetBytes(int64(len(m.Body)))
		for b.Loop() {
			if _, err := m.AppendBinary(buf); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("decode", func(b *testing.B) {
		buf := must(m.AppendBinary(nil))
		b.SetBytes(int64(len(m.Body)))
		for b.Loop() {
			if _, err := protocols.DecodeMessage(buf, 1<<20); err != nil {
				b.Fatal(err)
			}
		}
	})
}
