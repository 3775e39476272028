package transport

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/nereid-mhe/nereid/protocols"
)

// A Peer is what the roster says of a party.
type Peer struct {
	ID   protocols.PartyID
	Name string            // in its certificate and in messages for people
	Key  ed25519.PublicKey // of its certificates and of the signatures of its messages

	// Address is the host:port at which the party can be reached, empty if
	// nobody can connect to it. Whether it is empty must be the same at every
	// party: it decides who connects to whom.
	Address string
}

// Config says who a party is, whom it talks to and how much memory that may take.
type Config struct {
	Self   protocols.PartyID
	Roster []Peer         // every party of the tree, this one too
	Tree   protocols.Tree // along its edges messages go that cannot go directly
	Study  protocols.StudyID

	// Certificate returns the certificate in use, with its private key, which is
	// that of the roster. It is called for every connection, so a renewed
	// certificate needs no restart. Its common name is that of the roster.
	Certificate func() (*tls.Certificate, error)

	// Listen is the address of the port to open, as in [net.Listen], and Listener
	// an open one, which is closed with the endpoint. Without both there is no
	// port, and every connection is made by this party.
	Listen   string
	Listener net.Listener

	// Dial makes connections, nil for TCP.
	Dial func(ctx context.Context, address string) (net.Conn, error)

	// MaxBody bounds the body of a message, and a query and its answer, in bytes.
	MaxBody int

	// MemoryLimit bounds, in bytes, what the endpoint holds besides the bodies
	// that open lines wait for: half of it for messages sent, which above that go
	// to files in SpillDir, a quarter for messages that came before their round
	// was opened and a quarter for those on their way to others. 0 means 256 MiB.
	MemoryLimit int64

	// SpillDir is a directory for this endpoint alone. Its files have mode 0600
	// and end with the endpoint. If it is empty, messages sent stay in memory.
	SpillDir string

	// Readers are the keys, besides those of the roster, that may ask for the
	// status and send queries.
	Readers []ed25519.PublicKey

	// Status makes the report that [Client.Status] returns, of at most 256 KiB,
	// and Query the answer that [Client.Query] returns. Nil refuses. Query must
	// give the same answer when it is asked again, because a client repeats a
	// query whose answer was lost, and end with ctx. It is called for several
	// clients at once.
	Status func() []byte
	Query  func(ctx context.Context, from ed25519.PublicKey, request []byte) ([]byte, error)

	// Reached is called with how far a neighbour says that the study has come,
	// whenever that is further than it said before; nil ignores it. It returns at once.
	Reached func(by protocols.PartyID, stages uint64)

	// Handshake bounds the time that a connection takes until its peer is known,
	// 0 for 20 s. Liveness is how long a connection is silent before it is probed
	// and how long the answer may take, 0 for 30 s, at least 10 s. No other
	// time limit exists: whatever makes progress goes on.
	Handshake, Liveness time.Duration

	Log *slog.Logger // nil is silent
}

const (
	defaultMemory    = 256 << 20
	defaultHandshake = 20 * time.Second
	defaultLiveness  = 30 * time.Second

	maxChunk  = 256 << 10 // bytes of a chunk of a body
	maxHeader = 160 << 10 // bytes of a message without its body, which lists up to 65535 parties
	maxFrame  = maxChunk + maxHeader
	maxCredit = 1 << 40 // bytes
	maxOpen   = 1 << 16 // messages of a party that may be known and not forgotten

	// window is what a peer may send before it hears that it was read: enough for
	// 1 Gbit/s over 130 ms. A window that grows with what it measures, as gRPC has it,
	// takes a dozen trips to get there, and each connection and study anew.
	window = 16 << 20

	maxBacklog = 256 << 10 // bytes that the system holds before they are sent
)

func (c Config) withDefaults() Config {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.MemoryLimit == 0 {
		c.MemoryLimit = defaultMemory
	}
	if c.Handshake == 0 {
		c.Handshake = defaultHandshake
	}
	if c.Liveness == 0 {
		c.Liveness = defaultLiveness
	}
	if c.Dial == nil {
		c.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", address)
		}
	}
	return c
}

// check reports everything that is wrong with c besides the roster.
func (c Config) check() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.Tree.Contains(c.Self), "Self is party %d of a tree of %d", c.Self, c.Tree.Parties())
	check(c.Certificate != nil, "no Certificate")
	check(c.MaxBody > 0, "MaxBody is %d bytes, want more than 0", c.MaxBody)
	check(c.MemoryLimit >= 0, "MemoryLimit is %d bytes, want 0 for the default or more", c.MemoryLimit)
	check(c.Listen == "" || c.Listener == nil, "both Listen and Listener are set, want one")
	check(c.Handshake >= 0 && c.Liveness >= 0, "Handshake and Liveness must not be negative")
	for i, k := range c.Readers {
		check(len(k) == ed25519.PublicKeySize, "reader %d has a key of %d bytes, want %d", i, len(k), ed25519.PublicKeySize)
	}
	return errors.Join(errs...)
}
