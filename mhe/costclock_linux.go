package mhe

import (
	"time"

	"golang.org/x/sys/unix"
)

// threadTime returns the processor time of the calling thread: other programs do
// not add to it.
func threadTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		return time.Since(started)
	}
	return time.Duration(t.Nano())
}
