// Package transport is the network beneath the machines of package protocols: it
// carries their messages between hosts over gRPC with mutual TLS. [Open] starts a
// party's [Endpoint]; [Endpoint.Line] is its [protocols.Network] in one round.
// A [Client] asks a party for its status, and for answers to queries.
//
// # Who talks to whom
//
// Parties are known by the Ed25519 keys of the roster. Certificates are
// self-signed, are checked for key, name and dates, and come from a callback, so
// they are renewed without a restart. There is no authority and no insecure mode:
// TLS 1.3 with both certificates or nothing.
//
// [Routes] says who connects to whom: children to parents, so leaves need no open
// port, and any two parties of which one can be reached. Messages between parties
// that are not connected are relayed along the tree. Relays are parties too and
// not trusted more than others: every message is signed by its sender over all its
// fields, sizes and checksum, each party on the way verifies that, and a body goes
// on only when it is complete and matches. So Message.From is true, however a
// message came. A relay can delay messages and sees what it passes on, which is
// what a party sees anyway: shares and ciphertexts.
//
// # Loss
//
// A line loses and repeats nothing, so it never says [protocols.ErrIdle]. Senders
// keep messages until [Endpoint.Forget], in memory and above a limit in files, and
// offer them on every connection until the receiver said to have them. Receivers
// ask for what they wait for, from the byte where they are. Thus a broken
// connection costs what was in flight, at most a window of 16 MiB and in
// practice about twice bandwidth times delay. A party that was killed has lost what
// the endpoint knew; it gets every message offered again, and makes again what it
// sent, from its journal, in the same bytes.
//
// # Limits
//
// Time: a connection has a limit until its peer is known, a silent one is probed.
// Whatever makes progress may take as long as it takes.
//
// Memory: sizes are checked before anything is allocated, and memory grows with
// what arrived, not with what was announced. A message of a round that is open may
// take MaxBody, one at a time of each sender. For the rest senders have a credit,
// and hold back what exceeds it, in any number of rounds, while messages of open
// rounds get through. Config.MemoryLimit is the sum of all that, so that at most
//
//	open lines · senders · MaxBody + MemoryLimit + neighbours · one message to relay
//
// bytes are in use, besides what is in the connections: a window of 16 MiB of each stream
// that is not read, of which a key has maxConnections·maxStreams, 256 MiB.
//
// Peers: a peer that breaks the rules is refused with a [PeerError], logged and
// counted in [Stats]. Connections that do not get to a handshake, and those of one
// key, are bounded in number.
package transport
