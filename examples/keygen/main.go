// Command keygen makes collective keys by hand. Three parties add up shares of an
// encryption key, somebody encrypts under it, and it takes all three to decrypt:
// two of them get noise. The parameters have 128 bits of security. In a study
// shares travel up a tree and are kept in a journal; here a loop adds them.
package main

import (
	"crypto/rand"
	"fmt"
	"io"
	"log"

	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/params"
	"github.com/nereid-mhe/nereid/protocols"
)

func main() {
	_, _ = rand.Read(study[:])
	set := must(params.Fit(3, 1, false))
	fmt.Println("parameters:", set)
	// Every party draws its secret from a seed of its own. The secrets add up to
	// the collective key, which exists nowhere.
	var all []party
	for range set.Parties() {
		p := party{seed: protocols.GenerateSeed()}
		p.secret = must(mhe.NewSecretKey(set, p.private("secret", nil)("")))
		all = append(all, p)
	}

	// Key generation is a sum of shares for every part of a plan, with random
	// polynomials that are public. Without keys that rotate or multiply there is
	// one part.
	var plan mhe.KeyPlan
	builder := must(mhe.NewKeyBuilder(set, plan))
	for _, part := range plan.Parts(set, 64<<20) {
		common := streams(point(part.Name()).Common(study))
		total := sum(part.Shape(), all, func(p party) (mhe.Share, error) {
			return part.Share(p.secret, common, p.private(part.Name(), nil), nil, nil)
		})
		builder = must(builder.Add(part, common, total))
	}
	keys := must(builder.Finish())
	// Anybody who has the public key encrypts: here one period of eight slots.
	enc, scale := mhe.NewEncoder(set), mhe.Power(set.LogScale())
	values := []float64{3, 1, 4, 1, 5, 9, 2, 6}
	x := must(keys.Encryption().Encrypt(enc, values, 0, scale, all[0].private("encrypt", nil)))
	fmt.Println("encrypted: ", values)

	// A share of a decryption drowns the ciphertext's noise, which depends on the
	// secrets. Its label names the ciphertext: asked twice, it is the same share.
	noise := mhe.NewNoise(set)
	sigma := must(noise.Flooding(noise.Encrypt(scale), scale, 1, mhe.MinFlooding))
	open := mhe.Opening{Set: set, Level: x.Level(), Count: 1, Sigma: sigma}
	ciphertext := must(mhe.CipherShape(set, x.Level()).Encode(must(x.Share())))
	decrypt := func(parties []party) []float64 {
		total := sum(open.DecryptShape(), parties, func(p party) (mhe.Share, error) {
			return open.DecryptShare(p.secret, x.Polys()[1:], p.private("decrypt", ciphertext))
		})
		return must(open.Decrypt(enc, []mhe.Tensor{x}, total))[0]
	}
	fmt.Printf("all three:  %.5f\n", decrypt(all)[:len(values)])
	fmt.Printf("two of them: %.2g\n", decrypt(all[:2])[:len(values)])
}

// A party is what one data owner keeps to itself.
type party struct {
	seed   protocols.Seed
	secret mhe.SecretKey
}

// private opens the party's randomness for one protocol and public input.
func (p party) private(protocol string, input []byte) mhe.Source {
	l := protocols.Label{Point: point(protocol), Digest: protocols.Digest(nil, input, input != nil)}
	return streams(l.Private(p.seed))
}

// study makes this run unlike any other; otherwise it is the hash of the terms.
var study protocols.StudyID

func point(name string) protocols.Point { return protocols.Point{Study: study, Protocol: name} }

// streams gives package mhe the named streams that it asks for.
func streams(s *protocols.Stream) mhe.Source { return func(n string) io.Reader { return s.Sub(n) } }

// sum adds up a share of every party.
func sum(shape mhe.Shape, parties []party, gen func(party) (mhe.Share, error)) mhe.Share {
	total := shape.New()
	for _, p := range parties {
		total = must(shape.Add(total, must(gen(p))))
	}
	return total
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}
