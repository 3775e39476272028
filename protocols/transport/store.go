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
	memory  int64         // bytes
	bodies  map[*byte]int // transfers of every body in memory, by its first byte
	spilled int64         // bytes
	order   []*transfer
}

const spillPattern = "message-*.body"

// newStore makes the directory if need be and removes what a killed process left
// there, which no peer will ask for: after a restart messages are made again.
func newStore(dir string, limit int64) (*store, error) {
	if dir == "" {
		return &store{bodies: map[*byte]int{}}, nil
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
	return &store{dir: dir, limit: limit, bodies: map[*byte]int{}}, nil
}

// add takes over the body of t, which is in memory. What goes to several receivers
// counts once.
func (s *store) add(t *transfer) {
	if t.size == 0 {
		return
	}
	if s.bodies[&t.data[0]]++; s.bodies[&t.data[0]] == 1 {
		s.memory += int64(t.size)
	}
	s.order = append(s.order, t)
}

// leave notes that the body of t is not needed in memory any more, for t.
func (s *store) leave(t *transfer) {
	first := &t.data[0]
	if s.bodies[first]--; s.bodies[first] == 0 {
		delete(s.bodies, first)
		s.memory -= int64(t.size)
	}
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
	s.leave(t)
	t.data, t.file = nil, file
	s.spilled += int64(t.size)
}

// drop lets go of the body of t, if it is kept here.
func (s *store) drop(t *transfer) {
	switch {
	case !t.own() || t.size == 0:
		return
	case t.file != "":
		os.Remove(t.file)
		s.spilled -= int64(t.size)
	default:
		s.leave(t)
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
