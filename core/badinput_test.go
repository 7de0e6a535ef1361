package nats

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perigee-go/nats/core/internal/exported"
	"github.com/perigee-go/nats/core/internal/fakeserver"
	"github.com/perigee-go/nats/core/internal/figure"
)

// The corpus of bad input: what users and servers may hand over by mistake or on
// purpose, each with the error that it must be answered with.

// corpus counts its cases. One is a function, a kind of input, and where in it
// the bad part is.
type corpus struct {
	cases map[string]bool
	on    map[string]bool // functions that have cases
}

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

// says wants words in the text.
func says(words ...string) expect {
	return func(err error) string {
		for _, w := range words {
			if !strings.Contains(err.Error(), w) {
				return fmt.Sprintf("does not say %q", w)
			}
		}
		return ""
	}
}

// badSubject wants a *SubjectError of that subject, with the offset of what is
// wrong in it; -1 is for none.
func badSubject(value string, offset int) expect { return subjectProblem(ErrBadSubject, value, offset) }

func badQueue(value string, offset int) expect { return subjectProblem(ErrBadQueue, value, offset) }

func subjectProblem(target error, value string, offset int) expect {
	return func(err error) string {
		var e *SubjectError
		switch {
		case !errors.Is(err, target) || !errors.As(err, &e):
			return "is not " + target.Error()
		case e.Subject != shorten(value):
			return fmt.Sprintf("is about %q", e.Subject)
		case e.Problem == "":
			return "does not say what the problem is"
		case offset >= 0 && !strings.HasSuffix(e.Problem, fmt.Sprintf(" at offset %d", offset)):
			return fmt.Sprintf("does not say that it is at offset %d", offset)
		}
		return says(fmt.Sprintf("%q", e.Subject))(err)
	}
}

// badHeader wants a *HeaderError.
func badHeader(name string, offset int) expect {
	return func(err error) string {
		var e *HeaderError
		switch {
		case !errors.Is(err, ErrBadHeader) || !errors.As(err, &e):
			return "is not " + ErrBadHeader.Error()
		case e.Name != name:
			return fmt.Sprintf("is about %q", e.Name)
		case e.Problem == "" || offset >= 0 && !strings.HasSuffix(e.Problem, fmt.Sprintf(" at offset %d", offset)):
			return fmt.Sprintf("does not say that it is at offset %d", offset)
		}
		return says(fmt.Sprintf("%q", name))(err)
	}
}

// badOption wants an *OptionError of that option.
func badOption(name string) expect {
	return func(err error) string {
		if !errors.Is(err, ErrInvalidOption) {
			return "is not " + ErrInvalidOption.Error()
		}
		for _, e := range optionErrors(err) {
			if e.Option == name && e.Problem != "" {
				return says("option " + name)(err)
			}
		}
		return "names no option " + name
	}
}

// optionErrors are all of a tree.
func optionErrors(err error) []*OptionError {
	if e, ok := err.(*OptionError); ok {
		return []*OptionError{e}
	}
	switch u := err.(type) {
	case interface{ Unwrap() error }:
		return optionErrors(u.Unwrap())
	case interface{ Unwrap() []error }:
		var out []*OptionError
		for _, e := range u.Unwrap() {
			out = append(out, optionErrors(e)...)
		}
		return out
	}
	return nil
}

// scene is a Conn in a state, for cases that must leave no trace.
type scene struct {
	t      *testing.T
	c      *corpus // nil: the cases were counted in another state
	srv    *fakeserver.Server
	nc     *Conn
	open   *Subscription
	handed *Subscription
	bound  Msg // it arrived, and has a reply subject
	raw    string
	stats  Stats
}

// scenes are the states in which input is refused alike.
var scenes = []struct {
	name string
	opts []Option
	down bool
}{
	{"connected", nil, false},
	{"connected, with a Tracer", []Option{UseTracer(silentTracer{})}, false},
	{"no link", nil, true},
	{"no link, Publish blocks", []Option{WhenDisconnected(DisconnectedBlock)}, true},
}

func newScene(t *testing.T, c *corpus, down bool, opts ...Option) *scene {
	n, s := fakeserver.One()
	s.SetInfo("max_payload", 1000)
	nc := connect(t, n, opts...)
	open, err := nc.SubscribeSync("open")
	must(t, err)
	handed, err := nc.Subscribe("handled", func(Msg) {})
	must(t, err)
	flush(t, nc)
	if down {
		s.Hang(true)
		lose(s)
	}
	sc := &scene{t: t, c: c, srv: s, nc: nc, open: open, handed: handed}
	sc.bound = Msg{Subject: "in", Reply: "reply", origin: &origin{nc: nc}}
	sc.raw, sc.stats = s.Peer().Raw(), nc.Stats()
	return sc
}

