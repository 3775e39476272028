package mhe

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/nereid-mhe/nereid/internal/portable"
)

// ErrCosts is wrapped by errors about records of costs that cannot be used.
var ErrCosts = errors.New("mhe: costs")

// An Op is a kind of work that takes time. Its name is part of the JSON form of
// [Costs].
type Op string

// The operations of an evaluator, as the kernel makes them. Amounts are numbers of
// operations unless said otherwise.
const (
	OpDecompose     Op = "decompose"          // a polynomial into digits
	OpKeyProduct    Op = "key product"        // all digits of a polynomial times a key
	OpPermute       Op = "permute"            // a pair of polynomials over the extended basis
	OpDivide        Op = "divide"             // a pair by the special primes
	OpDivideRescale Op = "divide and rescale" // a pair by the special primes and the top prime
	OpRescale       Op = "rescale"            // a pair by the top prime
	OpScale         Op = "scale"              // a pair times the special primes
	OpTensor        Op = "tensor term"        // one of the terms of a sum of products
	OpTensorSum     Op = "tensor sum"         // the reduction of such a sum
	OpDataTerm      Op = "data term"          // a ciphertext times a vector of data, in a sum
	OpDataRun       Op = "data run"           // the same, what each run costs; amount: terms over the length of runs
	OpDataSum       Op = "data sum"           // the reduction of such a sum
	OpMultiply      Op = "multiply"           // two ciphertexts, relinearised and rescaled
	OpMulPlain      Op = "multiply plain"     // a ciphertext times a polynomial
	OpAdd           Op = "add"                // two ciphertexts
	OpEncode        Op = "encode"             // amount: the part that a period is of the transforms of all slots
	OpExpand        Op = "expand"             // a period to all slots
	OpEncodeData    Op = "encode data"        // a vector of 256 values; amount in proportion to period·log(period)
)

// The operations of collective protocols, at the level of what they make.
const (
	OpShare        Op = "refresh share"        // without a map; one ciphertext
	OpShareMap     Op = "refresh share, mask"  // with a mask in the map
	OpFinish       Op = "refresh finish"       // as OpShare
	OpFinishMap    Op = "refresh finish, mask" // as OpShareMap
	OpMapTerm      Op = "map rotation"         // one rotation of one polynomial in a map, over the extended basis
	OpMask         Op = "map mask"             // a mask of a map, encoded; amount: the part that a period is of all slots
	OpUniform      Op = "uniform"              // a common random polynomial
	OpPack         Op = "pack"                 // a polynomial, encoded
	OpUnpack       Op = "unpack"               // a polynomial, decoded and added
	OpHash         Op = "hash"                 // a polynomial that is encoded, by SHA-256
	OpRerandomise  Op = "rerandomise"          // a ciphertext
	OpKeyShare     Op = "key share"            // a share of a Galois key
	OpProductShare Op = "product key share"    // the second share of a product key
)

// encodedData is the amount of one [OpEncodeData]: 256·log 256.
const encodedData = 256 * 8

// A Work is a list of amounts of operations by level. It is a value: no method
// changes it.
type Work []Task

// A Task is an amount of operations of a kind at a level.
type Task struct {
	Op     Op
	Level  int
	Amount float64
}

// Add returns w with an amount more.
func (w Work) Add(op Op, level int, amount float64) Work {
	out := slices.Clone(w)
	for i := range out {
		if out[i].Op == op && out[i].Level == level {
			out[i].Amount += float64(amount) // which may be a product
			return out
		}
	}
	return append(out, Task{op, level, amount})
}

// Then returns the sum of w and o, n times.
func (w Work) Then(o Work, n float64) Work {
	for _, t := range o {
		w = w.Add(t.Op, t.Level, n*t.Amount)
	}
	return w
}

// Of returns the amount of an operation at all levels.
func (w Work) Of(op Op) (amount float64) {
	for _, t := range w {
		if t.Op == op {
			amount += t.Amount
		}
	}
	return amount
}

// Costs are seconds per operation on one core of a machine, measured at a few
// levels. The JSON form is a contract.
type Costs struct {
	Version int      `json:"version"` // 1
	Machine Machine  `json:"machine"`
	Samples []Sample `json:"samples"`
}

// A Machine is where costs were measured.
type Machine struct {
	CPU  string `json:"cpu"`
	OS   string `json:"os"`
	Arch string `json:"arch"`
	Go   string `json:"go"`
	When string `json:"when"` // date
}

// A Sample is the time of one operation on a ring of 2^LogN slots with a number of
// special primes, at a level.
type Sample struct {
	Op      Op      `json:"op"`
	LogN    int     `json:"log_n"`
	Special int     `json:"special"`
	Level   int     `json:"level"`
	Seconds float64 `json:"seconds"`
}

const costsVersion = 1

// ParseCosts reads the JSON form of a record. Errors wrap [ErrCosts].
func ParseCosts(b []byte) (Costs, error) {
	var c Costs
	if err := json.Unmarshal(b, &c); err != nil {
		return Costs{}, fmt.Errorf("%w: %w", ErrCosts, err)
	}
	return c, c.Check()
}

