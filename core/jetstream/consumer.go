package jetstream

import (
	"context"
	"sync/atomic"
)

// Consumer is a handle of a pull consumer. Safe for concurrent use.
type Consumer struct{ consumerHandle }

// PushConsumer is a handle of a consumer that delivers to a subject. Safe for
// concurrent use.
type PushConsumer struct{ consumerHandle }

// consumerHandle is what both kinds are.
type consumerHandle struct {
	stream *Stream
	name   string
	info   atomic.Pointer[ConsumerInfo] // shared with nobody
}

// handle is that of c, or one of nobody.
func (c *Consumer) handle() *consumerHandle {
	if c == nil {
		return new(consumerHandle)
	}
	return &c.consumerHandle
}

func (c *PushConsumer) handle() *consumerHandle {
	if c == nil {
		return new(consumerHandle)
	}
	return &c.consumerHandle
}

func (h *consumerHandle) refresh(ctx context.Context) (*ConsumerInfo, error) {
	info, err := h.stream.consumerInfo(ctx, h.name)
	if err != nil {
		return nil, err
	}
	h.info.Store(info)
	return info.clone(), nil
}

// Name returns the name of the consumer.
func (c *Consumer) Name() string { return c.handle().name }

// Stream returns a handle of the consumer's stream.
func (c *Consumer) Stream() *Stream { return c.handle().stream }

// CachedInfo is a copy of what was last heard of the consumer; nil for a fresh
// ConsumerHandle.
func (c *Consumer) CachedInfo() *ConsumerInfo { return c.handle().info.Load().clone() }

// Info asks for the consumer and refreshes CachedInfo; ErrConsumerNotFound.
func (c *Consumer) Info(ctx context.Context) (*ConsumerInfo, error) { return c.handle().refresh(ctx) }

// Name returns the name of the consumer.
func (c *PushConsumer) Name() string { return c.handle().name }

// Stream returns a handle of the consumer's stream.
func (c *PushConsumer) Stream() *Stream { return c.handle().stream }

// CachedInfo is a copy of what was last heard of the consumer.
func (c *PushConsumer) CachedInfo() *ConsumerInfo { return c.handle().info.Load().clone() }

// Info asks for the consumer and refreshes CachedInfo; ErrConsumerNotFound.
func (c *PushConsumer) Info(ctx context.Context) (*ConsumerInfo, error) {
	return c.handle().refresh(ctx)
}
