package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/nereid-mhe/nereid/protocols"
	"github.com/nereid-mhe/nereid/protocols/transport"
)

// A Finding is what a check before the start of a node has found.
type Finding struct {
	Check   string `json:"check"`             // such as "disk"
	Note    string `json:"note,omitempty"`    // what was found, if all is well
	Problem string `json:"problem,omitempty"` // empty if all is well
	Remedy  string `json:"remedy,omitempty"`
	Warning bool   `json:"warning,omitempty"` // the node would start nevertheless
}

// clockSlack is how far a clock may be off: certificates are valid from an hour
// before they are made, and what is slower to notice than this is not worth a stop.
const clockSlack = 30 * time.Minute

// Preflight checks what [Open] with the same Config will need of the host, and
// changes nothing: the directory, disk and memory, the port, the peers that the node
// will dial, the clock. The identity must be a party of the lock. Every question to a
// peer takes at most wait. Rows are not looked at; see [study.Terms.Check].
func Preflight(ctx context.Context, cfg Config, wait time.Duration) []Finding {
	self, ok := cfg.Lock.Party(cfg.Identity.Key())
	if !ok {
		return []Finding{failed("lock", fmt.Sprintf("%v is no party of the study", cfg.Identity), `a querier asks with "nereid predict"`)}
	}
	needs := cfg.Terms.Needs()
	out := []Finding{
		checkDir(cfg.Dir),
		checkJournal(cfg.Dir),
		checkRoom("disk", freeDisk(existing(cfg.Dir)), needs.Disk-used(cfg.Dir), "free or add room where --dir is"),
		checkRoom("memory", freeMemory(), needs.Memory, "end other programs, or take a host with more memory"),
		checkPort(cfg, self),
	}
	peers, clock := checkPeers(ctx, cfg, self, wait)
	return append(append(out, peers...), clock)
}

func failed(check, problem, remedy string) Finding {
	return Finding{Check: check, Problem: problem, Remedy: remedy}
}

func warned(check, problem, remedy string) Finding {
	return Finding{Check: check, Problem: problem, Remedy: remedy, Warning: true}
}

// existing returns the lowest directory above path, or path, that is there.
func existing(path string) string {
	for {
		if _, err := os.Stat(path); err == nil || filepath.Dir(path) == path {
			return path
		}
		path = filepath.Dir(path)
	}
}

// checkDir wants a directory that is private, or can be made, and can be written to.
func checkDir(dir string) Finding {
	const check = "directory"
	at := existing(dir)
	info, err := os.Stat(at)
	switch {
	case err != nil:
		return failed(check, err.Error(), "name another --dir")
	case !info.IsDir():
		return failed(check, at+" is no directory", "name another --dir")
	case at == dir && Exposed(info.Mode()):
		return failed(check, fmt.Sprintf("others may look into %s: its mode is %04o", dir, info.Mode().Perm()), fmt.Sprintf("chmod 700 %s", dir))
	}
	f, err := os.CreateTemp(at, ".preflight-")
	if err == nil {
		err = errors.Join(f.Close(), os.Remove(f.Name()))
	}
	if err != nil {
		return failed(check, err.Error(), fmt.Sprintf("let the user of the node write to %s", at))
	}
	if at != dir {
		return Finding{Check: check, Note: "will be made"}
	}
	return Finding{Check: check, Note: "private and writable"}
}

// Exposed reports whether a file of a mode can be read or changed by other users of
// this host, where modes say so.
func Exposed(m fs.FileMode) bool { return runtime.GOOS != "windows" && m.Perm()&0o077 != 0 }

// checkJournal wants a journal that no process has open and that is whole, or none
// in a directory without a store.
func checkJournal(dir string) Finding {
	const check = "journal"
	path := filepath.Join(dir, journalFile)
	_, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if left, _ := filepath.Glob(filepath.Join(dir, storeDir, "*")); len(left) > 0 {
			return failed(check, fmt.Sprintf("%s has the state of a study and not its journal", dir), "bring the journal back, or start the study anew under a new lock")
		}
		return Finding{Check: check, Note: "none yet"}
	case err != nil:
		return failed(check, err.Error(), "let the user of the node read and write it")
	}
	j, err := protocols.OpenJournal(path)
	if err == nil {
		err = j.Close()
	}
	if err != nil {
		return failed(check, err.Error(), "end the other node of this directory; a damaged journal ends the study for this party")
	}
	return Finding{Check: check, Note: "whole, and free"}
}

// used returns the bytes of the files below dir.
func used(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error { // what cannot be read does not count
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				n += info.Size()
			}
		}
		return nil
	})
	return n
}

