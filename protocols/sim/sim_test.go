package sim_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/protocols"
	"github.com/nereid-mhe/nereid/protocols/sim"
)

// round returns the machines of a round in which each party adds its number to
// a byte, and the results by party.
func round(t testing.TB, parties, fanout int) ([]protocols.Machine, [][]byte) {
	t.Helper()
	tree, err := protocols.NewTree(parties, fanout)
	require.NoError(t, err)
	results := make([][]byte, parties)
	var machines []protocols.Machine
	for _, p := range tree.Members() {
		m, err := protocols.NewRound(protocols.Config{
			Self: p, Tree: tree, Result: true, Journal: protocols.NewMemoryJournal(),
			Point: protocols.Point{Protocol: "sum", Active: tree.Members()},
		}, protocols.Rules[byte]{
			Gen:    func(protocols.Label) (byte, error) { return byte(p), nil },
			Add:    func(acc, s byte) (byte, error) { return acc + s, nil },
			Encode: func(s byte) ([]byte, error) { return []byte{s}, nil },
			Decode: func(b []byte) (byte, error) {
				if len(b) != 1 {
					return 0, errors.New("want 1 byte")
				}
				return b[0], nil
			},
			Finish:  func(sum byte) ([]byte, error) { results[p] = []byte{sum}; return results[p], nil },
			Accept:  func(b []byte) error { results[p] = b; return nil },
			MaxBody: 1,
		})
		require.NoError(t, err)
		machines = append(machines, m)
	}
	return machines, results
}

// The report of a round without faults is known beforehand.
func TestRunReport(t *testing.T) {
	for _, direct := range []bool{false, true} {
		t.Run(fmt.Sprint("direct ", direct), func(t *testing.T) {
			machines, results := round(t, 7, 2)
			var traced int64
			report, err := sim.Run(sim.Options{Direct: direct, Trace: func(m protocols.Message) { traced += int64(m.Size()) }}, machines...)
			require.NoError(t, err)
			for _, r := range results {
				require.Equal(t, []byte{21}, r)
			}
			require.Equal(t, sim.Traffic{Messages: 12, Bytes: traced}, report.Total())
			require.Equal(t, 4, report.Depth)
			require.Zero(t, report.Resends)
			require.Empty(t, report.Refused)
			one := traced / 12
			require.Equal(t, sim.Traffic{Messages: 2, Bytes: 2 * one}, report.Sent(0))
			require.Equal(t, sim.Traffic{Messages: 3, Bytes: 3 * one}, report.Sent(1))
			require.Equal(t, sim.Traffic{Messages: 3, Bytes: 3 * one}, report.Received(1))
			require.Equal(t, sim.Traffic{Messages: 1, Bytes: one}, report.Sent(6))
			require.Equal(t, sim.Traffic{Messages: 2, Bytes: 2 * one}, report.Parties[1].Sent[protocols.LegResult])
			require.Equal(t, sim.Traffic{Messages: 2, Bytes: 2 * one}, report.Parties[1].Received[protocols.LegShare])
		})
	}
}

// The same seed gives the same run, another seed another.
func TestRunIsDeterministic(t *testing.T) {
	run := func(seed uint64) (order []string, report sim.Report) {
		machines, results := round(t, 9, 2)
		report, err := sim.Run(sim.Options{
			Seed:   seed,
			Faults: sim.Faults{Duplicate: 0.3, Drop: 0.3, Corrupt: 0.3},
			Trace:  func(m protocols.Message) { order = append(order, fmt.Sprint(m.From, m.To, m.Leg)) },
		}, machines...)
		require.NoError(t, err)
		for _, r := range results {
			require.Equal(t, []byte{36}, r)
		}
		return order, report
	}
	order1, report1 := run(1)
	again, report := run(1)
	require.Equal(t, order1, again)
	require.Equal(t, report1, report)
	require.Positive(t, report.Duplicated)
	require.Positive(t, report.Dropped)
	require.Positive(t, report.Corrupted)
	require.Positive(t, report.Resends)
	require.NotEmpty(t, report.Refused)
	for _, err := range report.Refused {
		require.ErrorAs(t, err, new(*protocols.MessageError))
	}
	order2, _ := run(2)
	require.NotEqual(t, order1, order2)
}

func TestRunSaysWhoWaits(t *testing.T) {
	machines, _ := round(t, 3, 2)
	report, err := sim.Run(sim.Options{MaxResends: 3, Faults: sim.Faults{Drop: 1}}, machines...)
	require.EqualError(t, err, "sim: seed 0: no progress after sending again 3 times: party 0 waits for [1 2], party 1 waits for [0], party 2 waits for [0]")
	require.Equal(t, 3, report.Resends)
	require.Equal(t, 8, report.Dropped)
}

// A broken machine sends to nobody, in the name of another, or fails.
type broken struct {
	protocols.Machine
	msg protocols.Message
	err error
}

func (b broken) Start() ([]protocols.Message, error) { return []protocols.Message{b.msg}, b.err }

func TestRunRefuses(t *testing.T) {
	machines, _ := round(t, 2, 1)
	boom := errors.New("boom")
	for _, tt := range []struct {
		name string
		opts sim.Options
		msg  protocols.Message
		err  error
		want string
	}{
		{"machine fails", sim.Options{}, protocols.Message{}, boom, "sim: seed 0: party 1: boom"},
		{"nobody", sim.Options{}, protocols.Message{From: 1, To: 2}, nil, "party 1 sends a message from 1 to 2"},
		{"false name", sim.Options{}, protocols.Message{From: 0, To: 1}, nil, "party 1 sends a message from 0 to 1"},
		{"no encoding", sim.Options{}, protocols.Message{From: 1, To: 0}, nil, "point without a protocol"},
		{"direct corruption", sim.Options{Direct: true, Faults: sim.Faults{Corrupt: 0.1}}, protocols.Message{}, nil, "corruption needs encoded messages"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := sim.Run(tt.opts, machines[0], broken{machines[1], tt.msg, tt.err})
			require.ErrorContains(t, err, tt.want)
		})
	}
}

// Two parties, and what their round costs.
func ExampleRun() {
	var machines []protocols.Machine
	tree, _ := protocols.NewTree(2, 1)
	for _, p := range tree.Members() {
		m, err := protocols.NewRound(protocols.Config{
			Self: p, Tree: tree, Journal: protocols.NewMemoryJournal(),
			Point: protocols.Point{Protocol: "sum", Active: tree.Members()},
		}, protocols.Rules[byte]{
			Gen:     func(protocols.Label) (byte, error) { return 20 + byte(p), nil },
			Add:     func(acc, s byte) (byte, error) { return acc + s, nil },
			Encode:  func(s byte) ([]byte, error) { return []byte{s}, nil },
			Decode:  func(b []byte) (byte, error) { return b[0], nil }, // a panic is an error
			Finish:  func(sum byte) ([]byte, error) { fmt.Println("sum", sum); return nil, nil },
			MaxBody: 1,
		})
		if err != nil {
			fmt.Println(err)
			return
		}
		machines = append(machines, m)
	}
	report, err := sim.Run(sim.Options{Seed: 1}, machines...)
	fmt.Println(report.Sent(1).Messages, "message of", report.Sent(1).Bytes, "bytes, error:", err)
	// Output:
	// sum 41
	// 1 message of 134 bytes, error: <nil>
}
