// Package params holds checked CKKS parameter sets.
//
// A [Set] is immutable and has passed every rule that security and correctness
// put on it: the modulus is within the published table for its ring degree, and
// the bottom of the modulus chain carries the masks of the collective refresh
// with room for every party's. It does no search over models; see [Fit] for the
// one choice that depends on nothing but depth and number of parties.
//
// # Notation
//
// N is the ring degree. The ring is the conjugate-invariant subring of
// Z[X]/(X^2N+1), so that all N slots are real numbers. Q = q_0·…·q_L is the
// ciphertext modulus, Q_ℓ = q_0·…·q_ℓ the modulus at level ℓ, P the product of
// the special primes of key switching. Δ is the default scale.
//
// # Sources
//
// Bossuat et al., Security Guidelines for Implementing Homomorphic Encryption,
// [ePrint 2024/463], Table 5.2, for ternary secrets and σ = 3.2.
//
// [ePrint 2024/463]: https://eprint.iacr.org/2024/463
package params

import (
	"crypto/sha3"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/tuneinsight/lattigo/v5/core/rlwe"
	"github.com/tuneinsight/lattigo/v5/he/hefloat"
	"github.com/tuneinsight/lattigo/v5/ring"

	"github.com/nereid-mhe/nereid/internal/portable"
)

// ErrConfig is wrapped by every error of [New].
var ErrConfig = errors.New("params: refused")

// Sigma is the standard deviation of the error distribution of fresh keys and
// ciphertexts, and Tail the largest absolute value an error takes.
const (
	Sigma = 3.2
	Tail  = 19
)

// DefaultLambda is the statistical security, in bits, of the refresh masks when
// [Config.Lambda] is 0.
const DefaultLambda = 128

// A Config describes a parameter set before it is checked.
type Config struct {
	LogN     int   // log2 of the ring degree, which is the number of slots; 12 to 16
	LogQ     []int // bits of the ciphertext primes, bottom first; each at most 60
	LogP     []int // bits of the special primes; at least one
	LogScale int   // bits of the default scale Δ
	Parties  int   // parties whose masks add up in a refresh; at least 2

	// LogMessage bounds what enters a refresh: log2(scale·|slot value|) of its
	// input. 0 means the most that the mask level leaves room for.
	LogMessage int
	// MaskPrimes is the number of bottom primes that carry the masks: a refresh
	// takes its input at level MaskPrimes-1. 0 means 3.
	MaskPrimes int
	// Lambda is the statistical security of the masks in bits. 0 means 128.
	Lambda int
	// Quantum asks for 128 bits against quantum attackers.
	Quantum bool
	// Insecure skips the security table. Only tests and demonstrations that say
	// so may set it. It allows ring degrees from 2^8.
	Insecure bool
}

// maxLogQP is Table 5.2 of ePrint 2024/463: the largest log2(QP) with 128-bit
// security for ternary secrets, against classical and quantum attackers.
var maxLogQP = map[int][2]float64{
	12: {106, 80},
	13: {214, 161},
	14: {430, 322},
	15: {868, 644},
	16: {1747, 1289},
}

// MaxLogQP returns the largest log2(QP) that the security table allows at ring
// degree 2^logN, and 0 for a degree that it does not list.
func MaxLogQP(logN int, quantum bool) float64 {
	row := maxLogQP[logN]
	if quantum {
		return row[1]
	}
	return row[0]
}

// A Set is a checked parameter set. The zero value is not usable; see [New]. It
// is immutable and safe for concurrent use.
type Set struct {
	cfg  Config
	q, p []uint64
	ckks func() hefloat.Parameters // made at first use: its tables take megabytes for each prime
}

