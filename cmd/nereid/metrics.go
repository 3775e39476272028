package main

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"
)

// metricsAddress returns the address of --metrics: a port alone is one of loopback.
func metricsAddress(flag string) (string, error) {
	host, port, err := net.SplitHostPort(flag)
	if err != nil {
		host, port = "", flag
	}
	if _, bad := strconv.ParseUint(port, 10, 16); bad != nil {
		return "", usageError("give a port, such as 9100, or HOST:PORT for another interface than loopback", "--metrics %s", flag)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port), nil
}

// serveMetrics serves h on an address until the returned function is called.
func serveMetrics(address string, h http.Handler, log *slog.Logger) (stop func() error, err error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, &failure{exitUsage, err, "give --metrics a port that is free"}
	}
	log.Info("metrics", "address", l.Addr().String())
	s := &http.Server{Handler: h, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	return func() error {
		err := s.Close()
		if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
		return err
	}, nil
}
