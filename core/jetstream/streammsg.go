package jetstream

import (
	"context"
	"errors"
	"strconv"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/internal/subject"
)

// RawStreamMsg is a stored message that was read without a consumer.
type RawStreamMsg struct {
	Subject  string
	Sequence uint64
	Header   nats.Header // as it was published
	Data     []byte
	Time     time.Time
	Pending  uint64 // in an answer to a batched direct get: how many follow
}

// Purge removes the messages of the stream, or those that the options leave, and
// returns how many that were.
func (s *Stream) Purge(ctx context.Context, opts ...PurgeOption) (purged uint64, err error) {
	c := call{op: "purge stream", stream: s.Name()}
	q, err := newStreamQuery(opts)
	if q.below > 0 && q.keep > 0 {
		err = errors.Join(err, &OptionError{"PurgeBelow", "not together with PurgeKeep"})
	}
	if err = errors.Join(err, checkStreamName(s.Name())); err != nil {
		return 0, c.failed(err)
	}
	req := struct {
		Filter string `json:"filter,omitempty"`
		Seq    uint64 `json:"seq,omitempty"`
		Keep   uint64 `json:"keep,omitempty"`
	}{q.subject, q.below, q.keep}
	var resp struct {
		Purged uint64 `json:"purged"`
	}
	err = s.JetStream().api(ctx, c, "STREAM.PURGE."+s.Name(), req, &resp)
	return resp.Purged, err
}

// DeleteMsg removes a message; its bytes may stay on the disk for a while.
func (s *Stream) DeleteMsg(ctx context.Context, seq uint64) error {
	return s.deleteMsg(ctx, "delete message", seq, true)
}

// SecureDeleteMsg removes a message and overwrites it with random bytes, which
// takes the server longer.
func (s *Stream) SecureDeleteMsg(ctx context.Context, seq uint64) error {
	return s.deleteMsg(ctx, "erase message", seq, false)
}

func (s *Stream) deleteMsg(ctx context.Context, op string, seq uint64, noErase bool) error {
	c := call{op: op + " " + strconv.FormatUint(seq, 10) + " of stream", stream: s.Name()}
	err := checkStreamName(s.Name())
	if seq == 0 {
		err = errors.Join(err, &OptionError{"seq", "is 0"})
	}
	if err != nil {
		return c.failed(err)
	}
	req := struct {
		Seq     uint64 `json:"seq"`
		NoErase bool   `json:"no_erase,omitempty"`
	}{seq, noErase}
	return s.JetStream().api(ctx, c, "STREAM.MSG.DELETE."+s.Name(), req, nil)
}

// msgQuery is the request for a stored message, of both ways to get one.
type msgQuery struct {
	Seq     uint64    `json:"seq,omitempty"`
	LastFor string    `json:"last_by_subj,omitempty"`
	NextFor string    `json:"next_by_subj,omitempty"`
	Start   time.Time `json:"start_time,omitzero"`
}

// GetMsg reads the message seq, or with FilterSubject the first one from seq on
// that matches, or with StartTime the first one that is not older; ErrMsgNotFound.
//
// If the stream is known to have AllowDirect, any of its replicas may answer,
// which is faster and may be a little behind: FromLeader asks the one that is
// not. A StreamHandle does not know until Info was called.
func (s *Stream) GetMsg(ctx context.Context, seq uint64, opts ...GetMsgOption) (RawStreamMsg, error) {
	c := call{op: "get message " + strconv.FormatUint(seq, 10) + " of stream", stream: s.Name()}
	q, err := newStreamQuery(opts)
	switch {
	case seq > 0 && !q.start.IsZero():
		err = errors.Join(err, &OptionError{"StartTime", "the sequence must be 0"})
	case seq == 0 && q.start.IsZero() && q.subject == "":
		err = errors.Join(err, &OptionError{"GetMsg", "sequence 0 needs FilterSubject or StartTime"})
	}
	return s.getMsg(ctx, c, err, msgQuery{Seq: seq, NextFor: q.subject, Start: q.start}, q.fromLeader)
}

// GetLastMsgForSubject reads the newest message of a subject, which may have
// wildcards; ErrMsgNotFound. See GetMsg.
func (s *Stream) GetLastMsgForSubject(ctx context.Context, subj string, opts ...GetMsgOption) (RawStreamMsg, error) {
	c := call{op: "get last message of " + quote(subj) + " of stream", stream: s.Name()}
	q, err := newStreamQuery(opts)
	if p := subject.CheckSubscribe(subj); p != "" {
		err = errors.Join(err, &nats.SubjectError{Subject: subj, Problem: p})
	}
	if q.subject != "" || !q.start.IsZero() {
		err = errors.Join(err, &OptionError{"GetLastMsgForSubject", "FilterSubject and StartTime are for GetMsg"})
	}
	return s.getMsg(ctx, c, err, msgQuery{LastFor: subj}, q.fromLeader)
}

