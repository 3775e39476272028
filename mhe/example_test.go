package mhe_test

import (
	"crypto/rand"
	"crypto/sha3"
	"fmt"
	"io"

	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/mhe/rns"
	"github.com/nereid-mhe/nereid/packing"
	"github.com/nereid-mhe/nereid/params"
)

// Toy example parameters, NOT SECURE. Three parties make a key together, one of
// them encrypts, anybody computes 1 + 2x - x³ and rotates by one slot, and all
// three together decrypt. In a real study the shares travel up a tree and every
// label has its own randomness: see package protocols.
func Example() {
	set, err := params.InsecureToy(3, 4)
	if err != nil {
		fmt.Println(err)
		return
	}
	private := func(string) io.Reader { return rand.Reader }
	common := func(name string) io.Reader {
		h := sha3.NewSHAKE128()
		_, _ = io.WriteString(h, "a public seed/"+name)
		return h
	}

	// Keys, each at the level of its use: sums of shares, part by part. Those of
	// product keys need the sum of the part called "relinearisation".
	top := set.MaxLevel()
	plan := mhe.KeyPlan{Products: []mhe.Key{{By: 0, Level: top}}, Rotations: []mhe.Key{{By: 1, Level: top - 2}}}
	secrets, ephemeral := make([]mhe.SecretKey, 3), make([][32]byte, 3)
	for i := range secrets {
		_, _ = rand.Read(ephemeral[i][:])
		secrets[i], _ = mhe.NewSecretKey(set, rand.Reader)
	}
	u := func(i int) io.Reader { h := sha3.NewSHAKE256(); _, _ = h.Write(ephemeral[i][:]); return h }
	builder, err := mhe.NewKeyBuilder(set, plan)
	if err != nil {
		fmt.Println(err)
		return
	}
	var relin mhe.Share
	for _, part := range plan.Parts(set, 64<<20) {
		sum := part.Shape().New()
		for i, sk := range secrets {
			share, _ := part.Share(sk, common, private, u(i), relin)
			_, _ = part.Shape().Add(sum, share)
		}
		if part.Name() == "relinearisation" {
			relin = sum
		}
		builder, _ = builder.Add(part, common, sum)
	}
	keys, err := builder.Finish()
	if err != nil {
		fmt.Println(err)
		return
	}

	// Encrypt and compute: the vector repeats in all 1024 slots.
	enc, ev := mhe.NewEncoder(set), mhe.NewCKKS(keys, 1)
	x, err := keys.Encryption().Encrypt(enc, []float64{0, 1, 2, 3, 4, 5, 6, 7}, set.MaxLevel(), mhe.Power(45), private)
	if err != nil {
		fmt.Println(err)
		return
	}
	y, _ := mhe.Polynomial(ev, []float64{1, 2, 0, -1}, x)
	y, _ = ev.Map(packing.Map{Steps: []packing.Step{{Rotations: []int{1}}}}, y)
	fmt.Println("levels:", x.Level(), "to", y.Level())

	// Decrypt: every party's share, with noise that hides its secret.
	open := mhe.Opening{Set: set, Level: y.Level(), Count: 1, Sigma: 1 << 20}
	sum := open.DecryptShape().New()
	for _, sk := range secrets {
		share, _ := open.DecryptShare(sk, []rns.Poly{y.Polys()[1]}, private)
		_, _ = open.DecryptShape().Add(sum, share)
	}
	values, err := open.Decrypt(enc, []mhe.Tensor{y}, sum)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.3f\n", values[0][:8])
	fmt.Println("secrets print as", secrets)
	// Output:
	// levels: 6 to 4
	// [2.000 -3.000 -20.000 -55.000 -114.000 -203.000 -328.000 1.000]
	// secrets print as [[secret] [secret] [secret]]
}

// The trace says what a computation needs before any key exists.
func ExampleNewTrace() {
	set, err := params.InsecureToy(3, 4)
	if err != nil {
		fmt.Println(err)
		return
	}
	dot, err := packing.NewDot(9, 64, set.N())
	if err != nil {
		fmt.Println(err)
		return
	}
	trace, ev := mhe.NewTrace(set)
	w := mhe.TracedTensor(mhe.Range{Max: 8, RMS: 0.5, Err: 1e-10}, set.MaxLevel(), mhe.Power(45))
	x := mhe.Unknown(mhe.Range{Max: 8, RMS: 1})
	z, err := ev.Dot(dot, w, x, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = mhe.Polynomial(ev, []float64{0.5, 0.2, 0, -0.004}, z)
	fmt.Println("rotations by, at level:", trace.Keys().Rotations)
	fmt.Println(trace.Count.Rotations, "rotations,", trace.Count.Relinearised, "products:", err)
	_, err = mhe.Polynomial(ev, []float64{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, z)
	fmt.Println(err)
	// Output:
	// rotations by, at level: [{64 5} {128 5} {192 5} {256 5} {512 5} {768 5}]
	// 6 rotations, 2 products: <nil>
	// mhe: Polynomials needs level 6, the tensor is at level 5
}
