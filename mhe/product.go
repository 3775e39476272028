package mhe

import (
	"math/bits"

	"github.com/tuneinsight/lattigo/v5/ring"

	"github.com/nereid-mhe/nereid/mhe/rns"
	"github.com/nereid-mhe/nereid/packing"
)

// maxTerms bounds the terms of a group: sums of products of 60-bit residues, two
// for each term, are kept in 128 bits.
const maxTerms = 128

// rotateOperand returns o rotated by, at level, hoisted: all rotations of an
// operand share its decomposition. Cost: one product with a key and one division
// for each; the results stay with the operand.
func (k *kernel) rotateOperand(o *Operand, by, level int) (*ciphertext, error) {
	by = packing.Mod(by, k.set.N())
	if by == 0 {
		return drop(o.t.ct, level), nil
	}
	if t, ok := o.rotated[by]; ok && t.level >= level {
		return drop(t.ct, level), nil
	}
	key, err := k.keys.galoisKey(by, level)
	if err != nil {
		return nil, err
	}
	table, err := k.rotation(by)
	if err != nil {
		return nil, err
	}
	ct := drop(o.t.ct, level)
	if o.digits == nil || len(o.digits[0]) != level+1+k.set.Special() {
		o.dropDigits()
		o.digits = k.decompose(ct.c[1], level)
	}
	u := k.product(o.digits, key, level)
	base := Basis(k.set, level)
	ext := ExtendedBasis(k.set, level)
	d := k.divider(level, level)
	out := &ciphertext{[2]rns.Poly{base.Borrow(), base.Borrow()}}
	for i := range u {
		d.Round(u[i], nil, nil, k.workers)
		rns.Each(k.workers, len(base), func(j int) {
			if i == 0 {
				ext[j].Add(u[0][j], ct.c[0][j], u[0][j])
			}
			table.Apply(out.c[i][j], u[i][j])
		})
		rns.Return(u[i])
	}
	o.rotated[by] = Tensor{level: level, scale: o.t.scale, ct: out}
	return out, nil
}

// divider returns the division from the extended basis of level to the primes of
// Q_keep, made once.
func (k *kernel) divider(level, keep int) *rns.Divider {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.dividers == nil {
		k.dividers = map[[2]int]*rns.Divider{}
	}
	d := k.dividers[[2]int{level, keep}]
	if d == nil {
		ext := ExtendedBasis(k.set, level)
		d = rns.NewDivider(ext[:keep+1], ext[keep+1:])
		k.dividers[[2]int{level, keep}] = d
	}
	return d
}

// productOf computes p of x and y at level, rescaled.
func (k *kernel) productOf(p packing.Product, x, y []*Operand, level int) ([]*ciphertext, error) {
	out := make([]*ciphertext, len(p))
	for i, groups := range p {
		sum := k.accumulator(level)
		for _, g := range groups {
			xs, ys := make([]*ciphertext, len(g.Terms)), make([]*ciphertext, len(g.Terms))
			var err error
			for t, term := range g.Terms {
				if xs[t], err = k.rotateOperand(x[term.X], term.RX, level); err != nil {
					return nil, err
				}
				if ys[t], err = k.rotateOperand(y[term.Y], term.RY, level); err != nil {
					return nil, err
				}
			}
			d := k.tensorSum(xs, ys, level)
			for _, term := range g.Terms {
				for _, o := range []*Operand{x[term.X], y[term.Y]} {
					if o.passing {
						o.dropRotations()
					}
				}
			}
			err = sum.add(d[0], d[1], d[2], g.By)
			for _, q := range d {
				rns.Return(q)
			}
			if err != nil {
				return nil, err
			}
		}
		out[i] = sum.rescaled()
	}
	return out, nil
}

// productOfData computes p of x and the vectors of y at level, rescaled. The sums
// of all groups are made in one pass, see dataSums.
func (k *kernel) productOfData(p packing.Product, x []*Operand, y *Data, level int) ([]*ciphertext, error) {
	m := &dataProduct{level: level, y: y}
	index := map[[2]int]int{} // of what x[X] rotated by RX has in m.x
	for _, groups := range p {
		for _, g := range groups {
			terms := make([][2]int, len(g.Terms))
			for t, term := range g.Terms {
				at := [2]int{term.X, packing.Mod(term.RX, k.set.N())}
				i, ok := index[at]
				if !ok {
					ct, err := k.rotateOperand(x[term.X], term.RX, level)
					if err != nil {
						return nil, err
					}
					i = len(m.x)
					index[at], m.x = i, append(m.x, ct)
				}
				terms[t] = [2]int{i, term.Y}
			}
			m.groups = append(m.groups, terms)
		}
	}
	sums := k.dataSums(m)
	out := make([]*ciphertext, len(p))
	for i, groups := range p {
		acc := k.accumulator(level)
		for _, g := range groups {
			d := sums[0]
			sums = sums[1:]
			err := acc.add(d[0], d[1], nil, g.By)
			rns.Return(d[0])
			rns.Return(d[1])
			if err != nil {
				return nil, err
			}
		}
		out[i] = acc.rescaled()
	}
	return out, nil
}

