//go:build !linux

package mhe

import "time"

// threadTime returns the time that has passed, where there is no clock of a thread.
func threadTime() time.Duration { return time.Since(started) }
