package mhe

import (
	"slices"
	"sync"

	"github.com/tuneinsight/lattigo/v5/ring"

	"github.com/nereid-mhe/nereid/mhe/rns"
	"github.com/nereid-mhe/nereid/packing"
	"github.com/nereid-mhe/nereid/params"
)

// A ciphertext is a pair of polynomials over the primes of its level, in NTT
// form. Operations return new ciphertexts and leave their arguments alone.
type ciphertext struct{ c [2]rns.Poly }

// level returns the level of ct.
func (ct *ciphertext) level() int { return len(ct.c[0]) - 1 }

// A kernel computes on ciphertexts under the collective keys. It keeps no
// scratch space and is safe for concurrent use.
type kernel struct {
	set     params.Set
	keys    *PublicKeys
	workers int // goroutines inside one operation

	mu        sync.Mutex
	rotations map[int]rns.Automorphism
	dividers  map[[2]int]*rns.Divider
	rescalers map[int]*rns.Divider
	lifts     map[[2]int]*rns.Lift
}

// rotation returns the table of a rotation, made at first use.
func (k *kernel) rotation(by int) (rns.Automorphism, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if a, ok := k.rotations[by]; ok {
		return a, nil
	}
	a, err := newRotation(k.set, by)
	if err == nil {
		k.rotations[by] = a
	}
	return a, err
}

// decompose splits c, at level, into the digits of key switching, each centred
// and over the extended basis, with residues below eight times their primes. Cost:
// level+1 inverse transforms and about level+1 transforms for each digit. The
// digits are borrowed: the caller returns them.
func (k *kernel) decompose(c rns.Poly, level int) []rns.Poly {
	base, ext := Basis(k.set, level), ExtendedBasis(k.set, level)
	coeff := base.Borrow()
	defer rns.Return(coeff)
	rns.Each(k.workers, len(base), func(i int) { rns.INTT(base[i], c[i], coeff[i]) })
	n, size := digits(k.set, level)
	out := make([]rns.Poly, n)
	for d := range out {
		lo, hi := d*size, min(len(base), (d+1)*size)
		out[d] = ext.Borrow()
		for j := lo; j < hi; j++ {
			copy(out[d][j], c[j])
		}
		others := slices.Concat(out[d][:lo], out[d][hi:])
		k.lift(level, d, func() *rns.Lift {
			return rns.NewLift(base[lo:hi], slices.Concat(ext[:lo], ext[hi:]))
		}).Do(coeff[lo:hi], others, k.workers)
		rns.Each(k.workers, len(others), func(j int) {
			s := ext[j]
			if j >= lo {
				s = ext[j+hi-lo]
			}
			rns.NTTLazy(s, others[j], others[j])
		})
	}
	return out
}

// lift returns the conversion of digit d at level, made once.
func (k *kernel) lift(level, d int, make func() *rns.Lift) *rns.Lift {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.lifts == nil {
		k.lifts = map[[2]int]*rns.Lift{}
	}
	l := k.lifts[[2]int{level, d}]
	if l == nil {
		l = make()
		k.lifts[[2]int{level, d}] = l
	}
	return l
}

// product returns Σ digit_i·key_i, two polynomials over the extended basis.
// Sums are kept in 128 bits and reduced once. The result is borrowed.
func (k *kernel) product(digits []rns.Poly, key *evalKey, level int) [2]rns.Poly {
	ext := ExtendedBasis(k.set, level)
	out := [2]rns.Poly{ext.Borrow(), ext.Borrow()}
	shift := key.level - level // the key has this many more limbs before the special primes
	rns.Each(k.workers, len(ext), func(j int) {
		kj := j
		if j > level {
			kj = j + shift
		}
		d, b, a := make([][]uint64, len(digits)), make([][]uint64, len(digits)), make([][]uint64, len(digits))
		for i := range digits {
			d[i], b[i], a[i] = digits[i][j], key.b[i][kj], key.a[i][kj]
		}
		rns.Dot2(ext[j], out[0][j], out[1][j], d, b, a)
	})
	return out
}

// block is the number of coefficients whose 128-bit sums stay in the cache.
const block = 256

// addScaled adds P·x to dst, where x has the first limbs of dst.
func (k *kernel) addScaled(dst, x rns.Poly, level int) {
	base := Basis(k.set, level)
	rns.Each(k.workers, len(base), func(j int) {
		s := base[j]
		s.MulScalarMontgomeryThenAdd(x[j], specialMod(k.set, s), dst[j])
	})
}

// specialMod returns P modulo the prime of s in Montgomery form.
func specialMod(set params.Set, s *ring.SubRing) uint64 {
	p := ring.MForm(1, s.Modulus, s.BRedConstant)
	for _, q := range set.SpecialPrimes() {
		p = ring.BRed(p, ring.BRedAdd(q, s.Modulus, s.BRedConstant), s.Modulus, s.BRedConstant)
	}
	return p
}

