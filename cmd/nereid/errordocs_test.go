package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/bootstrap"
	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/identity"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/mhe/rns"
	"github.com/nereid-mhe/nereid/nn"
	"github.com/nereid-mhe/nereid/packing"
	"github.com/nereid-mhe/nereid/params"
	"github.com/nereid-mhe/nereid/protocols"
	"github.com/nereid-mhe/nereid/protocols/transport"
	"github.com/nereid-mhe/nereid/roster"
	"github.com/nereid-mhe/nereid/study"
	"github.com/nereid-mhe/nereid/studyfile"
)

// exported returns the errors that packages export: "study.ErrConfig", "*study.RateError".
func exported(t *testing.T, root string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (slices.Contains([]string{"internal", "cmd", "examples", "benchmarks", "testdata"}, d.Name()) || strings.HasPrefix(d.Name(), ".") && path != root) {
			return filepath.SkipDir
		}
		if filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			for _, name := range errorsOf(decl) {
				pointer := ""
				if name, pointer = strings.TrimPrefix(name, "*"), name[:len(name)-len(strings.TrimPrefix(name, "*"))]; ast.IsExported(name) {
					names = append(names, pointer+file.Name.Name+"."+name)
				}
			}
		}
		return nil
	})
	require.NoError(t, err)
	return names
}

// errorsOf returns the sentinels of a declaration, or the type whose Error method it is.
func errorsOf(decl ast.Decl) (names []string) {
	switch d := decl.(type) {
	case *ast.GenDecl:
		for _, s := range d.Specs {
			if v, ok := s.(*ast.ValueSpec); ok && d.Tok == token.VAR {
				for _, n := range v.Names {
					if strings.HasPrefix(n.Name, "Err") {
						names = append(names, n.Name)
					}
				}
			}
		}
	case *ast.FuncDecl:
		if d.Recv == nil || d.Name.Name != "Error" {
			return nil
		}
		if p, ok := d.Recv.List[0].Type.(*ast.StarExpr); ok {
			if id, ok := p.X.(*ast.Ident); ok {
				names = append(names, "*"+id.Name)
			}
		}
	}
	return names
}

// samples are one of each error, as they come out of the packages.
func samples() map[string]error {
	all := map[string]error{
		"*identity.Error":             &identity.Error{Reason: identity.Locked},
		"*roster.Error":               &roster.Error{Reason: roster.Unsigned},
		"*dataset.Error":              &dataset.Error{},
		"*studyfile.Violation":        &studyfile.Violation{File: "study.yaml"},
		"*studyfile.Mismatch":         &studyfile.Mismatch{},
		"*study.RateError":            &study.RateError{Err: study.ErrConfig},
		"*study.CheckpointError":      &study.CheckpointError{},
		"*protocols.BoundError":       &protocols.BoundError{},
		"*protocols.ForgottenError":   &protocols.ForgottenError{},
		"*protocols.CorruptError":     &protocols.CorruptError{},
		"*protocols.BudgetError":      &protocols.BudgetError{},
		"*protocols.MessageError":     &protocols.MessageError{Err: protocols.ErrMalformed},
		"*transport.PeerError":        &transport.PeerError{Err: transport.ErrIdentity},
		"*transport.UnreachableError": &transport.UnreachableError{Err: fs.ErrClosed},
		"*mhe.LevelError":             &mhe.LevelError{},
	}
	for name, err := range map[string]error{
		"studyfile.ErrFile": studyfile.ErrFile, "studyfile.ErrMismatch": studyfile.ErrMismatch, "studyfile.ErrInexpressible": studyfile.ErrInexpressible,
		"study.ErrConfig": study.ErrConfig, "study.ErrResume": study.ErrResume, "study.ErrRolledBack": study.ErrRolledBack,
		"study.ErrDamaged": study.ErrDamaged, "study.ErrStopped": study.ErrStopped, "study.ErrNotReady": study.ErrNotReady,
		"protocols.ErrBound": protocols.ErrBound, "protocols.ErrForgotten": protocols.ErrForgotten, "protocols.ErrInUse": protocols.ErrInUse,
		"protocols.ErrMalformed": protocols.ErrMalformed, "protocols.ErrUnexpected": protocols.ErrUnexpected, "protocols.ErrEarly": protocols.ErrEarly,
		"protocols.ErrConflict": protocols.ErrConflict, "protocols.ErrIdle": protocols.ErrIdle,
		"transport.ErrDeclined": transport.ErrDeclined, "transport.ErrClosed": transport.ErrClosed,
		"mhe.ErrShape": mhe.ErrShape, "mhe.ErrLevel": mhe.ErrLevel, "mhe.ErrCosts": mhe.ErrCosts, "packing.ErrShape": packing.ErrShape,
		"rns.ErrEncoding": rns.ErrEncoding, "bootstrap.ErrOverflow": bootstrap.ErrOverflow, "params.ErrConfig": params.ErrConfig, "nn.ErrModel": nn.ErrModel,
	} {
		all[name] = fmt.Errorf("somewhere: %w", err)
	}
	for name, reason := range map[string]error{
		"ErrUnknownKey": transport.ErrUnknownKey, "ErrCertificate": transport.ErrCertificate, "ErrIdentity": transport.ErrIdentity,
		"ErrStudy": transport.ErrStudy, "ErrForged": transport.ErrForged, "ErrTooBig": transport.ErrTooBig, "ErrMalformed": transport.ErrMalformed,
		"ErrFlood": transport.ErrFlood, "ErrRefused": transport.ErrRefused,
	} {
		all["transport."+name] = &transport.PeerError{Name: "south", Err: fmt.Errorf("%w: somehow", reason)}
	}
	return all
}

