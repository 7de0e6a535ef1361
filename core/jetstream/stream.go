package jetstream

import (
	"context"
	"errors"
	"sync/atomic"
)

// Stream is a handle of one stream. Safe for concurrent use.
type Stream struct {
	js   *JetStream
	name string
	info atomic.Pointer[StreamInfo] // shared with nobody
}

// Name returns the name of the stream.
func (s *Stream) Name() string {
	if s == nil {
		return ""
	}
	return s.name
}

// JetStream returns what the handle was made of.
func (s *Stream) JetStream() *JetStream {
	if s == nil {
		return nil
	}
	return s.js
}

// CachedInfo is a copy of what was last heard of the stream; nil for a fresh
// StreamHandle.
func (s *Stream) CachedInfo() *StreamInfo {
	if s == nil {
		return nil
	}
	return s.info.Load().clone()
}

// StreamHandle makes a handle without asking whether there is such a stream.
func (js *JetStream) StreamHandle(name string) *Stream { return &Stream{js: js, name: name} }

func (js *JetStream) streamWith(info *StreamInfo) *Stream {
	s := js.StreamHandle(info.Config.Name)
	s.info.Store(info)
	return s
}

// CreateStream makes a stream. If there is one with the same configuration that
// is it; with another it fails with ErrStreamNameAlreadyInUse.
func (js *JetStream) CreateStream(ctx context.Context, cfg StreamConfig) (*Stream, error) {
	return js.putStream(ctx, "create stream", "STREAM.CREATE.", cfg)
}

// UpdateStream changes a stream to cfg, or fails with ErrStreamNotFound. Fields
// that cannot change have to be as they are.
func (js *JetStream) UpdateStream(ctx context.Context, cfg StreamConfig) (*Stream, error) {
	return js.putStream(ctx, "update stream", "STREAM.UPDATE.", cfg)
}

// CreateOrUpdateStream makes a stream be there, as cfg says.
func (js *JetStream) CreateOrUpdateStream(ctx context.Context, cfg StreamConfig) (*Stream, error) {
	s, err := js.UpdateStream(ctx, cfg)
	if !errors.Is(err, ErrStreamNotFound) {
		return s, err
	}
	s, err = js.CreateStream(ctx, cfg)
	if errors.Is(err, ErrStreamNameAlreadyInUse) { // somebody else made it now
		return js.UpdateStream(ctx, cfg)
	}
	return s, err
}

// streamRequest is a configuration as it is sent.
type streamRequest struct {
	StreamConfig
	Pedantic bool `json:"pedantic,omitempty"`
}

func (js *JetStream) putStream(ctx context.Context, op, subject string, cfg StreamConfig) (*Stream, error) {
	if err := js.ready(ctx); err != nil {
		return nil, err
	}
	c := call{op: op, stream: cfg.Name}
	if err := cfg.check(); err != nil {
		return nil, c.failed(err)
	}
	c.level, c.feature = cfg.level()
	var resp struct {
		StreamInfo
		Created bool `json:"did_create"`
	}
	if err := js.api(ctx, c, subject+cfg.Name, streamRequest{cfg.outgoing(), js.cfg.pedantic}, &resp); err != nil {
		return nil, err
	}
	if resp.Config.Name != cfg.Name {
		return nil, c.failed(ErrInvalidResponse)
	}
	if resp.Created {
		js.sequences.forget(cfg.Name)
	}
	return js.streamWith(&resp.StreamInfo), nil
}

// Stream asks for a stream; ErrStreamNotFound.
func (js *JetStream) Stream(ctx context.Context, name string) (*Stream, error) {
	s := js.StreamHandle(name)
	if _, err := s.Info(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// DeleteStream deletes a stream and its consumers; ErrStreamNotFound.
func (js *JetStream) DeleteStream(ctx context.Context, name string) error {
	c := call{op: "delete stream", stream: name}
	if err := checkStreamName(name); err != nil {
		return c.failed(err)
	}
	err := js.api(ctx, c, "STREAM.DELETE."+name, nil, nil)
	if err == nil {
		js.sequences.forget(name)
	}
	return err
}

// Info asks for the stream and refreshes CachedInfo. With FilterSubject it lists
// the subjects that match, however many pages that takes.
func (s *Stream) Info(ctx context.Context, opts ...StreamInfoOption) (*StreamInfo, error) {
	c := call{op: "info of stream", stream: s.Name()}
	q, err := newStreamQuery(opts)
	if err = errors.Join(err, checkStreamName(s.Name())); err != nil {
		return nil, c.failed(err)
	}
	info, err := s.JetStream().streamInfo(ctx, c, q)
	if err != nil {
		return nil, err
	}
	s.info.Store(info)
	return info.clone(), nil
}
