package params_test

import (
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tuneinsight/lattigo/v5/he/hefloat"
	"github.com/tuneinsight/lattigo/v5/ring"
	"pgregory.net/rapid"

	"github.com/nereid-mhe/nereid/params"
)

// good is a small insecure configuration; tests change one thing about it. Its
// three 60-bit mask primes are those of [params.Fit].
func good() params.Config {
	return params.Config{LogN: 10, LogQ: []int{60, 60, 60, 45, 45}, LogP: []int{60}, LogScale: 45, Parties: 3, Insecure: true}
}

func TestNewRefuses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*params.Config)
		want   string
	}{
		{"ring too small for a toy", func(c *params.Config) { c.LogN = 7 }, "LogN is 7, want 8 to 16"},
		{"ring too small for security", func(c *params.Config) { c.Insecure, c.LogN = false, 11 }, "LogN is 11, want 12 to 16"},
		{"ring too large", func(c *params.Config) { c.LogN = 17 }, "LogN is 17"},
		{"one party", func(c *params.Config) { c.Parties = 1 }, "1 parties, want at least 2"},
		{"negative parties", func(c *params.Config) { c.Parties = -3 }, "-3 parties"},
		{"more parties than identifiers", func(c *params.Config) { c.Parties = 1 << 16 }, "65536 parties, want at most 65535"},
		{"coarse scale", func(c *params.Config) { c.LogScale = 19 }, "default scale has 19 bits"},
		{"scale beyond a prime", func(c *params.Config) { c.LogScale = 61 }, "default scale has 61 bits"},
		{"weak masks", func(c *params.Config) { c.Insecure, c.Lambda = false, 127 }, "127 bits of statistical security, want at least 128"},
		{"negative masks", func(c *params.Config) { c.Lambda = -1 }, "-1 bits of statistical security"},
		{"negative message", func(c *params.Config) { c.LogMessage = -1 }, "LogMessage is -1"},
		{"no special prime", func(c *params.Config) { c.LogP = nil }, "no special prime"},
		{"no level above the masks", func(c *params.Config) { c.LogQ = c.LogQ[:3] }, "3 of 3 ciphertext primes carry masks"},
		{"no primes", func(c *params.Config) { c.LogQ = nil }, "3 of 0 ciphertext primes carry masks"},
		{"negative mask primes", func(c *params.Config) { c.MaskPrimes = -1 }, "-1 of 5 ciphertext primes carry masks"},
		{"wide prime", func(c *params.Config) { c.LogQ[1] = 61 }, "LogQ[1] is 61 bits"},
		{"narrow prime", func(c *params.Config) { c.LogQ[4] = 19 }, "LogQ[4] is 19 bits"},
		{"wide special prime", func(c *params.Config) { c.LogP = []int{60, 61} }, "LogP[1] is 61 bits"},
		{"masks too wide for the bottom primes", func(c *params.Config) { c.MaskPrimes = 2 }, "the 2 bottom primes have 120.0"},
		{"masks beyond 192 bits", func(c *params.Config) { c.MaskPrimes, c.LogMessage = 4, 65 }, "masks of 193 bits, want at most 192"},
		{"more special primes than key switching divides by", func(c *params.Config) { c.LogP = slices.Repeat([]int{50}, 8) }, "8 special primes, want at most 7"},
		{"more mask primes than a lift converts", func(c *params.Config) {
			c.LogQ, c.MaskPrimes = append(slices.Repeat([]int{20}, 9), 45), 9
		}, "9 mask primes, want at most 8"},
		{"more primes of a width than there are", func(c *params.Config) { c.LogN, c.LogQ = 16, append(c.LogQ, slices.Repeat([]int{20}, 9)...) }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := good()
			tt.change(&c)
			_, err := params.New(c)
			require.ErrorIs(t, err, params.ErrConfig)
			require.ErrorContains(t, err, tt.want)
		})
	}
	_, err := params.New(good())
	require.NoError(t, err, "the configuration that every row starts from")
}