// New checks c and returns the set. The error wraps [ErrConfig] and joins every
// violation found, not only the first.
func New(c Config) (Set, error) {
	c = c.withDefaults()
	if err := c.check(); err != nil {
		return Set{}, err
	}
	q, p, err := rlwe.GenModuli(c.LogN+2, c.LogQ, c.LogP) // that many roots of unity for N real slots
	if err != nil {
		return Set{}, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	s := Set{cfg: c, q: q, p: p, ckks: sync.OnceValue(func() hefloat.Parameters { return tables(c, q, p) })}
	if c.LogMessage == 0 {
		s.cfg.LogMessage = min(int(math.Floor(s.maskRoom())), maxMaskBits) - c.Lambda
	}
	if err := s.check(); err != nil {
		return Set{}, err
	}
	return s, nil
}

// tables makes the Lattigo parameters of a set that New has checked.
func tables(c Config, q, p []uint64) hefloat.Parameters {
	out, err := hefloat.NewParametersFromLiteral(hefloat.ParametersLiteral{
		LogN: c.LogN, Q: q, P: p, LogDefaultScale: c.LogScale,
		RingType: ring.ConjugateInvariant,
		Xe:       ring.DiscreteGaussian{Sigma: Sigma, Bound: Tail},
		Xs:       ring.Ternary{P: 2.0 / 3},
	})
	if err != nil { // the sizes were checked and the primes are made for the ring
		panic("params: checked parameters refused: " + err.Error())
	}
	return out
}

func (c Config) withDefaults() Config {
	c.LogQ, c.LogP = slices.Clone(c.LogQ), slices.Clone(c.LogP)
	if c.Lambda == 0 {
		c.Lambda = DefaultLambda
	}
	if c.MaskPrimes == 0 {
		c.MaskPrimes = 3
	}
	return c
}

// maxSpecial bounds the special primes: mhe/rns converts from at most eight primes
// at a time, and a rescale takes the top one along. Mask primes may be one more.
const maxSpecial = 7

// maxMaskBits bounds a mask: it is sampled as three words.
const maxMaskBits = 192

// check reports what can be seen before primes are chosen.
func (c Config) check() error {
	var errs []error
	must := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("%w: "+format, append([]any{ErrConfig}, args...)...))
		}
	}
	low := 12
	if c.Insecure {
		low = 8
	}
	must(low <= c.LogN && c.LogN <= 16, "LogN is %d, want %d to 16", c.LogN, low)
	must(c.Parties >= 2, "%d parties, want at least 2", c.Parties)
	must(c.Parties <= math.MaxUint16, "%d parties, want at most %d", c.Parties, math.MaxUint16)
	must(20 <= c.LogScale && c.LogScale <= 60, "the default scale has %d bits, want 20 to 60", c.LogScale)
	must(c.Lambda >= DefaultLambda || c.Insecure, "masks have %d bits of statistical security, want at least %d", c.Lambda, DefaultLambda)
	must(c.Lambda >= 1, "masks have %d bits of statistical security", c.Lambda)
	must(c.LogMessage >= 0, "LogMessage is %d", c.LogMessage)
	must(len(c.LogP) >= 1, "no special prime: key switching needs one, for example LogP {60}")
	must(len(c.LogP) <= maxSpecial, "%d special primes, want at most %d", len(c.LogP), maxSpecial)
	must(c.MaskPrimes <= maxSpecial+1, "%d mask primes, want at most %d", c.MaskPrimes, maxSpecial+1)
	must(c.MaskPrimes >= 1 && c.MaskPrimes < len(c.LogQ), "%d of %d ciphertext primes carry masks: no level is left to compute with", c.MaskPrimes, len(c.LogQ))
	for i, q := range c.LogQ {
		must(20 <= q && q <= 60, "LogQ[%d] is %d bits, want 20 to 60", i, q)
	}
	for i, p := range c.LogP {
		must(20 <= p && p <= 60, "LogP[%d] is %d bits, want 20 to 60", i, p)
	}
	return errors.Join(errs...)
}

// check reports what depends on the primes.
func (s Set) check() error {
	var errs []error
	if room, c := s.maskRoom(), s.cfg; float64(s.MaskBits()) > room || c.LogMessage < 1 {
		errs = append(errs, fmt.Errorf("%w: masks of %d parties for %d-bit messages at %d bits of security need a %.1f-bit modulus, the %d bottom primes have %.1f: lower LogMessage or the scale, or widen the bottom primes",
			ErrConfig, c.Parties, c.LogMessage, c.Lambda, float64(s.MaskBits())+1+portable.Log2(float64(c.Parties)), c.MaskPrimes, s.LogModulus(s.MaskLevel())))
	}
	if s.MaskBits() > maxMaskBits {
		errs = append(errs, fmt.Errorf("%w: masks of %d bits, want at most %d", ErrConfig, s.MaskBits(), maxMaskBits))
	}
	if !s.cfg.Insecure {
		if got, limit := s.LogQP(), MaxLogQP(s.cfg.LogN, s.cfg.Quantum); got > limit {
			errs = append(errs, fmt.Errorf("%w: log2(QP) is %.2f, 128-bit security at N = 2^%d allows %.0f (ePrint 2024/463, Table 5.2): drop a prime, shrink the scale or take LogN %d",
				ErrConfig, got, s.cfg.LogN, limit, s.cfg.LogN+1))
		}
	}
	return errors.Join(errs...)
}

