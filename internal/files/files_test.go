package files_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/internal/files"
)

// holds wants dir to have one file, with the content and the mode.
func holds(t *testing.T, path, content string, perm fs.FileMode) {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, content, string(b))
	info, err := os.Stat(path)
	require.NoError(t, err)
	if runtime.GOOS != "windows" {
		require.Equal(t, perm, info.Mode().Perm())
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, entries, 1)
}

func TestCreateAndReplace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	require.NoError(t, files.Create(path, []byte("one"), 0o600))
	holds(t, path, "one", 0o600)
	require.ErrorIs(t, files.Create(path, []byte("two"), 0o600), fs.ErrExist)
	holds(t, path, "one", 0o600)
	require.NoError(t, files.Replace(path, []byte("three"), 0o600))
	holds(t, path, "three", 0o600)

	require.Error(t, files.Create(filepath.Join(path, "b"), nil, 0o600), "below a file")
}

func TestReplaceKeepsLinks(t *testing.T) {
	target, link := filepath.Join(t.TempDir(), "target"), filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.WriteFile(target, []byte("old"), 0o600))
	if err := os.Symlink(target, link); err != nil {
		t.Skip(err)
	}
	require.NoError(t, files.Replace(link, []byte("new"), 0o600))
	holds(t, target, "new", 0o600)
	info, err := os.Lstat(link)
	require.NoError(t, err)
	require.Equal(t, fs.ModeSymlink, info.Mode().Type())
	require.ErrorIs(t, files.Create(link, nil, 0o600), fs.ErrExist)
}

// A directory in the place of the file is an error that leaves nothing behind.
func TestFailureLeavesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	require.NoError(t, os.Mkdir(dir, 0o700))
	require.Error(t, files.Replace(dir, []byte("x"), 0o600))
	require.ErrorIs(t, files.Create(dir, []byte("x"), 0o600), fs.ErrExist)
	entries, err := os.ReadDir(filepath.Dir(dir))
	require.NoError(t, err)
	require.Len(t, entries, 1)
}
