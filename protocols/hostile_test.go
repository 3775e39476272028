package protocols_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/protocols"
)

// A forgery is an honest message with something wrong in it.
type forgery struct {
	name   string
	change func(*protocols.Message)
	field  string
	err    error
	legs   []protocols.Leg // nil for all
}

// forgeries have valid checksums unless the name says otherwise.
var forgeries = []forgery{
	{"study", func(m *protocols.Message) { m.Point.Study[0] ^= 1 }, "study", protocols.ErrUnexpected, nil},
	{"protocol", func(m *protocols.Message) { m.Point.Protocol = "keygen" }, "protocol", protocols.ErrUnexpected, nil},
	{"step", func(m *protocols.Message) { m.Point.Step++ }, "step", protocols.ErrUnexpected, nil},
	{"place", func(m *protocols.Message) { m.Point.Place = "layer2" }, "place", protocols.ErrUnexpected, nil},
	{"attempt", func(m *protocols.Message) { m.Point.Attempt++ }, "attempt", protocols.ErrUnexpected, nil},
	{"active set", func(m *protocols.Message) { m.Point.Active = m.Point.Active[1:] }, "active", protocols.ErrUnexpected, nil},
	{"recipient", func(m *protocols.Message) { m.To = 5 }, "to", protocols.ErrUnexpected, nil},
	{"sibling", func(m *protocols.Message) { m.From = 2 }, "from", protocols.ErrUnexpected, nil},
	{"grandchild of nobody", func(m *protocols.Message) { m.From = 60000 }, "from", protocols.ErrUnexpected, nil},
	{"itself to another", func(m *protocols.Message) { m.From, m.To = 1, 3 }, "to", protocols.ErrUnexpected, nil},
	{"leg of the other direction", func(m *protocols.Message) { m.Leg = protocols.LegShare }, "from", protocols.ErrUnexpected, []protocols.Leg{protocols.LegInput, protocols.LegResult}},
	{"input from a child", func(m *protocols.Message) { m.Leg = protocols.LegInput }, "from", protocols.ErrUnexpected, []protocols.Leg{protocols.LegShare}},
	{"leg 0", func(m *protocols.Message) { m.Leg = 0 }, "leg", protocols.ErrUnexpected, nil},
	{"leg 200", func(m *protocols.Message) { m.Leg = 200 }, "leg", protocols.ErrUnexpected, nil},
	{"digest", func(m *protocols.Message) { m.Digest[31] ^= 1 }, "digest", protocols.ErrUnexpected, nil},
	{"another input", func(m *protocols.Message) { m.Body = []byte("c1 but another") }, "digest", protocols.ErrUnexpected, []protocols.Leg{protocols.LegInput}},
	{"empty body", func(m *protocols.Message) { m.Body = nil }, "body", protocols.ErrMalformed, []protocols.Leg{protocols.LegShare, protocols.LegResult}},
	{"body too long", func(m *protocols.Message) { m.Body = append(m.Body[:len(m.Body):len(m.Body)], 0) }, "body", protocols.ErrMalformed, []protocols.Leg{protocols.LegShare, protocols.LegResult}},
	{"oversized body", func(m *protocols.Message) { m.Body = make([]byte, 1<<20+1) }, "body", protocols.ErrMalformed, nil},
	{"bad checksum", nil, "sum", protocols.ErrMalformed, nil},
	{"bad checksum of the body", nil, "sum", protocols.ErrMalformed, nil},
}

func (f forgery) of(m protocols.Message) (protocols.Message, bool) {
	m.Point.Active = slices.Clone(m.Point.Active)
	switch {
	case f.legs != nil && !slices.Contains(f.legs, m.Leg):
		return m, false
	case f.name == "bad checksum":
		m.Sum[0] ^= 1
		return m, true
	case f.name == "bad checksum of the body":
		m.Body = flip(m.Body, 11)
		return m, true
	}
	f.change(&m)
	return seal(m), true
}

