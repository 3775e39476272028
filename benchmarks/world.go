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
	common := w.randomness("common")
	var ephemeral []mhe.Source
	sum1, sum2 := plan.Shape1(set).New(), plan.Shape2(set).New()
	for i := range parties {
		sk, err := mhe.NewSecretKey(set, w.randomness("secret")(""))
		if err != nil {
			return nil, err
		}
		w.secrets, ephemeral = append(w.secrets, sk), append(ephemeral, w.randomness("ephemeral"))
		s, err := plan.Round1(sk, common, w.randomness("keys1"), ephemeral[i](""))
		if err != nil {
			return nil, err
		}
		if sum1, err = plan.Shape1(set).Add(sum1, s); err != nil {
			return nil, err
		}
	}
	for i, sk := range w.secrets {
		s, err := plan.Round2(sk, sum1, w.randomness("keys2"), ephemeral[i](""))
		if err != nil {
			return nil, err
		}
		if sum2, err = plan.Shape2(set).Add(sum2, s); err != nil {
			return nil, err
		}
	}
	keys, err := plan.Finish(set, common, sum1, sum2)
	w.keys = keys
	return w, err
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
