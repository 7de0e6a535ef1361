package jetstream

import (
	"context"
	"errors"
	"time"
)

// ConsumerHandle makes a handle without asking whether there is such a consumer.
// It is enough to pull, for users who may do nothing else.
func (s *Stream) ConsumerHandle(name string) *Consumer {
	return &Consumer{consumerHandle{stream: s, name: name}}
}

// actions of a request to create a consumer.
const (
	createOrUpdate = ""
	onlyCreate     = "create"
	onlyUpdate     = "update"
)

// consumerRequest is a configuration as it is sent.
type consumerRequest struct {
	Stream   string         `json:"stream_name"`
	Config   ConsumerConfig `json:"config"`
	Action   string         `json:"action,omitempty"`
	Pedantic bool           `json:"pedantic,omitempty"`
}

// CreateConsumer makes a pull consumer. If there is one of that name with the
// same configuration that is it; with another it fails with ErrConsumerExists.
func (s *Stream) CreateConsumer(ctx context.Context, cfg ConsumerConfig) (*Consumer, error) {
	return s.putPull(ctx, "create consumer", onlyCreate, cfg)
}

// UpdateConsumer changes a pull consumer, or fails with ErrConsumerDoesNotExist.
// Fields that cannot change have to be as they are.
func (s *Stream) UpdateConsumer(ctx context.Context, cfg ConsumerConfig) (*Consumer, error) {
	return s.putPull(ctx, "update consumer", onlyUpdate, cfg)
}

// CreateOrUpdateConsumer makes a pull consumer be there, as cfg says.
func (s *Stream) CreateOrUpdateConsumer(ctx context.Context, cfg ConsumerConfig) (*Consumer, error) {
	return s.putPull(ctx, "create or update consumer", createOrUpdate, cfg)
}

func (s *Stream) putPull(ctx context.Context, op, action string, cfg ConsumerConfig) (*Consumer, error) {
	if cfg.DeliverSubject != "" {
		return nil, call{op: op, stream: s.Name(), consumer: cfg.name()}.failed(both{ErrNotPullConsumer, &ConfigError{"DeliverSubject", "makes it a push consumer"}})
	}
	info, err := s.putConsumer(ctx, op, action, cfg)
	if err != nil {
		return nil, err
	}
	c := s.ConsumerHandle(info.Name)
	c.info.Store(info)
	return c, nil
}

// CreatePushConsumer is CreateConsumer for one with a DeliverSubject.
func (s *Stream) CreatePushConsumer(ctx context.Context, cfg ConsumerConfig) (*PushConsumer, error) {
	return s.putPush(ctx, "create push consumer", onlyCreate, cfg)
}

// UpdatePushConsumer is UpdateConsumer for one with a DeliverSubject.
func (s *Stream) UpdatePushConsumer(ctx context.Context, cfg ConsumerConfig) (*PushConsumer, error) {
	return s.putPush(ctx, "update push consumer", onlyUpdate, cfg)
}

// CreateOrUpdatePushConsumer is CreateOrUpdateConsumer for one with a
// DeliverSubject.
func (s *Stream) CreateOrUpdatePushConsumer(ctx context.Context, cfg ConsumerConfig) (*PushConsumer, error) {
	return s.putPush(ctx, "create or update push consumer", createOrUpdate, cfg)
}

func (s *Stream) putPush(ctx context.Context, op, action string, cfg ConsumerConfig) (*PushConsumer, error) {
	if cfg.DeliverSubject == "" {
		return nil, call{op: op, stream: s.Name(), consumer: cfg.name()}.failed(both{ErrNotPushConsumer, &ConfigError{"DeliverSubject", "is empty"}})
	}
	info, err := s.putConsumer(ctx, op, action, cfg)
	if err != nil {
		return nil, err
	}
	return s.pushWith(info), nil
}

func (s *Stream) pushWith(info *ConsumerInfo) *PushConsumer {
	c := &PushConsumer{consumerHandle{stream: s, name: info.Name}}
	c.info.Store(info)
	return c
}

func (s *Stream) putConsumer(ctx context.Context, op, action string, cfg ConsumerConfig) (*ConsumerInfo, error) {
	c := call{op: op, stream: s.Name(), consumer: cfg.name()}
	if err := s.JetStream().ready(ctx); err != nil {
		return nil, err
	}
	err := errors.Join(checkStreamName(s.Name()), cfg.check())
	if action == onlyUpdate && c.consumer == "" {
		err = errors.Join(err, &ConfigError{"Name", nameProblem("")})
	}
	if err != nil {
		return nil, c.failed(err)
	}
	// A name of our own makes asking again harmless when an answer is lost.
	if c.consumer == "" {
		cfg.Name = s.JetStream().newID()
		c.consumer = cfg.Name
	} else if cfg.Name == "" {
		cfg.Name = cfg.Durable
	}
	c.level, c.feature = cfg.level()
	var info ConsumerInfo
	req := consumerRequest{s.Name(), cfg, action, s.JetStream().cfg.pedantic}
	if err := s.JetStream().api(ctx, c, "CONSUMER.CREATE."+s.Name()+"."+c.consumer+cfg.filterToken(), req, &info); err != nil {
		return nil, err
	}
	if info.Name != c.consumer || len(info.Config.FilterSubjects) != len(cfg.FilterSubjects) {
		return nil, c.failed(ErrInvalidResponse) // servers before 2.10 know one filter only
	}
	return &info, nil
}

