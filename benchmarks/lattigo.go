package main

// This is the only file above packages mhe and bootstrap that imports Lattigo:
// to compare with it.

import (
	"fmt"
	"math"

	"github.com/tuneinsight/lattigo/v5/core/rlwe"
	"github.com/tuneinsight/lattigo/v5/he/hefloat"
	lattigomhe "github.com/tuneinsight/lattigo/v5/mhe"
	"github.com/tuneinsight/lattigo/v5/mhe/mhefloat"
	"github.com/tuneinsight/lattigo/v5/utils/sampling"

	"github.com/nereid-mhe/nereid/params"
)

// A lattigoRotation is one key-switched rotation at the highest level by
// Lattigo's evaluator.
type lattigoRotation struct {
	eval    *hefloat.Evaluator
	in, out *rlwe.Ciphertext
}

func newLattigoRotation(set params.Set) (*lattigoRotation, error) {
	p := set.CKKS()
	kgen := rlwe.NewKeyGenerator(p)
	sk := kgen.GenSecretKeyNew()
	key := kgen.GenGaloisKeyNew(p.GaloisElement(1), sk)
	in := rlwe.NewEncryptor(p, sk).EncryptZeroNew(p.MaxLevel())
	eval := hefloat.NewEvaluator(p, rlwe.NewMemEvaluationKeySet(nil, key))
	return &lattigoRotation{eval, in, hefloat.NewCiphertext(p, 1, p.MaxLevel())}, nil
}

func (l *lattigoRotation) rotate() error { return l.eval.Rotate(l.in, 1, l.out) }

// A lattigoRefresh is mhefloat.RefreshProtocol at the parameters, mask bits,
// error distribution and levels of ours. Shares and result are allocated and the
// common random polynomial is expanded beforehand.
type lattigoRefresh struct {
	params   hefloat.Parameters
	protocol mhefloat.RefreshProtocol
	logBound uint
	secrets  []*rlwe.SecretKey
	sum      *rlwe.SecretKey // what no party has
	values   []float64
	in, out  *rlwe.Ciphertext
	common   lattigomhe.KeySwitchCRP
	share    lattigomhe.RefreshShare // of party 0
	shares   lattigomhe.RefreshShare // of all parties, added up
}

func newLattigoRefresh(set params.Set, in, out int, values []float64) (*lattigoRefresh, error) {
	p := set.CKKS()
	l := &lattigoRefresh{params: p, logBound: uint(set.MaskBits()), values: values, sum: rlwe.NewSecretKey(p)}
	var err error
	if l.protocol, err = mhefloat.NewRefreshProtocol(p, l.logBound, p.Xe()); err != nil {
		return nil, err
	}
	kgen := rlwe.NewKeyGenerator(p)
	for range set.Parties() {
		sk := kgen.GenSecretKeyNew()
		l.secrets = append(l.secrets, sk)
		p.RingQP().Add(l.sum.Value, sk.Value, l.sum.Value)
	}
	pt := hefloat.NewPlaintext(p, in)
	if err := hefloat.NewEncoder(p).Encode(values, pt); err != nil {
		return nil, err
	}
	if l.in, err = rlwe.NewEncryptor(p, l.sum).EncryptNew(pt); err != nil {
		return nil, err
	}
	prng, err := sampling.NewPRNG()
	if err != nil {
		return nil, err
	}
	l.common = l.protocol.SampleCRP(out, prng)
	l.out = hefloat.NewCiphertext(p, 1, out)
	l.share, l.shares = l.protocol.AllocateShare(in, out), l.protocol.AllocateShare(in, out)
	return l, l.addUp()
}

// addUp makes every party's share.
func (l *lattigoRefresh) addUp() error {
	for i, sk := range l.secrets {
		if err := l.protocol.GenShare(sk, l.logBound, l.in, l.common, &l.share); err != nil {
			return err
		}
		if i == 0 {
			l.shares.MetaData = l.share.MetaData
		}
		if err := l.protocol.AggregateShares(&l.shares, &l.share, &l.shares); err != nil {
			return err
		}
	}
	return nil
}

// genShare is what a party computes.
func (l *lattigoRefresh) genShare() error {
	return l.protocol.GenShare(l.secrets[0], l.logBound, l.in, l.common, &l.share)
}

// finalize is what the root computes.
func (l *lattigoRefresh) finalize() error {
	return l.protocol.Finalize(l.in, l.common, l.shares, l.out)
}

// check makes sure that the timed operations do what they should.
func (l *lattigoRefresh) check() error {
	if err := l.finalize(); err != nil {
		return err
	}
	got := make([]float64, len(l.values))
	pt := rlwe.NewDecryptor(l.params, l.sum).DecryptNew(l.out)
	if err := hefloat.NewEncoder(l.params).Decode(pt, got); err != nil {
		return err
	}
	for i, v := range got {
		if !(math.Abs(v-l.values[i]) < 1e-3) {
			return fmt.Errorf("refresh by Lattigo: slot %d is %g, want %g", i, v, l.values[i])
		}
	}
	return nil
}
