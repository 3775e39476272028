package protocols

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
)

// checkMetas checks the two meta pages of a bbolt file. They take turns: the newer one
// is the last transaction. Where it is damaged bbolt goes on with the one before, and a
// binding whose share has left may have been in the last. Sectors are written whole, so
// that no crash leaves half a page.
func checkMetas(f io.ReaderAt, pageSize int) error {
	const (
		header = 16 // of a page
		size   = 64 // of what is in it, the checksum in the last 8 bytes and the transaction before
	)
	var tx [2]uint64
	for i := range tx {
		var b [size]byte
		if _, err := f.ReadAt(b[:], int64(i*pageSize+header)); err != nil {
			return err
		}
		h := fnv.New64a()
		_, _ = h.Write(b[:size-8]) // never fails
		if h.Sum64() != binary.NativeEndian.Uint64(b[size-8:]) {
			return &CorruptError{"the whole journal", fmt.Errorf("meta page %d does not match its checksum: the last transaction may be missing", i)}
		}
		tx[i] = binary.NativeEndian.Uint64(b[size-16:])
	}
	if tx[0]+1 != tx[1] && tx[1]+1 != tx[0] {
		return &CorruptError{"the whole journal", errors.New("its meta pages do not follow each other: a transaction is missing")}
	}
	return nil
}