// refuse makes the call of one case: it fails as expected, can be tried again,
// and leaves no byte on the wire and no count in the books.
func (s *scene) refuse(on, kind string, want expect, call func() error) {
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
	if got := s.nc.Stats(); got != s.stats {
		s.t.Errorf("%s: the books moved: %+v", what, got)
		s.stats = got
	}
}

// retryable adds to an expectation that trying again does no harm.
func retryable(e expect) expect {
	return all(e, func(err error) string {
		if !SafeToRetry(err) {
			return "is not safe to retry"
		}
		return ""
	})
}

// works checks that the Conn is as before.
func (s *scene) works() {
	s.t.Helper()
	s.srv.Hang(false)
	must(s.t, s.nc.Publish("after", []byte("x")))
	must(s.t, s.nc.Flush(in(s.t, time.Minute)))
	var got []string
	for _, o := range s.srv.Ops("PUB") {
		got = append(got, o.Subject)
	}
	if len(got) != 1 || got[0] != "after" {
		s.t.Errorf("published were %q", got)
	}
}

// TestFigure16BadInput runs the corpus. reliability B11, B12, B13, B14, L1
func TestFigure16BadInput(t *testing.T) {
	c := &corpus{cases: make(map[string]bool), on: make(map[string]bool)}
	for i, sc := range scenes {
		counted := c
		if i > 0 {
			counted = nil
		}
		t.Run(sc.name, func(t *testing.T) {
			for _, group := range []func(*scene){badSubjects, badHeaders, badSizes, badContexts, badArguments} {
				bubble(t, func(t *testing.T) {
					s := newScene(t, counted, sc.down, sc.opts...)
					group(s)
					s.works()
				})
			}
		})
	}
	t.Run("options", func(t *testing.T) { badOptions(t, c) })
	t.Run("combinations", func(t *testing.T) { badCombinations(t, c) })
	t.Run("URLs", func(t *testing.T) { badURLs(t, c) })
	t.Run("credentials", func(t *testing.T) { badCredentials(t, c) })
	t.Run("files of TLS", func(t *testing.T) { badTLSFiles(t, c) })
	t.Run("answers of handlers", func(t *testing.T) { badAnswers(t, c) })
	t.Run("server lines", func(t *testing.T) { badServerLines(t, c) })
	t.Run("complete", func(t *testing.T) { corpusIsComplete(t, c) })
	if t.Failed() {
		return
	}
	if len(c.cases) < 1000 {
		t.Errorf("only %d cases", len(c.cases))
	}
	figure.Print(t, 16, "100% of at least 1,000, no byte of a refused operation on the wire",
		"%d of %d cases of bad input to %d functions answered with the right typed error, 0 bytes of them on the wire",
		len(c.cases), len(c.cases), len(c.on))
}

// corpusIsComplete: whatever takes input has cases.
func corpusIsComplete(t *testing.T, c *corpus) {
	// Any input is good for these.
	harmless := map[string]string{
		"Name": "any text; JSON quotes it", "Logger": "nil is silent", "UseTracer": "nil is none",
		"RetryOnFailedConnect": "a bool", "Compression": "a bool", "PingInterval": "0 and less switch it off",
		"MaxReconnects": "0 is NoReconnect, less is no end", "NewMsg": "checked when it is published",
		"Collect": "any sequence", "SafeToRetry": "any error, nil too", "ServerInfo.AtLeast": "what is no version is not reached",
		"Header.Get": "a name that cannot be there is not there", "Header.Lookup": "likewise", "Header.Values": "likewise",
		"Header.Del": "likewise", "Msg.Equal": "any message", "Msg.Bind": "nil is the same as unbound", "Conn.OnDrain": "nil is none",
		"Auth.Format": "called by fmt",
	}
	for _, f := range exported.Funcs(t, ".") {
		_, method, _ := strings.Cut(f.Name, ".")
		if len(f.Params) == 0 || method == "Is" || c.on[f.Name] {
			continue
		}
		if harmless[f.Name] == "" {
			t.Errorf("%s(%s) has no case of bad input", f.Name, strings.Join(f.Params, ", "))
		}
	}
	for name := range c.on {
		if strings.HasPrefix(name, "server ") {
			continue
		}
		if !slices.ContainsFunc(exported.Funcs(t, "."), func(f exported.Func) bool { return f.Name == name }) {
			t.Errorf("there are cases of %s, which is not there", name)
		}
	}
}
