package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) {
	scryptWork = 5 // also in the processes of scripts
	testscript.Main(m, map[string]func(){"nereid": main})
}

// The scripts hold commands, input files and expected output together. All of
// them run on the toy ring.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"fails": scriptFails, "report": scriptReport, "narrow": scriptNarrow, "get": scriptGet, "flip": scriptFlip, "agekey": scriptAgeKey,
			"relock": scriptRelock, "keyless": scriptKeyless, "shares": scriptShares,
			"trial": scriptTrial, "address": scriptAddress, "occupy": scriptOccupy, "listening": scriptListening, "holdjournal": scriptHoldJournal, "findings": scriptFindings,
		},
	})
}

// scriptFails is the command
//
//	fails CODE ARGS...
//
// which runs nereid and wants the exit code, nothing on stdout, one message on
// stderr, and no file left behind or changed. Demos and simulations write their
// report to a file and run on the toy ring, without progress.
func scriptFails(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: fails code args...")
	}
	code, err := strconv.Atoi(args[0])
	ts.Check(err)
	args = args[1:]
	if len(args) > 0 && (args[0] == "demo" || args[0] == "simulate") {
		toy := []string{args[0], "--insecure-toy"}
		if !slices.Contains(args, "--output") {
			toy = append(toy, "--output", "report.out")
		}
		args = append(toy, args[1:]...)
	}
	if len(args) > 0 && args[0] == "simulate" {
		args = append(args, "--quiet") // the clear twin comes before refusals
	}
	before := list(ts)
	var exit *exec.ExitError
	if err := ts.Exec("nereid", args...); !errors.As(err, &exit) || exit.ExitCode() != code {
		ts.Fatalf("exit code: got %v, want %d", err, code)
	}
	if out := ts.ReadFile("stdout"); out != "" {
		ts.Fatalf("stdout of a failure: %q", out)
	}
	messages := 0
	for line := range strings.Lines(ts.ReadFile("stderr")) {
		switch {
		case strings.HasPrefix(line, "nereid: "), strings.HasPrefix(line, `{"error":`):
			messages++
		case !strings.HasPrefix(line, "        "):
			ts.Fatalf("stderr: unexpected %q", line)
		}
	}
	if messages != 1 {
		ts.Fatalf("%d messages on stderr, want 1", messages)
	}
	if after := list(ts); !slices.Equal(before, after) {
		ts.Fatalf("files were %q and are %q", before, after)
	}
}

// list returns the names of the files in the script's directory.
func list(ts *testscript.TestScript) []string {
	entries, err := os.ReadDir(ts.MkAbs("."))
	ts.Check(err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// scriptReport is the command
//
//	report FILE KEY...
//
// which wants the last line of a file to be a JSON object, and the only one, with
// the keys. A key is a path such as seconds.total; KEY=VALUE wants the value too,
// in JSON, and !KEY wants it absent.
func scriptReport(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: report file key...")
	}
	content := ts.ReadFile(args[0])
	var report any
	ts.Check(json.Unmarshal([]byte(content), &report))
	if strings.Count(content, "\n") != 1 || !strings.HasSuffix(content, "\n") {
		ts.Fatalf("%s: want one line, got %q", args[0], content)
	}
	for _, arg := range args[1:] {
		key, want, valued := strings.Cut(arg, "=")
		key, absent := strings.CutPrefix(key, "!")
		v, found := lookup(report, strings.Split(key, "."))
		if found == absent {
			ts.Fatalf("%s: found is %v in %s", arg, found, content)
		}
		if got, _ := json.Marshal(v); valued && string(got) != want {
			ts.Fatalf("%s is %s, want %s", key, got, want)
		}
	}
}

// lookup finds a value in decoded JSON.
func lookup(v any, path []string) (any, bool) {
	for _, key := range path {
		object, _ := v.(map[string]any)
		next, ok := object[key]
		if !ok {
			return nil, false
		}
		v = next
	}
	return v, true
}

// scriptNarrow is the command
//
//	narrow FILE
//
// which wants no line wider than a report may be.
func scriptNarrow(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: narrow file")
	}
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		if line = strings.TrimSuffix(line, "\n"); len([]rune(line)) > helpWidth {
			ts.Fatalf("line of %d characters: %q", len([]rune(line)), line)
		}
	}
}

// toy are the arguments of a study that takes a fraction of a second.
var toy = []string{"demo", "--insecure-toy", "--rows", "100", "--features", "3", "--parties", "3", "--epochs", "2"}

// closed is a writer that fails, such as a full disk.
type closed struct{}

func (closed) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestStdoutFails(t *testing.T) {
	var stderr bytes.Buffer
	require.Equal(t, exitInternal, run(t.Context(), append(toy, "--quiet"), closed{}, &stderr))
	require.Equal(t, "nereid: cannot write the report: no space left\n", stderr.String())
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stdout, stderr bytes.Buffer
	require.Equal(t, exitInterrupted, run(ctx, append(toy, "--quiet"), &stdout, &stderr))
	require.Empty(t, stdout.String())
	require.Equal(t, "nereid: interrupted: no report was written\n", stderr.String())
}

// trigger calls do, once, when a write contains words.
type trigger struct {
	bytes.Buffer
	words string
	do    func()
}

func (w *trigger) Write(b []byte) (int, error) {
	if w.do != nil && bytes.Contains(b, []byte(w.words)) {
		w.do()
		w.do = nil
	}
	return w.Buffer.Write(b)
}

