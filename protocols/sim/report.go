package sim

import "github.com/nereid-mhe/nereid/protocols"

// Traffic counts encoded messages.
type Traffic struct {
	Messages int
	Bytes    int64 // headers included
}

func (t *Traffic) add(bytes int) {
	t.Messages++
	t.Bytes += int64(bytes)
}

// Load is the traffic of one party by leg. A message is counted as sent once per
// time the machine sends it, and as received once per time it arrives, whatever
// the state it arrives in.
type Load struct {
	Sent, Received map[protocols.Leg]Traffic
}

// Total returns the traffic of all parties and legs, as sent.
func (r Report) Total() Traffic {
	var t Traffic
	for p := range r.Parties {
		s := r.Sent(protocols.PartyID(p))
		t.Messages += s.Messages
		t.Bytes += s.Bytes
	}
	return t
}

// Sent returns what party p has sent in all legs.
func (r Report) Sent(p protocols.PartyID) Traffic { return sum(r.Parties[p].Sent) }

// Received returns what arrived at party p in all legs.
func (r Report) Received(p protocols.PartyID) Traffic { return sum(r.Parties[p].Received) }

func sum(legs map[protocols.Leg]Traffic) (t Traffic) {
	for _, l := range legs {
		t.Messages += l.Messages
		t.Bytes += l.Bytes
	}
	return t
}

// A Report is the account of one run.
type Report struct {
	Parties []Load // by party
	Depth   int    // messages in the longest chain in which each causes the next
	Resends int    // how often every machine was asked to send again

	Duplicated, Dropped, Corrupted int     // faults
	Refused                        []error // every *protocols.MessageError, in order
}

// newReport returns an empty report of n parties.
func newReport(n int) Report {
	r := Report{Parties: make([]Load, n)}
	for i := range r.Parties {
		r.Parties[i] = Load{map[protocols.Leg]Traffic{}, map[protocols.Leg]Traffic{}}
	}
	return r
}

func count(legs map[protocols.Leg]Traffic, leg protocols.Leg, bytes int) {
	t := legs[leg]
	t.add(bytes)
	legs[leg] = t
}
