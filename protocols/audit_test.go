package protocols_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/protocols"
)

// journalled makes a journal at path with shares of a party for steps 1 to n, of
// which the first is forgotten.
func journalled(t *testing.T, path string, party byte, n uint64) {
	t.Helper()
	j := openJournal(t, path)
	for step := uint64(1); step <= n; step++ {
		l := testLabel(step, 1)
		_, err := j.Share(l, func() ([]byte, error) { return append(shareOf(l, 100), party), nil })
		require.NoError(t, err)
	}
	require.NoError(t, j.Forget(testLabel(1, 1)))
	require.NoError(t, j.Close())
}

// telling is longer than shares that two parties may have in common.
const telling = 100

func kinds(a protocols.Audit) (k []protocols.FindingKind) {
	for _, f := range a.Findings {
		k = append(k, f.Kind)
	}
	return k
}

func TestVerifyJournals(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	journalled(t, a, 'a', 3)
	journalled(t, b, 'b', 4)
	before, err := os.ReadFile(a)
	require.NoError(t, err)

	audit, err := protocols.VerifyJournals([]string{a}, []string{b})
	require.NoError(t, err)
	require.Equal(t, protocols.Audit{Journals: 2, Points: 7, Recorded: 5, Forgotten: 2}, audit)
	after, err := os.ReadFile(a)
	require.NoError(t, err)
	require.True(t, bytes.Equal(before, after), "an audit changes nothing")

	t.Run("copy from before", func(t *testing.T) {
		old := filepath.Join(dir, "old")
		require.NoError(t, os.WriteFile(old, before, 0o600))
		audit, err := protocols.VerifyJournals([]string{old, a}, []string{b})
		require.NoError(t, err)
		require.Empty(t, audit.Findings)
	})
	t.Run("two journals of a party that forgot", func(t *testing.T) {
		audit, err := protocols.VerifyJournals([]string{a, b})
		require.NoError(t, err)
		require.Equal(t, []protocols.FindingKind{protocols.TwoShares, protocols.TwoShares, protocols.TwoShares}, kinds(audit), "of the forgotten one too")
		require.Equal(t, []string{a, b}, audit.Findings[0].Journals)
		require.Contains(t, audit.Findings[0].String(), "two shares")
	})
	t.Run("one secret", func(t *testing.T) {
		audit, err := protocols.VerifyJournals([]string{a}, []string{a})
		require.NoError(t, err)
		require.Equal(t, []protocols.FindingKind{protocols.SameShare, protocols.SameShare, protocols.SameShare}, kinds(audit))
	})
	t.Run("other input", func(t *testing.T) {
		c := filepath.Join(dir, "c")
		j := openJournal(t, c)
		_, err := j.Share(testLabel(2, 9), func() ([]byte, error) { return []byte("c"), nil })
		require.NoError(t, err)
		_, err = protocols.VerifyJournals([]string{c})
		require.ErrorContains(t, err, "a process has it open")
		require.NoError(t, j.Close())
		audit, err := protocols.VerifyJournals([]string{a}, []string{c}, []string{b})
		require.NoError(t, err)
		require.Equal(t, []protocols.FindingKind{protocols.OtherInput, protocols.OtherInput}, kinds(audit))
		require.Contains(t, audit.Findings[0].Label, testLabel(2, 9).Point.String())
		audit, err = protocols.VerifyJournals([]string{a, c})
		require.NoError(t, err)
		require.Equal(t, []protocols.FindingKind{protocols.TwoShares}, kinds(audit), "one party, two inputs")
	})
	t.Run("derived shares", func(t *testing.T) {
		derived := func(file, share string) {
			j := openJournal(t, file)
			_, err := derive(j)(testLabel(7, 1), give(strings.Repeat(share, telling)))
			require.NoError(t, err)
			require.NoError(t, j.Close())
		}
		one, same, other := filepath.Join(dir, "one"), filepath.Join(dir, "same"), filepath.Join(dir, "other")
		derived(one, "share")
		derived(same, "share")
		derived(other, "another")
		for _, tt := range []struct {
			parties [][]string
			want    []protocols.FindingKind
		}{
			{[][]string{{one, same}, {other}}, nil},
			{[][]string{{one, other}}, []protocols.FindingKind{protocols.TwoShares}},
			{[][]string{{one}, {same}}, []protocols.FindingKind{protocols.SameShare}},
		} {
			audit, err := protocols.VerifyJournals(tt.parties...)
			require.NoError(t, err)
			require.Equal(t, tt.want, kinds(audit))
			require.Equal(t, audit.Points, audit.Recorded)
		}
	})
	t.Run("damaged share", func(t *testing.T) {
		l := testLabel(3, 1)
		share := append(shareOf(l, 100), 'a')
		bad := bytes.ReplaceAll(before, share, flip(share, 5)) // in free pages too
		require.NotEqual(t, before, bad)
		d := filepath.Join(dir, "d")
		require.NoError(t, os.WriteFile(d, bad, 0o600))
		audit, err := protocols.VerifyJournals([]string{d})
		require.NoError(t, err)
		require.Equal(t, []protocols.FindingKind{protocols.Damaged}, kinds(audit))
		require.Contains(t, audit.Findings[0].Label, l.Point.String())
	})
	t.Run("no journal", func(t *testing.T) {
		e := filepath.Join(dir, "e")
		require.NoError(t, os.WriteFile(e, []byte("not a journal"), 0o600))
		audit, err := protocols.VerifyJournals([]string{e})
		require.NoError(t, err)
		require.Equal(t, []protocols.FindingKind{protocols.Damaged}, kinds(audit))
		_, err = protocols.VerifyJournals([]string{filepath.Join(dir, "nowhere")})
		require.ErrorIs(t, err, os.ErrNotExist)
		require.NoFileExists(t, filepath.Join(dir, "nowhere"))
	})
}
