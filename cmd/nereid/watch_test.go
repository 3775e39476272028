package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/node"
)

// Times and bytes change all the time; a line is worth what else does.
func TestWatchPrintsChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		start, asked := time.Now(), 0
		answers := []nodeStatus{
			{Party: "north", Error: "refused"},
			{Party: "north", Node: &node.Status{Phase: "setup", Elapsed: 1}},
			{Party: "north", Node: &node.Status{Phase: "setup", Elapsed: 3, Peers: nil, Journal: 7}},
			{Party: "north", Node: &node.Status{Phase: "train", Step: 1}},
			{Party: "north", Node: &node.Status{Phase: "train", Step: 1, Peers: []node.Peer{{Name: "south", Connected: true}}}},
			{Party: "north", Error: "cut off by the end"},
		}
		var out bytes.Buffer
		require.NoError(t, watch(ctx, &out, "text", func(context.Context) []nodeStatus {
			if asked++; asked == len(answers) {
				cancel()
			}
			return answers[asked-1 : asked]
		}))
		require.Equal(t, 10*time.Second, time.Since(start))
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		require.Len(t, lines, 4)
		for i, want := range []string{"refused", `"phase":"setup"`, `"phase":"train"`, `"connected":true`} {
			require.Contains(t, lines[i], want)
		}
	})
}

func TestWatchEndsWithItsOutput(t *testing.T) {
	err := watch(t.Context(), closed{}, "json", func(context.Context) []nodeStatus { return []nodeStatus{{Party: "north"}} })
	require.ErrorContains(t, err, "no space left")
}

func TestMetricsAddress(t *testing.T) {
	for flag, want := range map[string]string{
		"9100": "127.0.0.1:9100", ":9100": "127.0.0.1:9100", "0.0.0.0:9100": "0.0.0.0:9100", "[::]:9100": "[::]:9100", "localhost:0": "localhost:0",
	} {
		got, err := metricsAddress(flag)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, flag := range []string{"localhost", "localhost:", "70000", "a:b:c"} {
		_, err := metricsAddress(flag)
		require.ErrorContains(t, err, "--metrics "+flag)
	}
}
