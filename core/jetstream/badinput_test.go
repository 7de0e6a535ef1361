package jetstream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/internal/exported"
	"github.com/perigee-go/nats/core/internal/fakeserver"
	"github.com/perigee-go/nats/core/internal/figure"
)

// The corpus of bad input: what users may hand over by mistake or on purpose,
// each with the error that it must be answered with, before a byte leaves.

// corpus counts its cases. One is a function, a kind of input, and where in it
// the bad part is.
type corpus struct {
	cases map[string]bool
	on    map[string]bool // functions that have cases
}

func newCorpus() *corpus { return &corpus{make(map[string]bool), make(map[string]bool)} }

// add counts a case, once.
func (c *corpus) add(t *testing.T, on, kind string) {
	t.Helper()
	key := on + ": " + kind
	if c.cases[key] {
		t.Errorf("%s is in the corpus twice", key)
	}
	c.cases[key] = true
	c.on[on] = true
}

// expect says what is wrong with an error, or "".
type expect func(err error) string

// is wants a sentinel.
func is(target error) expect {
	return func(err error) string {
		if !errors.Is(err, target) {
			return "is not " + target.Error()
		}
		return ""
	}
}

// all wants everything.
func all(es ...expect) expect {
	return func(err error) string {
		for _, e := range es {
			if p := e(err); p != "" {
				return p
			}
		}
		return ""
	}
}

// says wants words in the text, and a text that fits on a page.
func says(words ...string) expect {
	return func(err error) string {
		for _, w := range words {
			if !strings.Contains(err.Error(), w) {
				return fmt.Sprintf("does not say %q", w)
			}
		}
		if n := len(err.Error()); n > 2000 {
			return fmt.Sprintf("has a text of %d bytes", n)
		}
		return ""
	}
}

// badName wants an error about the name of a stream or a consumer.
func badName(name string) expect { return all(is(ErrInvalidName), says(quote(name))) }

// badSubject wants an error about that subject.
func badSubject(subj string) expect {
	return func(err error) string {
		var e *nats.SubjectError
		if !errors.Is(err, nats.ErrBadSubject) || !errors.As(err, &e) || e.Problem == "" {
			return "is not " + nats.ErrBadSubject.Error()
		}
		return says()(err)
	}
}

// badOption wants an *OptionError of that option.
func badOption(name string) expect {
	return func(err error) string {
		if !errors.Is(err, ErrInvalidOption) {
			return "is not " + ErrInvalidOption.Error()
		}
		for _, e := range tree[*OptionError](err) {
			if e.Option == name && e.Problem != "" {
				return says("option " + name)(err)
			}
		}
		return "names no option " + name
	}
}

// badField wants a *ConfigError of that field.
func badField(name string) expect {
	return func(err error) string {
		if !errors.Is(err, ErrInvalidConfig) {
			return "is not " + ErrInvalidConfig.Error()
		}
		for _, e := range tree[*ConfigError](err) {
			if e.Field == name && e.Problem != "" {
				return says("field " + name)(err)
			}
		}
		return "names no field " + name
	}
}

// tree lists the errors of a type in a tree.
func tree[E error](err error) []E {
	if e, ok := err.(E); ok {
		return []E{e}
	}
	switch u := err.(type) {
	case interface{ Unwrap() error }:
		return tree[E](u.Unwrap())
	case interface{ Unwrap() []error }:
		var out []E
		for _, e := range u.Unwrap() {
			out = append(out, tree[E](e)...)
		}
		return out
	}
	return nil
}

// scene is a handle in a state, for cases that must leave no trace.
type scene struct {
	*JetStream
	t      *testing.T
	c      *corpus // nil: the cases were counted in another state
	srv    *fakeserver.Server
	stream *Stream   // S
	pull   *Consumer // C
	raw    string
	stats  nats.Stats
}

// scenes are the states in which input is refused alike.
var scenes = []struct {
	name string
	opts []nats.Option
	js   []Option
	down bool
}{
	{"connected", nil, nil, false},
	{"connected, with a Tracer", []nats.Option{nats.UseTracer(new(kinds))}, nil, false},
	{"no link", nil, nil, true},
	{"behind a leaf node", nil, []Option{Domain("d"), AutoMsgID(), Pedantic()}, false}, // API levels are not known
}

