package main

import (
	"os"
	"runtime/pprof"
)

func init() {
	if p := os.Getenv("NETPROF"); p != "" {
		f, _ := os.Create(p)
		_ = pprof.StartCPUProfile(f)
	}
}
func stopProf() { pprof.StopCPUProfile() }
