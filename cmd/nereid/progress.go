package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"github.com/nereid-mhe/nereid/study"
)

// A display shows progress and logs on stderr. Its methods are called from one
// goroutine at a time, except for Write.
type display interface {
	io.Writer // for logs

	// update shows a step.
	update(study.Progress)
	// stop ends the display. What is unfinished stays as it is.
	stop()
}

// newDisplay returns bars for a terminal and JSON lines for everything else.
func newDisplay(stderr io.Writer, quiet bool) display {
	switch {
	case quiet:
		return silent{stderr}
	case isTerminal(stderr):
		return &bars{stderr: stderr, all: mpb.New(mpb.WithOutput(stderr), mpb.WithWidth(40))}
	}
	return lines{stderr}
}

// newLog returns a logger on a display: text for a terminal, JSON lines for
// everything else.
func newLog(d display, stderr io.Writer, level slog.Level) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if isTerminal(stderr) {
		return slog.New(slog.NewTextHandler(d, options))
	}
	return slog.New(slog.NewJSONHandler(d, options))
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// remaining estimates the time that a phase still needs from the mean time of
// its steps. It is not known before the first step is done.
func remaining(p study.Progress) (eta time.Duration, known bool) {
	if p.Step < 1 {
		return 0, false
	}
	return p.Elapsed / time.Duration(p.Step) * time.Duration(p.Steps-p.Step), true
}

// silent shows logs only.
type silent struct{ io.Writer }

func (silent) update(study.Progress) {}
func (silent) stop()                 {}

// lines writes a JSON object per step.
type lines struct{ io.Writer }

func (l lines) update(p study.Progress) {
	line := struct {
		Phase   string   `json:"phase"`
		Step    int      `json:"step"`
		Steps   int      `json:"steps"`
		Elapsed float64  `json:"elapsed_s"`
		ETA     *float64 `json:"eta_s,omitempty"`
	}{p.Phase, p.Step, p.Steps, millis(p.Elapsed), nil}
	if eta, known := remaining(p); known {
		s := millis(eta)
		line.ETA = &s
	}
	b, _ := json.Marshal(line) // finite numbers
	fmt.Fprintf(l, "%s\n", b)
}

func (lines) stop() {}

// millis returns d in seconds, in steps of a millisecond.
func millis(d time.Duration) float64 { return float64(d.Round(time.Millisecond).Milliseconds()) / 1e3 }

// bars shows a bar for every phase of several steps, and a spinner for others.
type bars struct {
	stderr io.Writer
	all    *mpb.Progress
	phase  string
	bar    *mpb.Bar
}

// phaseTitles says what the phases of a study are about.
var phaseTitles = map[string]string{
	"clear twin":    "the same training in the clear",
	"learning rate": "looking for a rate that works",
	"setup":         "collective keys, standardisation",
	"train":         "training on encrypted weights",
	"predict":       "predictions for the querier",
}

func (b *bars) update(p study.Progress) {
	if p.Phase != b.phase {
		b.phase, b.bar = p.Phase, b.add(p)
	}
	b.bar.SetCurrent(int64(p.Step))
}

// add starts the bar of a phase.
func (b *bars) add(p study.Progress) *mpb.Bar {
	start := time.Now().Add(-p.Elapsed)
	name := decor.Name(fmt.Sprintf("%-34s", phaseTitles[p.Phase]))
	if p.Steps <= 1 {
		return b.all.New(int64(p.Steps), mpb.SpinnerStyle(spinner...).PositionLeft(),
			mpb.PrependDecorators(name), mpb.BarWidth(5), mpb.BarFillerOnComplete("done "),
			mpb.AppendDecorators(decor.NewElapsed(decor.ET_STYLE_GO, start)))
	}
	eta := decor.Any(func(s decor.Statistics) string {
		left, known := remaining(study.Progress{Step: int(s.Current), Steps: int(s.Total), Elapsed: time.Since(start)})
		if !known || s.Completed {
			return ""
		}
		return fmt.Sprintf(", %s left", left.Round(time.Second))
	})
	return b.all.AddBar(int64(p.Steps), mpb.PrependDecorators(name),
		mpb.AppendDecorators(decor.CountersNoUnit("step %d of %d  "), decor.NewElapsed(decor.ET_STYLE_GO, start), eta))
}

var spinner = []string{"|", "/", "-", `\`}

func (b *bars) stop() {
	if b.bar != nil {
		b.bar.Abort(false)
	}
	b.all.Wait()
}

// Write implements [io.Writer]: lines appear above the bars.
func (b *bars) Write(p []byte) (int, error) {
	n, err := b.all.Write(p)
	if errors.Is(err, mpb.ErrDone) {
		return b.stderr.Write(p)
	}
	return n, err
}