// One call names everything that is wrong, so that nobody mends a
// configuration one refusal at a time.
func TestNewReportsEveryViolationAtOnce(t *testing.T) {
	_, err := params.New(params.Config{LogN: 3, LogQ: []int{61, 5}, LogP: []int{99}, LogScale: 70, Parties: 1, LogMessage: -1, MaskPrimes: 2, Lambda: 1})
	require.ErrorIs(t, err, params.ErrConfig)
	lines := strings.Split(err.Error(), "\n")
	require.Len(t, lines, 9, err)
	for _, want := range []string{"LogN", "parties", "default scale", "statistical security", "LogMessage", "carry masks", "LogQ[0]", "LogQ[1]", "LogP[0]"} {
		require.True(t, slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, want) }), "%q is missing from %q", want, lines)
	}

	// what depends on the primes is joined as well: masks and security table
	_, err = params.New(params.Config{LogN: 13, LogQ: []int{60, 60, 60, 45}, LogP: []int{60}, LogScale: 45, Parties: 3, LogMessage: 52})
	require.ErrorContains(t, err, "masks of 3 parties for 52-bit messages")
	require.ErrorContains(t, err, "ePrint 2024/463")
	require.ErrorContains(t, err, "take LogN 14")
}

// secure reports whether err leaves the security table in peace.
func secure(err error) bool { return err == nil || !strings.Contains(err.Error(), "ePrint 2024/463") }

// chain returns primes of bits bits in all, each between 20 and 60, the first
// ones for LogQ and the last for LogP.
func chain(bits int) (q, p []int) {
	n := max(3, (bits+59)/60)
	for i := range n {
		q = append(q, (bits*(i+1))/n-(bits*i)/n)
	}
	return q[:n-1], q[n-1:]
}

// A set a bit below the table's limit passes it and a set a bit above does not,
// at every ring degree, against classical and quantum attackers. The limits are
// written out again: Table 5.2 of ePrint 2024/463.
func TestSecurityTable(t *testing.T) {
	for _, tt := range []struct {
		logN               int
		classical, quantum int
	}{{12, 106, 80}, {13, 214, 161}, {14, 430, 322}, {15, 868, 644}, {16, 1747, 1289}} {
		for quantum, limit := range map[bool]int{false: tt.classical, true: tt.quantum} {
			if testing.Short() && tt.logN > 14 {
				continue
			}
			t.Run(fmt.Sprintf("logN=%d/quantum=%t", tt.logN, quantum), func(t *testing.T) {
				require.Equal(t, float64(limit), params.MaxLogQP(tt.logN, quantum))
				for _, bits := range []int{limit - 1, limit + 1} {
					q, p := chain(bits)
					c := params.Config{LogN: tt.logN, LogQ: q, LogP: p, LogScale: 30, Parties: 2, Quantum: quantum, MaskPrimes: min(3, max(1, len(q)-1))}
					// masks do not fit every one of these rings: that is another violation
					_, err := params.New(c)
					require.Equal(t, bits < limit, secure(err), "%d bits: %v", bits, err)
					c.Insecure, c.Lambda = true, 1
					_, err = params.New(c)
					require.True(t, secure(err), "nobody asked for security: %v", err)
				}
			})
		}
	}
	require.Zero(t, params.MaxLogQP(11, false), "not in the table")
	require.Zero(t, params.MaxLogQP(17, true), "not in the table")
}

// The primes themselves are counted, not their nominal bits: five 38-bit primes
// above 2^38 and four 60-bit ones make 430.00002 bits, and that is refused.
func TestSecurityCountsActualPrimes(t *testing.T) {
	c := params.Config{LogN: 14, LogQ: []int{60, 60, 60, 38, 38, 38, 38, 38}, LogP: []int{60}, LogScale: 38, Parties: 2}
	_, err := params.New(c)
	require.False(t, secure(err), "%v", err)
	require.ErrorContains(t, err, "drop a prime, shrink the scale or take LogN 15")

	c.Insecure = true
	s, err := params.New(c)
	require.NoError(t, err)
	product := big.NewInt(1)
	for _, q := range slices.Concat(s.CKKS().Q(), s.CKKS().P()) {
		product.Mul(product, new(big.Int).SetUint64(q))
	}
	require.Positive(t, product.Cmp(new(big.Int).Lsh(big.NewInt(1), 430)))
	require.InDelta(t, 430.0000155, s.LogQP(), 1e-6)

	c.Insecure, c.LogQ[7] = false, 37
	_, err = params.New(c)
	require.NoError(t, err)
}

