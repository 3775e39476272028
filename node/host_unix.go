//go:build linux || darwin

package node

import "syscall"

// freeDisk returns the bytes that this user may still write where path is, or -1 if
// they are not known.
func freeDisk(path string) int64 {
	var s syscall.Statfs_t
	if err := syscall.Statfs(path, &s); err != nil {
		return -1
	}
	return int64(s.Bavail) * int64(s.Bsize)
}
