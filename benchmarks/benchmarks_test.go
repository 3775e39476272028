package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestMain is the program itself for a run that is to have a process of its own.
func TestMain(m *testing.M) {
	if os.Getenv(runAsProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// run returns what the program prints.
func run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := command()
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(io.Discard) // progress
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

// object runs a benchmark on a toy ring and decodes its one JSON object.
func object(t *testing.T, args ...string) map[string]any {
	t.Helper()
	out, err := run(t, append(args, "--toy", "--repeat", "3", "--format", "json")...)
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(out, "\n"), "one object in one line")
	var o map[string]any
	require.NoError(t, json.Unmarshal([]byte(out), &o))
	return o
}

// requirePositive checks every number but those under the given keys, which may
// be anything that JSON can hold: no infinity, no NaN.
func requirePositive(t *testing.T, path string, v any, except ...string) {
	t.Helper()
	for _, e := range except {
		if strings.HasSuffix(path, e) {
			return
		}
	}
	switch v := v.(type) {
	case float64:
		require.Positive(t, v, path)
	case map[string]any:
		for k, x := range v {
			requirePositive(t, path+"/"+k, x, except...)
		}
	case []any:
		for _, x := range v {
			requirePositive(t, path, x, except...)
		}
	}
}

func TestRefreshReport(t *testing.T) {
	o := object(t, "refresh")
	all, ok := o["all_cores"].(map[string]any)
	require.True(t, ok)
	for _, key := range []string{
		"share_ms", "finalize_ms", "lattigo_share_ms", "lattigo_finalize_ms",
		"share_vs_lattigo", "finalize_vs_lattigo",
		"fused_rotation_ms", "keyswitch_ms", "fused_rotation_vs_keyswitch",
	} {
		require.Contains(t, o, key)
		require.Contains(t, all, key)
	}
	for _, key := range []string{"precision_bits", "machine", "params", "repeats", "openfhe_share_ms_published"} {
		require.Contains(t, o, key)
	}
	require.EqualValues(t, 3, o["repeats"])
	// A fused rotation is the difference of two times, which three rounds on a
	// toy ring do not tell apart.
	requirePositive(t, "", o, "security_bits", "load_average", "fused_rotation", "fused_rotation_ms", "fused_rotation_vs_keyswitch", "fused_rotation_vs_own_keyswitch")
}

func TestLogregReport(t *testing.T) {
	o := object(t, "logreg")
	for _, key := range []string{
		"iteration_ms", "phases_ms", "rotation_ms", "own_rotation_ms", "iteration_in_rotations",
		"galois_keys", "bytes_party_iteration", "plan_counts", "machine", "params", "repeats",
	} {
		require.Contains(t, o, key)
	}
	require.EqualValues(t, 1, o["refreshes_iteration"])
	require.Equal(t, o["galois_keys_plan"], o["galois_keys"])
	requirePositive(t, "", o, "security_bits", "load_average")
}

// Nodes over fast links, and pairs without any: the bytes are those of the forecast.
func TestNetworkReport(t *testing.T) {
	o := object(t, "network", "--studies", "logistic", "--parties", "3", "--runs", "1", "--pairs", "1", "--mbit", "10000", "--latency", "1", "--data", "no/such/folder", "--dir", t.TempDir())
	for _, key := range []string{"study", "parties", "predicted_s", "measured_s", "ratio", "bytes_party", "bytes_wire_party", "phases", "host", "machine"} {
		require.Contains(t, o, key)
	}
	phases, ok := o["phases"].(map[string]any)
	require.True(t, ok)
	for _, name := range []string{"setup", "training", "predict"} {
		phase, ok := phases[name].(map[string]any)
		require.True(t, ok, name)
		bytes, ok := phase["bytes_party"].(map[string]any)
		require.True(t, ok, name)
		require.InEpsilon(t, bytes["measured"], bytes["predicted"], 0.02, name)
	}
	require.Contains(t, o, "overhead")
	overhead, ok := o["overhead"].(map[string]any)
	require.True(t, ok)
	requirePositive(t, "", overhead, "overhead", "pairs") // of a toy these may be anything
	delete(o, "overhead")
	requirePositive(t, "", o, "load_average", "disk_ns_byte")
}

func TestStudies(t *testing.T) {
	const data = "../../shared/data"
	if _, err := os.Stat(data); err != nil || testing.Short() {
		t.Skip("trains on data that is not in the repository")
	}
	reports, err := runStudies(t.Context(), data, true)
	require.NoError(t, err)
	require.Len(t, reports, 2)
	var out bytes.Buffer
	studiesText(&out, reports)
	require.Contains(t, out.String(), "bcw: ")
	require.Contains(t, out.String(), "pima: ")
}

func TestText(t *testing.T) {
	for name, want := range map[string]string{"refresh": "one fused rotation", "logreg": "iteration in Lattigo's rotations"} {
		out, err := run(t, name, "--toy", "--repeat", "1")
		require.NoError(t, err)
		require.Contains(t, out, want)
		require.Contains(t, out, "NO SECURITY")
	}
}

func TestRefusals(t *testing.T) {
	for _, args := range [][]string{
		{"refresh", "--format", "xml"},
		{"refresh", "--repeat", "0"},
		{"refresh", "--seconds", "-1"},
		{"refresh", "--clock", "sun"},
		{"refresh", "extra"},
		{"logreg", "--unknown"},
		{"logreg", "--toy", "--repeat", "1", "--study", "--data", "no/such/folder"},
		{"network", "--parties", "1"},
		{"network", "--runs", "0"},
		{"network", "--mbit", "0"},
		{"network", "--toy", "--studies", "none"},
		{"network", "--costs", "."},
		{"nothing"},
	} {
		_, err := run(t, args...)
		require.Error(t, err, "%q", args)
	}
}

func TestQuantile(t *testing.T) {
	require.InDelta(t, 2, quantile([]float64{3, 1, 2}, 0.5), 0)
	require.InDelta(t, 2.5, quantile([]float64{4, 1, 2, 3}, 0.5), 0)
	require.InDelta(t, 1.75, quantile([]float64{4, 1, 2, 3}, 0.25), 0)
	require.InDelta(t, 7, quantile([]float64{7}, 0.75), 0)
}

func TestRatio(t *testing.T) {
	r := &recorder{laps: map[string][]float64{"a": {1, 10, 3}, "b": {2, 10, 4}}}
	require.InDelta(t, 0.75, r.ratio("a", "b"), 0, "the median of 1/2, 1, 3/4")
}

// Operations take turns, and the first round is not counted.
func TestInterleave(t *testing.T) {
	var order string
	op := func(name string) operation {
		return operation{name, func() error { order += name; return nil }}
	}
	rec, err := limit{rounds: 2, clock: wallClock}.interleave(op("a"), op("b"))
	require.NoError(t, err)
	require.Equal(t, "ababab", order)
	require.Len(t, rec.laps["a"], 2)
	require.Len(t, rec.laps["b"], 2)
}

// Sleeping takes wall time but no processor time.
func TestClocks(t *testing.T) {
	elapsed := func(c clock) time.Duration {
		start := c.now()
		time.Sleep(50 * time.Millisecond)
		return c.now() - start
	}
	require.GreaterOrEqual(t, elapsed(wallClock), 50*time.Millisecond)
	if _, ok := cpuTime(); ok {
		require.Less(t, elapsed(cpuClock), 40*time.Millisecond)
	}
}

// Sizes that are left empty are not measured, and a tree may be narrower than a star.
func TestScaleReport(t *testing.T) {
	o := object(t, "scale", "--parties", "2,4", "--fanout", "2", "--features", "", "--hidden", "", "--batch", "", "--steps", "1")
	rows, ok := o["rows"].([]any)
	require.True(t, ok)
	require.Len(t, rows, 2)
	for i, want := range []struct{ parties, fanout float64 }{{2, 1}, {4, 2}} {
		row, ok := rows[i].(map[string]any)
		require.True(t, ok)
		require.Equal(t, want.parties, row["parties"])
		require.Equal(t, want.fanout, row["fanout"])
		require.Equal(t, "parties", row["sweep"])
		requirePositive(t, "", row)
	}
	_, err := run(t, "scale", "--toy", "--parties", "many")
	require.ErrorContains(t, err, `--parties: "many" is no size`)
}