func TestInsecureOnlyWhenAsked(t *testing.T) {
	c := good()
	c.LogN = 12 // 285 bits of primes where 106 are allowed
	s, err := params.New(c)
	require.NoError(t, err)
	require.False(t, s.Secure())
	require.Zero(t, s.SecurityBits())
	require.Contains(t, s.String(), "INSECURE")

	c.Insecure = false
	_, err = params.New(c)
	require.False(t, secure(err))

	c.LogN = 14
	s, err = params.New(c)
	require.NoError(t, err)
	require.True(t, s.Secure())
	require.Equal(t, 128, s.SecurityBits())
	require.NotContains(t, s.String(), "INSECURE")

	toy, err := params.InsecureToy(2, 1)
	require.NoError(t, err)
	require.False(t, toy.Secure())
	require.Zero(t, toy.SecurityBits())
}

// Every party adds a mask: their sum, with a factor of 2 for the sign, must stay
// below the modulus. With LogQ {60, 60, 60} that is 180 - 1 - log2(parties) bits
// for a mask: 175.7 for 10 parties, 169.0 for 1000.
func TestMaskHeadroomCountsParties(t *testing.T) {
	c := good()
	c.Parties, c.LogMessage = 10, 175-128
	_, err := params.New(c)
	require.NoError(t, err)

	c.Parties = 1000
	_, err = params.New(c)
	require.ErrorContains(t, err, "masks of 1000 parties for 47-bit messages at 128 bits of security need a 186.0-bit modulus, the 3 bottom primes have 180.0")

	c.LogMessage = 169 - 128
	_, err = params.New(c)
	require.NoError(t, err)
}

// For any number of parties and any masks, N·2^B·2 ≤ Q_ℓ as integers; LogMessage 0
// takes all the room there is, and one bit more does not fit.
func TestMaskHeadroomIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := good()
		c.LogN = 8
		c.Parties = rapid.IntRange(2, 5000).Draw(t, "parties")
		c.Lambda = rapid.IntRange(64, 128).Draw(t, "lambda")
		c.MaskPrimes = rapid.IntRange(2, 3).Draw(t, "mask primes")
		if c.MaskPrimes == 2 {
			c.Lambda = min(c.Lambda, 100)
		}
		s, err := params.New(c)
		require.NoError(t, err)
		require.Equal(t, c.Lambda+s.LogMessage(), s.MaskBits())
		q := big.NewInt(1)
		for _, p := range s.CKKS().Q()[:c.MaskPrimes] {
			q.Mul(q, new(big.Int).SetUint64(p))
		}
		need := func(maskBits int) *big.Int {
			return new(big.Int).Lsh(big.NewInt(int64(2*c.Parties)), uint(maskBits))
		}
		require.LessOrEqual(t, need(s.MaskBits()).Cmp(q), 0, "all the masks fit")
		require.Positive(t, need(s.MaskBits()+1).Cmp(q), "no room is wasted")

		c.LogMessage = s.LogMessage()
		same, err := params.New(c)
		require.NoError(t, err)
		require.Equal(t, s.Hash(), same.Hash(), "0 means the most that fits")
		c.LogMessage++
		_, err = params.New(c)
		require.ErrorIs(t, err, params.ErrConfig)
	})
}

func TestDefaults(t *testing.T) {
	s, err := params.New(good())
	require.NoError(t, err)
	require.Equal(t, params.DefaultLambda, s.Lambda())
	require.Equal(t, 2, s.MaskLevel(), "three mask primes")
	// 180 bits of modulus, 1 for the sign, log2(3) for the parties, 128 for λ
	require.Equal(t, 49, s.LogMessage())
	c := s.Config()
	require.Equal(t, 3, c.MaskPrimes)
	again, err := params.New(c)
	require.NoError(t, err)
	require.Equal(t, s.Hash(), again.Hash(), "a set's configuration makes the set again")
}

func TestSetDescribesItsPrimes(t *testing.T) {
	s, err := params.New(good())
	require.NoError(t, err)
	require.Equal(t, 10, s.LogN())
	require.Equal(t, 1024, s.N())
	require.Equal(t, s.N(), s.CKKS().MaxSlots(), "as many real slots as coefficients")
	require.Equal(t, 4, s.MaxLevel())
	require.Equal(t, 45, s.LogScale())
	require.Equal(t, 3, s.Parties())
	sum := 0.0
	for level := range s.MaxLevel() + 1 {
		require.Equal(t, s.RLWE().Q()[level], s.Prime(level))
		sum += math.Log2(float64(s.Prime(level)))
		require.InDelta(t, sum, s.LogModulus(level), 1e-9)
	}
	require.InDelta(t, 60, s.LogQP()-sum, 1e-3)
}

