package natstest

import (
	"errors"
	"fmt"

	"github.com/nats-io/nats-server/v2/server"
)

// Reload is [Server.Reconfigure] with [Config]: it replaces the configuration
// given before with this text.
func (s *Server) Reload(config string) error { return s.Reconfigure(Config(config)) }

// Reconfigure lays further options on top of those the server has and makes the
// running server take them over: other [Users], another [Config] (under the
// other options, as always), other limits. When it returns they are in effect:
// clients that may no longer connect are disconnected, others have their new
// permissions. Later starts use them, too.
//
// It returns the server's error if something cannot change while the server
// runs, as listeners cannot; the old options then stay. The error wraps ErrDown
// if the server is down.
func (s *Server) Reconfigure(opts ...Option) error {
	if err := s.reconfigure(opts); err != nil {
		return fmt.Errorf("natstest: reconfigure server %s: %w", s.Name(), err)
	}
	return nil
}

// Reconfigure lays further options on top of those the server has and makes the
// running server take them over, as Server.Reconfigure does. Logger and
// ServerOptions are refused, and LogTo has an effect on later starts only.
func (p *Process) Reconfigure(opts ...Option) error {
	if err := p.reconfigure(opts); err != nil {
		return fmt.Errorf("natstest: reconfigure server process %s: %w", p.Name(), err)
	}
	return nil
}

// Reconfigure does to all servers what Server.Reconfigure does to one. Servers
// that are down have the options when they start again. If one server refuses
// them, others may have them nevertheless.
func (g *group[N]) Reconfigure(opts ...Option) error {
	err := g.each(func(n N) error {
		err := n.reconfigure(opts)
		if errors.Is(err, ErrDown) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("server %s: %w", n.Name(), err)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("natstest: reconfigure cluster %s: %w", g.name, err)
	}
	return nil
}

// reconfigure keeps the options also when it returns ErrDown.
func (s *Server) reconfigure(opts []Option) error {
	s.take()
	defer s.give()
	set := s.set.with(opts)
	if err := set.err(); err != nil {
		return err
	}
	srv := s.Embedded()
	if !srv.Running() {
		s.set = set
		return ErrDown
	}
	set.refreshTrust()
	if err := reload(srv, set); err != nil {
		return err
	}
	s.set = set
	return nil
}

func (s *Server) learn(account string) error {
	s.take()
	defer s.give()
	srv := s.Embedded()
	if srv == nil || !srv.Running() {
		return nil // the next start does
	}
	s.set.refreshTrust()
	return s.set.learn(srv, account)
}

func (p *Process) reconfigure(opts []Option) error {
	p.take()
	defer p.give()
	set := p.set.with(opts)
	set.complainIfCode()
	if err := set.err(); err != nil {
		return err
	}
	c := p.child()
	if !c.alive() {
		p.set = set
		return ErrDown
	}
	set.refreshTrust()
	if err := c.reload(set, ""); err != nil {
		return err
	}
	p.set = set
	return nil
}

func (p *Process) learn(account string) error {
	p.take()
	defer p.give()
	c := p.child()
	if c == nil || !c.alive() {
		return nil // the next start does
	}
	p.set.refreshTrust()
	return c.reload(p.set, account)
}

// reload makes a running server take over what has changed in its settings.
func reload(srv *server.Server, set *settings) error {
	o, err := set.serverOptions()
	if err != nil {
		return err
	}
	if err := set.setNextResolver(o, srv); err != nil {
		return err
	}
	debug, trace := o.Debug, o.Trace
	if err := srv.ReloadOptions(o); err != nil {
		return err
	}
	// With NoLog set the server leaves the logger and its levels alone.
	srv.SetLoggerV2(newLogger(set), debug, trace, false)
	return nil
}

// setNextResolver sets the resolver for a server that goes on: another one in
// memory, but the same full one, which others use at the same time.
func (s *settings) setNextResolver(o *server.Options, srv *server.Server) (err error) {
	switch {
	case s.Trust == nil: // what the configuration says
	case s.FullResolver:
		o.AccountResolver = srv.AccountResolver()
	default:
		o.AccountResolver, err = s.newResolver()
	}
	return err
}
