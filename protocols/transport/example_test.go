package transport_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"net"

	"github.com/nereid-mhe/nereid/identity"
	"github.com/nereid-mhe/nereid/protocols"
	"github.com/nereid-mhe/nereid/protocols/transport"
)

// Two parties: site-a has a port, site-b connects to it. Either opens a line for
// a round and would pass it to protocols.Drive; here one sends and one receives.
func Example() {
	port, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	tree, err := protocols.NewTree(2, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	roster := []transport.Peer{{ID: 0, Name: "site-a", Address: port.Addr().String()}, {ID: 1, Name: "site-b"}}
	ids := make([]*identity.Identity, 2)
	for i, p := range roster {
		if ids[i], err = identity.New(identity.Card{Name: p.Name, Role: identity.Party, Address: p.Address}); err != nil {
			fmt.Println(err)
			return
		}
		key := ids[i].Key()
		roster[i].Key = key[:]
	}
	open := func(self protocols.PartyID, l net.Listener) (*transport.Endpoint, error) {
		return transport.Open(transport.Config{
			Self: self, Roster: roster, Tree: tree, Study: protocols.StudyID{1},
			Certificate: ids[self].Certificate, Listener: l, MaxBody: 1 << 20,
		})
	}
	a, err := open(0, port)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer a.Close()
	b, err := open(1, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer b.Close()

	round := protocols.Point{Study: protocols.StudyID{1}, Protocol: "sum", Active: tree.Members()}
	m := protocols.Message{From: 1, To: 0, Point: round, Leg: protocols.LegShare, Body: []byte("a share")}
	m.Sum = m.Checksum()
	ctx := context.Background()
	if err := b.Line(round).Send(ctx, m); err != nil {
		fmt.Println(err)
		return
	}
	got, err := a.Line(round).Receive(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("party %d sent %q\n", got.From, got.Body)
	// Output:
	// party 1 sent "a share"
}

// Who connects to whom follows from tree and addresses: here only the root has one.
func ExampleNewRoutes() {
	tree, err := protocols.NewTree(4, 3)
	if err != nil {
		fmt.Println(err)
		return
	}
	roster := []transport.Peer{{Name: "hub", Address: "hub.example:7000"}, {Name: "a"}, {Name: "b"}, {Name: "c"}}
	for i := range roster {
		roster[i].ID = protocols.PartyID(i)
		roster[i].Key = make(ed25519.PublicKey, ed25519.PublicKeySize)
		roster[i].Key[0] = byte(i)
	}
	routes, err := transport.NewRoutes(tree, roster)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, c := range routes.Connections() {
		fmt.Printf("%s connects to %s at %s\n", roster[c.Dialer].Name, roster[c.Listener].Name, c.Address)
	}
	fmt.Println("from 1 to 3:", routes.Path(1, 3))
	// Output:
	// a connects to hub at hub.example:7000
	// b connects to hub at hub.example:7000
	// c connects to hub at hub.example:7000
	// from 1 to 3: [1 0 3]
}
