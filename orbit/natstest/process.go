package natstest

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Process is a NATS server in a process of its own, for what cannot be done to
// an embedded one: kill -9, and stopping it in its tracks. It keeps its address,
// its name and its store from the first start until Stop. All methods are safe
// for concurrent use; those that start and stop the server take turns.
//
// The process is this program's own binary, started once more: the init
// function of this package sees an environment variable that only
// StartProcess sets, runs the server and exits, so that neither main nor any
// test runs in it. Nothing has to be installed or called for this. Inits of
// packages that this package depends on run as always, those of others do not.
// The process ends when this one does, however that happens.
type Process struct {
	certificates
	t testing.TB // nil if nobody but the caller stops it

	// turn holds one token: who starts or stops the process has it. What stands
	// below is the holder's.
	turn    chan struct{}
	set     *settings
	res     *resources
	stopped bool

	mu  sync.Mutex
	now *child // the latest, maybe dead
}

// exitTimeout bounds an orderly shutdown; a process that takes longer is killed.
const exitTimeout = 20 * time.Second

// RunProcess starts a server in a process of its own and stops it when the test
// and its subtests are done. It returns when the server takes connections and
// calls t.Fatal if that fails, so it must be called from the test's goroutine.
// The options Logger and ServerOptions are refused: they are code of this
// process. LogTo gets the standard error of the process.
func RunProcess(t testing.TB, opts ...Option) *Process {
	t.Helper()
	p, err := StartProcess(opts...)
	if err != nil {
		t.Fatal(err)
	}
	p.t = t
	t.Cleanup(p.Stop)
	return p
}

// StartProcess is RunProcess for programs: it returns the error instead, and the
// caller calls Stop.
func StartProcess(opts ...Option) (*Process, error) {
	set := newProcessSettings(opts)
	if err := set.err(); err != nil {
		return nil, fmt.Errorf("natstest: start process: %w", err)
	}
	p, err := newProcess(set)
	if err != nil {
		return nil, fmt.Errorf("natstest: start process: %w", err)
	}
	if err := p.Restart(); err != nil {
		p.Stop()
		return nil, err
	}
	if err := waitHubs(p); err != nil {
		p.Stop()
		return nil, fmt.Errorf("natstest: start process: %w", err)
	}
	return p, nil
}

// newProcessSettings is newSettings without what cannot leave this process.
func newProcessSettings(opts []Option) *settings {
	set := newSettings(opts)
	set.complainIfCode()
	return set
}

func (s *settings) complainIfCode() {
	s.complainIf(s.logger != nil, "Logger: not for a process")
	s.complainIf(len(s.changes) > 0, "ServerOptions: not for a process")
}

// newProcess makes a process that is not started.
func newProcess(set *settings) (*Process, error) {
	p := &Process{turn: make(chan struct{}, 1), set: set, res: &resources{}}
	err := p.res.provision(set)
	if err == nil {
		p.certificates, err = loadCerts(set.CertDir)
	}
	if err != nil {
		_ = p.res.release() // the first error is the one to report
		return nil, err
	}
	if set.operator != nil {
		set.operator.register(p)
	}
	return p, nil
}

// URL returns the URL for clients, as Server.URL does.
func (p *Process) URL() string { return p.child().report.URL }

// WebSocketURL returns ws://host:port or wss://host:port, or "" without a
// WebSocket listener.
func (p *Process) WebSocketURL() string { return p.child().report.WebSocketURL }

// Addr returns host:port of URL.
func (p *Process) Addr() string { return p.child().report.Addr }

// Port returns the port of URL.
func (p *Process) Port() int {
	_, port, err := net.SplitHostPort(p.Addr())
	if err != nil {
		return 0
	}
	n, _ := strconv.Atoi(port) // it was a port when it was joined
	return n
}

// ID returns the server's ID, which is new after each start.
func (p *Process) ID() string { return p.child().report.Server }

// Name returns the server's name, which stays the same.
func (p *Process) Name() string { return p.child().report.Name }

// StoreDir returns the directory of the JetStream store, or "" without
// JetStream.
func (p *Process) StoreDir() string { return p.child().report.StoreDir }