// Consumer asks for a pull consumer: ErrConsumerNotFound, ErrNotPullConsumer.
func (s *Stream) Consumer(ctx context.Context, name string) (*Consumer, error) {
	c := s.ConsumerHandle(name)
	info, err := c.Info(ctx)
	if err != nil {
		return nil, err
	}
	if info.Config.DeliverSubject != "" {
		return nil, call{op: "get consumer", stream: s.Name(), consumer: name}.failed(ErrNotPullConsumer)
	}
	return c, nil
}

// PushConsumer asks for a push consumer: ErrConsumerNotFound, ErrNotPushConsumer.
func (s *Stream) PushConsumer(ctx context.Context, name string) (*PushConsumer, error) {
	info, err := s.consumerInfo(ctx, name)
	if err != nil {
		return nil, err
	}
	if info.Config.DeliverSubject == "" {
		return nil, call{op: "get consumer", stream: s.Name(), consumer: name}.failed(ErrNotPushConsumer)
	}
	return s.pushWith(info), nil
}

// consumerCall checks the names and makes a request of a consumer.
func (s *Stream) consumerCall(ctx context.Context, c call, subject string, req, resp any) error {
	c.stream = s.Name()
	if err := errors.Join(checkStreamName(s.Name()), checkConsumerName(c.consumer)); err != nil {
		return c.failed(err)
	}
	return s.JetStream().api(ctx, c, subject+s.Name()+"."+c.consumer, req, resp)
}

func (s *Stream) consumerInfo(ctx context.Context, name string) (*ConsumerInfo, error) {
	var info ConsumerInfo
	c := call{op: "info of consumer", stream: s.Name(), consumer: name}
	if err := s.consumerCall(ctx, c, "CONSUMER.INFO.", nil, &info); err != nil {
		return nil, err
	}
	if info.Name != name {
		return nil, c.failed(ErrInvalidResponse)
	}
	return &info, nil
}

// DeleteConsumer deletes a consumer of either kind; ErrConsumerNotFound.
func (s *Stream) DeleteConsumer(ctx context.Context, name string) error {
	return s.consumerCall(ctx, call{op: "delete consumer", consumer: name}, "CONSUMER.DELETE.", nil, nil)
}

// PauseConsumer stops delivery until a point in time. Server 2.11.
func (s *Stream) PauseConsumer(ctx context.Context, name string, until time.Time) (PauseState, error) {
	return s.pause(ctx, call{op: "pause consumer", consumer: name}, until)
}

// ResumeConsumer ends a pause. Server 2.11.
func (s *Stream) ResumeConsumer(ctx context.Context, name string) (PauseState, error) {
	return s.pause(ctx, call{op: "resume consumer", consumer: name}, time.Time{})
}

func (s *Stream) pause(ctx context.Context, c call, until time.Time) (state PauseState, err error) {
	c.level, c.feature = 1, "a pause"
	req := struct {
		Until time.Time `json:"pause_until,omitzero"`
	}{until}
	err = s.consumerCall(ctx, c, "CONSUMER.PAUSE.", req, &state)
	return state, err
}

// ResetConsumer lets a consumer deliver again from seq on, or with 0 from the
// first message that is not acknowledged. Server 2.14. It answers nothing if
// there is no such consumer: the error is that of ctx then.
func (s *Stream) ResetConsumer(ctx context.Context, name string, seq uint64) (*ConsumerInfo, error) {
	req := struct {
		Seq uint64 `json:"seq,omitempty"`
	}{seq}
	var info ConsumerInfo
	c := call{op: "reset consumer", consumer: name, level: 4, feature: "a reset"}
	if err := s.consumerCall(ctx, c, "CONSUMER.RESET.", req, &info); err != nil {
		return nil, err
	}
	return &info, nil
}

// UnpinConsumer takes the pin of a priority group from its client. Server 2.11.
func (s *Stream) UnpinConsumer(ctx context.Context, name, group string) error {
	req := struct {
		Group string `json:"group"`
	}{group}
	c := call{op: "unpin consumer", stream: s.Name(), consumer: name, level: 1, feature: "a priority group"}
	if !groupName.MatchString(group) {
		return c.failed(&OptionError{"group", groupProblem})
	}
	return s.consumerCall(ctx, c, "CONSUMER.UNPIN.", req, nil)
}

// CreateConsumer is that of the stream's handle.
func (js *JetStream) CreateConsumer(ctx context.Context, stream string, cfg ConsumerConfig) (*Consumer, error) {
	return js.StreamHandle(stream).CreateConsumer(ctx, cfg)
}

// UpdateConsumer is that of the stream's handle.
func (js *JetStream) UpdateConsumer(ctx context.Context, stream string, cfg ConsumerConfig) (*Consumer, error) {
	return js.StreamHandle(stream).UpdateConsumer(ctx, cfg)
}

// CreateOrUpdateConsumer is that of the stream's handle.
func (js *JetStream) CreateOrUpdateConsumer(ctx context.Context, stream string, cfg ConsumerConfig) (*Consumer, error) {
	return js.StreamHandle(stream).CreateOrUpdateConsumer(ctx, cfg)
}

// Consumer is that of the stream's handle.
func (js *JetStream) Consumer(ctx context.Context, stream, name string) (*Consumer, error) {
	return js.StreamHandle(stream).Consumer(ctx, name)
}

// PushConsumer is that of the stream's handle.
func (js *JetStream) PushConsumer(ctx context.Context, stream, name string) (*PushConsumer, error) {
	return js.StreamHandle(stream).PushConsumer(ctx, name)
}

// DeleteConsumer is that of the stream's handle.
func (js *JetStream) DeleteConsumer(ctx context.Context, stream, name string) error {
	return js.StreamHandle(stream).DeleteConsumer(ctx, name)
}
