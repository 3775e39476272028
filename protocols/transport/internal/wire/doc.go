// Package wire is the wire format of package transport, generated from
// wire.proto.
package wire

//go:generate go tool -modfile=../../../../.ci/proto/go.mod buf generate
