package mhe

import (
	"crypto/sha256"
	"io"
	"runtime"
	"slices"
	"time"

	"github.com/nereid-mhe/nereid/mhe/rns"
	"github.com/nereid-mhe/nereid/params"
)

// started is what clocks count from.
var started = time.Now()

// A Stopwatch times operations on the calling thread: the lower quartile of Rounds
// runs, after one that is not counted. It counts processor time where the system
// tells, so that it can be trusted while other programs run.
type Stopwatch struct{ Rounds int }

// Time returns the seconds of f.
func (s Stopwatch) Time(f func() error) (float64, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := f(); err != nil {
		return 0, err
	}
	times := make([]float64, max(1, s.Rounds))
	for i := range times {
		start := threadTime()
		if err := f(); err != nil {
			return 0, err
		}
		times[i] = (threadTime() - start).Seconds()
	}
	slices.Sort(times)
	return times[len(times)/4], nil
}

// MeasureOps times the operations of an evaluator, of key generation and of the
// codec at the given levels, on one core; those of key switching alone unless all
// are wanted, because others do not depend on the special primes. src gives the
// material: numbers whose values do not matter. Cost: about a tenth of a second for
// each level and round at N = 2^14.
func MeasureOps(set params.Set, levels []int, all bool, s Stopwatch, src Source) ([]Sample, error) {
	m := &meter{set: set, watch: s, src: src, k: &kernel{set: set, workers: 1, rotations: map[int]rns.Automorphism{}}}
	measures := []func(level int){m.switching, m.divisions}
	if all {
		measures = append(measures, m.products, m.data, m.plain, m.codec, m.keys)
	}
	for _, level := range levels {
		for _, f := range measures {
			if f(level); m.err != nil {
				return nil, m.err
			}
		}
	}
	return m.out, nil
}

// A meter collects samples at one level after the other.
type meter struct {
	set   params.Set
	watch Stopwatch
	src   Source
	k     *kernel
	out   []Sample
	err   error // the first
}

// time returns the seconds of f, which runs n times.
func (m *meter) time(n int, f func() error) float64 {
	if m.err != nil {
		return 0
	}
	t, err := m.watch.Time(func() error {
		for range n {
			if err := f(); err != nil {
				return err
			}
		}
		return nil
	})
	m.err = err
	return t / float64(n)
}

func (m *meter) note(op Op, level int, seconds float64) {
	m.out = append(m.out, Sample{op, m.set.LogN(), m.set.Special(), level, max(0, seconds)})
}

// poly returns a polynomial of the material.
func (m *meter) poly(b rns.Basis) rns.Poly {
	p := b.New()
	if err := b.Uniform(m.src("poly"), p); err != nil {
		m.err = err
	}
	return p
}

func (m *meter) cipher(level int) *ciphertext {
	b := Basis(m.set, level)
	return &ciphertext{[2]rns.Poly{m.poly(b), m.poly(b)}}
}

func (m *meter) key(level int) *evalKey {
	n, _ := digits(m.set, level)
	key := &evalKey{level: level}
	for range n {
		key.b = append(key.b, m.poly(ExtendedBasis(m.set, level)))
		key.a = append(key.a, m.poly(ExtendedBasis(m.set, level)))
	}
	return key
}

// spread is the number of operands that a measurement takes in turn: a run works on
// hundreds of keys and ciphertexts, which are in no cache when they are needed.
const spread = 12

// cycle returns a function that returns spread values in turn.
func cycle[T any](make func() T) func() T {
	var all [spread]T
	for i := range all {
		all[i] = make()
	}
	i := 0
	return func() T { i++; return all[i%spread] }
}

func (m *meter) extended(level int) func() [2]rns.Poly {
	ext := ExtendedBasis(m.set, level)
	return cycle(func() [2]rns.Poly { return [2]rns.Poly{m.poly(ext), m.poly(ext)} })
}

func (m *meter) switching(level int) {
	k, ext := m.k, ExtendedBasis(m.set, level)
	ct := cycle(func() *ciphertext { return m.cipher(level) })
	key := cycle(func() *evalKey { return m.key(level) })
	m.note(OpDecompose, level, m.time(4, func() error {
		for _, d := range k.decompose(ct().c[1], level) {
			rns.Return(d)
		}
		return nil
	}))
	digits := k.decompose(ct().c[1], level)
	m.note(OpKeyProduct, level, m.time(6, func() error {
		u := k.product(digits, key(), level)
		rns.Return(u[0])
		rns.Return(u[1])
		return nil
	}))
	table, err := k.rotation(m.set.N()/16 + 3)
	if err != nil {
		m.err = err
		return
	}
	x := m.extended(level)
	m.note(OpPermute, level, m.time(6, func() error {
		to, from := x(), x()
		for i := range to {
			for j := range ext {
				table.Add(to[i][j], from[i][j], ext[j].Modulus)
			}
		}
		return nil
	}))
	m.note(OpMultiply, level, m.time(2, func() error {
		k.keys = &PublicKeys{set: m.set, products: map[int]*evalKey{0: key()}}
		_, err := k.multiply(ct(), ct())
		return err
	}))
}

func (m *meter) divisions(level int) {
	k, x := m.k, m.extended(level)
	divide := func(keep int) func() error {
		d := k.divider(level, keep)
		return func() error {
			for _, p := range x() {
				d.Round(p, nil, nil, 1)
			}
			return nil
		}
	}
	m.note(OpDivide, level, m.time(4, divide(level)))
	m.note(OpDivideRescale, level, m.time(4, divide(level-1)))
	ct := cycle(func() *ciphertext { return m.cipher(level) })
	m.note(OpRescale, level, m.time(4, func() error { k.rescale(ct()); return nil }))
	m.note(OpScale, level, m.time(6, func() error {
		to, from := x(), ct()
		for i := range to {
			k.addScaled(to[i], from.c[i], level)
		}
		return nil
	}))
}

