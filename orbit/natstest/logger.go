package natstest

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// fatalLog stands between a server and where its log goes, if anywhere. It is
// always there because an embedded server tells only its log why it could not
// start, and because a Fatalf must not end the test binary.
type fatalLog struct {
	out server.Logger // nil: no log

	mu    sync.Mutex
	fatal error
}

func newLogger(s *settings) *fatalLog {
	switch {
	case s.logger != nil:
		return &fatalLog{out: s.logger}
	case s.logTo != nil:
		return &fatalLog{out: &lineLog{name: s.Name, w: s.logTo}}
	}
	return &fatalLog{}
}

// err is the first thing the server called fatal.
func (l *fatalLog) err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fatal
}

func (l *fatalLog) Fatalf(format string, args ...any) {
	l.mu.Lock()
	if l.fatal == nil {
		l.fatal = fmt.Errorf("%s", fmt.Sprintf(format, args...))
	}
	l.mu.Unlock()
	if l.out != nil {
		l.out.Fatalf(format, args...)
	}
}

func (l *fatalLog) Noticef(format string, args ...any) {
	if l.out != nil {
		l.out.Noticef(format, args...)
	}
}

func (l *fatalLog) Warnf(format string, args ...any) {
	if l.out != nil {
		l.out.Warnf(format, args...)
	}
}

func (l *fatalLog) Errorf(format string, args ...any) {
	if l.out != nil {
		l.out.Errorf(format, args...)
	}
}

func (l *fatalLog) Debugf(format string, args ...any) {
	if l.out != nil {
		l.out.Debugf(format, args...)
	}
}

func (l *fatalLog) Tracef(format string, args ...any) {
	if l.out != nil {
		l.out.Tracef(format, args...)
	}
}

// lineLog writes one line per entry.
type lineLog struct {
	name string
	w    io.Writer
}

func (l *lineLog) line(level, format string, args []any) {
	now, text := time.Now().Format("15:04:05.000000"), fmt.Sprintf(format, args...)
	_, _ = fmt.Fprintf(l.w, "%s [%s] %s: %s\n", now, level, l.name, text) // a log that fails must not break the server
}

// lockedWriter is the promise of LogTo: one Write at a time, also when several
// servers log to the same writer.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

func (l *lineLog) Noticef(format string, args ...any) { l.line("INF", format, args) }
func (l *lineLog) Warnf(format string, args ...any)   { l.line("WRN", format, args) }
func (l *lineLog) Fatalf(format string, args ...any)  { l.line("FTL", format, args) }
func (l *lineLog) Errorf(format string, args ...any)  { l.line("ERR", format, args) }
func (l *lineLog) Debugf(format string, args ...any)  { l.line("DBG", format, args) }
func (l *lineLog) Tracef(format string, args ...any)  { l.line("TRC", format, args) }