func newScene(t *testing.T, c *corpus, down bool, opts []nats.Option, js []Option) *scene {
	t.Helper()
	n, s := fakeserver.One()
	s.SetInfo("jetstream", true).SetInfo("api_lvl", 5).SetInfo("max_payload", 1000)
	nc, err := nats.Connect(t.Context(), s.URL(), append([]nats.Option{nats.UseDialer(n), nats.Logger(nil)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	if down {
		s.Hang(true)
		s.Peer().Cut()
		synctest.Wait()
	}
	sc := &scene{t: t, c: c, srv: s}
	if sc.JetStream, err = New(nc, js...); err != nil {
		t.Fatal(err)
	}
	sc.stream = sc.StreamHandle("S")
	sc.pull = sc.stream.ConsumerHandle("C")
	synctest.Wait()
	sc.raw, sc.stats = s.Peer().Raw(), nc.Stats()
	return sc
}

// refuse makes the call of one case: it fails at once and as expected, can be
// tried again, and leaves no byte on the wire and no count in the books.
func (s *scene) refuse(on, kind string, want expect, call func() error) {
	s.t.Helper()
	s.fail(on, kind, all(want, func(err error) string {
		if !nats.SafeToRetry(err) {
			return "is not safe to retry"
		}
		return ""
	}), call)
	if got := s.Conn().Stats(); got != s.stats {
		s.t.Errorf("%s: %s: the books moved: %+v", on, kind, got)
		s.stats = got
	}
}

// fail is refuse for what is counted as a request that was given up.
func (s *scene) fail(on, kind string, want expect, call func() error) {
	s.t.Helper()
	if s.c != nil {
		s.c.add(s.t, on, kind)
	}
	what := on + ": " + kind
	defer func() {
		if r := recover(); r != nil {
			s.t.Errorf("%s: it panics: %v", what, r)
		}
	}()
	start := time.Now()
	err := call()
	if took := time.Since(start); took > 0 {
		s.t.Errorf("%s: it is refused after %v", what, took)
	}
	if err == nil {
		s.t.Errorf("%s: it works", what)
	} else if p := want(err); p != "" {
		s.t.Errorf("%s: the error %s: %.300v", what, p, err)
	}
	synctest.Wait()
	if got := s.srv.Peer().Raw(); got != s.raw {
		s.t.Errorf("%s: bytes left: %q", what, got[len(s.raw):])
		s.raw = got
	}
}

// works checks that the handle is as before.
func (s *scene) works() {
	s.t.Helper()
	s.srv.Hang(false)
	s.srv.On("PUB", func(_ *fakeserver.Peer, o *fakeserver.Op) bool {
		s.srv.Deliver(o.Reply, "", "", `{"stream":"S","seq":1}`)
		return true
	})
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	if _, err := s.Publish(ctx, "after", nil); err != nil {
		s.t.Error(err)
	}
	if n := len(s.srv.Ops("PUB")); n != 1 {
		s.t.Errorf("%d messages were published", n)
	}
	if n := len(s.sessions.all); n != 0 {
		s.t.Errorf("%d sessions are left", n)
	}
}

// TestFigure16BadInput runs the corpus. reliability L1
func TestFigure16BadInput(t *testing.T) {
	c := newCorpus()
	for i, sc := range scenes {
		counted := c
		if i > 0 {
			counted = nil
		}
		t.Run(sc.name, func(t *testing.T) {
			for _, group := range []func(*scene){badNames, badSubjects, badStreams, badConsumers, badOptions, badMessages, badContexts, badHandles} {
				synctest.Test(t, func(t *testing.T) {
					s := newScene(t, counted, sc.down, sc.opts, sc.js)
					group(s)
					s.works()
				})
			}
		})
	}
	t.Run("answers", func(t *testing.T) { badAnswers(t, c) })
	t.Run("complete", func(t *testing.T) { corpusIsComplete(t, c) })
	if t.Failed() {
		return
	}
	if len(c.cases) < 600 {
		t.Errorf("only %d cases", len(c.cases))
	}
	figure.Print(t, 16, "100% of at least 600 in JetStream, no byte of a refused operation on the wire",
		"JetStream: %d of %d cases of bad input to %d functions answered with the right typed error, 0 bytes of them on the wire",
		len(c.cases), len(c.cases), len(c.on))
}

// corpusIsComplete: whatever takes input has cases.
func corpusIsComplete(t *testing.T, c *corpus) {
	// Any input is good for these.
	harmless := map[string]string{
		"NewMsg":                       "any message; a nil function accepts everything",
		"JetStream.StreamHandle":       "what is called on it is refused",
		"Stream.ConsumerHandle":        "likewise",
		"JetStream.APISubject":         "puts a prefix in front of any text",
		"ExpectLastSequence":           "any sequence",
		"ExpectLastSequencePerSubject": "any sequence",
		"RetryAttempts":                "below 0 is no end",
		"NewPubAckFuture":              "any message",
	}
	funcs := exported.Funcs(t, ".")
	for _, f := range funcs {
		_, method, _ := strings.Cut(f.Name, ".")
		// UnmarshalText takes any name: TestNewEnumerationNames.
		if len(f.Params) == 0 || method == "Is" || method == "UnmarshalText" || c.on[f.Name] {
			continue
		}
		if harmless[f.Name] == "" {
			t.Errorf("%s(%s) has no case of bad input", f.Name, strings.Join(f.Params, ", "))
		}
	}
	for name := range c.on {
		if !slices.ContainsFunc(funcs, func(f exported.Func) bool { return f.Name == name }) {
			t.Errorf("there are cases of %s, which is not there", name)
		}
	}
}