func (m *meter) products(level int) {
	k := m.k
	var cts []*ciphertext
	for range 8 {
		cts = append(cts, m.cipher(level))
	}
	sum := func(n int) float64 {
		return m.time(2, func() error {
			for _, p := range k.tensorSum(cts[:n], cts[8-n:], level) {
				rns.Return(p)
			}
			return nil
		})
	}
	one, all := sum(1), sum(len(cts))
	term := (all - one) / 7
	m.note(OpTensor, level, term)
	m.note(OpTensorSum, level, one-term)
	m.note(OpAdd, level, m.time(4, func() error { k.add(cts[0], cts[1], false); return nil }))
	p := m.poly(Basis(m.set, level))
	m.note(OpMulPlain, level, m.time(2, func() error {
		montgomery(Basis(m.set, level), p)
		k.multiplyPlain(cts[0], p)
		return nil
	}))
}

// data times sums of products with data: groups of many terms and of one, with
// long runs and short ones.
func (m *meter) data(level int) {
	const groups, most, long, short = 8, 32, 64, 8
	var cts []*ciphertext
	for range 8 {
		cts = append(cts, m.cipher(level))
	}
	sums := func(terms, run int) float64 {
		basis := Basis(m.set, level)
		y := &Data{count: 2 * most, period: m.set.N() / run}
		for _, s := range basis {
			limb := make([]uint64, y.count*y.period)
			for i := range limb {
				limb[i] = s.Modulus - 1 - uint64(i)
			}
			y.encoded = append(y.encoded, limb)
		}
		p := &dataProduct{level: level, x: cts, y: y}
		for g := range groups {
			var ts [][2]int
			for t := range terms {
				ts = append(ts, [2]int{(g + t) % len(cts), (g*7 + t) % y.count})
			}
			p.groups = append(p.groups, ts)
		}
		return m.time(1, func() error {
			for _, d := range m.k.dataSums(p) {
				rns.Return(d[0])
				rns.Return(d[1])
			}
			return nil
		}) / groups
	}
	all, cut, one := sums(most, long), sums(most, short), sums(1, long)
	each := (all - one) / (most - 1) // a + b/long
	perRun := max(0, (cut-all)/most/(1.0/short-1.0/long))
	m.note(OpDataRun, level, perRun)
	m.note(OpDataTerm, level, each-perRun/long)
	m.note(OpDataSum, level, one-each)
}

func (m *meter) plain(level int) {
	enc, basis := NewEncoder(m.set), Basis(m.set, level)
	values := make([]float64, m.set.N())
	for i := range values {
		values[i] = float64(i%17)/17 - 0.5
	}
	encode := func(n int) float64 {
		return m.time(1, func() error {
			_, err := enc.Encode(values[:n], Power(40), basis)
			return err
		})
	}
	small, full := encode(minPeriod), encode(len(values))
	m.note(OpExpand, level, small)
	m.note(OpEncode, level, full-small)
	const count, period = 32, 256
	vectors := make([][]float64, count)
	for i := range vectors {
		vectors[i] = values[:period]
	}
	m.note(OpEncodeData, level, m.time(1, func() error {
		d, err := NewData(vectors, Power(40))
		if err != nil {
			return err
		}
		return d.encode(enc, m.set, level)
	})/count)
}

func (m *meter) codec(level int) {
	basis := Basis(m.set, level)
	sh, p := Shape{basis}, m.poly(basis)
	m.note(OpUniform, level, m.time(2, func() error { return basis.Uniform(m.src("uniform"), p) }))
	b, err := sh.Encode(Share{p})
	if err != nil {
		m.err = err
		return
	}
	m.note(OpPack, level, m.time(2, func() error { _, err := sh.Encode(Share{p}); return err }))
	m.note(OpUnpack, level, m.time(2, func() error {
		s, err := sh.Decode(b)
		if err == nil {
			_, err = sh.Add(Share{p}, s)
		}
		return err
	}))
	m.note(OpHash, level, m.time(2, func() error { sha256.Sum256(b); return nil }))
	full := ExtendedBasis(m.set, m.set.MaxLevel())
	key := &EncryptionKey{m.set, m.poly(full), m.poly(full)}
	x := Tensor{level: level, scale: Power(40), ct: m.cipher(level)}
	m.note(OpRerandomise, level, m.time(1, func() error { _, err := key.Rerandomise(x, m.src); return err }))
}

// keys times shares of keys.
func (m *meter) keys(level int) {
	sk, err := NewSecretKey(m.set, m.src("secret"))
	if err != nil {
		m.err = err
		return
	}
	plan := KeyPlan{Rotations: []Key{{1, level}}, Products: []Key{{0, level}}}
	var relin Share
	for _, part := range plan.Parts(m.set, 1) {
		op := OpKeyShare
		switch {
		case part.kind == encryptionPart:
			continue
		case part.kind == relinearisationPart:
			for _, b := range part.Shape() {
				relin = append(relin, m.poly(b))
			}
			continue
		case part.Second():
			op = OpProductShare
		}
		m.note(op, level, m.time(1, func() error {
			var ephemeral io.Reader = m.src("ephemeral")
			_, err := part.Share(sk, m.src, m.src, ephemeral, relin)
			return err
		}))
	}
}
