package node

import (
	"context"
	"net"
	"os"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/identity"
	"github.com/nereid-mhe/nereid/protocols"
	"github.com/nereid-mhe/nereid/studyfile"
)

const preflightStudy = `version: 1
name: heart
model: {kind: logistic}
data: {label: ill, features: [age, pressure]}
training: {steps: 2, batch: 20}
parties: {roster: [{name: north}, {name: south}]}
opening: {queriers: [{name: lab, rows: 20}]}
`

// preflightConfig returns the configs of both parties of a new trial on the toy ring.
func preflightConfig(t *testing.T) []Config {
	t.Helper()
	f, err := studyfile.Parse("heart.yaml", []byte(preflightStudy))
	require.NoError(t, err)
	rows, err := dataset.Synthetic(dataset.SyntheticConfig{Rows: 20, Features: 2, Seed: 1})
	require.NoError(t, err)
	rows.Features = f.Data.Features
	trial, err := NewTrial(t.Context(), t.TempDir(), studyfile.Toy, f, TrialData{Parties: []dataset.Table{rows, rows}, Querier: rows})
	require.NoError(t, err)
	_, terms, err := studyfile.Locked(t.Context(), studyfile.Toy, trial.Lock)
	require.NoError(t, err)
	var out []Config
	for _, p := range trial.Lock.Parties() {
		sealed, err := os.ReadFile(trial.IdentityFile(p.Name))
		require.NoError(t, err)
		id, err := identity.Open(sealed, age.Identity(trial.key))
		require.NoError(t, err)
		out = append(out, Config{Identity: id, Lock: trial.Lock, Terms: terms, Table: rows, Dir: trial.StateDir(p.Name)})
	}
	return out
}

func finding(t *testing.T, all []Finding, check string) Finding {
	t.Helper()
	for _, f := range all {
		if f.Check == check {
			return f
		}
	}
	t.Fatalf("no check %q in %+v", check, all)
	return Finding{}
}

// Who answers at a peer's address must be the peer, in this study.
func TestPreflightRefusesAnotherNode(t *testing.T) {
	ours, others := preflightConfig(t), preflightConfig(t)
	n, err := Open(others[0])
	require.NoError(t, err)
	defer func() { require.NoError(t, n.Close()) }()
	south := ours[1]
	south.Dial = func(ctx context.Context, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", others[0].Lock.Parties()[0].Address)
	}
	f := finding(t, Preflight(t.Context(), south, 5*time.Second), "peer north")
	require.Contains(t, f.Problem, "key not in the roster")
	require.NotEmpty(t, f.Remedy)
	require.False(t, f.Warning)

	// the same node is what its own peer wants
	all := Preflight(t.Context(), others[1], 5*time.Second)
	require.Empty(t, finding(t, all, "peer north").Problem)
	require.Contains(t, finding(t, all, "clock").Note, "peers that answered")
	require.NoDirExists(t, others[1].Dir)
}

// The metrics of a real node come from its status.
func TestMetricsOfNode(t *testing.T) {
	c := preflightConfig(t)
	n, err := Open(c[0])
	require.NoError(t, err)
	defer func() { require.NoError(t, n.Close()) }()
	body := scrape(t, n.Status())
	require.Contains(t, body, `nereid_info{party="north",study="`+c[0].Lock.Fingerprint().String()+`"} 1`)
	require.Contains(t, body, `nereid_openings_left{querier="lab"} 20`)
	require.Contains(t, body, `nereid_peer_connected{peer="south"} 0`)
	require.NotContains(t, body, "nereid_journal_bytes 0\n")
	require.WithinDuration(t, time.Now(), n.Status().Time, time.Minute)
}

func TestCheckClock(t *testing.T) {
	c := preflightConfig(t)[0]
	slow, near := -40*time.Minute, time.Second
	require.Empty(t, checkClock(c, time.Now(), nil).Problem)
	require.Empty(t, checkClock(c, time.Now(), []*time.Duration{nil, &near}).Problem)
	require.Contains(t, checkClock(c, time.Now(), []*time.Duration{&near, &slow}).Problem, "differs by 40m0s")
	require.Contains(t, checkClock(c, time.Now().Add(-48*time.Hour), nil).Problem, "made its identity at")
}

func TestCheckRoom(t *testing.T) {
	f := checkRoom("disk", 1<<30, 3<<30, "add a disk")
	require.Equal(t, Finding{Check: "disk", Problem: "1.00 GiB free, the study needs about 3.00 GiB", Remedy: "add a disk"}, f)
	require.Empty(t, checkRoom("disk", 3<<30, 3<<30, "add a disk").Problem)
	require.Empty(t, checkRoom("disk", 0, -5, "add a disk").Problem, "what is there already is more than what is needed")
	require.True(t, checkRoom("disk", -1, 3<<30, "add a disk").Warning)
}

func TestAvailable(t *testing.T) {
	require.EqualValues(t, 2048, available("MemTotal: 9 kB\nMemAvailable:    2 kB\n"))
	for _, text := range []string{"", "MemAvailable: 2\n", "MemAvailable: x kB\n"} {
		require.EqualValues(t, -1, available(text))
	}
}

// A directory that cannot be made.
func TestCheckDirBelowFile(t *testing.T) {
	file := t.TempDir() + "/file"
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	require.Contains(t, checkDir(file+"/state").Problem, "is no directory")
	require.Equal(t, "will be made", checkDir(t.TempDir()+"/a/b").Note)
}

func TestCheckPortOfBadAddress(t *testing.T) {
	c := preflightConfig(t)[0]
	c.Listen = "no port"
	require.NotEmpty(t, checkPort(c, protocols.PartyID(0)).Problem)
}
