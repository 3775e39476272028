package node

import (
	"os"
	"strconv"
	"strings"
)

// freeMemory returns the bytes that a process may still take: what Linux says, or
// the limit of the control group if that is less. It is -1 on other systems.
func freeMemory() int64 {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return -1
	}
	free := available(string(b))
	if b, err := os.ReadFile("/sys/fs/cgroup/memory.max"); err == nil {
		if limit, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil { // or it is "max"
			free = min(free, limit)
		}
	}
	return free
}

// available finds the memory that is available in the text of /proc/meminfo.
func available(meminfo string) int64 {
	for line := range strings.Lines(meminfo) {
		f := strings.Fields(line)
		if len(f) == 3 && f[0] == "MemAvailable:" && f[2] == "kB" {
			if n, err := strconv.ParseInt(f[1], 10, 64); err == nil {
				return n << 10
			}
		}
	}
	return -1
}