// maskRoom returns how many bits a mask may have at the mask level: the sum of
// all parties' masks, and a factor 2, must stay below the modulus.
func (s Set) maskRoom() float64 {
	return s.LogModulus(s.MaskLevel()) - 1 - portable.Log2(float64(s.cfg.Parties))
}

// LogN returns log2 of the ring degree.
func (s Set) LogN() int { return s.cfg.LogN }

// N returns the ring degree, which is the number of real slots.
func (s Set) N() int { return 1 << s.cfg.LogN }

// MaxLevel returns the level of a fresh ciphertext at the full modulus.
func (s Set) MaxLevel() int { return len(s.q) - 1 }

// LogScale returns log2 of the default scale Δ.
func (s Set) LogScale() int { return s.cfg.LogScale }

// Parties returns the number of parties that the masks leave room for.
func (s Set) Parties() int { return s.cfg.Parties }

// Lambda returns the statistical security of the refresh masks in bits.
func (s Set) Lambda() int { return s.cfg.Lambda }

// LogMessage returns the bits of the largest scaled value that may enter a
// refresh: scale·|slot value| ≤ 2^LogMessage.
func (s Set) LogMessage() int { return s.cfg.LogMessage }

// MaskBits returns the bits of a refresh mask: Lambda + LogMessage.
func (s Set) MaskBits() int { return s.cfg.Lambda + s.cfg.LogMessage }

// MaskLevel returns the lowest level at which a ciphertext can be refreshed.
func (s Set) MaskLevel() int { return s.cfg.MaskPrimes - 1 }

// LogQP returns log2 of the largest modulus that keys are published under.
func (s Set) LogQP() float64 { return logProduct(s.q) + logProduct(s.p) }

// LogModulus returns log2(Q_level).
func (s Set) LogModulus(level int) float64 {
	return logProduct(s.q[:level+1])
}

func logProduct(primes []uint64) (sum float64) {
	for _, q := range primes {
		sum += portable.Log2(float64(q))
	}
	return sum
}

// Prime returns q_level, by which a rescale at that level divides.
func (s Set) Prime(level int) uint64 { return s.q[level] }

// Primes returns the primes of Q_level. The caller must not change them.
func (s Set) Primes(level int) []uint64 { return s.q[:level+1] }

// SpecialPrimes returns the primes of P. The caller must not change them.
func (s Set) SpecialPrimes() []uint64 { return s.p }

// Secure reports whether the security table holds. It is false for toy sets.
func (s Set) Secure() bool { return !s.cfg.Insecure }

// SecurityBits returns 128 for a set within the security table and 0 for one
// that was made with [Config.Insecure]. It is a floor, not an estimate.
func (s Set) SecurityBits() int {
	if s.Secure() {
		return 128
	}
	return 0
}

// Config returns the configuration with defaults filled in.
func (s Set) Config() Config { return s.cfg.withDefaults() }

// CKKS returns the Lattigo parameters, for the packages that compute with them.
// Their tables are made by the first call, in tens of milliseconds: a set that is
// only planned with has none.
func (s Set) CKKS() hefloat.Parameters { return s.ckks() }

// RLWE returns the Lattigo RLWE parameters, for the packages that compute with
// keys.
func (s Set) RLWE() rlwe.Parameters { return s.ckks().Parameters.Parameters }

// Hash identifies the set: equal hashes mean equal primes, scale and masks.
func (s Set) Hash() [32]byte {
	b := []byte("nereid/params/v1")
	c := s.cfg
	for _, v := range []int{c.LogN, c.LogScale, c.Parties, c.LogMessage, c.MaskPrimes, c.Lambda, len(c.LogQ), len(c.LogP)} {
		b = binary.BigEndian.AppendUint64(b, uint64(v))
	}
	for _, q := range slices.Concat(s.q, s.p) {
		b = binary.BigEndian.AppendUint64(b, q)
	}
	return sha3.Sum256(b)
}

// String describes the set in a line, for logs and errors.
func (s Set) String() string {
	kind := "128-bit"
	if !s.Secure() {
		kind = "INSECURE"
	}
	return fmt.Sprintf("N=2^%d logQ=%v logP=%v logQP=%.1f scale=2^%d masks=%d bits, %s", s.cfg.LogN, s.cfg.LogQ, s.cfg.LogP, s.LogQP(), s.cfg.LogScale, s.MaskBits(), kind)
}