// tensorSum returns Σ x_t ⊗ y_t, three polynomials over the primes of level,
// borrowed. Sums of products are kept in 128 bits and reduced once.
func (k *kernel) tensorSum(x, y []*ciphertext, level int) [3]rns.Poly {
	base := Basis(k.set, level)
	out := [3]rns.Poly{base.Borrow(), base.Borrow(), base.Borrow()}
	rns.Each(k.workers, len(base), func(j int) {
		s := base[j]
		// sums come with a factor 2^-64, which this undoes
		back := ring.MForm(ring.MForm(1, s.Modulus, s.BRedConstant), s.Modulus, s.BRedConstant)
		var acc [6][block]uint64
		for lo := 0; lo < s.N; lo += block {
			hi := min(s.N, lo+block)
			acc = [6][block]uint64{}
			for t := range x {
				tensorAdd(&acc, x[t].c[0][j][lo:hi], x[t].c[1][j][lo:hi], y[t].c[0][j][lo:hi], y[t].c[1][j][lo:hi])
			}
			for c := range out {
				o := out[c][j][lo:hi]
				rns.Reduce128(s, o, acc[2*c][:], acc[2*c+1][:])
				s.MulScalarMontgomery(o, back, o)
			}
		}
	})
	return out
}

// tensorAdd adds x0·y0, x0·y1 + x1·y0 and x1·y1 to acc, high words first.
func tensorAdd(acc *[6][block]uint64, x0, x1, y0, y1 []uint64) {
	n := min(len(x0), block)
	x0, x1, y0, y1 = x0[:n], x1[:n], y0[:n], y1[:n]
	for i := range n {
		a0, a1, b0, b1 := x0[i], x1[i], y0[i], y1[i]
		var c uint64
		h, l := bits.Mul64(a0, b0)
		acc[1][i], c = bits.Add64(acc[1][i], l, 0)
		acc[0][i] += h + c
		h, l = bits.Mul64(a1, b1)
		acc[5][i], c = bits.Add64(acc[5][i], l, 0)
		acc[4][i] += h + c
		h, l = bits.Mul64(a0, b1)
		g, m := bits.Mul64(a1, b0)
		l, c = bits.Add64(l, m, 0)
		h += g + c
		acc[3][i], c = bits.Add64(acc[3][i], l, 0)
		acc[2][i] += h + c
	}
}

// A dataProduct is many sums of products of ciphertexts with data.
type dataProduct struct {
	level  int
	x      []*ciphertext
	y      *Data
	groups [][][2]int // terms: index in x, index of the vector in y
}

// dataSums returns Σ x·y for every group, two polynomials over the primes of
// level, borrowed. Data is constant on runs of residues, so that every run is a
// small matrix product, done for all groups while its residues are in the cache.
func (k *kernel) dataSums(m *dataProduct) [][2]rns.Poly {
	base := Basis(k.set, m.level)
	out := make([][2]rns.Poly, len(m.groups))
	for g := range out {
		out[g] = [2]rns.Poly{base.Borrow(), base.Borrow()}
	}
	run := k.set.N() / m.y.period
	most := 0
	for _, terms := range m.groups {
		most = max(most, len(terms))
	}
	rns.Each(k.workers, 2*len(base), func(cj int) {
		c, j := cj%2, cj/2
		s := base[j]
		part := make([]uint64, len(m.x)*run)
		w := make([]uint64, most)
		at := make([]int, most)
		for r := range m.y.period {
			lo := r * run
			for i, ct := range m.x {
				copy(part[i*run:(i+1)*run], ct.c[c][j][lo:lo+run])
			}
			row := m.y.encoded[j][r*m.y.count : (r+1)*m.y.count]
			for g, terms := range m.groups {
				for t, term := range terms {
					at[t], w[t] = term[0]*run, row[term[1]]
				}
				rns.Dot(s, out[g][c][j][lo:lo+run], part, at[:len(terms)], w)
			}
		}
	})
	return out
}

