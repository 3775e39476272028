package main

import (
	"bufio"
	"math"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nereid-mhe/nereid/params"
)

// A clock is what operations are timed with: wall time, or processor time of this
// process. On one thread of an idle machine they agree. Processor time leaves out
// what other programs took meanwhile, which would hit a long operation harder
// than the short one it is compared with; on several threads it adds them up.
type clock string

const (
	wallClock clock = "wall"
	cpuClock  clock = "cpu"
)

var epoch = time.Now()

func (c clock) now() time.Duration {
	if c == cpuClock {
		t, _ := cpuTime()
		return t
	}
	return time.Since(epoch)
}

// A limit says how long to measure, until both are reached, and with what.
type limit struct {
	rounds int
	time   time.Duration
	clock  clock
}

// A recorder holds the times of named operations in milliseconds, in order.
type recorder struct {
	clock clock
	laps  map[string][]float64
}

func (l limit) recorder() *recorder { return &recorder{l.clock, map[string][]float64{}} }

// repeat calls round until the limit and returns what it recorded. A first call
// warms up and is not counted.
func (l limit) repeat(round func(rec *recorder) error) (*recorder, error) {
	if err := round(l.recorder()); err != nil {
		return nil, err
	}
	rec, start := l.recorder(), time.Now()
	for n := 0; n < l.rounds || time.Since(start) < l.time; n++ {
		if err := round(rec); err != nil {
			return nil, err
		}
	}
	return rec, nil
}

// An operation is something to time.
type operation struct {
	name string
	run  func() error
}

// interleave times every operation once a round: A B C, A B C, and so on. Load
// from outside then falls on all of them alike.
func (l limit) interleave(ops ...operation) (*recorder, error) {
	return l.repeat(func(rec *recorder) error {
		for _, op := range ops {
			if err := rec.time(op.name, op.run); err != nil {
				return err
			}
		}
		return nil
	})
}

// time runs f and records how long it took.
func (r *recorder) time(name string, f func() error) error {
	start := r.start()
	err := f()
	r.stop(name, start)
	return err
}

// start collects garbage, so that no operation pays for another's, and returns
// the time.
func (r *recorder) start() time.Duration {
	runtime.GC()
	return r.clock.now()
}

func (r *recorder) stop(name string, start time.Duration) {
	r.laps[name] = append(r.laps[name], float64(r.clock.now()-start)/float64(time.Millisecond))
}

// median returns the median time of an operation.
func (r *recorder) median(name string) float64 { return round(quantile(r.laps[name], 0.5)) }

// ratio returns the median over the rounds of a's time over b's. Both were timed
// close to each other, so that what slows the machine down for a while is in both.
func (r *recorder) ratio(a, b string) float64 {
	v := make([]float64, len(r.laps[a]))
	for i := range v {
		v[i] = r.laps[a][i] / r.laps[b][i]
	}
	return round(quantile(v, 0.5))
}

// quartiles returns the first and third quartile of every operation: how far
// single rounds were from the median.
func (r *recorder) quartiles() map[string][2]float64 {
	q := map[string][2]float64{}
	for name, v := range r.laps {
		q[name] = [2]float64{round(quantile(v, 0.25)), round(quantile(v, 0.75))}
	}
	return q
}

// quantile interpolates between the two nearest values; NaN if there is none.
func quantile(v []float64, p float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(v))
	at := p * float64(len(s)-1)
	i := int(at)
	return s[i] + (at-float64(i))*(s[min(i+1, len(s)-1)]-s[i])
}

// round keeps what a measurement can mean: tenths of microseconds, or four
// decimals of a ratio.
func round(x float64) float64 { return math.Round(x*1e4) / 1e4 }

// A header says where and when figures were measured, and at what sizes. It names
// the kind of machine, not the machine.
type header struct {
	Benchmark string     `json:"benchmark"`
	Date      string     `json:"date"`
	Machine   machine    `json:"machine"`
	Params    parameters `json:"params"`
	Repeats   int        `json:"repeats"`
	Clock     clock      `json:"clock"` // of figures on one thread; others are wall time
}

type machine struct {
	CPU        string `json:"cpu"`
	Cores      int    `json:"cores"`
	GOMAXPROCS int    `json:"gomaxprocs"`
	Go         string `json:"go"`
	OS         string `json:"os"`
	Arch       string `json:"arch"`
	// Load is what other programs wanted of the machine: processes that ran or
	// waited, over the last minute before the measurement. 0 if not known.
	Load float64 `json:"load_average"`
}

type parameters struct {
	LogN         int     `json:"log_n"`
	LogQ         []int   `json:"log_q"`
	LogP         []int   `json:"log_p"`
	LogQP        float64 `json:"log_qp"`
	LogScale     int     `json:"log_scale"`
	MaskBits     int     `json:"mask_bits"`
	Parties      int     `json:"parties"`
	SecurityBits int     `json:"security_bits"` // 0 for a toy ring
	InputLevel   int     `json:"refresh_input_level"`
	OutputLevel  int     `json:"refresh_output_level"`
}

func newHeader(name string, set params.Set, in, out int, l limit) header {
	c := set.Config()
	return header{
		Benchmark: name,
		Clock:     l.clock,
		Date:      today(),
		Machine:   thisMachine(),
		Params: parameters{
			set.LogN(), c.LogQ, c.LogP, round(set.LogQP()), set.LogScale(), set.MaskBits(),
			set.Parties(), set.SecurityBits(), in, out,
		},
	}
}

func today() string { return time.Now().UTC().Format(time.DateOnly) }

func thisMachine() machine {
	return machine{cpuModel(), runtime.NumCPU(), runtime.GOMAXPROCS(0), runtime.Version(), runtime.GOOS, runtime.GOARCH, loadAverage()}
}

// cpuModel returns the processor's name where the system tells it.
func cpuModel() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if key, value, ok := strings.Cut(s.Text(), ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// loadAverage returns the load over the last minute where the system tells it.
func loadAverage() float64 {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(b), " ")
	load, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return 0
	}
	return load
}
