package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	kills    = flag.Int("kills", 40, "kill points of parties in TestKilledTrials; the querier has about as many")
	killSeed = flag.Uint64("kill-seed", 1, "seed of the kill points of TestKilledTrials")
)

// ringStudy has three parties in a row, so that there is a root, an inner one and a
// leaf.
const ringStudy = `version: 1
name: ring
model: {kind: logistic}
data: {label: y, features: [a, b], classes: ["no", "yes"]}
training: {steps: 4, rate: 1}
parties: {roster: [{name: root}, {name: inner}, {name: leaf}], fanout: 1}
opening: {queriers: [{name: lab, rows: 12}]}
simulate: {test_fraction: 0.2}
`

// ringStages are the stages of a trial of ringStudy: three of setup, four steps, and
// one query.
const ringStages = 8

// A ringTrial is a directory in which "nereid local" runs ringStudy.
type ringTrial struct {
	t   *testing.T
	dir string
	cut int // kill points so far
	at  [ringStages + 1]int
}

func newRingTrial(t *testing.T) *ringTrial {
	r := &ringTrial{t: t, dir: t.TempDir()}
	random := rand.New(rand.NewPCG(1, 1))
	rows := "a,b,y\n"
	for i := range 60 {
		class, mean := "no", -1.
		if i%2 == 1 {
			class, mean = "yes", 1
		}
		rows += fmt.Sprintf("%.3f,%.3f,%s\n", mean+random.NormFloat64()/2, -mean+random.NormFloat64()/2, class)
	}
	require.NoError(t, os.WriteFile(r.path("study.yaml"), []byte(ringStudy), 0o600))
	require.NoError(t, os.WriteFile(r.path("rows.csv"), []byte(rows), 0o600))
	return r
}

func (r *ringTrial) path(elem ...string) string {
	return filepath.Join(append([]string{r.dir}, elem...)...)
}

// A child is a process of nereid.
type child struct {
	*exec.Cmd
	stdout, stderr bytes.Buffer
	ended          chan struct{}
	err            error // once it has ended
}

func (r *ringTrial) start(args ...string) *child {
	c := &child{Cmd: exec.Command("nereid", args...), ended: make(chan struct{})}
	c.Stdout, c.Stderr = &c.stdout, &c.stderr
	require.NoError(r.t, c.Start())
	go func() {
		c.err = c.Wait()
		close(c.ended)
	}()
	return c
}

func (c *child) kill() {
	_ = c.Process.Kill() // it may have ended
	<-c.ended
}

// local starts "nereid local", for the first time or again.
func (r *ringTrial) local() *child {
	return r.start("local", "--study", r.path("study.yaml"), "--data", r.path("rows.csv"), "--dir", r.path("trial"), "--insecure", "--format", "json")
}

// predict starts "nereid predict".
func (r *ringTrial) predict() *child {
	return r.start("predict", "--lock", r.path("trial", "plan.lock"), "--identity", r.path("trial", "lab", "lab.identity"),
		"--key-file", r.path("trial", "trial.key"), "--data", r.path("trial", "lab", "rows.csv"), "--insecure", "-q")
}

// done returns how many stages a party is done with.
func (r *ringTrial) done(party string) int {
	outputs, _ := filepath.Glob(r.path("trial", party, "state", "store", "output-*"))
	most := 0
	for _, o := range outputs { // old ones are deleted
		i, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(o), "output-"))
		require.NoError(r.t, err)
		most = max(most, i+1)
	}
	return most
}

// process returns the number of a party's process, 0 while it has none.
func (r *ringTrial) process(party string) int {
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(r.t, err)
	for _, f := range files {
		if b, _ := os.ReadFile(f); bytes.Contains(b, []byte("\x00--dir\x00"+r.path("trial", party, "state")+"\x00")) {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(f)))
			require.NoError(r.t, err)
			return pid
		}
	}
	return 0
}

