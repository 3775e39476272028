package transport

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// A store keeps the bodies of messages that this party sent, for peers that may
// need them again: in memory up to a limit, above it in files. Its fields are
// guarded by the endpoint's mutex.
type store struct {
	dir     string // empty: everything stays in memory
	limit   int64
	memory  int64 // bytes
	spilled int64 // bytes
	order   []*transfer
}

const spillPattern = "message-*.body"

// newStore makes the directory if need be and removes what a killed process left
// there, which no peer will ask for: after a restart messages are made again.
func newStore(dir string, limit int64) (*store, error) {
	if dir == "" {
		return &store{}, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("transport: SpillDir: %w", err)
	}
	old, err := filepath.Glob(filepath.Join(dir, spillPattern))
	if err != nil {
		return nil, fmt.Errorf("transport: SpillDir %s: %w", dir, err)
	}
	for _, f := range old {
		if err := os.Remove(f); err != nil {
			return nil, fmt.Errorf("transport: SpillDir: %w", err)
		}
	}
	return &store{dir: dir, limit: limit}, nil
}

// add takes over the body of t, which is in memory.
func (s *store) add(t *transfer) {
	s.memory += int64(t.size)
	s.order = append(s.order, t)
}

// excess returns the oldest body in memory if there is more than the limit.
func (s *store) excess() *transfer {
	if s.dir == "" || s.memory <= s.limit || len(s.order) == 0 {
		return nil
	}
	t := s.order[0]
	s.order = s.order[1:]
	return t
}

// write writes a body to a new file. It needs no mutex.
func (s *store) write(b []byte) (file string, err error) {
	f, err := os.CreateTemp(s.dir, spillPattern) // mode 0600
	if err != nil {
		return "", fmt.Errorf("transport: SpillDir: %w", err)
	}
	_, err = f.Write(b)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		os.Remove(f.Name())
		return "", fmt.Errorf("transport: SpillDir: %w; remedy: free space, or a larger MemoryLimit", err)
	}
	return f.Name(), nil
}

// moved notes that the body of t is in a file.
func (s *store) moved(t *transfer, file string) {
	t.data, t.file = nil, file
	s.memory -= int64(t.size)
	s.spilled += int64(t.size)
}

// drop lets go of the body of t, if it is kept here.
func (s *store) drop(t *transfer) {
	switch {
	case !t.own():
		return
	case t.file != "":
		os.Remove(t.file)
		s.spilled -= int64(t.size)
	default:
		s.memory -= int64(t.size)
		s.order = slices.DeleteFunc(s.order, func(o *transfer) bool { return o == t })
	}
}

// readPart returns a part of a spilled body.
func readPart(file string, offset, n int) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("transport: SpillDir: %w", err)
	}
	defer f.Close()
	b := make([]byte, n)
	if _, err := io.ReadFull(io.NewSectionReader(f, int64(offset), int64(n)), b); err != nil {
		return nil, fmt.Errorf("transport: SpillDir: %s: %w", file, err)
	}
	return b, nil
}
