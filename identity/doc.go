// Package identity holds who a party or a querier is: an Ed25519 key pair that is
// made where it stays, and a root secret from which the secrets of every study
// derive. There is no authority that issues anything: people compare
// fingerprints, a study's lock names the keys, and peers are known by them.
//
// An [Identity] is at rest in an age file ([Identity.Seal], [Open]) and never in
// clear on a disk. What leaves the host is a [Request]: name, role, address and
// public key, signed by that key. [Identity.Certificate] makes certificates for
// TLS in memory and renews them, so that nothing is copied or renewed by hand;
// package protocols/transport checks them at the other end.
//
// # What it refuses to do
//
// Nothing secret prints, and there is no way to write an identity in clear. A
// signature is for one context: what was signed as a request is nothing else, not
// even in TLS, because documents are signed with Ed25519ctx and TLS with Ed25519.
//
// # Sources
//
// Ed25519 and Ed25519ctx are RFC 8032; the files are [age]; SHA3-256 is FIPS 202.
//
// [age]: https://age-encryption.org/v1
package identity
