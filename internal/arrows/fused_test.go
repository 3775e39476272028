package arrows

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// fused are instructions that round a product and a sum at once.
var fused = regexp.MustCompile(`\(\S*/((?:params|internal/approx|mhe|bootstrap)/\S+\.go):(\d+)\)\s+FN?M(?:ADD|SUB)[DS]\s`)

// mayFuse are files whose floating point no other party needs to the last bit: measured
// times, and a check at the root.
var mayFuse = []string{"mhe/cost.go", "mhe/costmeasure.go", "bootstrap/bootstrap.go"}

// Parties on different processors compute the same plans and encode the same values. Go
// fuses products and sums where a processor can (arm64 does, amd64 does not), unless the
// product is converted to float64: in what parties must agree on it always is.
func TestNothingIsFused(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles for another processor")
	}
	args := []string{"build", "-gcflags=-S"}
	for _, dir := range []string{"params", "internal/approx", "mhe", "bootstrap"} {
		args = append(args, "./"+dir)
		files, err := filepath.Glob("../../" + dir + "/*.go")
		require.NoError(t, err)
		for _, f := range files { // the test's cached result must not outlive them
			_, err := os.ReadFile(f)
			require.NoError(t, err)
		}
	}
	c := exec.Command("go", args...)
	c.Dir = "../.."
	c.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0")
	out, err := c.CombinedOutput()
	require.NoError(t, err)
	require.Contains(t, string(out), "FADDD", "a listing of arm64")
	for _, m := range fused.FindAllStringSubmatch(string(out), -1) {
		exempt := false
		for _, f := range mayFuse {
			exempt = exempt || strings.HasSuffix(m[1], f)
		}
		require.True(t, exempt, "%s:%s: convert the product to float64 before it is added", m[1], m[2])
	}
}
