package protocols

import (
	"encoding/binary"

	bolt "go.etcd.io/bbolt"
)

func pieceKey(i int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(i)) }

// putPieces writes pieces of a share, of which the first is number first.
func putPieces(tx *bolt.Tx, point [32]byte, first int, pieces [][]byte) error {
	if len(pieces) == 0 {
		return nil
	}
	b, err := tx.Bucket(bucketPieces).CreateBucketIfNotExists(point[:])
	if err != nil {
		return err
	}
	for i, piece := range pieces {
		if err := b.Put(pieceKey(first+i), piece); err != nil {
			return err
		}
	}
	return nil
}

// getPiece returns a piece of a share, nil if it is not there.
func getPiece(tx *bolt.Tx, point [32]byte, i int) []byte {
	b := tx.Bucket(bucketPieces).Bucket(point[:])
	if b == nil {
		return nil
	}
	return b.Get(pieceKey(i))
}

func dropPieces(tx *bolt.Tx, point [32]byte) error {
	pieces := tx.Bucket(bucketPieces)
	if pieces.Bucket(point[:]) == nil {
		return nil
	}
	return pieces.DeleteBucket(point[:])
}
