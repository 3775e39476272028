package protocols

import (
	"sync"

	bolt "go.etcd.io/bbolt"
)

// A committer writes to a database, durably. What is to be written while a transaction
// is under way waits and then goes into one together, with one fsync for all: a party
// that takes part in many rounds at once waits for the disk once, not for each.
type committer struct {
	db *bolt.DB

	mu      sync.Mutex
	busy    bool // a transaction is under way, or about to be
	waiting []*commit
}

// A commit is a part of a transaction.
type commit struct {
	write func(*bolt.Tx) error // may be called again, in another transaction
	size  int                  // bytes, about
	done  chan error           // of capacity 1
}

// maxCommit is the size of a transaction, above which there is one part in it.
const maxCommit = piecesPerTx * pieceSize

// update calls write in a transaction and returns when that is durable, or has failed
// and changed nothing. Failures of others in the same transaction are not seen.
func (c *committer) update(size int, write func(*bolt.Tx) error) error {
	own := &commit{write, size, make(chan error, 1)}
	c.mu.Lock()
	c.waiting = append(c.waiting, own)
	leads := !c.busy
	c.busy = true
	c.mu.Unlock()
	if leads {
		c.lead()
	}
	return <-own.done
}

// lead writes what waits first. Somebody else writes the rest: the caller's part is
// durable.
func (c *committer) lead() {
	group := c.take()
	c.commit(group)
	c.mu.Lock()
	c.busy = len(c.waiting) > 0
	more := c.busy
	c.mu.Unlock()
	if more {
		go c.lead()
	}
}

// take returns the parts of the next transaction, in the order in which they came.
func (c *committer) take() []*commit {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, size := 0, 0
	for n < len(c.waiting) && (n == 0 || size+c.waiting[n].size <= maxCommit) {
		size += c.waiting[n].size
		n++
	}
	group := c.waiting[:n:n]
	c.waiting = c.waiting[n:]
	return group
}

// commit writes a group, or, if a part of it fails, each part by itself.
func (c *committer) commit(group []*commit) {
	err := access(c.db.Update, func(tx *bolt.Tx) error {
		for _, part := range group {
			if err := part.write(tx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil && len(group) > 1 {
		for _, part := range group {
			c.commit([]*commit{part})
		}
		return
	}
	for _, part := range group {
		part.done <- err
	}
}
