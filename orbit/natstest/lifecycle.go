package natstest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// readyTimeout bounds how long a server may take until it listens. It takes
// milliseconds; the bound is for machines that are busy with something else.
const readyTimeout = 20 * time.Second

// Shutdown ends the server in good order and returns when it is gone. The store
// and the address are kept for Restart. It does nothing if the server is down.
func (s *Server) Shutdown() {
	s.take()
	defer s.give()
	s.shutdown()
}

// Kill ends the server as abruptly as an embedded server can be: clients are
// cut off without a word and without what was still queued for them. It returns
// when the server is gone; store and address are kept for Restart. The store is
// still closed in order, and the leader of a clustered stream steps down, as the
// server offers no way around that: kill -9 is what Process is for. It does
// nothing if the server is down.
func (s *Server) Kill() {
	s.take()
	defer s.give()
	if srv := s.Embedded(); srv != nil && srv.Running() {
		disconnect(srv, nil)
	}
	s.shutdown()
}

// Restart starts the server again with the same name, addresses and store,
// after a Shutdown if it is running. It returns when the server takes
// connections. A failure is also reported through t.Errorf if the server is
// from Run, so that a test may ignore the error. It fails after Stop.
func (s *Server) Restart() error {
	s.take()
	defer s.give()
	err := s.restart()
	if err != nil {
		err = fmt.Errorf("natstest: start server: %w", err)
		s.fail(err)
	}
	return err
}

// LameDuck puts the server into lame duck mode and returns at once: it accepts
// no more connections, tells its clients, closes them one by one in the time
// that the LameDuck option gave, and is then down. The channel is closed when
// it is gone. If the server is down it is closed already.
func (s *Server) LameDuck() <-chan struct{} {
	s.take()
	defer s.give()
	srv := s.Embedded()
	if s.ldmDone == nil {
		s.ldmDone = make(chan struct{})
		go func(done chan struct{}) {
			defer close(done)
			srv.LameDuckShutdown()
			srv.Shutdown() // a server without a listener ignored the line above
			srv.WaitForShutdown()
		}(s.ldmDone)
	}
	return s.ldmDone
}

// Stop ends the server for good, as Shutdown does, gives up its address and
// removes what was temporary. It may be called more than once, and Run calls it.
func (s *Server) Stop() {
	s.take()
	defer s.give()
	if s.stopped {
		return
	}
	s.stopped = true
	if s.set.operator != nil {
		s.set.operator.unregister(s)
	}
	s.shutdown()
	if err := s.res.release(); err != nil {
		s.fail(fmt.Errorf("natstest: stop: %w", err))
	}
}

func (s *Server) take() { s.turn <- struct{}{} }
func (s *Server) give() { <-s.turn }

// fail reports err to the test, if there is one.
func (s *Server) fail(err error) {
	if s.t != nil {
		s.t.Helper()
		s.t.Error(err)
	}
}

// shutdown needs the turn.
func (s *Server) shutdown() {
	srv := s.Embedded()
	if srv == nil {
		return
	}
	srv.Shutdown()
	srv.WaitForShutdown()
	if s.ldmDone != nil {
		<-s.ldmDone
	}
}

// restart needs the turn.
func (s *Server) restart() error {
	if s.stopped {
		return ErrStopped
	}
	s.shutdown()
	s.set.refreshTrust()
	srv, o, err := launchPatiently(s.set)
	if err != nil {
		return err
	}
	s.ldmDone = nil
	s.setLife(newLife(srv, o))
	return nil
}

// launchPatiently is launch for a server whose ports are leased. When this
// process starts another one, that has copies of all sockets for a moment,
// between fork and exec; and a listener that is closed in that moment still
// listens.
func launchPatiently(set *settings) (*server.Server, *server.Options, error) {
	ctx, cancel := context.WithTimeout(context.Background(), forkTimeout)
	defer cancel()
	var srv *server.Server
	var o *server.Options
	var err error
	_ = poll(ctx, func() bool {
		srv, o, err = launch(set)
		return err == nil || set.Port > 0 || !strings.Contains(err.Error(), syscall.EADDRINUSE.Error())
	})
	return srv, o, err
}

const forkTimeout = time.Second

// launch starts a server and waits until it listens.
func launch(set *settings) (*server.Server, *server.Options, error) {
	o, err := set.serverOptions()
	if err != nil {
		return nil, nil, err
	}
	resolver, err := set.newResolver()
	if err != nil {
		return nil, nil, err
	}
	if resolver != nil {
		o.AccountResolver = resolver
	}
	srv, err := server.NewServer(o)
	if err != nil {
		if resolver != nil {
			resolver.Close()
		}
		return nil, nil, err
	}
	log := newLogger(set)
	srv.SetLoggerV2(log, o.Debug, o.Trace, false)
	srv.Start()
	err = log.err()
	if err == nil && !srv.ReadyForConnections(readyTimeout) {
		err = errors.Join(fmt.Errorf("not ready after %v", readyTimeout), log.err())
	}
	if err != nil {
		srv.Shutdown()
		srv.WaitForShutdown()
		return nil, nil, fmt.Errorf("%s: %w", srv.Name(), err)
	}
	return srv, o, nil
}