func (s *Stream) getMsg(ctx context.Context, c call, err error, q msgQuery, fromLeader bool) (RawStreamMsg, error) {
	if err := s.JetStream().ready(ctx); err != nil {
		return RawStreamMsg{}, err
	}
	if err = errors.Join(err, checkStreamName(s.Name())); err != nil {
		return RawStreamMsg{}, c.failed(err)
	}
	ctx, cancel := s.JetStream().bound(ctx)
	defer cancel()
	if info := s.info.Load(); !fromLeader && info != nil && info.Config.AllowDirect {
		m, err := s.getDirect(ctx, c, q)
		if !errors.Is(err, nats.ErrNoResponders) { // AllowDirect was turned off
			return m, c.failed(err)
		}
	}
	m, err := s.getFromLeader(ctx, c, q)
	return m, c.failed(err)
}

func (s *Stream) getDirect(ctx context.Context, c call, q msgQuery) (RawStreamMsg, error) {
	name := "DIRECT.GET." + s.Name()
	var body any = q
	if q.LastFor != "" && subject.CheckPublish(q.LastFor) == "" {
		// Permissions can be given for subjects then.
		name, body = name+"."+q.LastFor, nil
	}
	m, err := s.JetStream().ask(ctx, c, name, body)
	if err != nil {
		return RawStreamMsg{}, err
	}
	return DecodeStreamMsg(m)
}

func (s *Stream) getFromLeader(ctx context.Context, c call, q msgQuery) (RawStreamMsg, error) {
	m, err := s.JetStream().ask(ctx, c, "STREAM.MSG.GET."+s.Name(), q)
	if err != nil {
		return RawStreamMsg{}, err
	}
	var resp struct {
		Message *struct {
			Subject string    `json:"subject"`
			Seq     uint64    `json:"seq"`
			Header  []byte    `json:"hdrs"`
			Data    []byte    `json:"data"`
			Time    time.Time `json:"time"`
		} `json:"message"`
	}
	if err := DecodeResponse(m, &resp); err != nil {
		return RawStreamMsg{}, err
	}
	if resp.Message == nil {
		return RawStreamMsg{}, ErrInvalidResponse
	}
	stored := resp.Message
	raw := RawStreamMsg{Subject: stored.Subject, Sequence: stored.Seq, Data: stored.Data, Time: stored.Time}
	if err := raw.Header.UnmarshalText(stored.Header); err != nil {
		return RawStreamMsg{}, both{ErrInvalidResponse, err}
	}
	return raw, nil
}

// directFields are what the server puts behind the header of a message in an
// answer to a direct get, and batchFields behind those in a batch.
var (
	directFields = []string{StreamHeader, SubjectHeader, SequenceHeader, TimeStampHeader}
	batchFields  = []string{NumPendingHeader, LastSequenceHeader}
)

// DecodeStreamMsg reads an answer to a direct get: ErrMsgNotFound, other statuses
// as *APIError, and ErrNoMessages for the end of a batch.
//
// The server puts its fields behind those that the message was stored with,
// which may have the same names if it was republished. So the last ones count,
// and a message that has them is data, whatever its first line says.
func DecodeStreamMsg(m nats.Msg) (RawStreamMsg, error) {
	fields := make([]string, 0, 32)
	for name, value := range m.Header.All() {
		fields = append(fields, name, value)
	}
	raw := RawStreamMsg{Data: m.Data}
	fields, batch := cutFields(fields, batchFields)
	if batch != nil {
		raw.Pending, _ = strconv.ParseUint(batch[0], 10, 64)
	}
	fields, direct := cutFields(fields, directFields)
	if direct == nil {
		return RawStreamMsg{}, directStatus(m)
	}
	var err, err2 error
	raw.Subject = direct[1]
	raw.Sequence, err = strconv.ParseUint(direct[2], 10, 64)
	raw.Time, err2 = parseTime(direct[3])
	if err = errors.Join(err, err2); err != nil {
		return RawStreamMsg{}, both{ErrInvalidResponse, err}
	}
	if raw.Header, err = nats.NewHeader(fields...); err != nil {
		return RawStreamMsg{}, both{ErrInvalidResponse, err}
	}
	return raw, nil
}

// cutFields takes the values of fields with these names off the end; nil if
// there are others.
func cutFields(fields, names []string) (rest, values []string) {
	start := len(fields) - 2*len(names)
	if start < 0 {
		return fields, nil
	}
	values = make([]string, len(names))
	for i, name := range names {
		if fields[start+2*i] != name {
			return fields, nil
		}
		values[i] = fields[start+2*i+1]
	}
	return fields[:start], values
}

func directStatus(m nats.Msg) error {
	switch code, _ := m.InlineStatus(); code {
	case 0:
		return ErrInvalidResponse
	case 204:
		return ErrNoMessages
	case 404:
		return &APIError{Code: 404, ErrorCode: ErrMsgNotFound}
	}
	return statusError(m)
}

// parseTime reads the time of a stored message, which old servers wrote as Go
// prints one.
func parseTime(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err == nil {
		return t, nil
	}
	if t, e := time.Parse("2006-01-02 15:04:05.999999999 -0700 MST", s); e == nil {
		return t.UTC(), nil
	}
	return time.Time{}, err
}