// A set does not change with the configuration it was made from, nor with the
// one it gives out.
func TestSetIsImmutable(t *testing.T) {
	c := good()
	s, err := params.New(c)
	require.NoError(t, err)
	before := s.String()
	c.LogQ[0], c.LogP[0] = 20, 20
	out := s.Config()
	out.LogQ[0], out.LogP[0] = 20, 20
	require.Equal(t, before, s.String())
	require.Equal(t, good().LogQ, s.Config().LogQ)
}

// The hash tells apart sets that compute, mask or scale differently, and only
// those: Quantum and Insecure are questions that were asked of the same primes.
func TestHash(t *testing.T) {
	// a message that fits every row, so that its default plays no part
	good := func() params.Config { c := good(); c.LogMessage = 40; return c }
	base, err := params.New(good())
	require.NoError(t, err)
	again, err := params.New(good())
	require.NoError(t, err)
	require.Equal(t, base.Hash(), again.Hash())

	seen := map[[32]byte]string{base.Hash(): "base"}
	for name, change := range map[string]func(*params.Config){
		"LogN":                func(c *params.Config) { c.LogN = 11 },
		"LogQ":                func(c *params.Config) { c.LogQ[4] = 44 },
		"a longer LogQ":       func(c *params.Config) { c.LogQ = append(c.LogQ, 45) },
		"LogP":                func(c *params.Config) { c.LogP[0] = 59 },
		"a longer LogP":       func(c *params.Config) { c.LogP = append(c.LogP, 60) },
		"a prime from Q to P": func(c *params.Config) { c.LogQ, c.LogP = c.LogQ[:4], []int{45, 60} },
		"LogScale":            func(c *params.Config) { c.LogScale = 44 },
		"Parties":             func(c *params.Config) { c.Parties = 4 },
		"LogMessage":          func(c *params.Config) { c.LogMessage = 41 },
		"MaskPrimes":          func(c *params.Config) { c.MaskPrimes = 4 },
		"Lambda":              func(c *params.Config) { c.Lambda = 127 },
	} {
		c := good()
		change(&c)
		s, err := params.New(c)
		require.NoError(t, err, name)
		require.NotContains(t, seen, s.Hash(), name)
		seen[s.Hash()] = name
	}

	c := good()
	c.LogN = 15 // 330 bits, where classical and quantum attackers allow 868 and 644
	insecure, err := params.New(c)
	require.NoError(t, err)
	for _, quantum := range []bool{false, true} {
		c.Insecure, c.Quantum = false, quantum
		s, err := params.New(c)
		require.NoError(t, err)
		require.Equal(t, insecure.Hash(), s.Hash())
	}
}

// Fit finds a secure set for every depth that a step may have, with the levels
// asked for above the masks, and 128-bit masks for every party.
func TestFitServesEveryDepth(t *testing.T) {
	parties := []int{2, 3, 10, 100, 1000}
	if testing.Short() {
		parties = []int{10}
	}
	for _, n := range parties {
		for levels := 1; levels <= 8; levels++ {
			for _, quantum := range []bool{false, true} {
				name := fmt.Sprintf("parties=%d levels=%d quantum=%t", n, levels, quantum)
				s, err := params.Fit(n, levels, quantum)
				require.NoError(t, err, name)
				require.Equal(t, 128, s.SecurityBits(), name)
				require.LessOrEqual(t, s.LogQP(), params.MaxLogQP(s.LogN(), quantum), name)
				require.Equal(t, levels, s.MaxLevel()-s.MaskLevel(), name)
				require.Equal(t, n, s.Parties(), name)
				require.GreaterOrEqual(t, s.Lambda(), 128, name)
				require.GreaterOrEqual(t, s.LogScale(), 34, name)
				require.LessOrEqual(t, s.LogScale(), 45, name)
				require.GreaterOrEqual(t, s.LogMessage(), 40, "%s: a refresh must carry a value of unit size", name)
			}
		}
	}
}

