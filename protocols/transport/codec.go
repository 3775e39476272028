package transport

import (
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	pb "google.golang.org/protobuf/proto"

	"github.com/nereid-mhe/nereid/protocols/transport/internal/wire"
)

// A codec is gRPC's for protobuf. It writes and reads the same bytes, but nearly all
// bytes of a link are data of chunks, and these it does not copy: on the way out they
// are the message's own, and an [arrival] leaves them where gRPC put them.
type codec struct{ encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2(proto.Name)} }

// An arrival is a frame as it comes. Data of a chunk are apart, and not in the frame.
type arrival struct {
	frame *wire.Frame
	data  *mem.Reader // nil if the frame is no chunk
}

// size returns the number of bytes of data that are left.
func (a *arrival) size() int {
	if a.data == nil {
		return 0
	}
	return a.data.Remaining()
}

// release gives the buffers back.
func (a *arrival) release() {
	if a.data != nil {
		_ = a.data.Close() // never fails
		a.data = nil
	}
}

// Numbers of fields in wire.proto.
const (
	fieldChunk = 5 // of a Frame
	fieldData  = 4 // of a Chunk
)

// Marshal implements [encoding.CodecV2].
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	f, ok := v.(*wire.Frame)
	data := f.GetChunk().GetData()
	if !ok || len(data) == 0 {
		return c.CodecV2.Marshal(v)
	}
	chunk := f.GetChunk()
	head, err := pb.Marshal(&wire.Chunk{Id: chunk.Id, Attempt: chunk.Attempt, Offset: chunk.Offset, Early: chunk.Early})
	if err != nil {
		return nil, err
	}
	head = protowire.AppendTag(head, fieldData, protowire.BytesType)
	head = protowire.AppendVarint(head, uint64(len(data)))
	b := protowire.AppendTag(nil, fieldChunk, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(len(head)+len(data)))
	return mem.BufferSlice{mem.SliceBuffer(append(b, head...)), mem.SliceBuffer(data)}, nil
}

// Unmarshal implements [encoding.CodecV2].
func (c codec) Unmarshal(b mem.BufferSlice, v any) error {
	a, ok := v.(*arrival)
	if !ok {
		return c.CodecV2.Unmarshal(b, v)
	}
	r := b.Reader()
	if chunk := cutChunk(r); chunk != nil {
		*a = arrival{&wire.Frame{Kind: &wire.Frame_Chunk{Chunk: chunk}}, r}
		return nil
	}
	_ = r.Close() // never fails
	*a = arrival{frame: &wire.Frame{}}
	if err := c.CodecV2.Unmarshal(b, a.frame); err != nil {
		return err
	}
	if chunk := a.frame.GetChunk(); chunk != nil {
		a.data = mem.BufferSlice{mem.SliceBuffer(chunk.Data)}.Reader()
		chunk.Data = nil
	}
	return nil
}

// maxChunkHead is more than the bytes of a chunk without its data.
const maxChunkHead = 128

// cutChunk takes the head of a chunk off the front of a frame and leaves the data. It
// returns nil, and takes nothing, unless the frame is a chunk that ends with its data,
// as [codec.Marshal] and most other encoders make it.
func cutChunk(r *mem.Reader) *wire.Chunk {
	parts, err := r.Peek(min(maxChunkHead, r.Remaining()), nil)
	if err != nil {
		return nil
	}
	var head []byte
	for _, p := range parts {
		head = append(head, p...)
	}
	number, kind, tag := protowire.ConsumeTag(head)
	size, n := protowire.ConsumeVarint(head[max(tag, 0):])
	if tag < 0 || n < 0 || number != fieldChunk || kind != protowire.BytesType || size != uint64(r.Remaining()-tag-n) {
		return nil
	}
	start := tag + n
	for at := start; ; {
		number, kind, tag := protowire.ConsumeTag(head[at:])
		if tag < 0 {
			return nil
		}
		if number != fieldData || kind != protowire.BytesType {
			n := protowire.ConsumeFieldValue(number, kind, head[at+tag:])
			if n < 0 {
				return nil
			}
			at += tag + n
			continue
		}
		size, n := protowire.ConsumeVarint(head[at+tag:])
		var chunk wire.Chunk
		if n < 0 || size != uint64(r.Remaining()-at-tag-n) || pb.Unmarshal(head[start:at], &chunk) != nil {
			return nil
		}
		_, _ = r.Discard(at + tag + n) // there is as much
		return &chunk
	}
}
