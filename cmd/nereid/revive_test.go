package main

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/node"
	"github.com/nereid-mhe/nereid/protocols"
)

func TestPatience(t *testing.T) {
	var p patience
	pauses := func(deaths int) (all []time.Duration) {
		for range deaths {
			pause, again := p.died(time.Second, 3)
			require.True(t, again)
			all = append(all, pause)
		}
		return all
	}
	ms := time.Millisecond
	want := []time.Duration{100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 3200 * ms, 5000 * ms}
	require.Equal(t, want, pauses(maxDeaths-1))

	pause, again := p.died(time.Second, 4)
	require.True(t, again, "a point more is progress")
	require.Equal(t, 100*ms, pause)
	pause, again = p.died(time.Minute, 4)
	require.True(t, again, "so is a long life")
	require.Equal(t, 100*ms, pause)
	pauses(maxDeaths - 2)
	_, again = p.died(time.Second, 2)
	require.False(t, again)
}

// A party that dies again and again at the same place ends the trial with a reason.
func TestReviveGivesUp(t *testing.T) {
	dir := t.TempDir()
	j, err := protocols.OpenJournal(node.JournalFile(dir))
	require.NoError(t, err)
	_, err = j.Share(protocols.Label{Point: protocols.Point{Protocol: "keys", Active: []protocols.PartyID{0, 1}}}, func() ([]byte, error) { return []byte{1}, nil })
	require.NoError(t, err)
	require.NoError(t, j.Close())
	require.Equal(t, 1, journalled(dir))
	require.Zero(t, journalled(t.TempDir()+"/none/at/all"))

	killed := errors.New("signal: killed")
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var p patience
		for range maxDeaths {
			require.NoError(t, err)
			err = p.revive(t.Context(), "north", dir, "log.jsonl", time.Second, killed)
		}
		require.Equal(t, 11300*time.Millisecond, time.Since(start))
	})
	require.ErrorIs(t, err, killed)
	require.Equal(t, exitInternal, explain(err).code)
	require.ErrorContains(t, err, "the process of north died 8 times in a row without getting any further, last of: signal: killed")
	require.Contains(t, explain(err).remedy, "log.jsonl")
}
