package node

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/require"
)

func scrape(t *testing.T, s Status) string {
	t.Helper()
	w := httptest.NewRecorder()
	Metrics(func() Status { return s }).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	require.Equal(t, http.StatusOK, w.Code)
	return w.Body.String()
}

func TestMetrics(t *testing.T) {
	body := scrape(t, Status{
		Study: "abcd", Party: "north", Phase: "train", Step: 3, Steps: 8, Elapsed: 1.5, Trained: true, Waiting: []string{"south"},
		Compute: map[string]float64{"refresh": 2.5}, Sent: map[string]int64{"refresh": 4096},
		Opened:    []Account{{Querier: "lab", Rows: 20, Limit: 50}},
		Peers:     []Peer{{Name: "south", Connected: true, Connects: 3, In: 10, Out: 20, Refused: 1, Problem: "do not print"}, {Name: "west"}},
		Strangers: 4, Journal: 8192, Model: "do not print",
	})
	for _, want := range []string{
		`nereid_info{party="north",study="abcd"} 1`,
		`nereid_phase{phase="setup"} 0`,
		`nereid_phase{phase="train"} 1`,
		`nereid_step 3`,
		`nereid_steps 8`,
		`nereid_trained 1`,
		`nereid_phase_elapsed_seconds 1.5`,
		`nereid_compute_seconds_total{phase="refresh"} 2.5`,
		`nereid_sent_bytes_total{phase="refresh"} 4096`,
		`nereid_journal_bytes 8192`,
		`nereid_waiting{peer="south"} 1`,
		`nereid_peer_connected{peer="south"} 1`,
		`nereid_peer_connected{peer="west"} 0`,
		`nereid_peer_bytes_total{direction="in",peer="south"} 10`,
		`nereid_peer_bytes_total{direction="out",peer="south"} 20`,
		`nereid_peer_reconnections_total{peer="south"} 2`,
		`nereid_peer_reconnections_total{peer="west"} 0`,
		`nereid_peer_refusals_total{peer="south"} 1`,
		`nereid_stranger_refusals_total 4`,
		`nereid_openings_used{querier="lab"} 20`,
		`nereid_openings_left{querier="lab"} 30`,
	} {
		require.Contains(t, body, want+"\n")
	}
	require.NotContains(t, body, "do not print")
	problems, err := promlint.New(strings.NewReader(body)).Lint()
	require.NoError(t, err)
	require.Empty(t, problems)
}

// A node that is being opened has metrics already.
func TestMetricsOfNothing(t *testing.T) {
	require.Contains(t, scrape(t, Status{}), "nereid_step 0\n")
}

func TestMetricsAreAtOnePath(t *testing.T) {
	w := httptest.NewRecorder()
	Metrics(func() Status { return Status{} }).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/debug/pprof/", nil))
	require.Equal(t, http.StatusNotFound, w.Code)
}
