package protocols

import "crypto/sha256"

// A Payload is the body of messages with its SHA-256, which is computed once: for the
// journal, and for all receivers.
type Payload struct {
	body []byte
	hash [32]byte
}

// NewPayload returns b with its hash. It keeps b, which is not changed any more.
func NewPayload(b []byte) Payload { return Payload{b, sha256.Sum256(b)} }

// payloads returns gen with the hash of what it gives.
func payloads(gen func() ([]byte, error)) func() (Payload, error) {
	return func() (Payload, error) {
		b, err := gen()
		if err != nil {
			return Payload{}, err
		}
		return NewPayload(b), nil
	}
}

// Body returns the bytes.
func (p Payload) Body() []byte { return p.body }
