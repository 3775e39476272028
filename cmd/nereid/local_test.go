package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	many = flag.Int("many", 0, "parties of TestManyParties, which takes a minute for 50; 0 skips it")
	pima = flag.String("pima", "", "folder of the data sets for TestPimaTrials, which takes minutes; empty skips it")
)

// nereid runs the command and decodes the JSON on its stdout.
func nereid(t *testing.T, into any, args ...string) {
	t.Helper()
	c := exec.Command("nereid", append(args, "--format", "json", "--quiet")...)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	require.NoError(t, err, "%s", stderr.String())
	require.NoError(t, json.Unmarshal(out, into))
}

// Many processes on one machine end a short study on the toy ring.
func TestManyParties(t *testing.T) {
	if *many == 0 {
		t.Skip("give -many 50")
	}
	dir := t.TempDir()
	study, rows := filepath.Join(dir, "study.yaml"), filepath.Join(dir, "rows.csv")
	text := fmt.Sprintf(`version: 1
name: many
model: {kind: logistic}
data: {label: y, features: [a, b], classes: ["no", "yes"]}
training: {steps: 3, rate: 1}
parties: {count: %d}
opening: {queriers: [{name: lab, rows: 20}]}
`, *many)
	require.NoError(t, os.WriteFile(study, []byte(text), 0o600))
	random := rand.New(rand.NewPCG(1, 1))
	table := "a,b,y\n"
	for i := range 12 * *many {
		class, mean := "no", -1.
		if i%2 == 1 {
			class, mean = "yes", 1
		}
		table += fmt.Sprintf("%.3f,%.3f,%s\n", mean+random.NormFloat64()/2, -mean+random.NormFloat64()/2, class)
	}
	require.NoError(t, os.WriteFile(rows, []byte(table), 0o600))
	var r localReport
	nereid(t, &r, "local", "--study", study, "--data", rows, "--dir", filepath.Join(dir, "trial"), "--insecure")
	require.Equal(t, *many, r.Parties)
	require.Len(t, r.Links, *many-1)
	require.Zero(t, r.Restarts)
	require.True(t, r.Insecure)
	require.Greater(t, *r.Accuracy, 0.8)
	var least, most int64
	for i, l := range r.Links {
		require.Positive(t, l.Up, "%s to %s", l.Child, l.Parent)
		if i == 0 || l.Up+l.Down < least {
			least = l.Up + l.Down
		}
		most = max(most, l.Up+l.Down)
	}
	t.Logf("%d parties, toy ring: depth %d, training with setup %.1f s, predictions %.1f s, %d to %d bytes on a link of the tree", r.Parties, r.Depth, r.Seconds.Training, r.Seconds.Predict, least, most)
}

// Processes train Pima at 128 bits to what a simulation of the same study reaches.
func TestPimaTrials(t *testing.T) {
	if *pima == "" {
		t.Skip("give -pima FOLDER")
	}
	rows := filepath.Join(*pima, "pima", "pima-indians-diabetes.data.csv")
	for _, parties := range []int{5, 10} {
		t.Run(fmt.Sprint(parties), func(t *testing.T) {
			dir := t.TempDir()
			study := filepath.Join(dir, "study.yaml")
			text := fmt.Sprintf(`version: 1
name: pima
model: {kind: logistic}
data: {label: "8", feature_count: 8}
training: {epochs: 30, rate: 1}
parties: {count: %d}
opening: {queriers: [{name: lab, rows: 154}]}
`, parties)
			require.NoError(t, os.WriteFile(study, []byte(text), 0o600))
			var sim struct {
				Accuracy      struct{ Encrypted, ClearTwin float64 }
				MaxWeightDiff float64 `json:"max_weight_diff"`
			}
			nereid(t, &sim, "simulate", "--study", study, "--data", rows)
			var r localReport
			nereid(t, &r, "local", "--study", study, "--data", rows, "--dir", filepath.Join(dir, "trial"))
			t.Logf("%d parties: simulation right %.4f, processes %.4f, clear twin %.4f; outputs within %.2g of the twin's, noise planned %.2g; setup and training %.1f s, predictions %.1f s",
				parties, sim.Accuracy.Encrypted, *r.Accuracy, *r.Twin.Accuracy, r.Twin.MaxDiff, r.Twin.Noise, r.Seconds.Training, r.Seconds.Predict)
			require.InDelta(t, sim.Accuracy.Encrypted, *r.Accuracy, 1.5/154, "one row may be on the border")
			require.Less(t, r.Twin.MaxDiff, 6*r.Twin.Noise)
			require.Less(t, sim.MaxWeightDiff, 1e-3)
			require.False(t, r.Insecure)
		})
	}
}
