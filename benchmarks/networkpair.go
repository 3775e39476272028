package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/nereid-mhe/nereid/node"
	"github.com/nereid-mhe/nereid/studyfile"
)

// An overheadReport compares nodes over loopback, without an emulated link, with the
// same parties in memory.
type overheadReport struct {
	Overhead float64   `json:"overhead"` // median of the pairs' ratios, less 1
	Pairs    []float64 `json:"pairs"`
	Nodes    float64   `json:"nodes_s"`
	InMemory float64   `json:"in_memory_s"`
	Target   float64   `json:"target"`
}

// overhead runs nodes over loopback and the same parties in memory in pairs, each of
// them first as often as second, and each run in a process of its own.
func (b networkBenchmark) overhead(ctx context.Context, trial string) (*overheadReport, error) {
	r := &overheadReport{Target: 0.15}
	var nodes, memory []float64
	for i := range b.pairs {
		pair := []func() error{
			func() error {
				s, err := b.apart(ctx, trial, fmt.Sprintf("pair-%d", i))
				nodes = append(nodes, s)
				return err
			},
			func() error {
				s, err := b.apart(ctx, trial, "")
				memory = append(memory, s)
				return err
			},
		}
		if i%2 == 1 {
			slices.Reverse(pair)
		}
		for _, run := range pair {
			settle()
			if err := run(); err != nil {
				return nil, err
			}
		}
		b.log("nodes %.2f s, in memory %.2f s", nodes[i], memory[i])
		r.Pairs = append(r.Pairs, round(nodes[i]/memory[i]-1))
	}
	r.Overhead = quantile(r.Pairs, 0.5)
	r.Nodes, r.InMemory = round(quantile(nodes, 0.5)), round(quantile(memory, 0.5))
	return r, nil
}

// apart runs the study of a trial in another process and returns its seconds: with nodes
// that keep their state in a folder of that name, or in memory if it has none.
func (b networkBenchmark) apart(ctx context.Context, trial, state string) (float64, error) {
	program, err := os.Executable()
	if err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, program, "network", "run", "--trial", trial, "--state", state, "--toy="+strconv.FormatBool(b.toy), "--format", "json")
	cmd.Env = append(os.Environ(), fmt.Sprintf("GOMAXPROCS=%d", b.threads()), runAsProgram+"=1")
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return 0, fmt.Errorf("a run of its own: %w: %s", err, exit.Stderr)
	}
	if err != nil {
		return 0, err
	}
	var seconds float64
	return seconds, json.Unmarshal(out, &seconds)
}

// runAsProgram is set for a process that runs one of a pair.
const runAsProgram = "NEREID_BENCHMARKS_RUN"

// runCommand is what apart runs.
func runCommand(o *options) *cobra.Command {
	var trial, state string
	cmd := &cobra.Command{
		Use:    "run",
		Short:  "Run the study of a trial once and print its seconds",
		Args:   cobra.NoArgs,
		Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			t, err := node.OpenTrial(trial)
			if err != nil {
				return err
			}
			c, err := openContest(cmd.Context(), studyfile.Ring(o.toy), t)
			if err != nil {
				return err
			}
			settle()
			var m measuredRun
			if state == "" {
				m, err = c.inMemory(cmd.Context())
			} else {
				m, err = c.nodes(cmd.Context(), func(party string) string { return filepath.Join(trial, party, state) }, nil)
			}
			if err != nil {
				return err
			}
			return json.NewEncoder(cmd.OutOrStdout()).Encode(m.total().Seconds())
		},
	}
	cmd.Flags().StringVar(&trial, "trial", "", "folder of the trial")
	cmd.Flags().StringVar(&state, "state", "", "name of the folders of the nodes' state; without it all is in memory")
	return cmd
}
