// Package study runs a whole study: key generation, collective standardisation,
// training, predictions for a querier.
//
// [Run] runs every party of a study in one process, each on its own goroutine,
// with its own secrets, journal, ledger and encoded messages, over an in-memory
// network. The parties run the code that nodes on separate hosts run; only the
// network differs, and that at the end the process holds all shares, so that it
// can check the trained weights against their clear twin. No study of separate
// parties can do that, and the [Report] says so.
//
// A [Node] is one party in a process of its own, which may be killed at any moment:
// parties agree on [Terms], bring rows, a secret seed, a journal, a [Store] and a
// [Transport], and end with the same encrypted model. A [Querier] asks the node at
// the root for predictions.
//
// Compute is timed per party, on as many cores at once as [Config.Cores] says, and
// wall time is modelled from it and from a network of given bandwidth and
// latency: the slowest party of every phase, and per level of the tree one
// latency and the time to receive from all children.
package study

import (
	"errors"
	"fmt"
	"math"
	"runtime"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/nn"
)

// ErrConfig is wrapped by every error about a study that cannot be run as it is
// described.
var ErrConfig = errors.New("study")

// Common is what all kinds of studies have in common. Fields with a stated default
// may be zero.
type Common struct {
	Name    string // what the study is called; it is part of its identity
	Parties int    // at least 2
	Fanout  int    // children per inner node of the tree, at least 1

	Partition    dataset.Partition // how Run divides the rows among the parties; even by default
	TestFraction float64           // rows kept back for the querier, in (0, 1)
	Seed         uint64            // of the split, the partition and the order of rows; public
	Clip         float64           // standardised features are cut at ±Clip

	Flooding int  // statistical security of openings in bits; 0 for 30
	Quantum  bool // 128 bits against quantum attackers
	Insecure bool // a toy ring WITHOUT SECURITY

	Link  Link // of the modelled network
	Cores int  // parties that compute at the same time; 0 for all cores
}

// Config describes a study of logistic or linear regression. Fields with a stated
// default may be zero.
type Config struct {
	Common

	Regression bool    // least squares instead of logistic regression
	MaxTarget  float64 // of a regression: declared bound of |target|, public; 0 takes the table's and says so
	Degree     int     // of the polynomial in place of the sigmoid, odd
	Interval   float64 // the outputs are expected in [-Interval, Interval]
	SGD        nn.SGD
	Epochs     int // passes over the rows, of the party with most batches; or
	Steps      int // training steps
	Batch      int // rows per party and step; 0 for all that fit

	Predict int // test rows that are predicted for the querier, at most; others are set aside; 0 for all

	// MaxOutputNoise is the largest planned standard deviation of an opened output
	// with which a study starts; 0 for a tenth of the bound of targets, which is 1
	// for classes.
	MaxOutputNoise float64
}

// A Link is a modelled network: what every party has to its neighbours.
type Link struct {
	Mbit    float64 // bandwidth in Mbit/s
	Latency float64 // one way, in milliseconds
}

// Default returns the settings of the demo, which suit small tables of
// standardised features.
func Default() Config {
	return Config{
		Common: Common{
			Name: "demo", Parties: 10, Fanout: 3, TestFraction: 0.2, Seed: 2, Clip: 8,
			Flooding: mhe.MinFlooding, Link: Link{Mbit: 1000, Latency: 20},
		},
		Degree: 3, Interval: 12, SGD: nn.SGD{Rate: 1, L2: 0.03}, Epochs: 30,
	}
}

func (c Common) withDefaults() Common {
	if c.Flooding == 0 {
		c.Flooding = mhe.MinFlooding
	}
	if c.Cores == 0 {
		c.Cores = runtime.GOMAXPROCS(0)
	}
	return c
}

// violations collects what is wrong with a configuration.
type violations []error

func (v *violations) must(ok bool, format string, args ...any) {
	if !ok {
		*v = append(*v, fmt.Errorf("%w: "+format, append([]any{ErrConfig}, args...)...))
	}
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// check reports every violation that needs no data to be seen.
func (c Common) check(v *violations) {
	v.must(c.Parties >= 2, "%d parties: a study needs at least 2", c.Parties)
	v.must(c.Parties <= math.MaxUint16, "%d parties: at most %d are possible", c.Parties, math.MaxUint16)
	v.must(c.Fanout >= 1, "a fan-out of %d: every inner node of the tree needs at least 1 child", c.Fanout)
	v.must(c.Clip > 0 && finite(c.Clip), "features cut at %g: want a positive number of standard deviations", c.Clip)
	v.must(c.Flooding >= mhe.MinFlooding && c.Flooding <= 80, "flooding of %d bits: want %d to 80", c.Flooding, mhe.MinFlooding)
	v.must(c.Link.Mbit > 0 && finite(c.Link.Mbit) && c.Link.Latency >= 0 && finite(c.Link.Latency), "a network of %g Mbit/s and %g ms", c.Link.Mbit, c.Link.Latency)
	v.must(c.Cores >= 1, "%d cores", c.Cores)
}

// checkSplit reports what is wrong with the division of the rows of a simulation.
func (c Common) checkSplit(v *violations) {
	v.must(c.TestFraction > 0 && c.TestFraction < 1, "a test fraction of %g: want more than 0 and less than 1", c.TestFraction)
}

// check reports every violation that needs no data to be seen.
func (c Config) check(v *violations) {
	c.Common.check(v)
	v.must(c.Regression || c.Degree >= 1 && c.Degree%2 == 1 && c.Degree <= 7, "a sigmoid of degree %d: want 1, 3, 5 or 7", c.Degree)
	v.must(c.Interval > 0 && finite(c.Interval), "an interval of %g: want a positive number", c.Interval)
	v.must(c.MaxTarget >= 0 && finite(c.MaxTarget), "targets bounded by %g: want a positive number", c.MaxTarget)
	v.must(c.Steps >= 0, "%d steps: want at least 1", c.Steps)
	v.must(c.Steps > 0 || c.Epochs >= 1, "%d epochs: want at least 1", c.Epochs)
	v.must(c.Steps == 0 || c.Epochs == 0, "%d epochs and %d steps: give one of them", c.Epochs, c.Steps)
	v.must(c.Batch >= 0, "a batch of %d rows: want 1 or more, or 0 for all that fit", c.Batch)
	v.must(c.Predict >= 0, "%d rows to predict", c.Predict)
	v.must(c.MaxOutputNoise >= 0, "outputs opened with a noise of up to %g: want a positive number", c.MaxOutputNoise)
}

// loss returns the loss that the configuration names.
func (c Config) loss() (nn.Loss, error) {
	if c.Regression {
		return nn.Squared{Bound: c.Interval}, nil
	}
	return nn.NewLogistic(c.Degree, c.Interval)
}
