package nats

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/perigee-go/nats/core/internal/fakeserver"
)

// TestServerTextIsPrintable: what a server says ends in errors and logs. It is
// cut off, and cannot play with the terminal of whoever reads it.
func TestServerTextIsPrintable(t *testing.T) {
	long := strings.Repeat("y", 60_000)
	for name, text := range map[string]string{
		"unknown":      "\x1b[2J\x07" + long,
		"known":        "Unknown Protocol Operation \x1b[2J" + long,
		"control line": "Maximum Control Line Exceeded \x1b[2J" + long,
		"refused":      "Authorization Violation \x1b[2J" + long,
		"permission":   "Permissions Violation for Publish to \"\\x1b[2J" + long + "\"",
		"no quotes":    "Permissions Violation for Subscription to \x1b[2J" + long,
		"no UTF-8":     "\xff\xfe\x80" + long,
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var logged bytes.Buffer
				n, s := fakeserver.One()
				nc := connectTo(t, n, "nats://server", Logger(slog.New(slog.NewTextHandler(&logged, nil))), ReconnectBackoff(time.Minute, time.Minute))
				s.Peer().Send("-ERR '" + text + "'\r\n")
				synctest.Wait()
				checkPrintable(t, "LastError", nc.LastError())
				s.Script(func(p *fakeserver.Peer) {
					p.Send("INFO {}\r\n-ERR '" + text + "'\r\n")
				})
				lose(s)
				pass(time.Second)
				for _, srv := range nc.Servers() {
					checkPrintable(t, "Servers", srv.LastErr)
				}
				for line := range strings.Lines(logged.String()) {
					checkPrintable(t, "log", errors.New(strings.TrimSuffix(line, "\n")))
				}
				if logged.Len() == 0 {
					t.Error("nothing was logged")
				}
			})
		})
	}
}

func checkPrintable(t *testing.T, where string, err error) {
	t.Helper()
	if err == nil {
		return
	}
	s := err.Error()
	if len(s) > 3000 {
		t.Errorf("%s: %d bytes: %.200q", where, len(s), s)
	}
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		t.Errorf("%s: %.200q", where, s)
	}
}
