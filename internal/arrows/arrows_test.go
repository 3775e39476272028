// Package arrows holds the test of the project's structure: imports point down.
package arrows

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/nereid-mhe/nereid/"

// layers lists the packages from the bottom up. A package may import only
// packages on lines above its own. A name that ends in /... stands for all
// packages below it.
var layers = [][]string{
	{"internal/portable"},
	{"params", "packing", "dataset", "internal/approx", "internal/canon", "internal/files", "internal/wan"},
	{"mhe/rns"},
	{"mhe"},
	{"bootstrap", "protocols", "protocols/transport/internal/wire"},
	{"protocols/sim", "protocols/transport", "identity"},
	{"nn", "roster"},
	{"study"},
	{"studyfile"},
	{"node"},
	{"cmd/...", "examples/...", "benchmarks/...", "examples", "benchmarks"},
}

// lattigo lists the packages that may import Lattigo, so that its next major
// version is a change in few places. The benchmarks measure against it.
var lattigo = []string{"params", "mhe", "mhe/rns", "bootstrap", "benchmarks"}

// forTests lists the packages that only tests may import.
var forTests = []string{"internal/testkit"}

// height returns the line of a package in layers, or -1.
func height(pkg string) int {
	return slices.IndexFunc(layers, func(line []string) bool {
		return slices.ContainsFunc(line, func(name string) bool {
			below, all := strings.CutSuffix(name, "/...")
			return name == pkg || all && strings.HasPrefix(pkg, below+"/")
		})
	})
}

// imports calls see for every Go file of the project, with no import, and for
// every import of it.
func imports(t *testing.T, see func(file, pkg, imported string, test bool)) {
	t.Helper()
	root := filepath.Join("..", "..")
	require.NoError(t, filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && p != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
			return fs.SkipDir
		}
		if filepath.Ext(p) != ".go" {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		see(rel, path.Dir(rel), "", strings.HasSuffix(rel, "_test.go"))
		for _, i := range f.Imports {
			name, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			see(rel, path.Dir(rel), name, strings.HasSuffix(rel, "_test.go"))
		}
		return nil
	}))
}

func TestArrowsPointDown(t *testing.T) {
	seen := 0
	imports(t, func(file, pkg, imported string, test bool) {
		target, own := strings.CutPrefix(imported, module)
		if !own || test || slices.Contains(forTests, pkg) {
			return
		}
		seen++
		if slices.Contains(forTests, target) {
			t.Errorf("%s imports %s, which is for tests", file, target)
			return
		}
		from, to := height(pkg), height(target)
		switch {
		case from < 0:
			t.Errorf("package %s has no place in the layers", pkg)
		case to < 0:
			t.Errorf("%s imports %s, which has no place in the layers", file, target)
		case to >= from:
			t.Errorf("%s imports %s, which is not below it", file, target)
		}
	})
	require.Greater(t, seen, 20, "the test must have seen the project")
}

func TestFewPackagesKnowLattigo(t *testing.T) {
	imports(t, func(file, pkg, imported string, test bool) {
		if strings.HasPrefix(imported, "github.com/tuneinsight/lattigo") && !test && !slices.Contains(lattigo, pkg) {
			t.Errorf("%s imports %s: only %v may", file, imported, lattigo)
		}
	})
}

// Masks and noise come from labels, never from a seeded generator, and pure
// packages have no randomness but what data order needs.
func TestNoSeededRandomnessInCryptography(t *testing.T) {
	imports(t, func(file, pkg, imported string, test bool) {
		if strings.HasPrefix(imported, "math/rand") && !test && slices.Contains([]string{"params", "packing", "mhe", "mhe/rns", "bootstrap", "protocols", "identity", "roster"}, pkg) {
			t.Errorf("%s imports %s", file, imported)
		}
	})
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	documented := map[string]bool{}
	imports(t, func(file, pkg, _ string, test bool) {
		if test {
			return
		}
		b, err := os.ReadFile(filepath.Join("..", "..", file))
		require.NoError(t, err)
		said := strings.HasPrefix(string(b), "// Package ") || strings.HasPrefix(string(b), "// Command ") || strings.Contains(string(b), "\n// Package ")
		documented[pkg] = documented[pkg] || said
	})
	for pkg, ok := range documented {
		if !ok {
			t.Errorf("package %s has no package comment", pkg)
		}
	}
}

// The README's example is the one that the tests run.
func TestReadmeShowsTheExample(t *testing.T) {
	root := filepath.Join("..", "..")
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(readme), "```go\n")
	require.True(t, ok, "the README has a Go example")
	code, _, ok := strings.Cut(rest, "```")
	require.True(t, ok)
	source, err := os.ReadFile(filepath.Join(root, "study", "run_test.go"))
	require.NoError(t, err)
	require.Contains(t, string(source), code)
}