// refused requires that m refuses msg with field and err and goes on.
func refused(t *testing.T, m protocols.Machine, msg protocols.Message, field string, want error) {
	t.Helper()
	out, err := m.Step(msg)
	require.Empty(t, out)
	require.ErrorIs(t, err, want)
	var refused *protocols.MessageError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, field, refused.Field)
	require.Equal(t, msg.From, refused.Peer)
	require.Equal(t, uint64(3), refused.Point.Step, "the round's own point")
	require.ErrorContains(t, err, fmt.Sprintf("protocols: message of party %d refused in refresh@3", msg.From))
}

// Every forgery of every message to an inner party is refused before the honest
// message comes, and after; the honest one still counts, and the result is right.
func TestRoundRefusesForgeries(t *testing.T) {
	s := newStudy(t, 7, 2)
	honest := s.honest()
	sent := from(1, honest)
	for _, f := range forgeries {
		t.Run(f.name, func(t *testing.T) {
			m := s.machine(1)
			_, err := m.Start()
			require.NoError(t, err)
			var got []protocols.Message
			for _, msg := range to(1, honest) {
				bad, ok := f.of(msg)
				if ok {
					refused(t, m, bad, f.field, f.err)
				}
				out, err := m.Step(msg)
				require.NoError(t, err)
				for len(out) > 0 && out[len(out)-1].To == 1 { // the reminder
					got = append(got, out[:len(out)-1]...)
					out, err = m.Step(out[len(out)-1])
					require.NoError(t, err)
				}
				got = append(got, out...)
				if ok {
					_, err = m.Step(bad)
					require.ErrorAs(t, err, new(*protocols.MessageError), "after the honest %v", msg.Leg)
				}
			}
			require.True(t, m.Done())
			require.Equal(t, sent, got)
			require.Equal(t, s.want(), s.results[1])
		})
	}
}

// A second message that differs from the first is a conflict, whoever sends it.
func TestRoundRefusesConflicts(t *testing.T) {
	s := newStudy(t, 7, 2)
	honest := s.honest()
	m := s.machine(1)
	_, err := m.Start()
	require.NoError(t, err)
	for _, msg := range to(1, honest) {
		_, err := m.Step(msg)
		require.NoError(t, err)
		msg.Body = flip(msg.Body, 40)
		refused(t, m, seal(msg), "body", protocols.ErrConflict)
	}
	require.True(t, m.Done())
	require.Equal(t, s.want(), s.results[1])
}

// Shares, results and reminders before the input are refused: there is no digest
// to compare with yet. An input that does not open is refused, and nothing is
// bound by it.
func TestRoundRefusesEarlyMessages(t *testing.T) {
	s := newStudy(t, 7, 2)
	honest := s.honest()
	s.journals[1] = protocols.NewMemoryJournal()
	m := s.machine(1)
	_, err := m.Start()
	require.NoError(t, err)
	for _, msg := range to(1, honest) {
		if msg.Leg != protocols.LegInput {
			refused(t, m, msg, "leg", protocols.ErrUnexpected)
		}
	}
	reminder := seal(protocols.Message{From: 1, To: 1, Point: s.point, Leg: protocols.LegShare})
	refused(t, m, reminder, "from", protocols.ErrUnexpected)

	s.input = []byte("garbage")
	refused(t, m, s.inputFor(1, 0), "body", protocols.ErrMalformed)
	s.input = honest[0].Body
	for _, msg := range to(1, honest) {
		_, err := m.Step(msg)
		require.NoError(t, err)
	}
	require.True(t, m.Done())
	require.Equal(t, 2, s.gens[1], "the second time for the empty journal")
}

