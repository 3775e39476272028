//go:build unix

package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A block is a fenced block of a page: its info string, which is a language and for
// files a path, and its text.
type block struct{ info, text string }

func blocks(page string) (all []block) {
	open := false
	for line := range strings.Lines(page) {
		info, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && open:
			open = false
		case fence:
			open = true
			all = append(all, block{info: strings.TrimSpace(info)})
		case open:
			all[len(all)-1].text += line
		}
	}
	return all
}

// docs/operate.md works as it stands, from nothing to predictions: its files are
// written and its commands run, in order, in one shell. Only the ports are others.
func TestOperate(t *testing.T) {
	if testing.Short() {
		t.Skip("trains on a secure ring")
	}
	page, err := os.ReadFile("../../docs/operate.md")
	require.NoError(t, err)
	dir := t.TempDir()
	self, err := os.Executable()
	require.NoError(t, err)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "bin"), 0o700))
	binary, err := os.ReadFile(self)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "bin", "nereid"), binary, 0o700)) // a link would be seen through by nereid local

	text, ports := string(page), freePorts(t, 2)
	for i, address := range []string{"127.0.0.1:7001", "127.0.0.1:7002"} {
		require.Contains(t, text, address)
		text = strings.ReplaceAll(text, address, ports[i])
	}
	var script strings.Builder
	for _, b := range blocks(text) {
		if b.info == "sh" {
			script.WriteString(b.text)
			continue
		}
		_, file, ok := strings.Cut(b.info, " ")
		require.True(t, ok, "a block that is no command and no file: %q", b.info)
		path := filepath.Join(dir, file)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(b.text), 0o600))
	}

	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, "sh", "-eu", "-c", script.String())
	c.Dir = dir
	c.Env = append(os.Environ(), "PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"))
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) } // its nodes too
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	c.WaitDelay = 5 * time.Second
	err = c.Run()
	_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL) // of a script that failed half-way
	require.NoError(t, err, out.String())

	predicted, err := os.ReadFile(filepath.Join(dir, "lab", "classes.csv"))
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(string(predicted)), "\n")
	require.Len(t, lines, 4)
	require.Equal(t, "class,output 0", lines[0])
	require.Contains(t, out.String(), "none: no label has two shares")
}

// freePorts returns addresses on loopback whose ports were free a moment ago.
func freePorts(t *testing.T, n int) (addresses []string) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close()
		addresses = append(addresses, l.Addr().String())
	}
	return addresses
}