// showLogs logs what the parties of a trial that failed wrote last.
func (r *ringTrial) showLogs() {
	if !r.t.Failed() {
		return
	}
	for _, name := range []string{"root", "inner", "leaf"} {
		b, _ := os.ReadFile(r.path("trial", name, "log.jsonl"))
		r.t.Logf("log of %s: %s", name, b[max(0, len(b)-4000):])
	}
}

// A killPoint is a moment of a trial: some time after the victim is done with a
// number of stages.
type killPoint struct {
	victim string // a party, or "local": the querier and with it all parties
	stages int
	delay  time.Duration
}

// disturb kills processes at the points, and what "local" starts again. It returns
// the report.
func (r *ringTrial) disturb(points []killPoint, random *rand.Rand) localReport {
	ctx, stop := context.WithTimeout(r.t.Context(), 2*time.Minute)
	defer stop()
	c := r.local()
	defer func() { c.kill() }()
	defer r.showLogs()
	for _, p := range points {
		party := p.victim
		if party == "local" {
			party = "root"
		}
		for r.done(party) < p.stages {
			select {
			case <-c.ended:
				require.Fail(r.t, "nereid local has ended", "before %v: %v\n%s", p, c.err, c.stderr.String())
			case <-ctx.Done():
				require.Fail(r.t, "the trial does not go on", "before %v\n%s", p, c.stderr.String())
			case <-time.After(5 * time.Millisecond):
			}
		}
		time.Sleep(p.delay)
		select {
		case <-c.ended: // after its last point the trial may be faster
			continue
		default:
		}
		r.at[r.done(party)]++
		if p.victim == "local" {
			c.kill()
			time.Sleep(time.Duration(random.Int64N(int64(200 * time.Millisecond))))
			c = r.local()
			r.cut++
			continue
		}
		pid := r.process(party)
		for over := false; pid == 0 && !over; pid = r.process(party) { // it is being started again
			select {
			case <-c.ended: // or all of them have ended
				over = true
			case <-ctx.Done():
				over = true
			case <-time.After(10 * time.Millisecond):
			}
		}
		if pid != 0 && syscall.Kill(pid, syscall.SIGKILL) == nil { // 0 is this process and more
			r.cut++
		}
	}
	select {
	case <-c.ended:
	case <-ctx.Done():
		require.Fail(r.t, "the trial does not end", c.stderr.String())
	}
	require.NoError(r.t, c.err, c.stderr.String())
	var report localReport
	require.NoError(r.t, json.Unmarshal(c.stdout.Bytes(), &report), c.stdout.String())
	return report
}

// ask runs "nereid predict" and kills it and starts it again, until ctx ends.
func (r *ringTrial) ask(ctx context.Context, random *rand.Rand) (killed int) {
	for ctx.Err() == nil {
		if _, err := os.Stat(r.path("trial", "plan.lock")); err == nil {
			c := r.predict()
			select {
			case <-ctx.Done():
				c.kill()
			case <-time.After(time.Duration(random.Int64N(int64(3 * time.Second)))):
				c.kill()
				killed++
			case <-c.ended:
				assert.NoError(r.t, c.err, c.stderr.String()) // in a goroutine
				return killed
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(random.Int64N(int64(200 * time.Millisecond)))):
		}
	}
	return killed
}

// outputs runs the nodes of a trial that has ended, and returns the predictions.
func (r *ringTrial) outputs() [][]string {
	for _, name := range []string{"root", "inner", "leaf"} {
		dir := r.path("trial", name)
		c := r.start("node", "--lock", r.path("trial", "plan.lock"), "--identity", filepath.Join(dir, name+".identity"),
			"--key-file", r.path("trial", "trial.key"), "--data", filepath.Join(dir, "rows.csv"), "--dir", filepath.Join(dir, "state"), "--insecure")
		defer c.kill()
	}
	c := r.predict()
	select {
	case <-c.ended:
	case <-time.After(time.Minute):
		c.kill()
		require.Fail(r.t, "no predictions", c.stderr.String())
	}
	require.NoError(r.t, c.err, c.stderr.String())
	rows, err := csv.NewReader(&c.stdout).ReadAll()
	require.NoError(r.t, err)
	return rows
}