// A child's share that decodes but cannot be added, with an error or a panic
// half way through, leaves the sum as it was.
func TestRoundSurvivesFailingAdd(t *testing.T) {
	for _, name := range []string{"error", "panic"} {
		t.Run(name, func(t *testing.T) {
			s := newStudy(t, 3, 2)
			honest := s.honest()
			rules := s.rules(0)
			rules.Add = func(acc, v vector) (vector, error) {
				poisoned := acc[0] == 666
				for i := range acc {
					if poisoned && i == 4 {
						if name == "panic" {
							panic("index out of range")
						}
						return nil, errors.New("levels differ")
					}
					acc[i] += v[i]
				}
				return acc, nil
			}
			m, err := protocols.NewRound(s.config(0), rules)
			require.NoError(t, err)
			_, err = m.Start()
			require.NoError(t, err)
			for _, msg := range to(0, honest) {
				bad := msg
				bad.Body, _ = encodeVector(vector{666, 1, 2, 3, 4, 5, 6, 7})
				refused(t, m, seal(bad), "body", protocols.ErrMalformed)
				_, err := m.Step(msg)
				require.NoError(t, err)
			}
			require.True(t, m.Done())
			require.Equal(t, s.want(), s.results[0])
		})
	}
}

// Functions that panic on a peer's bytes cost the peer's message, not the node.
func TestRoundSurvivesPanicsOnPeerBytes(t *testing.T) {
	s := newStudy(t, 7, 2)
	honest := s.honest()
	armed := true
	trap := func(f func([]byte) error) func([]byte) error {
		return func(b []byte) error {
			if armed {
				var nothing []byte
				_ = nothing[len(b)]
			}
			return f(b)
		}
	}
	rules := s.rules(1)
	rules.Open, rules.Accept = trap(rules.Open), trap(rules.Accept)
	decode := rules.Decode
	rules.Decode = func(b []byte) (v vector, err error) {
		own, _ := encodeVector(s.share(1, s.labels[0]))
		if bytes.Equal(b, own) {
			return decode(b)
		}
		err = trap(func(b []byte) error { v, err = decode(b); return err })(b)
		return v, err
	}
	m, err := protocols.NewRound(s.config(1), rules)
	require.NoError(t, err)
	_, err = m.Start()
	require.NoError(t, err)
	for _, msg := range to(1, honest) {
		armed = true
		refused(t, m, msg, "body", protocols.ErrMalformed)
		_, err = m.Step(msg)
		require.ErrorContains(t, err, "panic: runtime error: index out of range")
		require.ErrorContains(t, err, "hostile_test.go:")
		armed = false
		_, err := m.Step(msg)
		require.NoError(t, err)
	}
	require.True(t, m.Done())
	require.Equal(t, s.want(), s.results[1])
}

// Arbitrary messages, mutated from honest ones by a program of fuzzed bytes and
// mixed with them, neither panic nor change the result.
func FuzzStep(f *testing.F) {
	s := newStudy(f, 7, 2)
	honest := s.honest()
	want := s.want()
	f.Add([]byte{0, 1, 2, 3})
	f.Add(bytes.Repeat([]byte{7, 1, 3, 0x80, 2, 5}, 20))
	f.Add(must(honest[3].AppendBinary([]byte{255})))
	f.Fuzz(func(t *testing.T, program []byte) {
		m := s.machine(1)
		_, err := m.Start()
		require.NoError(t, err)
		s.results[1] = nil
		step := func(msg protocols.Message) {
			if _, err := m.Step(msg); err != nil {
				require.ErrorAs(t, err, new(*protocols.MessageError))
			}
		}
		if len(program) > 0 && program[0] == 255 {
			if msg, err := protocols.DecodeMessage(program[1:], 1<<20); err == nil {
				if _, err := msg.AppendBinary(nil); err == nil && msg.Sum != msg.Checksum() {
					step(msg)
				}
			}
			program = nil
		}
		for ; len(program) >= 3; program = program[3:] {
			msg := honest[int(program[0])%len(honest)]
			fuzzed := forgeries[int(program[1])%len(forgeries)]
			if bad, ok := fuzzed.of(msg); ok && program[2]%2 == 0 {
				step(bad)
			}
			if program[2]%4 == 3 {
				step(msg)
			}
			if program[2]%8 == 5 {
				raw := flip(must(msg.AppendBinary(nil)), int(program[1])<<8+int(program[2]))
				if bad, err := protocols.DecodeMessage(raw, 1<<20); err == nil {
					step(bad)
				}
			}
		}
		for _, msg := range to(1, honest) {
			step(msg)
		}
		require.True(t, m.Done())
		require.Equal(t, want, s.results[1])
	})
}
