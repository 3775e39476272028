//go:build !unix

package study

import "time"

// processTime returns 0: the processor time of the process is not known here.
func processTime() time.Duration { return 0 }
