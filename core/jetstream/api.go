package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"

	nats "github.com/perigee-go/nats/core"
)

var (
	errNilContext = &OptionError{"ctx", "is nil"}
	errNoHandle   = &OptionError{"handle", "is nil, or was not made by New"}
	errNobody     = fmt.Errorf("%w, or there is no such domain or prefix", ErrJetStreamNotEnabled)
)

// call is what an API request is about: for its error and its trace, and the
// API level that it needs.
type call struct {
	op               string
	stream, consumer string
	level            int
	feature          string // that needs the level
}

func (c call) failed(err error) error {
	op := c.op
	if c.consumer != "" {
		op += " " + quote(c.consumer) + " of stream"
	}
	return opError(err, op, c.stream)
}

// Request is the door to what has no method of its own. It sends req to
// APISubject(subject) and decodes the answer into resp. A req of nil is an empty
// request, []byte is sent as it is, all else as JSON; a resp of nil is for
// answers that can only fail, *[]byte takes the answer as it is. An error in
// the answer is an *APIError. A ctx without a deadline gets DefaultTimeout.
//
// Servers do not answer at all on subjects that they do not know.
func (js *JetStream) Request(ctx context.Context, subject string, req, resp any, opts ...RequestOption) error {
	var cfg requestConfig
	err := applyOptions(opts, func(o RequestOption) (name, problem string) {
		if o, ok := o.(requestOption); ok {
			return o.name, o.apply(&cfg)
		}
		return nilOption, ""
	})
	c := call{op: "request " + quote(subject), level: cfg.level, feature: "the request"}
	if err := errors.Join(err, checkTarget(resp)); err != nil {
		return c.failed(err)
	}
	return js.api(ctx, c, subject, req, resp)
}

// api makes a request, of a server that can do it.
func (js *JetStream) api(ctx context.Context, c call, subject string, req, resp any) error {
	if err := js.ready(ctx); err != nil {
		return err
	}
	ctx, cancel := js.bound(ctx)
	defer cancel()
	if err := js.requireLevel(ctx, c.level, c.feature); err != nil {
		return c.failed(err)
	}
	m, err := js.ask(ctx, c, subject, req)
	if err == nil {
		err = DecodeResponse(m, resp)
	}
	return c.failed(err)
}

// ready fails for what no call can work with.
func (js *JetStream) ready(ctx context.Context) error {
	switch {
	case js == nil || js.nc == nil:
		return errNoHandle
	case ctx == nil:
		return errNilContext
	}
	return nil
}

// ask sends a request and returns the answer.
func (js *JetStream) ask(ctx context.Context, c call, subject string, req any) (nats.Msg, error) {
	m := nats.Msg{Subject: js.APISubject(subject)}
	switch req := req.(type) {
	case nil:
	case []byte:
		m.Data = req
	default:
		data, err := json.Marshal(req)
		if err != nil {
			return nats.Msg{}, err
		}
		m.Data = data
	}
	if c.level > 0 {
		m.Header.Set(RequiredAPILevelHeader, strconv.Itoa(c.level))
	}
	reply, err := js.roundTrip(ctx, nats.OpAPI, c, m)
	if errors.Is(err, nats.ErrNoResponders) {
		err = both{errNobody, err}
	}
	return reply, err
}

// roundTrip is a request that the Tracer hears of.
func (js *JetStream) roundTrip(ctx context.Context, kind nats.OperationKind, c call, m nats.Msg) (nats.Msg, error) {
	tracer := js.nc.Tracer()
	if tracer == nil {
		return js.nc.RequestMsg(ctx, m)
	}
	op := &nats.Operation{
		Kind: kind, Conn: js.nc, Subject: m.Subject, Stream: c.stream, Consumer: c.consumer, Header: &m.Header, Size: m.Size(), Count: 1,
	}
	ctx = tracer.Start(ctx, op)
	reply, err := js.nc.RequestMsg(ctx, m)
	tracer.End(ctx, op, err)
	return reply, err
}

// checkTarget complains of what nothing can be decoded into.
func checkTarget(resp any) error {
	if v := reflect.ValueOf(resp); resp != nil && (v.Kind() != reflect.Pointer || v.IsNil()) {
		return &OptionError{"resp", "is no pointer, or a nil one"}
	}
	return nil
}

// DecodeResponse does with an answer of the API what Request does: an error in
// it is an *APIError, all else is decoded into resp.
func DecodeResponse(m nats.Msg, resp any) error {
	if err := checkTarget(resp); err != nil {
		return err
	}
	if err := statusError(m); err != nil {
		return err
	}
	var envelope struct {
		Error *APIError `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &envelope); err != nil {
		return both{ErrInvalidResponse, err}
	}
	if envelope.Error != nil {
		return envelope.Error
	}
	switch resp := resp.(type) {
	case nil:
	case *[]byte:
		*resp = m.Data
	default:
		if err := json.Unmarshal(m.Data, resp); err != nil {
			return both{ErrInvalidResponse, err}
		}
	}
	return nil
}

// statusError is the error in the status line of an answer without data.
func statusError(m nats.Msg) error {
	code, text := m.InlineStatus()
	switch {
	case code == 0 || len(m.Data) > 0:
		return nil
	case code == 503:
		return &nats.NoRespondersError{Subject: m.Header.Get(SubjectHeader)}
	case code == 412:
		return &APIError{Code: code, ErrorCode: ErrRequiredAPILevel, Description: text}
	}
	return &APIError{Code: code, Description: text}
}

// sawLevel remembers an API level that a server told.
func (js *JetStream) sawLevel(level int) {
	for {
		known := js.level.Load()
		if int64(level) <= known || js.level.CompareAndSwap(known, int64(level)) {
			return
		}
	}
}

// requireLevel fails with *APILevelError if the servers are too old for
// feature. Servers before 2.12 ignore the header that says what is required,
// and fields that they do not know, so they are asked first, once.
func (js *JetStream) requireLevel(ctx context.Context, level int, feature string) error {
	if level <= int(js.level.Load()) || level <= js.hintedLevel() {
		return nil
	}
	info, err := js.AccountInfo(ctx)
	if err != nil {
		return err
	}
	if info.API.Level < level {
		return &APILevelError{Feature: feature, Required: level, Server: info.API.Level}
	}
	return nil
}

// hintedLevel is what the connected server says of itself. Another server of its
// cluster may answer, and will look at the header; one behind a leaf node may be
// much older.
func (js *JetStream) hintedLevel() int {
	info := js.nc.ServerInfo()
	if !info.JetStream || js.cfg.prefix != defaultPrefix {
		return 0
	}
	return info.APILevel
}
