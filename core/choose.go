package nats

import (
	"errors"
	"time"

	"github.com/perigee-go/nats/core/internal/reconnect"
)

// ReconnectToServer is asked before each attempt to reconnect for the server to
// try, one of pool, and the wait before; last is the INFO of the last link. An
// empty url leaves the choice, and the wait, to the Conn. A url that is not in
// the pool is told by ConnectFailed, with Attempt 0, and then the usual choice is
// made. Reconnect ends a wait.
//
// f may block, use the Conn, and close it. MaxReconnects holds: a round ends when
// a server is chosen that had its turn.
func ReconnectToServer(f func(pool []Server, last ServerInfo) (url string, wait time.Duration)) Option {
	return connOption{"ReconnectToServer", func(c *config) string {
		c.choose = f
		return needFunc(f == nil)
	}}
}

var errNotInPool = errors.New("ReconnectToServer chose a server that is not in the pool")

// choose asks the user for the next server. It reports false if the usual choice
// is to be made.
func (nc *Conn) choose() (reconnect.Action, bool) {
	nc.mu.Lock()
	searching := nc.machine.Searching()
	nc.mu.Unlock()
	if !searching {
		return reconnect.Action{}, false
	}
	srv, wait, ok := nc.ask(nil)
	nc.mu.Lock()
	wait = max(wait, nc.machine.Rest(nc.now())-nc.now())
	nc.mu.Unlock()
	if nc.ctx.Err() != nil || ok && !nc.pause(wait) {
		return reconnect.Action{Kind: reconnect.Wait}, true // which ends at once
	}
	if !ok {
		return reconnect.Action{}, false
	}
	nc.mu.Lock()
	defer nc.mu.Unlock()
	return nc.machine.Choose(nc.now(), srv), true
}

// ask asks the user. It reports false if there is no choice, or an illegal one,
// and when until is closed first: then the answer is passed over.
func (nc *Conn) ask(until <-chan struct{}) (srv *reconnect.Server, wait time.Duration, ok bool) {
	type choice struct {
		url  string
		wait time.Duration
	}
	answer := make(chan choice, 1)
	pool, last := nc.Servers(), nc.ServerInfo()
	go func() { // user code, which may close the Conn, and so waits for us
		url, wait := nc.cfg.choose(pool, last)
		answer <- choice{url, wait}
	}()
	var c choice
	select {
	case c = <-answer:
	case <-until:
	case <-nc.ctx.Done():
	}
	if c.url == "" {
		return nil, 0, false
	}
	srv, shown := nc.member(c.url)
	if srv == nil {
		nc.emit(ConnectFailed{Server{URL: shown}, 0, errNotInPool})
		return nil, 0, false
	}
	return srv, c.wait, true
}

// member finds a server by its URL, and returns how to show that without secrets.
func (nc *Conn) member(url string) (srv *reconnect.Server, shown string) {
	parsed, err := reconnect.ParseURLs(url)
	if err != nil || len(parsed) != 1 {
		return nil, "an illegal URL"
	}
	nc.mu.Lock()
	defer nc.mu.Unlock()
	return nc.machine.Pool().Find(parsed[0]), parsed[0].URL()
}

// pause waits, unless Reconnect ends it. It reports false when the Conn closes.
func (nc *Conn) pause(d time.Duration) bool {
	if d <= 0 {
		return nc.ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-nc.poke:
	case <-nc.ctx.Done():
		return false
	}
	return true
}
