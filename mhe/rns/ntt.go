package rns

import "github.com/tuneinsight/lattigo/v5/ring"

// NTT sets out to the transform of in, reduced, for residues of in below twice
// the prime. in and out are limbs of s and may be the same.
//
// This and the three functions below have the results of the methods of s of the
// same names, to the bit if they are reduced. Processors with AVX-512 compute
// those of a conjugate-invariant ring several times faster.
func NTT(s *ring.SubRing, in, out []uint64) {
	if !forward(s, in, out, true) {
		s.NTT(in, out)
	}
}

// NTTLazy is NTT that leaves residues below eight times the prime.
func NTTLazy(s *ring.SubRing, in, out []uint64) {
	if !forward(s, in, out, false) {
		s.NTTLazy(in, out)
	}
}

// INTT sets out to the inverse transform of in, reduced, for residues of in below
// twice the prime.
func INTT(s *ring.SubRing, in, out []uint64) {
	if !inverse(s, in, out, true) {
		s.INTT(in, out)
	}
}

// INTTLazy is INTT that leaves residues below eight times the prime.
func INTTLazy(s *ring.SubRing, in, out []uint64) {
	if !inverse(s, in, out, false) {
		s.INTTLazy(in, out)
	}
}