var (
	quoted = regexp.MustCompile("`([^`]+)`")
	digits = regexp.MustCompile(`\d+`)
)

// docs/errors.md has every exported error, and the exit codes that the program ends with.
func TestErrorsAreDocumented(t *testing.T) {
	b, err := os.ReadFile("../../docs/errors.md")
	require.NoError(t, err)
	all := samples()
	documented := map[string]bool{}
	section, exit := "", -1 // the package of the section, and the column of exit codes
	for line := range strings.Lines(string(b)) {
		if heading, ok := strings.CutPrefix(line, "## "); ok {
			section, _, _ = strings.Cut(strings.TrimSpace(heading), ":")
			exit = -1
		}
		var names []string
		for _, m := range quoted.FindAllStringSubmatch(line, -1) {
			name := filepath.Base(m[1]) // mhe/rns is a path
			if pointer := strings.HasPrefix(m[1], "*"); !strings.Contains(name, ".") {
				name = section + "." + strings.TrimPrefix(name, "*")
				if pointer {
					name = "*" + name
				}
			}
			if all[name] != nil {
				documented[name] = true
				names = append(names, name)
			}
		}
		cells := strings.Split(line, "|")
		if len(cells) < 3 {
			continue
		}
		for i, c := range cells {
			if strings.TrimSpace(c) == "exit" {
				exit = i
			}
		}
		if first := quoted.FindAllString(cells[1], -1); exit < 0 || len(first) == 0 {
			continue
		}
		codes := digits.FindAllString(cells[exit], -1)
		for _, name := range names[:min(len(names), len(quoted.FindAllString(cells[1], -1)))] {
			if len(codes) > 0 {
				require.Contains(t, codes, fmt.Sprint(explain(all[name]).code), "exit code of %s", name)
			}
		}
	}
	for _, name := range exported(t, "../..") {
		require.Contains(t, all, name, "a sample of it")
		require.True(t, documented[name], "%s is not in docs/errors.md", name)
		delete(all, name)
	}
	require.Empty(t, all, "samples of nothing")
}

// A node that finds what no restart cures ends with a code after which its supervisor
// does not start it again.
func TestLastingErrorsAreNotRetried(t *testing.T) {
	unit, err := os.ReadFile("../../deploy/systemd/nereid-node.service")
	require.NoError(t, err)
	_, lasting, ok := strings.Cut(string(unit), "RestartPreventExitStatus=")
	require.True(t, ok)
	lasting, _, _ = strings.Cut(lasting, "\n")
	for _, err := range []error{
		study.ErrResume, study.ErrRolledBack, study.ErrDamaged, study.ErrConfig, &protocols.BoundError{}, &protocols.ForgottenError{},
		&protocols.CorruptError{}, protocols.ErrInUse, &roster.Error{Reason: roster.Unsigned}, &studyfile.Mismatch{},
	} {
		require.Contains(t, strings.Fields(lasting), fmt.Sprint(explain(fmt.Errorf("study: party 1: %w", err)).code), "%v", err)
	}
}