// Check returns an error wrapping [ErrCosts] for a record that nothing can be
// priced with.
func (c Costs) Check() error {
	if c.Version != costsVersion {
		return fmt.Errorf("%w: a record of version %d, want %d", ErrCosts, c.Version, costsVersion)
	}
	var missing []string
	for _, op := range AllOps {
		if !slices.ContainsFunc(c.Samples, func(s Sample) bool { return s.Op == op }) {
			missing = append(missing, string(op))
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%w: the record has no %s: measure again", ErrCosts, strings.Join(missing, ", no "))
	}
	for _, s := range c.Samples {
		if !(s.Seconds >= 0) || math.IsInf(s.Seconds, 0) || s.LogN < 8 || s.LogN > 17 || s.Special < 1 || s.Level < 0 {
			return fmt.Errorf("%w: %q takes %g seconds at N = 2^%d, level %d, with %d special primes", ErrCosts, s.Op, s.Seconds, s.LogN, s.Level, s.Special)
		}
	}
	return nil
}

// AllOps lists the operations that a record has times of.
var AllOps = []Op{
	OpDecompose, OpKeyProduct, OpPermute, OpDivide, OpDivideRescale, OpRescale, OpScale, OpTensor, OpTensorSum,
	OpDataTerm, OpDataRun, OpDataSum, OpMultiply, OpMulPlain, OpAdd, OpEncode, OpExpand, OpEncodeData,
	OpShare, OpShareMap, OpFinish, OpFinishMap, OpMapTerm, OpMask,
	OpUniform, OpPack, OpUnpack, OpHash, OpRerandomise, OpKeyShare, OpProductShare,
}

// limbs returns the transforms or limbs that an operation works on, up to a
// factor: times are linear in them.
func (op Op) limbs(special, level int) float64 {
	switch op {
	case OpDecompose, OpKeyProduct, OpMultiply, OpKeyShare, OpProductShare:
		n := (level + special) / special
		return float64(n * (level + 1 + special))
	case OpPermute, OpDivide, OpDivideRescale, OpShareMap, OpFinishMap, OpMapTerm, OpMask, OpRerandomise:
		return float64(level + 1 + special)
	}
	return float64(level + 1)
}

// grows returns the factor by which an operation's time grows from one ring to
// another.
func (op Op) grows(from, to int) float64 {
	linear := portable.Exp2(float64(to - from))
	switch op {
	case OpEncodeData: // of the size of the data
		return 1
	case OpKeyProduct, OpPermute, OpScale, OpTensor, OpTensorSum, OpDataTerm, OpDataRun, OpDataSum, OpMulPlain, OpAdd, OpExpand,
		OpMapTerm, OpMask, OpUniform, OpPack, OpUnpack, OpHash:
		return linear
	}
	return linear * float64(to) / float64(from)
}

// Seconds returns the time of a work on a ring of 2^logN slots with a number of
// special primes, by linear interpolation in limbs between the nearest samples, and
// by N or N·log N between rings.
func (c Costs) Seconds(logN, special int, w Work) float64 {
	var sum float64
	for _, t := range w {
		sum += float64(t.Amount * c.per(t.Op, logN, special, t.Level))
	}
	return sum
}

// per returns the seconds of one operation.
func (c Costs) per(op Op, logN, special, level int) float64 {
	type point struct{ x, y float64 }
	best := func(of func(Sample) int, want int, in []Sample) (out []Sample) {
		least := math.MaxInt
		for _, s := range in {
			d := of(s) - want
			if d < 0 {
				d = -2*d + 1 // on a tie the larger: it was measured with more work
			} else {
				d *= 2
			}
			if d < least {
				least, out = d, nil
			}
			if d == least {
				out = append(out, s)
			}
		}
		return out
	}
	var in []Sample
	for _, s := range c.Samples {
		if s.Op == op {
			in = append(in, s)
		}
	}
	in = best(func(s Sample) int { return s.LogN }, logN, in)
	in = best(func(s Sample) int { return s.Special }, special, in)
	if len(in) == 0 {
		return 0
	}
	var ps []point
	for _, s := range in {
		ps = append(ps, point{op.limbs(s.Special, s.Level), s.Seconds})
	}
	slices.SortFunc(ps, func(a, b point) int { return int(math.Copysign(1, a.x-b.x)) })
	x, factor := op.limbs(special, level), op.grows(in[0].LogN, logN)
	if len(ps) == 1 {
		return factor * ps[0].y * x / ps[0].x
	}
	i := 1
	for i < len(ps)-1 && ps[i].x < x {
		i++
	}
	a, b := ps[i-1], ps[i]
	if b.x == a.x {
		return factor * b.y * x / b.x
	}
	return factor * max(0, a.y+float64((b.y-a.y)*(x-a.x)/(b.x-a.x)))
}
