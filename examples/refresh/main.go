// Command refresh shows a slot map inside a collective refresh. A ciphertext has
// used up its levels; three parties give it back all of them, and on the way
// replace every slot by the mean of its block. The map costs no level, and its
// rotations need no Galois key. The parameters have 128 bits of security.
package main

import (
	"crypto/rand"
	"fmt"
	"io"
	"log"

	"github.com/nereid-mhe/nereid/bootstrap"
	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/packing"
	"github.com/nereid-mhe/nereid/params"
	"github.com/nereid-mhe/nereid/protocols"
)

func main() {
	set := must(params.Fit(3, 4, false))
	enc, scale := mhe.NewEncoder(set), mhe.Power(set.LogScale())
	secrets, key := keygen(set)

	// Two blocks of four samples, repeated over all slots.
	layout := must(packing.NewLayout(set.N(), packing.Axis{Name: "block", Len: 2}, packing.Axis{Name: "sample", Len: 4}))
	mean := layout.BlockSum(1.0 / 4)
	values := []float64{1, 2, 3, 6, -4, 0, 1, 5}
	// The lowest level that carries the masks: where a computation would end.
	x := must(key.Encrypt(enc, values, set.MaskLevel(), scale, fresh()))
	fmt.Printf("before: level %d, slots %v\n", x.Level(), values)

	r := must(bootstrap.New(set, enc, bootstrap.Config{
		In: x.Level(), Out: set.MaxLevel(), Count: 1, Map: mean, ScaleIn: scale, ScaleOut: scale,
	}))
	// A party sees c1 of the ciphertext and the common random polynomial, which
	// becomes c1 of the result. Only the root needs c0.
	c0, c1 := x.Polys()[:1], x.Polys()[1:]
	common := must(r.Common(fresh()))
	sum := r.Shape().New()
	for _, sk := range secrets {
		sum = must(r.Shape().Add(sum, must(r.Share(sk, c1, common, fresh()))))
	}
	y := must(r.Finish(c0, common, sum))[0]

	// To look at the result is another protocol, which drowns the noise that the
	// refresh left: its size follows from that of the input's.
	noise := r.Range(mhe.Range{Max: 6, RMS: 3, Err: mhe.NewNoise(set).Encrypt(scale)}).Err
	fmt.Printf("after:  level %d, slots %.4f\n", y.Level(), open(set, enc, secrets, y, noise)[:len(values)])
	fmt.Printf("want:            slots %v, by %d rotations inside the refresh\n", mean.Apply(values), len(mean.Rotations(set.N())))
}

// keygen returns the parties' secrets and the collective encryption key. See
// examples/keygen.
func keygen(set params.Set) ([]mhe.SecretKey, *mhe.EncryptionKey) {
	var plan mhe.KeyPlan // no keys that rotate or multiply: one part
	part, common := plan.Parts(set, 0)[0], fresh()
	var secrets []mhe.SecretKey
	sum := part.Shape().New()
	for i := range set.Parties() {
		secrets = append(secrets, must(mhe.NewSecretKey(set, rand.Reader)))
		sum = must(part.Shape().Add(sum, must(part.Share(secrets[i], common, fresh(), nil, nil))))
	}
	builder := must(must(mhe.NewKeyBuilder(set, plan)).Add(part, common, sum))
	return secrets, must(builder.Finish()).Encryption()
}

// open decrypts a ciphertext with everybody's share.
func open(set params.Set, enc *mhe.Encoder, secrets []mhe.SecretKey, x mhe.Tensor, noise float64) []float64 {
	sigma := must(mhe.NewNoise(set).Flooding(noise, x.Scale(), 1, mhe.MinFlooding))
	o := mhe.Opening{Set: set, Level: x.Level(), Count: 1, Sigma: sigma}
	sum := o.DecryptShape().New()
	for _, sk := range secrets {
		sum = must(o.DecryptShape().Add(sum, must(o.DecryptShare(sk, x.Polys()[1:], fresh()))))
	}
	return must(o.Decrypt(enc, []mhe.Tensor{x}, sum))[0]
}

// fresh returns randomness that nobody used before. Parties of a study derive it
// from labels instead, so that a lost share can be made again.
func fresh() mhe.Source {
	l := protocols.Label{Point: protocols.Point{Protocol: "example"}}
	s := l.Private(protocols.GenerateSeed())
	return func(name string) io.Reader { return s.Sub(name) }
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}
