package study

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"time"

	"github.com/nereid-mhe/nereid/mhe"
	"github.com/nereid-mhe/nereid/params"
	"github.com/nereid-mhe/nereid/protocols"
)

// A digest is 32 bytes, in JSON as hexadecimal.
type digest [32]byte

// MarshalText implements [encoding.TextMarshaler].
func (d digest) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%x", d[:]), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (d *digest) UnmarshalText(b []byte) error {
	if len(b) != hex.EncodedLen(len(d)) {
		return fmt.Errorf("a digest of %d characters", len(b))
	}
	_, err := hex.Decode(d[:], b)
	return err
}

// MarshalJSON implements [json.Marshaler].
func (l netLap) MarshalJSON() ([]byte, error) {
	return json.Marshal([]time.Duration{l.local, l.refresh, l.combine, l.reduce})
}

// UnmarshalJSON implements [json.Unmarshaler].
func (l *netLap) UnmarshalJSON(b []byte) error {
	var d [4]time.Duration
	err := json.Unmarshal(b, &d)
	l.local, l.refresh, l.combine, l.reduce = d[0], d[1], d[2], d[3]
	return err
}

// encode writes the checkpoint: header, fields with their lengths in front, and a
// SHA-256 of it all.
func (c *checkpoint) encode(w io.Writer, set params.Set) error {
	h := sha256.New()
	out := bufio.NewWriterSize(io.MultiWriter(w, h), 1<<20)
	field := func(b []byte) {
		_, _ = out.Write(binary.BigEndian.AppendUint64(nil, uint64(len(b)))) // Flush returns errors
		_, _ = out.Write(b)
	}
	_, _ = out.WriteString(checkpointHeader)
	meta, err := json.Marshal(c.checkpointMeta)
	if err != nil {
		return err
	}
	field(meta)
	var secret []byte
	for _, s := range c.seeds {
		b := s.Reveal()
		secret = append(secret, b[:]...)
	}
	field(secret)
	for _, ts := range append(append([][]mhe.Tensor{}, c.state.W...), c.state.V...) {
		for _, t := range ts {
			scale, err := t.Scale().GobEncode()
			if err != nil {
				return err
			}
			share, err := t.Share()
			if err != nil {
				return err
			}
			b, err := mhe.CipherShape(set, t.Level()).Encode(share)
			if err != nil {
				return err
			}
			field(scale)
			field(b)
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	_, err = w.Write(h.Sum(nil))
	return err
}

// decodeCheckpoint reads what encode wrote, but for the state.
func decodeCheckpoint(b []byte) (*checkpoint, error) {
	body, ok := bytes.CutPrefix(b, []byte(checkpointHeader))
	if !ok {
		return nil, errors.New("it is no checkpoint of this version")
	}
	n := len(b) - sha256.Size
	if len(body) < sha256.Size {
		return nil, fmt.Errorf("%w: it is cut short", ErrDamaged)
	}
	if sum := sha256.Sum256(b[:n]); !bytes.Equal(sum[:], b[n:]) {
		return nil, fmt.Errorf("%w: it is cut short or was changed", ErrDamaged)
	}
	meta, body, err := cutField(body[:len(body)-sha256.Size])
	if err != nil {
		return nil, err
	}
	c := &checkpoint{}
	if err := json.Unmarshal(meta, &c.checkpointMeta); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	secret, rest, err := cutField(body)
	if err != nil {
		return nil, err
	}
	for ; len(secret) >= 32; secret = secret[32:] {
		c.seeds = append(c.seeds, protocols.NewSeed([32]byte(secret[:32])))
	}
	c.rest = rest
	return c, nil
}

func cutField(b []byte) (field, rest []byte, err error) {
	if len(b) < 8 {
		return nil, nil, fmt.Errorf("%w: a field is missing", ErrDamaged)
	}
	n := binary.BigEndian.Uint64(b)
	if b = b[8:]; n > uint64(len(b)) {
		return nil, nil, fmt.Errorf("%w: a field of %d bytes, %d are left", ErrDamaged, n, len(b))
	}
	return b[:n], b[n:], nil
}

// readTensors reads ciphertexts of the given levels from the rest of a checkpoint.
func (s *NetworkSimulation) readTensors(c *checkpoint, levels [][]int) ([][]mhe.Tensor, error) {
	out := make([][]mhe.Tensor, len(levels))
	for i, cts := range levels {
		for _, level := range cts {
			if level < 0 || level > s.set.MaxLevel() {
				return nil, fmt.Errorf("%w: a ciphertext of level %d, at most %d is possible", ErrDamaged, level, s.set.MaxLevel())
			}
			scale, rest, err := cutField(c.rest)
			if err != nil {
				return nil, err
			}
			encoded, rest, err := cutField(rest)
			if err != nil {
				return nil, err
			}
			f := new(big.Float)
			if err := f.GobDecode(scale); err != nil || f.Sign() <= 0 || f.IsInf() {
				return nil, fmt.Errorf("%w: the scale of a ciphertext", ErrDamaged)
			}
			share, err := mhe.CipherShape(s.set, level).Decode(encoded)
			if err != nil {
				return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
			}
			out[i] = append(out[i], mhe.NewEncrypted(share[0], share[1], f))
			c.rest = rest
		}
	}
	return out, nil
}

// tensorLevels returns the levels of ciphertexts by parameter.
func tensorLevels(ts [][]mhe.Tensor) [][]int {
	out := make([][]int, len(ts))
	for i := range ts {
		for _, t := range ts[i] {
			out[i] = append(out[i], t.Level())
		}
	}
	return out
}
