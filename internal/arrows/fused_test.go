package arrows

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// agreed are the packages that compute what parties must agree on to the last bit:
// plans, locks, and what they encode.
var agreed = []string{"params", "packing", "internal/approx", "internal/portable", "mhe", "mhe/rns", "bootstrap", "nn"}

// fused are instructions that round a product and a sum at once.
var fused = regexp.MustCompile(`\(\S*/((?:` + strings.Join(agreed, "|") + `)/\w+\.go):(\d+)\)\s+FN?M(?:ADD|SUB)[DS]\s`)

// mayFuse are files whose floating point no other party needs to the last bit: measured
// times, and training in the clear.
var mayFuse = []string{"mhe/costmeasure.go", "nn/twin.go", "nn/netexact.go"}

// Parties on different processors compute the same plans and encode the same values. Go
// fuses products and sums where a processor can (arm64 does, amd64 does not), unless the
// product is converted to float64: in what parties must agree on it always is.
func TestNothingIsFused(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles for another processor")
	}
	args := []string{"build", "-gcflags=-S"}
	for _, dir := range agreed {
		args = append(args, "./"+dir)
		for _, f := range sources(t, dir) { // the test's cached result must not outlive them
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
		require.Contains(t, mayFuse, m[1], "%s:%s: convert the product to float64 before it is added", m[1], m[2])
	}
}

// sources returns the files of a package but for its tests.
func sources(t *testing.T, dir string) []string {
	files, err := filepath.Glob("../../" + dir + "/*.go")
	require.NoError(t, err)
	return slices.DeleteFunc(files, func(f string) bool { return strings.HasSuffix(f, "_test.go") })
}

// exactOnly are the functions of package math that have one result on every processor.
var exactOnly = []string{"Abs", "Ceil", "Copysign", "Float64bits", "Float64frombits", "Floor", "Frexp", "Inf", "IsInf", "IsNaN", "Ldexp", "Max", "Min", "Modf", "NaN", "Nextafter", "Round", "RoundToEven", "Signbit", "Sqrt", "Trunc"}

// constants are those of package math.
var constants = regexp.MustCompile(`^(Pi|E|Phi|Ln\d+|Log\d+E|Sqrt(2|E|Pi|Phi)|Max(U?[Ii]nt|Float)\d*|MinInt\d*|SmallestNonzero\w+)$`)

// Elementary functions, and normal numbers, come from package portable: those of the
// standard library are computed as the processor suits.
func TestElementaryFunctionsArePortable(t *testing.T) {
	for _, dir := range agreed {
		for _, path := range sources(t, dir) {
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			require.NoError(t, err)
			ast.Inspect(f, func(n ast.Node) bool {
				sel, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				if pkg, ok := sel.X.(*ast.Ident); ok && pkg.Name == "math" && !constants.MatchString(sel.Sel.Name) {
					require.Contains(t, exactOnly, sel.Sel.Name, "%s uses math.%s: parties on other processors get other bits", path, sel.Sel.Name)
				}
				require.NotContains(t, []string{"NormFloat64", "ExpFloat64"}, sel.Sel.Name, path)
				return true
			})
		}
	}
}

// The program in testdata computes plans, prices, masks and weights. It prints the same
// on this processor, where it was built to fuse, where words have 32 bits and nothing is
// written in assembly, on an emulated arm64 and a big-endian s390x if there are
// emulators, and on the processor where its output was recorded. Who means to
// change plans raises the version in their hashes and records again:
//
//	go run ./internal/arrows/testdata/plans > internal/arrows/testdata/plans.txt
func TestPlansAreTheSameOnEveryProcessor(t *testing.T) {
	if testing.Short() {
		t.Skip("builds for other processors and searches for plans")
	}
	want, err := os.ReadFile("testdata/plans.txt")
	require.NoError(t, err)
	kinds := map[string][]string{"native": nil}
	if runtime.GOOS == "linux" && runtime.GOARCH == "amd64" { // which runs these
		kinds["fusing"] = []string{"GOAMD64=v3"}
		kinds["32 bits"] = []string{"GOARCH=386"}
	}
	emulators := map[string]string{"GOARCH=arm64": "qemu-aarch64-static", "GOARCH=s390x": "qemu-s390x-static"}
	for arch, emulator := range emulators { // where they are installed: such a build takes a minute
		if path, err := exec.LookPath(emulator); err == nil {
			kinds["fusing "+arch] = []string{arch, "GOFLAGS=-exec=" + path}
		}
	}
	for name, env := range kinds {
		t.Run(name, func(t *testing.T) {
			c := exec.Command("go", "run", "./testdata/plans")
			c.Env = append(append(os.Environ(), "CGO_ENABLED=0"), env...)
			var says strings.Builder
			c.Stderr = &says
			got, err := c.Output()
			if strings.Contains(says.String(), "microarchitecture support") {
				t.Log("this processor cannot fuse")
				return
			}
			require.NoError(t, err, says.String())
			require.Contains(t, says.String(), map[bool]string{true: "fuses: true", false: "fuses: "}[strings.HasPrefix(name, "fusing")])
			require.Equal(t, string(want), string(got))
		})
	}
}
