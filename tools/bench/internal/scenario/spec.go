// Package scenario holds what is measured: the scenarios, their names, and how
// one run of one of them drives a client.
package scenario

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/perigee-go/nats/tools/bench/internal/wire"
)

// Group says which table and chart a scenario belongs to.
type Group string

// The groups.
const (
	Publish Group = "publish"
	Receive Group = "receive"
	Request Group = "request" // and end to end
	Other   Group = "other"   // latency, fairness, memory, many subscriptions
)

// Groups are all of them in the order of a report.
var Groups = []Group{Publish, Receive, Request, Other}

// Spec is a scenario, read from its name.
type Spec struct {
	Name  string
	Kind  string
	TLS   bool   // over TLS, to a real server
	Size  int    // bytes of payload
	Width int    // goroutines, subscriptions, concurrent requests or connections
	Frame string // what is received: msg, hdr, hdrread, js
}

// kind is a family of scenarios.
type kind struct {
	group  Group
	form   string // what follows the name, as in SIZE/gWIDTH
	tls    bool   // has a variant over TLS, with -tls after its name
	server bool   // measured through a real server
	run    func(*run) error
	text   string // with {size}, {width} and {frame} in it
}

// kinds is filled by init, because the run functions lead back to it.
var kinds map[string]kind

func init() {
	kinds = map[string]kind{
		"pub":         {Publish, "SIZE/gN", true, false, runPublish, "publish {size}, {width}"},
		"pubhdr":      {Publish, "SIZE/gN", true, false, runPublish, "publish {size} with a header built per message, {width}"},
		"pubhdrready": {Publish, "SIZE/gN", true, false, runPublish, "publish {size} with a ready header, {width}"},
		"pubmany":     {Publish, "SIZE/gN", true, false, runPublish, "publish {size} to 1,000 subjects, {width}"},
		"cb":          {Receive, "SIZE/sN/FRAME", true, false, runReceive, "callback {size}, {width}{frame}"},
		"sync":        {Receive, "SIZE/sN/FRAME", true, false, runReceive, "next message {size}, {width}{frame}"},
		"chan":        {Receive, "SIZE/sN/FRAME", true, false, runReceive, "channel {size}, {width}{frame}"},
		"req":         {Request, "SIZE/cN", true, true, runRequest, "request {size}, {width}"},
		"echo":        {Request, "SIZE/cN", true, true, runRequest, "request {size}, {width}, answered by the same client"},
		"e2e":         {Request, "SIZE", true, true, runEndToEnd, "publish to subscription {size} over a server"},
		"jspub":       {Request, "SIZE/cN", false, true, runStore, "store {size} and wait for the receipt, {width}"},
		"jsasync":     {Request, "SIZE/wN", false, true, runStore, "store {size}, {width}"},
		"e2elat":      {Request, "SIZE", true, true, runLatency, "latency at 10,000 messages a second, {size}"},
		"fair":        {Other, "SIZE/sN", false, true, runFair, "latency while 1 of 16 callbacks is blocked"},
		"retain":      {Other, "SIZE/sN/FRAME", false, false, runReceive, "keep every 100th payload of {size}"},
		"block":       {Other, "N", false, false, runReceive, "{width} whose callbacks block for 10 ms"},
		"resub":       {Other, "N", false, false, runResubscribe, "{width}, made again after a reconnect"},
		"idle":        {Other, "N", false, true, runIdle, "{width}, idle"},
		"stall":       {Other, "SIZE/gN", false, false, runStall, "publish {size}, {width}, to a peer that stalls for 1 s"},
	}
}

// units are what Width counts, by the letter of the form.
var units = map[string][2]string{
	"g": {"goroutine", "goroutines"}, "s": {"subscription", "subscriptions"}, "c": {"in flight", "in flight"}, "w": {"receipt outstanding", "receipts outstanding"},
	"block": {"subscription", "subscriptions"}, "resub": {"subscription", "subscriptions"}, "idle": {"connection", "connections"},
}

// frames are the words for Frame.
var frames = map[string]string{
	wire.KindMsg: "", wire.KindHdr: ", header not read", FrameHdrRead: ", header read", wire.KindJS: ", JetStream-like",
}

// FrameHdrRead is messages with a header that the callback reads.
const FrameHdrRead = "hdrread"

// Parse reads a name such as pub/128/g1.
func Parse(name string) (Spec, error) {
	parts := strings.Split(name, "/")
	s := Spec{Name: name, Width: 1, Frame: wire.KindMsg}
	s.Kind, s.TLS = strings.CutSuffix(parts[0], "-tls")
	k, ok := kinds[s.Kind]
	if !ok || s.TLS && !k.tls {
		return Spec{}, fmt.Errorf("scenario %q: there is no %s", name, parts[0])
	}
	form := strings.Split(k.form, "/")
	if len(parts)-1 != len(form) {
		return Spec{}, fmt.Errorf("scenario %q: the form is %s/%s", name, parts[0], k.form)
	}
	for i, f := range form {
		if err := s.set(f, parts[i+1]); err != nil {
			return Spec{}, fmt.Errorf("scenario %q: %w", name, err)
		}
	}
	return s, nil
}

func (s *Spec) set(field, text string) (err error) {
	switch field {
	case "SIZE":
		s.Size, err = number(text, 0)
	case "FRAME":
		if _, ok := frames[text]; !ok {
			return fmt.Errorf("%q is none of msg, hdr, hdrread, js", text)
		}
		s.Frame = text
	default:
		letter := strings.TrimSuffix(field, "N")
		rest, ok := strings.CutPrefix(text, letter)
		if !ok {
			return fmt.Errorf("%q does not begin with %q", text, letter)
		}
		s.Width, err = number(rest, 1)
	}
	return err
}

func number(text string, least int) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < least {
		return 0, fmt.Errorf("%q is not a number from %d on", text, least)
	}
	return n, nil
}

// Group returns the group of the scenario.
func (s Spec) Group() Group { return kinds[s.Kind].group }

// NeedsServer reports whether a real server takes part. Then the server works on
// the same cores, and the client's CPU time says more than the wall clock.
func (s Spec) NeedsServer() bool { return s.TLS || kinds[s.Kind].server }

// NeedsStreams reports whether that server needs JetStream.
func (s Spec) NeedsStreams() bool { return s.Kind == "jspub" || s.Kind == "jsasync" }

// String describes the scenario in words.
func (s Spec) String() string {
	k := kinds[s.Kind]
	unit := units[s.Kind]
	if i := strings.Index(k.form, "N"); i > 0 {
		unit = units[k.form[i-1:i]]
	}
	width := Thousands(s.Width) + " " + unit[1]
	if s.Width == 1 {
		width = "1 " + unit[0]
	}
	text := strings.NewReplacer("{size}", sizeText(s.Size), "{width}", width, "{frame}", frames[s.Frame]).Replace(k.text)
	if s.TLS {
		text += ", TLS"
	}
	return text
}

func sizeText(n int) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	default:
		return fmt.Sprintf("%d B", n)
	}
}

// Thousands writes a number with commas.
func Thousands(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
