package transport

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/nereid-mhe/nereid/protocols/transport/internal/wire"
)

// cut returns b in buffers of n bytes, as it may come.
func cut(b []byte, n int) (s mem.BufferSlice) {
	for n = max(n, 1); len(b) > n; b = b[n:] {
		s = append(s, mem.SliceBuffer(b[:n]))
	}
	return append(s, mem.SliceBuffer(b))
}

// What the codec writes is protobuf, and it reads whatever is.
func TestCodecIsProtobuf(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bytes := rapid.SliceOfN(rapid.Byte(), 0, 300)
		chunk := &wire.Chunk{
			Id: bytes.Draw(t, "id"), Attempt: rapid.Uint32().Draw(t, "attempt"), Offset: rapid.Uint64().Draw(t, "offset"),
			Early: rapid.Bool().Draw(t, "early"), Data: bytes.Draw(t, "data"),
		}
		frame := &wire.Frame{Kind: &wire.Frame_Chunk{Chunk: chunk}}
		if rapid.Bool().Draw(t, "another kind") {
			frame = &wire.Frame{Kind: &wire.Frame_Have{Have: &wire.Have{Id: chunk.Id}}}
		}
		standard, err := proto.Marshal(frame)
		require.NoError(t, err)
		own, err := newCodec().Marshal(frame)
		require.NoError(t, err)
		var back wire.Frame
		require.NoError(t, proto.Unmarshal(own.Materialize(), &back))
		require.True(t, proto.Equal(frame, &back))

		for _, b := range [][]byte{standard, own.Materialize()} {
			var a arrival
			require.NoError(t, newCodec().Unmarshal(cut(b, rapid.IntRange(1, 400).Draw(t, "buffer")), &a))
			if c := a.frame.GetChunk(); c != nil {
				require.Empty(t, c.Data)
				c.Data = make([]byte, a.size())
				_, _ = a.data.Read(c.Data)
			}
			require.True(t, proto.Equal(frame, a.frame))
			a.release()
			require.Zero(t, a.size())
		}
	})
}

// Bytes that are no frame are refused or read as by protobuf.
func TestCodecDamage(t *testing.T) {
	frame := &wire.Frame{Kind: &wire.Frame_Chunk{Chunk: &wire.Chunk{Id: make([]byte, idSize), Offset: 300, Early: true, Data: make([]byte, 50)}}}
	own, err := newCodec().Marshal(frame)
	require.NoError(t, err)
	whole := own.Materialize()
	for i := range 8 * len(whole) {
		b := append([]byte(nil), whole...)
		b[i/8] ^= 1 << (i % 8)
		var want wire.Frame
		var got arrival
		bad := proto.Unmarshal(b, &want)
		err := newCodec().Unmarshal(cut(b, 7), &got)
		require.Equal(t, bad == nil, err == nil, "bit %d", i)
		if bad != nil {
			continue
		}
		if c := got.frame.GetChunk(); c != nil {
			c.Data = make([]byte, got.size())
			_, _ = got.data.Read(c.Data)
			if len(c.Data) == 0 {
				c.Data = nil
			}
		}
		require.True(t, proto.Equal(&want, got.frame), "bit %d", i)
	}
}
