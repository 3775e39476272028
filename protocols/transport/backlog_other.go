//go:build !linux && !darwin

package transport

import "net"

func limitBacklog(net.Conn) {}