// checkRoom compares what there is, negative if that is unknown, with what is needed.
func checkRoom(check string, free, need int64, remedy string) Finding {
	gib := func(n int64) string { return fmt.Sprintf("%.2f GiB", float64(max(n, 0))/(1<<30)) }
	switch {
	case free < 0:
		return warned(check, "this system does not say how much is free", fmt.Sprintf("see to it that the study's %s are", gib(need)))
	case free < need:
		return failed(check, fmt.Sprintf("%s free, the study needs about %s", gib(free), gib(need)), remedy)
	}
	return Finding{Check: check, Note: fmt.Sprintf("%s free, about %s needed", gib(free), gib(need))}
}

// checkPort opens the port and closes it again.
func checkPort(cfg Config, self protocols.PartyID) Finding {
	const check = "port"
	address, err := cfg.listen(self)
	switch {
	case err != nil:
		return failed(check, err.Error(), "lock the study with an address of the form HOST:PORT")
	case address == "":
		return Finding{Check: check, Note: "none is needed: this party only dials"}
	}
	l, err := net.Listen("tcp", address)
	if err == nil {
		err = l.Close()
	}
	if err != nil {
		return failed(check, err.Error(), "end the program that has the port, or forward it from another one and give --listen")
	}
	return Finding{Check: check, Note: address + " is free"}
}

// checkPeers asks every party that the node will dial for its status, and compares
// clocks with those that answer.
func checkPeers(ctx context.Context, cfg Config, self protocols.PartyID, wait time.Duration) (peers []Finding, clock Finding) {
	routes, err := transport.NewRoutes(cfg.Lock.Tree(), Peers(cfg.Lock))
	if err != nil {
		return []Finding{failed("peers", err.Error(), "lock the study with addresses for the parents of the tree")}, Finding{Check: "clock"}
	}
	var dialled []transport.Connection
	for _, c := range routes.Connections() {
		if c.Dialer == self {
			dialled = append(dialled, c)
		}
	}
	peers = make([]Finding, len(dialled))
	skews := make([]*time.Duration, len(dialled))
	var wg sync.WaitGroup
	for i, c := range dialled {
		wg.Go(func() { peers[i], skews[i] = checkPeer(ctx, cfg, c, wait) })
	}
	wg.Wait()
	if len(peers) == 0 {
		peers = []Finding{{Check: "peers", Note: "this party dials nobody: the others come to its port"}}
	}
	return peers, checkClock(cfg, time.Now(), skews)
}

// checkPeer asks a peer for its status. skew is how far its clock is ahead, nil if
// that is not known.
func checkPeer(ctx context.Context, cfg Config, c transport.Connection, wait time.Duration) (f Finding, skew *time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	name := cfg.Lock.Parties()[c.Listener].Name
	check := "peer " + name
	dial := cfg.Dial
	if dial == nil {
		dial = func(ctx context.Context, address string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", address)
		}
	}
	conn, err := dial(ctx, c.Address)
	if err != nil {
		return warned(check, err.Error(), "it may not run yet; otherwise look for a firewall, and compare the address"), nil
	}
	_ = conn.Close() // nothing was sent
	before := time.Now()
	s, err := Client{Identity: cfg.Identity, Lock: cfg.Lock, Dial: cfg.Dial}.Status(ctx, c.Listener)
	var refused *transport.PeerError
	switch {
	case errors.As(err, &refused):
		return failed(check, refused.Err.Error(), refused.Remedy()), nil
	case err != nil:
		return failed(check, fmt.Sprintf("what answers at %s does not behave as a node: %v", c.Address, err), "compare the address, and what listens there"), nil
	}
	if !s.Time.IsZero() { // it was read between the question and the answer
		ahead := s.Time.Sub(before.Add(time.Since(before) / 2))
		skew = &ahead
	}
	return Finding{Check: check, Note: fmt.Sprintf("runs at %s, with the key of the lock", c.Address)}, skew
}

// checkClock compares the own clock with documents of the lock, none of which is from
// the future, and with the clocks of peers.
func checkClock(cfg Config, now time.Time, skews []*time.Duration) Finding {
	const check, remedy = "clock", "set the clocks of both hosts, such as with NTP: certificates depend on them"
	for _, p := range cfg.Lock.Parties() {
		if p.Created.Sub(now) > clockSlack {
			return failed(check, fmt.Sprintf("it is %s here, and %s made its identity at %s", now.UTC().Format(time.RFC3339), p.Name, p.Created.UTC().Format(time.RFC3339)), remedy)
		}
	}
	compared := 0
	for _, s := range skews {
		if s == nil {
			continue
		}
		if compared++; s.Abs() > clockSlack {
			return failed(check, fmt.Sprintf("a peer's differs by %s", s.Abs().Round(time.Second)), remedy)
		}
	}
	if compared == 0 {
		return Finding{Check: check, Note: "later than the lock; no peer was asked for its clock, or none answered"}
	}
	return Finding{Check: check, Note: "as those of the peers that answered"}
}
