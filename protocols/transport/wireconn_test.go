package transport

import (
	"crypto/ed25519"
	"crypto/tls"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// batched returns a TLS connection that writes in batches, and the other end of it.
func batched(t *testing.T) (*batchedConn, *tls.Conn) {
	_, key, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	own, err := certificate(t, key, "site")()
	require.NoError(t, err)
	a, b := net.Pipe()
	wired := newWireConn(a, &traffic{})
	client := tls.Client(wired, &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true})
	server := tls.Server(b, &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{*own}, SessionTicketsDisabled: true})
	done := make(chan error)
	go func() { done <- server.Handshake() }()
	require.NoError(t, client.Handshake())
	require.NoError(t, <-done)
	return &batchedConn{client, wired}, server
}

// The records of a write arrive, in order, and in one write on the wire if they are few.
func TestBatches(t *testing.T) {
	conn, peer := batched(t)
	sent := conn.wire.count.Load().out.Load()
	for _, size := range []int{1, 20_000, maxBatch, 3 * maxBatch} {
		body := randomBody(1, size)
		written := make(chan error)
		go func() {
			_, err := conn.Write(body)
			written <- err
		}()
		got := make([]byte, size)
		_, err := io.ReadFull(peer, got)
		require.NoError(t, err)
		require.Equal(t, body, got)
		require.NoError(t, <-written)
	}
	require.Greater(t, conn.wire.count.Load().out.Load()-sent, int64(4*maxBatch+20_001))
	require.Empty(t, conn.wire.held)
	require.NoError(t, peer.NetConn().Close())
	_, err := conn.Write([]byte("after the end"))
	require.Error(t, err)
	_, again := conn.Write([]byte("again"))
	require.Error(t, again)
	require.NoError(t, conn.wire.Conn.Close())
}

// A peer that takes nothing does not keep a connection from being closed.
func TestCloseDoesNotWaitForABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, peer := batched(t)
		defer peer.NetConn().Close()
		written := make(chan error, 1)
		go func() {
			_, err := conn.Write(make([]byte, 64<<10))
			written <- err
		}()
		synctest.Wait() // the write waits for the peer
		start := time.Now()
		_ = conn.Close()
		require.Zero(t, time.Since(start))
		require.Error(t, <-written)
	})
}
