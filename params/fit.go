package params

import (
	"fmt"
	"math"
	"slices"

	"github.com/nereid-mhe/nereid/internal/portable"
)

// maxFitScale is the largest default scale that [Fit] takes: three 60-bit mask
// primes leave about 47 bits for the message of a refresh.
const maxFitScale = 45

// minFitScale is the smallest default scale that [Fit] takes; below it training
// loses more to rounding than a flooded prediction can bear.
const minFitScale = 34

// Fit returns the smallest secure set for parties that compute levels levels
// between two refreshes: three 60-bit primes for the masks, levels primes of the
// largest scale that fits, one 60-bit special prime. Few primes are fast and a
// large scale is precise; the ring grows only when the scale would fall below 34
// bits. The error wraps [ErrConfig].
func Fit(parties, levels int, quantum bool) (Set, error) {
	if levels < 1 {
		return Set{}, fmt.Errorf("%w: %d levels, want at least 1", ErrConfig, levels)
	}
	const wide = 60
	for logN := 14; logN <= 16; logN++ {
		scale := int(math.Floor((MaxLogQP(logN, quantum) - 4*wide - 0.01) / float64(levels)))
		if scale = min(scale, maxFitScale); scale < minFitScale {
			continue
		}
		return New(Config{
			LogN: logN, LogQ: chain(wide, scale, levels), LogP: []int{wide},
			LogScale: scale, Parties: parties, Quantum: quantum,
		})
	}
	return Set{}, fmt.Errorf("%w: %d levels between refreshes fit no ring up to N = 2^16: split the model by a refresh or lower the degree of its activations", ErrConfig, levels)
}

// InsecureToy returns a set like that of [Fit] on a ring of 2^10 slots. IT HAS
// NO SECURITY AT ALL. It exists so that tests run every code path in
// milliseconds.
func InsecureToy(parties, levels int) (Set, error) {
	return New(Config{
		LogN: 10, LogQ: chain(60, maxFitScale, levels), LogP: []int{60},
		LogScale: maxFitScale, Parties: parties, Insecure: true,
	})
}

// chain returns three wide mask primes below levels primes of the scale.
func chain(wide, scale, levels int) []int {
	return append([]int{wide, wide, wide}, slices.Repeat([]int{scale}, levels)...)
}

// A Masks says which primes carry the masks of a set that [FitChain] makes.
type Masks int

const (
	// Wide is three primes of 60 bits: the fewest, which leave about 47 bits to the
	// message of a refresh, and with gradients much larger than 1 few of them to
	// precision.
	Wide Masks = 3
	// Roomy is four primes that hold masks of 192 bits, 50 bits each for up to 100
	// parties: 64 bits of message. The scale may then be as large as 50 bits.
	Roomy Masks = 4
)

// bits returns the size of a mask prime, which is that of a special prime too: key
// switching takes mask primes in groups of as many as there are special ones.
func (m Masks) bits(parties int) int {
	if m == Wide {
		return 60
	}
	slack := 0.01 // primes are a little smaller than their bits say
	return int(math.Ceil((maxMaskBits+1+portable.Log2(float64(parties)))/float64(m) + slack))
}

// maxScale returns the largest default scale: below the precision of the floating
// point in which plaintexts are encoded, with room for the message.
func (m Masks) maxScale() int {
	if m == Wide {
		return maxFitScale
	}
	return 50
}

// FitChain returns the secure set on a ring of 2^logN slots for parties that
// compute levels levels between two refreshes, with the given mask primes, number
// of special primes, and the largest scale that fits. Two special primes make key
// switching cheaper and leave less for the scale. The error wraps [ErrConfig].
func FitChain(parties, levels int, masks Masks, special, logN int, quantum bool) (Set, error) {
	if levels < 1 || special < 1 || special > maxSpecial || masks != Wide && masks != Roomy || parties < 2 {
		return Set{}, fmt.Errorf("%w: a chain of %d levels with %d mask primes and %d special primes for %d parties", ErrConfig, levels, masks, special, parties)
	}
	bits := masks.bits(parties)
	room := MaxLogQP(logN, quantum) - float64((int(masks)+special)*bits) - 0.01
	scale := min(int(math.Floor(room/float64(levels))), masks.maxScale())
	if scale < minFitScale {
		return Set{}, fmt.Errorf("%w: %d levels, %d mask primes and %d special primes leave %d bits for each level at N = 2^%d, want at least %d", ErrConfig, levels, masks, special, scale, logN, minFitScale)
	}
	return New(Config{
		LogN: logN, LogQ: append(slices.Repeat([]int{bits}, int(masks)), slices.Repeat([]int{scale}, levels)...),
		LogP: slices.Repeat([]int{bits}, special), LogScale: scale, Parties: parties, MaskPrimes: int(masks), Quantum: quantum,
	})
}

// Special returns the number of special primes.
func (s Set) Special() int { return len(s.cfg.LogP) }
