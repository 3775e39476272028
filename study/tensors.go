package study

import (
	"encoding/binary"
	"fmt"
	"math/big"
	"slices"

	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/params"
)

// maxScale is more than the bytes of an encoded scale.
const maxScale = 64

// tensorsRoom is at least what appendTensors appends, in bytes.
func tensorsRoom(set params.Set, groups [][]mhe.Tensor) int {
	n := 4
	for _, g := range groups {
		n += 4
		for _, t := range g {
			n += 2 + maxScale + mhe.CipherShape(set, t.Level()).Size()
		}
	}
	return n
}

// appendTensors appends the encoding of ciphertexts in groups: their numbers, and of
// each one level, scale and polynomials.
func appendTensors(b []byte, set params.Set, groups [][]mhe.Tensor) ([]byte, error) {
	b = slices.Grow(b, tensorsRoom(set, groups))
	b = binary.BigEndian.AppendUint32(b, uint32(len(groups)))
	for _, g := range groups {
		b = binary.BigEndian.AppendUint32(b, uint32(len(g)))
		for _, t := range g {
			scale, err := t.Scale().GobEncode()
			if err != nil {
				return nil, err
			}
			share, err := t.Share()
			if err != nil {
				return nil, err
			}
			b = append(append(b, byte(t.Level()), byte(len(scale))), scale...)
			if b, err = mhe.CipherShape(set, t.Level()).Append(b, share); err != nil {
				return nil, err
			}
		}
	}
	return b, nil
}

// cutTensors reads what appendTensors wrote from the front of b. Its errors wrap
// [ErrDamaged].
func cutTensors(set params.Set, b []byte) (groups [][]mhe.Tensor, rest []byte, err error) {
	r := cutter{b: b}
	count := r.number()
	for range count {
		n := r.number()
		var g []mhe.Tensor
		for range n {
			if r.short {
				break
			}
			t, err := r.tensor(set)
			if err != nil {
				return nil, nil, err
			}
			g = append(g, t)
		}
		if r.short {
			break
		}
		groups = append(groups, g)
	}
	if r.short {
		return nil, nil, fmt.Errorf("study: %w: ciphertexts are cut short", ErrDamaged)
	}
	return groups, r.b, nil
}

// A cutter takes fields off the front of b. After the end it returns zeros and
// remembers that it did.
type cutter struct {
	b     []byte
	short bool
}

func (c *cutter) next(n int) []byte {
	if n > len(c.b) {
		c.short, c.b = true, nil
		return nil
	}
	f := c.b[:n:n]
	c.b = c.b[n:]
	return f
}

func (c *cutter) number() int {
	if f := c.next(4); f != nil {
		return int(binary.BigEndian.Uint32(f))
	}
	return 0
}

func (c *cutter) tensor(set params.Set) (t mhe.Tensor, err error) {
	head := c.next(2)
	if head == nil {
		return t, nil
	}
	level := int(head[0])
	if level > set.MaxLevel() {
		return t, fmt.Errorf("study: %w: a ciphertext of level %d, at most %d is possible", ErrDamaged, level, set.MaxLevel())
	}
	encoded := c.next(int(head[1]))
	shape := mhe.CipherShape(set, level)
	body := c.next(shape.Size())
	if c.short {
		return t, nil
	}
	scale := new(big.Float)
	if err := scale.GobDecode(encoded); err != nil || scale.Sign() <= 0 || scale.IsInf() {
		return t, fmt.Errorf("study: %w: the scale of a ciphertext", ErrDamaged)
	}
	share, err := shape.Decode(body)
	if err != nil {
		return t, fmt.Errorf("study: %w: %w", ErrDamaged, err)
	}
	return mhe.NewEncrypted(share[0], share[1], scale), nil
}
