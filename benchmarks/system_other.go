//go:build !(linux || darwin || freebsd)

package main

import "time"

// cpuTime reports that the system does not tell.
func cpuTime() (time.Duration, bool) { return 0, false }

// syncDisks does nothing: the system has no such call.
func syncDisks() {}