// The ring that Fit takes is the smallest: a step of four levels, as logistic
// regression with a cubic has, fits N = 2^14 with the full scale.
func TestFitTakesTheSmallestRing(t *testing.T) {
	for _, tt := range []struct {
		levels, logN, scale int
		quantum             bool
	}{
		{levels: 4, logN: 14, scale: 45},
		{levels: 5, logN: 14, scale: 37}, // (430 - 240)/5 = 38 would be 430.00002
		{levels: 6, logN: 15, scale: 45},
		{levels: 2, logN: 14, scale: 40, quantum: true}, // (322 - 240)/2 = 41 likewise
		{levels: 3, logN: 15, scale: 45, quantum: true},
	} {
		s, err := params.Fit(10, tt.levels, tt.quantum)
		require.NoError(t, err)
		require.Equal(t, tt.logN, s.LogN(), "%+v", tt)
		require.Equal(t, tt.scale, s.LogScale(), "%+v", tt)
	}
}

func TestFitRefuses(t *testing.T) {
	for _, tt := range []struct {
		parties, levels int
		want            string
	}{
		{2, 0, "0 levels"},
		{2, -1, "-1 levels"},
		{2, 45, "45 levels between refreshes fit no ring up to N = 2^16"}, // 44 = (1747-240)/34
		{1, 3, "1 parties"},
		{70000, 3, "70000 parties"},
	} {
		_, err := params.Fit(tt.parties, tt.levels, false)
		require.ErrorIs(t, err, params.ErrConfig)
		require.ErrorContains(t, err, tt.want)
	}
}

func TestInsecureToy(t *testing.T) {
	for levels := 1; levels <= 8; levels++ {
		s, err := params.InsecureToy(5, levels)
		require.NoError(t, err)
		require.Equal(t, levels, s.MaxLevel()-s.MaskLevel())
		require.Equal(t, 1024, s.N())
	}
	_, err := params.InsecureToy(1, 2)
	require.ErrorIs(t, err, params.ErrConfig)
}

// Roomy masks leave 64 bits to the message of a refresh, for as many parties as
// asked for, and a scale of up to 50 bits; wide ones leave fewer.
func TestFitChainOfRoomyMasks(t *testing.T) {
	for _, parties := range []int{2, 10, 128, 1000} {
		for logN := 14; logN <= 16; logN++ {
			for special := 1; special <= 2; special++ {
				s, err := params.FitChain(parties, 3, params.Roomy, special, logN, false)
				require.NoError(t, err)
				require.Equal(t, 128, s.SecurityBits())
				require.LessOrEqual(t, s.LogQP(), params.MaxLogQP(logN, false))
				require.Equal(t, 3, s.MaxLevel()-s.MaskLevel())
				require.Equal(t, 64, s.LogMessage())
				require.GreaterOrEqual(t, s.LogScale(), 40)
				require.LessOrEqual(t, s.LogScale(), 50)
				wide, err := params.FitChain(parties, 3, params.Wide, special, logN, false)
				require.NoError(t, err)
				require.LessOrEqual(t, wide.LogMessage(), 50)
			}
		}
	}
	for _, masks := range []params.Masks{0, 2, 5} {
		_, err := params.FitChain(10, 3, masks, 1, 14, false)
		require.ErrorIs(t, err, params.ErrConfig)
	}
	_, err := params.FitChain(10, 9, params.Roomy, 1, 14, false)
	require.ErrorContains(t, err, "4 mask primes")
}

// The primes are those that Lattigo chooses for the same sizes, before and after its
// tables are made.
func TestPrimesAreThoseOfLattigo(t *testing.T) {
	for _, quantum := range []bool{false, true} {
		s, err := params.FitChain(5, 4, params.Roomy, 2, 15, quantum)
		require.NoError(t, err)
		hash, logQP := s.Hash(), s.LogQP()
		require.Equal(t, s.CKKS().Q(), s.Primes(s.MaxLevel()))
		require.Equal(t, s.CKKS().P(), s.SpecialPrimes())
		require.Equal(t, s.CKKS().MaxLevel(), s.MaxLevel())
		require.InDelta(t, s.CKKS().LogQP(), logQP, 1e-9)
		require.Equal(t, hash, s.Hash())
		c := s.Config()
		lit, err := hefloat.NewParametersFromLiteral(hefloat.ParametersLiteral{
			LogN: c.LogN, LogQ: c.LogQ, LogP: c.LogP, LogDefaultScale: c.LogScale, RingType: ring.ConjugateInvariant,
		})
		require.NoError(t, err)
		require.Equal(t, lit.Q(), s.Primes(s.MaxLevel()))
		require.Equal(t, lit.P(), s.SpecialPrimes())
	}
}
