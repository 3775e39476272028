package transport

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/nereid-mhe/nereid/protocols"
	"github.com/nereid-mhe/nereid/protocols/transport/internal/wire"
)

// A parcel is a body that is sent in parts after its size and digest.
type parcel struct {
	size   uint64
	digest []byte
}

// receive returns the body, whose parts next returns. Memory grows with what
// arrives.
func (p parcel) receive(maxBody int, next func() ([]byte, error)) ([]byte, error) {
	if p.size > uint64(maxBody) {
		return nil, fmt.Errorf("%w: a body of %d bytes, want at most %d", ErrTooBig, p.size, maxBody)
	}
	var body []byte
	for uint64(len(body)) < p.size {
		part, err := next()
		switch {
		case err != nil:
			return nil, err
		case len(part) == 0 || uint64(len(body)+len(part)) > p.size:
			return nil, fmt.Errorf("%w: a part of %d bytes", ErrMalformed, len(part))
		}
		body = append(body, part...)
	}
	if sum := sha256.Sum256(body); string(sum[:]) != string(p.digest) {
		return nil, fmt.Errorf("%w: a body with another digest", ErrForged)
	}
	return body, nil
}

// checkStudy reports that a caller means another study.
func (e *Endpoint) checkStudy(study []byte) error {
	if len(study) != len(protocols.StudyID{}) {
		return fmt.Errorf("%w: a study of %d bytes", ErrMalformed, len(study))
	}
	if id := protocols.StudyID(study); id != e.cfg.Study {
		return fmt.Errorf("%w: %v, not %v", ErrStudy, id, e.cfg.Study)
	}
	return nil
}

// Status implements the service.
func (s *service) Status(ctx context.Context, r *wire.StatusRequest) (*wire.StatusResponse, error) {
	info, err := callerOf(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.e.checkStudy(r.GetStudy()); err != nil {
		return nil, s.e.refusal(info.caller, err)
	}
	if s.e.cfg.Status == nil {
		return nil, status.Error(codes.Unimplemented, "this party has no status")
	}
	return &wire.StatusResponse{Report: s.e.cfg.Status()}, nil
}

// querySlots holds the keys whose query is being served: one at a time each, which
// bounds the memory for queries.
type querySlots struct {
	mu   sync.Mutex
	busy map[string]bool
}

func (q *querySlots) enter(key string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.busy[key] {
		return false
	}
	if q.busy == nil {
		q.busy = map[string]bool{}
	}
	q.busy[key] = true
	return true
}

func (q *querySlots) leave(key string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.busy, key)
}

// Query implements the service.
func (s *service) Query(stream grpc.BidiStreamingServer[wire.QueryRequest, wire.QueryResponse]) error {
	info, err := callerOf(stream.Context())
	switch {
	case err != nil:
		return err
	case s.e.cfg.Query == nil:
		return status.Error(codes.Unimplemented, "this party answers no queries")
	case !s.e.queries.enter(string(info.Key)):
		return status.Error(codes.Unavailable, "another query of this key is not answered yet")
	}
	defer s.e.queries.leave(string(info.Key))
	request, err := s.e.request(stream)
	if isRefusal(err) {
		return s.e.refusal(info.caller, err)
	}
	if err != nil {
		return err
	}
	answer, err := s.e.cfg.Query(stream.Context(), info.Key, request)
	switch {
	case errors.Is(err, context.Canceled):
		return status.Error(codes.Unavailable, "this party is stopping")
	case err != nil:
		return status.Error(codes.FailedPrecondition, err.Error())
	}
	return reply(stream, answer)
}

// request receives a query.
func (e *Endpoint) request(stream grpc.BidiStreamingServer[wire.QueryRequest, wire.QueryResponse]) ([]byte, error) {
	first, err := stream.Recv()
	if err != nil {
		return nil, err
	}
	opening := first.GetOpening()
	if opening == nil {
		return nil, fmt.Errorf("%w: no opening", ErrMalformed)
	}
	if err := e.checkStudy(opening.GetStudy()); err != nil {
		return nil, err
	}
	return parcel{opening.GetSize(), opening.GetDigest()}.receive(e.cfg.MaxBody, func() ([]byte, error) {
		part, err := stream.Recv()
		return part.GetData(), err
	})
}

// reply sends an answer.
func reply(stream grpc.BidiStreamingServer[wire.QueryRequest, wire.QueryResponse], answer []byte) error {
	digest := sha256.Sum256(answer)
	opening := &wire.QueryResponse_Opening{Size: uint64(len(answer)), Digest: digest[:]}
	if err := stream.Send(&wire.QueryResponse{Part: &wire.QueryResponse_Opening_{Opening: opening}}); err != nil {
		return err
	}
	for part := range slices.Chunk(answer, maxChunk) {
		if err := stream.Send(&wire.QueryResponse{Part: &wire.QueryResponse_Data{Data: part}}); err != nil {
			return err
		}
	}
	return nil
}