// sum returns Σ_k rotate(ct, k) over the given rotations. All rotations share
// one decomposition, and their sum one division by the special primes. Cost: one
// decomposition, one product for each rotation but 0, one division.
func (k *kernel) sum(ct *ciphertext, rotations []int) (*ciphertext, error) {
	level := ct.level()
	base, ext := Basis(k.set, level), ExtendedBasis(k.set, level)
	acc := [2]rns.Poly{ext.New(), ext.New()}
	c0 := base.New() // P·c0, which joins the key's product before it is rotated
	k.addScaled(c0, ct.c[0], level)
	var digits []rns.Poly
	for _, by := range rotations {
		by = packing.Mod(by, k.set.N())
		if by == 0 {
			base.Add(acc[0], c0)
			k.addScaled(acc[1], ct.c[1], level)
			continue
		}
		key, err := k.keys.galoisKey(by, level)
		if err != nil {
			return nil, err
		}
		table, err := k.rotation(by)
		if err != nil {
			return nil, err
		}
		if digits == nil {
			digits = k.decompose(ct.c[1], level)
		}
		u := k.product(digits, key, level)
		rns.Each(k.workers, len(ext), func(j int) {
			s := ext[j]
			if j <= level {
				s.Add(u[0][j], c0[j], u[0][j])
			}
			table.Add(acc[0][j], u[0][j], s.Modulus)
			table.Add(acc[1][j], u[1][j], s.Modulus)
		})
		rns.Return(u[0])
		rns.Return(u[1])
	}
	for _, d := range digits {
		rns.Return(d)
	}
	return k.divide(acc, level, false), nil
}

// divide divides polynomials over the extended basis of level by the special
// primes and, with rescale, by the top prime.
func (k *kernel) divide(x [2]rns.Poly, level int, rescale bool) *ciphertext {
	keep := level + 1
	if rescale {
		keep--
	}
	d := k.divider(level, keep-1)
	out := &ciphertext{}
	for i := range x {
		d.Round(x[i], nil, nil, k.workers)
		out.c[i] = x[i][:keep]
	}
	return out
}

// rescale divides ct by its top prime.
func (k *kernel) rescale(ct *ciphertext) *ciphertext {
	level := ct.level()
	base := Basis(k.set, level)
	d := k.rescaler(level)
	out := &ciphertext{}
	for i, c := range ct.c {
		x := base.New()
		copyLimbs(x, c)
		d.Round(x, nil, nil, k.workers)
		out.c[i] = x[:level]
	}
	return out
}

// multiply returns x·y, relinearised and rescaled; both are cut to the lower
// level. Relinearisation and rescaling share one division.
func (k *kernel) multiply(x, y *ciphertext) (*ciphertext, error) {
	level := min(x.level(), y.level())
	key, err := k.keys.productKey(0, level)
	if err != nil {
		return nil, err
	}
	base := Basis(k.set, level)
	d2 := base.Borrow()
	defer rns.Return(d2)
	d01 := [2]rns.Poly{base.Borrow(), base.Borrow()}
	rns.Each(k.workers, len(base), func(j int) {
		s := base[j]
		x0, x1 := rns.BorrowLimb(s.N), rns.BorrowLimb(s.N)
		s.MForm(x.c[0][j], x0)
		s.MForm(x.c[1][j], x1)
		s.MulCoeffsMontgomery(x0, y.c[0][j], d01[0][j])
		s.MulCoeffsMontgomery(x0, y.c[1][j], d01[1][j])
		s.MulCoeffsMontgomeryThenAdd(x1, y.c[0][j], d01[1][j])
		s.MulCoeffsMontgomery(x1, y.c[1][j], d2[j])
		rns.ReturnLimb(x0)
		rns.ReturnLimb(x1)
	})
	u := k.switchKey(d2, key, level)
	for i, d := range d01 {
		k.addScaled(u[i], d, level)
		rns.Return(d)
	}
	return k.divide(u, level, true), nil
}

// multiplyPlain returns x·p without rescaling, for p in NTT and Montgomery form.
func (k *kernel) multiplyPlain(x *ciphertext, p rns.Poly) *ciphertext {
	level := x.level()
	base := Basis(k.set, level)
	out := &ciphertext{[2]rns.Poly{base.New(), base.New()}}
	rns.Each(k.workers, len(base), func(j int) {
		base[j].MulCoeffsMontgomery(x.c[0][j], p[j], out.c[0][j])
		base[j].MulCoeffsMontgomery(x.c[1][j], p[j], out.c[1][j])
	})
	return out
}

// add returns x + sign·y at the lower of both levels.
func (k *kernel) add(x, y *ciphertext, negative bool) *ciphertext {
	level := min(x.level(), y.level())
	base := Basis(k.set, level)
	out := &ciphertext{}
	for i := range out.c {
		out.c[i] = base.New()
		copyLimbs(out.c[i], x.c[i])
		if negative {
			base.Sub(out.c[i], y.c[i][:level+1])
		} else {
			base.Add(out.c[i], y.c[i][:level+1])
		}
	}
	return out
}

// addPlain returns x + p for p in NTT form, subtracting with negative.
func (k *kernel) addPlain(x *ciphertext, p rns.Poly, negative bool) *ciphertext {
	base := Basis(k.set, x.level())
	c0 := base.New()
	copyLimbs(c0, x.c[0])
	if negative {
		base.Sub(c0, p)
	} else {
		base.Add(c0, p)
	}
	return &ciphertext{[2]rns.Poly{c0, x.c[1]}}
}

// negate returns -x.
func (k *kernel) negate(x *ciphertext) *ciphertext {
	base := Basis(k.set, x.level())
	out := &ciphertext{[2]rns.Poly{base.New(), base.New()}}
	for i := range out.c {
		base.Sub(out.c[i], x.c[i])
	}
	return out
}

// drop returns ct at a lower level, sharing its limbs.
func drop(ct *ciphertext, level int) *ciphertext {
	return &ciphertext{[2]rns.Poly{ct.c[0][:level+1], ct.c[1][:level+1]}}
}

// copyLimbs copies the limbs that dst has.
func copyLimbs(dst, src rns.Poly) {
	for i := range dst {
		copy(dst[i], src[i])
	}
}
