package main

import (
	"crypto/rand"

	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/params"
	"github.com/nereid-mhe/nereid/protocols"
)

// A world is a study with all secrets in one process, which only a benchmark
// may have.
type world struct {
	set     params.Set
	enc     *mhe.Encoder
	study   protocols.StudyID
	seed    protocols.Seed
	labels  uint64
	secrets []mhe.SecretKey
	keys    *mhe.PublicKeys
}

// newWorld draws the secrets of some parties and makes their collective keys.
func newWorld(set params.Set, plan mhe.KeyPlan, parties int) (*world, error) {
	w := &world{set: set, enc: mhe.NewEncoder(set), seed: protocols.GenerateSeed()}
	_, _ = rand.Read(w.study[:])
	for range parties {
		sk, err := mhe.NewSecretKey(set, w.randomness("secret")(""))
		if err != nil {
			return nil, err
		}
		w.secrets = append(w.secrets, sk)
	}
	return w, w.makeKeys(plan)
}

// makeKeys runs key generation.
func (w *world) makeKeys(plan mhe.KeyPlan) error {
	b, err := mhe.NewKeyBuilder(w.set, plan)
	if err != nil {
		return err
	}
	common := w.randomness("common")
	var ephemeral []mhe.Source
	for range w.secrets {
		ephemeral = append(ephemeral, w.randomness("ephemeral"))
	}
	var relin mhe.Share
	for _, part := range plan.Parts(w.set, 64<<20) {
		sum := part.Shape().New()
		for i, sk := range w.secrets {
			s, err := part.Share(sk, common, w.randomness("keys"), ephemeral[i](""), relin)
			if err != nil {
				return err
			}
			if sum, err = part.Shape().Add(sum, s); err != nil {
				return err
			}
		}
		if part.Name() == "relinearisation" {
			relin = sum
		}
		if b, err = b.Add(part, common, sum); err != nil {
			return err
		}
	}
	w.keys, err = b.Finish()
	return err
}

// oneRotation is the plan of a key that rotates by one slot, at level or below.
func oneRotation(level int) mhe.KeyPlan {
	return mhe.KeyPlan{Rotations: []mhe.Key{{By: 1, Level: level}}}
}

// randomness returns the streams of a label that was never used before, derived
// as in a study, so that their cost is in the times.
func (w *world) randomness(protocol string) mhe.Source {
	w.labels++
	return protocols.Label{Point: protocols.Point{Study: w.study, Protocol: protocol, Step: w.labels}}.Private(w.seed).Open
}

// encrypt encrypts one period of values at the default scale.
func (w *world) encrypt(values []float64, level int) (mhe.Tensor, error) {
	return w.keys.Encryption().Encrypt(w.enc, values, level, mhe.Power(w.set.LogScale()), w.randomness("encrypt"))
}

// open decrypts a ciphertext exactly, noise and all, with everybody's secret.
func (w *world) open(t mhe.Tensor) ([]float64, error) { return mhe.Reveal(w.enc, t, w.secrets...) }
