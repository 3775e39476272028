// Package protocols runs the rounds in which the parties of a study act
// together: key generation, gradient sums, refreshes, key switches. Each of
// them is the same machine, a [Round], with other [Rules].
//
// There are few types. A [Point] names a place in the plan and a [Label] adds
// the digest of the public input; a [Stream] is the randomness that belongs to
// a point or a label; a [Journal] remembers every share ever made; a [Round] is
// one party's side of one execution; a [Message] is what it sends along the
// edges of a [Tree]; [Drive] joins a machine to a [Network]. Package sim runs
// all machines of a round in one process, in an order drawn from a seed.
//
// Machines do no I/O but the journal's, start no goroutine and read no clock:
// the same messages in the same order give the same bytes. The package knows no
// cryptography: a share is any type S with the functions in [Rules], and it
// imports neither Lattigo nor any other package of the module.
//
// # What it refuses to do
//
// Two shares of one party for the same public polynomial reveal its secret, and
// so does one mask used for two inputs. Hence no share leaves a party without a
// journal entry, a point is bound to one digest for ever, every secret stream
// needs a complete label, and a retry sends the same bytes again: those in the
// journal, or, of shares that follow from label and seed alone, bytes that are made
// again and have the checksum in the journal. There is no
// option to turn this off. Messages from peers are refused, with peer, round and
// field in a [MessageError], before they can change anything; the round goes on
// when the right message comes.
//
// Integrity of results is out of scope: parties follow the protocol (passive
// adversary, up to N-1 of N colluding). Authentication and privacy of links are
// the [Network]'s business.
//
// # Notation
//
// N parties have the numbers 0 to N-1; party 0 is the root unless
// [Tree.RootedAt] says otherwise. The input goes from the root to the leaves, shares are summed from the leaves to the root, the
// result goes from the root to the leaves. All hashing is over fields with their
// length in front and a domain string first.
//
// # Sources
//
// The tree sum with public common randomness is from Mouchet, Troncoso-Pastoriza,
// Bossuat and Hubaux, [Multiparty Homomorphic Encryption from Ring-LWE]. Hashes
// and SHAKE are FIPS 202, the counter mode is NIST SP 800-38A, its use for public
// matrices that of [FrodoKEM]. The sans-I/O shape is that of etcd's raft.
//
// [Multiparty Homomorphic Encryption from Ring-LWE]: https://eprint.iacr.org/2020/304
// [FrodoKEM]: https://frodokem.org
package protocols
