// Package examples_test runs the examples, one short main for each scenario.
package examples_test

import (
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every example must run as a user would run it, and say what it promises.
func TestExamples(t *testing.T) {
	if testing.Short() {
		t.Skip("the examples use secure parameters, for seconds")
	}
	for name, want := range map[string][]string{
		"keygen":  {`all three: +\[3\.000\d|all three: +\[2\.999\d`, `two of them: \[\S+e\+`},
		"refresh": {`before: level 2, slots \[1 2 3 6 -4 0 1 5\]`, `after: +level 6, slots \[(2\.999|3\.000)\d`},
		"logreg":  {`accuracy: 0\.\d+ encrypted`, `opened to querier: 120 values`, `weights within \de-`},
		"mlp":     {`TOY RING: nothing in this run was protected`, `layers \[23 64 1\], 3 parties`, `accuracy: 0\.[78]\d+ encrypted`, `weights within \de-`},
		"mnist":   {`TOY RING: nothing in this run was protected`, `480 images at 3 parties, layers \[144 16 16 10\]`, `accuracy on 120 test images: 0\.[6-9]\d+ encrypted`, `weights within \de-`},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := exec.CommandContext(t.Context(), "go", "run", "./"+name).Output()
			require.NoError(t, err, "%s", out)
			for _, w := range want {
				require.Regexp(t, w, string(out))
			}
		})
	}
}

// An example refuses arguments that it does not understand.
func TestExamplesRefuse(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles examples")
	}
	for _, args := range [][]string{
		{"./logreg", "one"},
		{"./logreg", "no-such-file.csv", "outcome"},
		{"./mlp", "one"},
		{"./mnist", "no-such-folder"},
		{"./mnist", "one", "two"},
		{"./mnist", "-steps", "0"},
	} {
		out, err := exec.CommandContext(t.Context(), "go", append([]string{"run"}, args...)...).CombinedOutput()
		require.Error(t, err, "%q printed %s", args, out)
		require.NotContains(t, string(out), "goroutine")
	}
}