// An accumulator adds up rotated ciphertexts of degree one or two over the
// extended basis, so that one division ends all their key switches.
type accumulator struct {
	k     *kernel
	level int
	plain [2]rns.Poly // sum of what needs no key switch, over the primes of level; nil if nothing
	ext   [2]rns.Poly // sum of the others, times P, over the extended basis; nil if nothing
}

func (k *kernel) accumulator(level int) *accumulator { return &accumulator{k: k, level: level} }

// add adds (d0, d1, d2) rotated by; d2 is nil for degree one. d0 and d1 are
// destroyed. Cost: a key switch for d1 unless by is 0, and one for d2.
func (a *accumulator) add(d0, d1, d2 rns.Poly, by int) error {
	by = packing.Mod(by, a.k.set.N())
	if by == 0 {
		a.addPlain(d0, d1)
		if d2 == nil {
			return nil
		}
	}
	sum, err := a.switched(d0, d1, d2, by)
	if err != nil {
		return err
	}
	return a.addRotated(sum, by)
}

// addPlain adds (d0, d1), which needs no key switch.
func (a *accumulator) addPlain(d0, d1 rns.Poly) {
	base := Basis(a.k.set, a.level)
	if a.plain[0] == nil {
		a.plain = [2]rns.Poly{base.New(), base.New()}
	}
	base.Add(a.plain[0], d0)
	base.Add(a.plain[1], d1)
}

// switched returns what becomes P·(d0, d1, d2) rotated by once it is permuted, but for
// d0 and d1 if by is 0: the sum of key switches of d1 and d2, borrowed.
func (a *accumulator) switched(d0, d1, d2 rns.Poly, by int) (sum [2]rns.Poly, err error) {
	k, level := a.k, a.level
	if by != 0 {
		key, err := k.keys.galoisKey(by, level)
		if err != nil {
			return sum, err
		}
		sum = k.switchKey(d1, key, level)
		k.addScaled(sum[0], d0, level)
	}
	if d2 == nil {
		return sum, nil
	}
	key, err := k.keys.productKey(by, level)
	if err != nil {
		return sum, err
	}
	u := k.switchKey(d2, key, level)
	if sum[0] == nil {
		return u, nil
	}
	ext := ExtendedBasis(k.set, level)
	for i := range u {
		ext.Add(sum[i], u[i])
		rns.Return(u[i])
	}
	return sum, nil
}

// switchKey returns d times the key, two polynomials over the extended basis of level.
// The result is borrowed.
func (k *kernel) switchKey(d rns.Poly, key *evalKey, level int) [2]rns.Poly {
	digits := k.decompose(d, level)
	u := k.product(digits, key, level)
	for _, q := range digits {
		rns.Return(q)
	}
	return u
}

// addRotated adds a sum over the extended basis rotated by, and returns its memory.
func (a *accumulator) addRotated(sum [2]rns.Poly, by int) error {
	k, ext := a.k, ExtendedBasis(a.k.set, a.level)
	if a.ext[0] == nil {
		a.ext = [2]rns.Poly{ext.New(), ext.New()}
	}
	for i := range sum {
		if by == 0 {
			ext.Add(a.ext[i], sum[i])
			continue
		}
		table, err := k.rotation(by)
		if err != nil {
			return err
		}
		rns.Each(k.workers, len(ext), func(j int) { table.Add(a.ext[i][j], sum[i][j], ext[j].Modulus) })
	}
	for i := range sum {
		rns.Return(sum[i])
	}
	return nil
}

// rescaled returns the sum divided by P and the top prime, in one division.
func (a *accumulator) rescaled() *ciphertext {
	k := a.k
	if a.ext[0] == nil {
		base := Basis(k.set, a.level)
		d := k.rescaler(a.level)
		for i := range a.plain {
			d.Round(a.plain[i], nil, nil, k.workers)
			a.plain[i] = a.plain[i][:len(base)-1]
		}
		return &ciphertext{a.plain}
	}
	if a.plain[0] != nil {
		for i := range a.plain {
			k.addScaled(a.ext[i], a.plain[i], a.level)
		}
	}
	d := k.divider(a.level, a.level-1)
	out := &ciphertext{}
	for i := range a.ext {
		d.Round(a.ext[i], nil, nil, k.workers)
		out.c[i] = a.ext[i][:a.level]
	}
	return out
}

// rescaler returns the division by the top prime of level, made once.
func (k *kernel) rescaler(level int) *rns.Divider {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.rescalers == nil {
		k.rescalers = map[int]*rns.Divider{}
	}
	d := k.rescalers[level]
	if d == nil {
		base := Basis(k.set, level)
		d = rns.NewDivider(base[:level], base[level:])
		k.rescalers[level] = d
	}
	return d
}
