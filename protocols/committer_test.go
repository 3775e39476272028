package protocols

import (
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	bolt "go.etcd.io/bbolt"
)

// Parts that wait for a transaction share the next one, and one that fails leaves no
// trace in it and spoils no other.
func TestCommitsTogether(t *testing.T) {
	t.Parallel()
	db, err := bolt.Open(filepath.Join(t.TempDir(), "db"), 0o600, nil)
	require.NoError(t, err)
	defer db.Close()
	bucket := []byte("b")
	c := &committer{db: db}
	require.NoError(t, c.update(0, func(tx *bolt.Tx) error { _, err := tx.CreateBucket(bucket); return err }))

	const parts = 40
	held, begun := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		require.NoError(t, c.update(0, func(*bolt.Tx) error { close(begun); <-held; return nil }))
	})
	<-begun
	bad := errors.New("bad")
	errs, ids := make([]error, parts), make([]int, parts)
	for i := range parts {
		wg.Go(func() {
			errs[i] = c.update(0, func(tx *bolt.Tx) error {
				ids[i] = tx.ID()
				if err := tx.Bucket(bucket).Put([]byte{byte(i)}, []byte{1}); err != nil || i != 7 {
					return err
				}
				return bad
			})
		})
	}
	require.Eventually(t, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.waiting) == parts
	}, 10*time.Second, time.Millisecond)
	close(held)
	wg.Wait()
	for i, err := range errs {
		if i == 7 {
			require.ErrorIs(t, err, bad)
			continue
		}
		require.NoError(t, err)
	}
	require.NoError(t, db.View(func(tx *bolt.Tx) error {
		require.Equal(t, parts-1, tx.Bucket(bucket).Stats().KeyN)
		require.Nil(t, tx.Bucket(bucket).Get([]byte{7}))
		return nil
	}))

	// Without a bad one all go into one.
	held, begun = make(chan struct{}), make(chan struct{})
	wg.Go(func() {
		require.NoError(t, c.update(0, func(*bolt.Tx) error { close(begun); <-held; return nil }))
	})
	<-begun
	for i := range parts {
		wg.Go(func() { errs[i] = c.update(0, func(tx *bolt.Tx) error { ids[i] = tx.ID(); return nil }) })
	}
	require.Eventually(t, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.waiting) == parts
	}, 10*time.Second, time.Millisecond)
	close(held)
	wg.Wait()
	for i := range ids {
		require.NoError(t, errs[i])
		require.Equal(t, ids[0], ids[i], "one transaction")
	}

	// One that is large goes alone.
	require.Len(t, (&committer{waiting: []*commit{{size: maxCommit}, {size: 1}}}).take(), 1)
	require.Len(t, (&committer{waiting: []*commit{{size: 2 * maxCommit}}}).take(), 1)
}
