package identity

import "github.com/nereid-mhe/nereid/protocols"

// Secrets returns what must not print.
func Secrets(id *Identity) []protocols.Seed { return []protocols.Seed{id.signing, id.root} }

// ParseSecret is for the fuzzer: age would keep it from the decoder.
var ParseSecret = parseSecret