// PID returns the process ID, which is new after each start.
func (p *Process) PID() int { return p.child().cmd.Process.Pid }

// Running reports whether the process lives. A paused one does.
func (p *Process) Running() bool { return p.child().alive() }

// Kill ends the process as kill -9 does and returns when it is gone. Store and
// address are kept for Restart; the store is as the kernel has it. It does
// nothing if the process is dead.
func (p *Process) Kill() {
	p.take()
	defer p.give()
	p.child().kill()
}

// Shutdown ends the server in good order and returns when its process is gone.
// Store and address are kept for Restart. A paused process is resumed for it;
// one that does not end within 20 s is killed. It does nothing if the process
// is dead.
func (p *Process) Shutdown() {
	p.take()
	defer p.give()
	p.shutdown()
}

// Restart starts the server again in a new process with the same name, address
// and store, after a Shutdown if it lives. It returns when the server takes
// connections. A failure is also reported through t.Errorf if the process is
// from RunProcess, so that a test may ignore the error. It fails after Stop.
func (p *Process) Restart() error {
	p.take()
	defer p.give()
	err := p.restart()
	if err != nil {
		err = fmt.Errorf("natstest: start server process: %w", err)
		p.fail(err)
	}
	return err
}

// Pause stops the process where it stands, as SIGSTOP does: connections stay
// open, the kernel still accepts new ones, and nobody answers. On Linux it
// returns when every thread has stopped. The error wraps errors.ErrUnsupported
// on Windows, and ErrDown if the process is dead.
func (p *Process) Pause() error {
	p.take()
	defer p.give()
	c := p.child()
	if err := c.signal(pause); err != nil {
		return fmt.Errorf("natstest: pause server process %s: %w", c.report.Name, err)
	}
	return nil
}

// Resume lets a paused process go on. It does no harm to others. The error wraps
// errors.ErrUnsupported on Windows, and ErrDown if the process is dead.
func (p *Process) Resume() error {
	p.take()
	defer p.give()
	c := p.child()
	if err := c.signal(resume); err != nil {
		return fmt.Errorf("natstest: resume server process %s: %w", c.report.Name, err)
	}
	return nil
}

// LameDuck puts the server into lame duck mode and returns at once, as
// Server.LameDuck does. The channel is closed when the process is gone.
func (p *Process) LameDuck() <-chan struct{} {
	p.take()
	defer p.give()
	c := p.child()
	c.tell(request{Order: orderLameDuck})
	return c.dead
}

// Stop ends the process for good, as Shutdown does, gives up its address and
// removes what was temporary. It may be called more than once, and RunProcess
// calls it.
func (p *Process) Stop() {
	p.take()
	defer p.give()
	if p.stopped {
		return
	}
	p.stopped = true
	if p.set.operator != nil {
		p.set.operator.unregister(p)
	}
	p.shutdown()
	if err := p.res.release(); err != nil {
		p.fail(fmt.Errorf("natstest: stop process: %w", err))
	}
}

func (p *Process) take() { p.turn <- struct{}{} }
func (p *Process) give() { <-p.turn }

func (p *Process) fail(err error) {
	if p.t != nil {
		p.t.Helper()
		p.t.Error(err)
	}
}

func (p *Process) child() *child {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now
}

// shutdown needs the turn.
func (p *Process) shutdown() {
	if c := p.child(); c != nil {
		c.shutdown()
	}
}

// restart needs the turn.
func (p *Process) restart() error {
	if p.stopped {
		return ErrStopped
	}
	p.shutdown()
	p.set.refreshTrust()
	c, err := startChild(childSpec{Settings: *p.set, TempDir: p.res.tempDir, Log: p.set.logTo != nil}, p.set.logTo)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = c
	return nil
}

// signal sends a signal with send, unless the child is dead.
func (c *child) signal(send func(pid int) error) error {
	if !c.alive() {
		return ErrDown
	}
	err := send(c.cmd.Process.Pid)
	if errors.Is(err, syscall.ESRCH) {
		return ErrDown
	}
	return err
}