// undisturbed returns the predictions of a trial in which nothing is killed.
func undisturbed(t *testing.T) [][]string {
	r := newRingTrial(t)
	c := r.local()
	<-c.ended
	require.NoError(t, c.err, c.stderr.String())
	return r.outputs()
}

// audit wants journals without findings.
func (r *ringTrial) audit() {
	c := r.start("journal", "verify", r.path("trial", "root", "state"), r.path("trial", "inner", "state"), r.path("trial", "leaf", "state"), "--format", "json")
	<-c.ended
	require.NoError(r.t, c.err, c.stderr.String())
	var audit auditJSON
	require.NoError(r.t, json.Unmarshal(c.stdout.Bytes(), &audit))
	require.Empty(r.t, audit.Findings)
	require.NotZero(r.t, audit.Points)
}

// Every process of a trial is killed at any moment and started again: the parties by
// "nereid local", that by hand, and "nereid predict" beside it. It ends, with one
// model, the predictions of an undisturbed trial, and no label with two shares.
func TestKilledTrials(t *testing.T) {
	if testing.Short() {
		t.Skip("runs trials for half a minute")
	}
	want := undisturbed(t)
	t.Logf("kill points of seed %d", *killSeed)
	var mu sync.Mutex
	total, queriers := 0, 0
	var at [ringStages + 1]int
	t.Run("trials", func(t *testing.T) {
		for i := range (*kills + ringStages - 1) / ringStages {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				random := rand.New(rand.NewPCG(*killSeed, uint64(i)))
				victims := []string{"root", "inner", "leaf", "root", "inner", "leaf", "local"}
				var points []killPoint
				for stages := range ringStages {
					points = append(points, killPoint{victims[random.IntN(len(victims))], stages, time.Duration(random.Int64N(int64(150 * time.Millisecond)))})
				}
				r := newRingTrial(t)
				ctx, stop := context.WithCancel(t.Context())
				asked := make(chan int, 1)
				go func() { asked <- r.ask(ctx, rand.New(rand.NewPCG(*killSeed, uint64(1000+i)))) }()
				report := r.disturb(points, random)
				stop()
				mu.Lock()
				defer mu.Unlock()
				queriers += <-asked
				total += r.cut
				for stage, n := range r.at {
					at[stage] += n
				}
				require.Equal(t, 1., *report.Accuracy)
				require.Len(t, report.Nodes, 3) // whose models were compared
				r.sameOutputs(want, r.outputs())
				r.audit()
			})
		}
	})
	t.Logf("%d kills of parties and trials, by stages done: %v; %d kills of the querier", total, at, queriers)
	require.GreaterOrEqual(t, total, *kills*3/4)
	require.NotZero(t, queriers)
}

// sameOutputs wants equal classes, and outputs that are equal up to noise.
func (r *ringTrial) sameOutputs(want, got [][]string) {
	require.Len(r.t, got, len(want))
	for i, row := range want {
		require.Equal(r.t, row[0], got[i][0], "class of row %d", i)
		if i == 0 {
			continue
		}
		a, err := strconv.ParseFloat(row[1], 64)
		require.NoError(r.t, err)
		b, err := strconv.ParseFloat(got[i][1], 64)
		require.NoError(r.t, err)
		require.InDelta(r.t, a, b, 1e-3, "output of row %d", i)
	}
}

// A process of a trial ends with it, also if that is killed.
func TestNodesEndWithTheTrial(t *testing.T) {
	r := newRingTrial(t)
	c := r.local()
	defer c.kill()
	require.Eventually(t, func() bool { return r.done("leaf") > 0 }, 20*time.Second, 5*time.Millisecond)
	require.NotZero(t, r.process("leaf"))
	c.kill()
	for _, name := range []string{"root", "inner", "leaf"} {
		require.Eventually(t, func() bool { return r.process(name) == 0 }, 10*time.Second, 5*time.Millisecond, name)
	}
}
