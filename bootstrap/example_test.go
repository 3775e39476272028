package bootstrap_test

import (
	"crypto/rand"
	"crypto/sha3"
	"fmt"
	"io"
	"strings"

	"github.com/nereid-mhe/nereid/bootstrap"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/mhe/rns"
	"github.com/nereid-mhe/nereid/packing"
	"github.com/nereid-mhe/nereid/params"
)

// Toy example parameters, NOT SECURE. Two parties refresh a ciphertext that has
// no levels left above the masks, and on the way replace every pair of slots by
// its mean: one round, no Galois key, no level paid.
func Example() {
	set, err := params.InsecureToy(2, 4)
	if err != nil {
		fmt.Println(err)
		return
	}
	enc, scale := mhe.NewEncoder(set), mhe.Power(45)
	layout, err := packing.NewLayout(set.N(), packing.Axis{Name: "unit", Len: 4}, packing.Axis{Name: "sample", Len: 2})
	if err != nil {
		fmt.Println(err)
		return
	}
	refresh, err := bootstrap.New(set, enc, bootstrap.Config{
		In: set.MaskLevel(), Out: set.MaxLevel(), Count: 1,
		Map: layout.BlockSum(0.5), ScaleIn: scale, ScaleOut: scale,
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	// Streams of randomness: a real party opens its own from its seed and the
	// label of the round, see package protocols.
	private := func(string) io.Reader { return rand.Reader }
	common := func(name string) io.Reader {
		h := sha3.NewSHAKE128()
		_, _ = io.Copy(h, strings.NewReader("a public seed/"+name))
		return h
	}

	// A ciphertext under the sum of both keys: c0 = m - c1·s, without noise here.
	parties := make([]mhe.SecretKey, 2)
	basis := mhe.Basis(set, set.MaskLevel())
	c0, err := enc.Encode([]float64{1, 3, 10, 20, 7, 9, -5, 6}, scale, basis)
	if err != nil {
		fmt.Println(err)
		return
	}
	c1 := basis.New()
	_ = basis.Uniform(rand.Reader, c1)
	for i := range parties {
		parties[i], _ = mhe.NewSecretKey(set, rand.Reader)
		parties[i].MulSub(set.MaskLevel(), c0, c1)
	}

	// One round: a share of every party, added up, and the end at the root.
	a, _ := refresh.Common(common)
	sum := refresh.Shape().New()
	for _, sk := range parties {
		share, err := refresh.Share(sk, []rns.Poly{c1}, a, private)
		if err != nil {
			fmt.Println(err)
			return
		}
		_, _ = refresh.Shape().Add(sum, share)
	}
	out, err := refresh.Finish([]rns.Poly{c0}, a, sum)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("levels:", set.MaskLevel(), "to", out[0].Level())

	// Look at it, with both keys in one place.
	p := out[0].Polys()[0]
	for _, sk := range parties {
		sk.MulAdd(out[0].Level(), p, out[0].Polys()[1])
	}
	values, _ := enc.Decode(p, out[0].Scale())
	for i := range 8 {
		fmt.Printf("%.4f ", values[i])
	}
	// Output:
	// levels: 2 to 6
	// 2.0000 2.0000 15.0000 15.0000 8.0000 8.0000 0.5000 0.5000
}
