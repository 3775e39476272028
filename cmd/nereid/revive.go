package main

import (
	"context"
	"fmt"
	"time"

	"github.com/nereid-mhe/nereid/node"
	"github.com/nereid-mhe/nereid/protocols"
)

// A patience says how long to wait before a process that was killed is started again,
// and when that makes no sense any more.
type patience struct {
	deaths int // in a row, without progress
	points int // in the journal when it last died
}

const (
	firstPause = 100 * time.Millisecond // doubled from death to death
	longPause  = 5 * time.Second
	longLife   = 30 * time.Second // that is progress too: a node may just wait
	maxDeaths  = 8                // within about 20 s
)

// died notes a death after a life of some length, with so many points in the journal. It
// returns the pause before the next life, and whether there is to be one.
func (p *patience) died(life time.Duration, points int) (pause time.Duration, again bool) {
	if points > p.points || life >= longLife {
		p.deaths = 0
	}
	p.points = max(p.points, points)
	pause = min(firstPause<<p.deaths, longPause)
	p.deaths++
	return pause, p.deaths < maxDeaths
}

// journalled returns the points in the journal of a party that does not run, 0 if they
// cannot be read: the party's next process says why.
func journalled(dir string) int {
	j, err := protocols.OpenJournal(node.JournalFile(dir))
	if err != nil {
		return 0
	}
	defer j.Close()
	n, err := j.Len()
	if err != nil {
		return 0
	}
	return n
}

// revive waits before the process of a party that died is started again. It gives up on
// one that dies again and again without getting any further.
func (p *patience) revive(ctx context.Context, name, dir, log string, life time.Duration, death error) error {
	pause, again := p.died(life, journalled(dir))
	if !again {
		return &failure{
			exitInternal, fmt.Errorf("the process of %s died %d times in a row without getting any further, last of: %w", name, p.deaths, death),
			fmt.Sprintf("see its log, %s, and whether the system ran out of memory; the same command goes on from here", log),
		}
	}
	select {
	case <-ctx.Done():
	case <-time.After(pause):
	}
	return nil
}