// A simulation that is interrupted goes on from its checkpoint with the same
// command, and says so.
func TestSimulateResumes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state")
	args := []string{
		"simulate", "--insecure", "--rows", "60", "--features", "3", "--hidden", "4", "--parties", "2",
		"--steps", "3", "--checkpoint", file, "--format", "json",
	}
	ctx, cancel := context.WithCancel(t.Context())
	var stdout bytes.Buffer
	stderr := &trigger{words: `"phase":"train","step":2,`, do: cancel}
	require.Equal(t, exitInterrupted, run(ctx, args, &stdout, stderr))
	require.Empty(t, stdout.String())
	require.Contains(t, stderr.String(), "the same command goes on from "+file)

	stderr = &trigger{}
	require.Equal(t, exitOK, run(t.Context(), args, &stdout, stderr), stderr)
	require.NotContains(t, stderr.String(), `"phase":"train","step":1,`)
	require.Contains(t, stderr.String(), `"phase":"train","step":3,`)
	require.Contains(t, stdout.String(), `"iterations":3,`)
}

// writeIDX writes a file in the idx format of unsigned bytes.
func writeIDX(t *testing.T, path string, sizes []uint32, content []byte) {
	t.Helper()
	b := []byte{0, 0, 8, byte(len(sizes))}
	for _, n := range sizes {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	require.NoError(t, os.WriteFile(path, append(b, content...), 0o600))
}

// Images of four classes, with test images of their own and with a share of the
// others.
func TestSimulateImages(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, n, side int) (images, labels string) {
		var pixels, classes []byte
		for i := range n {
			classes = append(classes, byte(i%4))
			for p := range side * side {
				pixels = append(pixels, byte(20*(i%7)+50*(i%4)*(p%2)))
			}
		}
		images, labels = filepath.Join(dir, name), filepath.Join(dir, name+"-labels")
		writeIDX(t, images, []uint32{uint32(n), uint32(side), uint32(side)}, pixels)
		writeIDX(t, labels, []uint32{uint32(n)}, classes)
		return images, labels
	}
	images, labels := write("train", 60, 3)
	testImages, testLabels := write("test", 20, 3)
	wider, widerLabels := write("wider", 20, 4)
	args := []string{"simulate", "--insecure", "-q", "--images", images, "--labels", labels, "--hidden", "4", "--parties", "2", "--steps", "1", "--format", "json"}
	for name, tt := range map[string]struct {
		more []string
		code int
		want string
	}{
		"own test":      {[]string{"--test-images", testImages, "--test-labels", testLabels}, exitOK, `"layers":[9,4,4],"train":60,"test":20,`},
		"a share":       {nil, exitOK, `"layers":[9,4,4],"train":48,"test":12,`},
		"other size":    {[]string{"--test-images", wider, "--test-labels", widerLabels}, exitData, "images of 16 pixels, those to train on have 9"},
		"fewer outputs": {[]string{"--outputs", "3"}, exitRefused, "a label outside the declared classes"},
		"exchanged":     {[]string{"--test-images", testLabels, "--test-labels", testImages}, exitData, "seem to be exchanged"},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			require.Equal(t, tt.code, run(t.Context(), append(slices.Clone(args), tt.more...), &stdout, &stderr), stderr.String())
			require.Contains(t, stdout.String()+stderr.String(), tt.want)
		})
	}
}

// A signal in the middle of training ends the process soon, with its exit code
// and without a file.
func TestSignal(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the command")
	}
	bin := filepath.Join(t.TempDir(), "nereid")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, ".").CombinedOutput()
	require.NoError(t, err, string(out))
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			dir := t.TempDir()
			c := exec.CommandContext(t.Context(), bin, append(slices.Clone(toy), "--epochs", "2000", "--output", filepath.Join(dir, "report.txt"))...)
			var stdout bytes.Buffer
			c.Stdout = &stdout
			stderr, err := c.StderrPipe()
			require.NoError(t, err)
			require.NoError(t, c.Start())
			var last string
			var sent time.Time
			for lines := bufio.NewScanner(stderr); lines.Scan(); {
				last = lines.Text()
				if sent.IsZero() && strings.HasPrefix(last, `{"phase":"train","step":3,`) {
					sent = time.Now()
					require.NoError(t, c.Process.Signal(sig))
				}
			}
			var exit *exec.ExitError
			require.ErrorAs(t, c.Wait(), &exit)
			require.False(t, sent.IsZero(), last)
			require.Less(t, time.Since(sent), 5*time.Second)
			require.Equal(t, exitInterrupted, exit.ExitCode(), last)
			require.Equal(t, "nereid: interrupted: no report was written", last)
			require.Empty(t, stdout.String())
			left, err := os.ReadDir(dir)
			require.NoError(t, err)
			require.Empty(t, left)
		})
	}
}

func TestUnits(t *testing.T) {
	for want, got := range map[string]string{
		"-": size(0), "999 B": size(999), "1.00 kB": size(1000), "1.00 MB": size(999_600), "12.3 MB": size(12_345_678), "227 GB": size(227e9),
		"< 1 ms": seconds(0.0001), "1.00 ms": seconds(0.001), "435 ms": seconds(0.435), "1.00 s": seconds(0.9996), "92.2 s": seconds(92.2),
		"1 min 40 s": seconds(99.96), "2 min 00 s": seconds(119.7), "2 h 00 min": seconds(7200), "10 h 31 min": seconds(37_860),
		"82.0 %": percent(0.82), "1 row": count(1, "row"), "2 rows": count(2, "row"), "2 refreshes": count(2, "refresh"),
		"encrypted is 1.0 points higher": points(0.82, 0.81), "encrypted is 0.5 points lower": points(0.805, 0.81), "equal": points(0.8, 0.80001),
		"encrypted is 2.0 % higher": relative(1.02, 1), "encrypted is 50.0 % lower": relative(1, 2),
	} {
		require.Equal(t, want, got)
	}
}
