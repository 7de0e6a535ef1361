package natstest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
)

// The parent's side of a server process. Parent and child talk in lines of
// JSON: the parent writes a childSpec to the child's standard input and later
// requests, the child writes reports to its standard output, the first one
// unasked when it is ready. The end of the input means that the parent is gone.

// childEnv is set for server processes alone.
const childEnv = "NATSTEST_SERVER_PROCESS"

// reportPrefix tells reports from what other packages print while they are
// initialised.
const reportPrefix = "natstest-report: "

type childSpec struct {
	Settings settings
	TempDir  string // what the child removes if the parent dies
	Log      bool
}

// request is what a parent asks of its child.
type request struct {
	Order    string
	ID       int64 // of what is answered with a report, which bears it
	Question question
	Settings *settings // to reload
	Account  string    // to learn, see settings.learn; "" to take over everything else
}

const (
	orderShutdown = "shutdown"
	orderLameDuck = "lame duck"
	orderStatus   = "status"
	orderReload   = "reload"
)

type childReport struct {
	URL, WebSocketURL, LeafURL, Addr, Server, Name, StoreDir string
	Error                                                    string

	ID     int64
	Status status
}

// child is one life of a server process.
type child struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stderr *tail
	report childReport
	dead   chan struct{} // closed when the process is gone and waited for

	mu      sync.Mutex
	lastID  int64
	waiting map[int64]chan<- childReport // each has room for one
}

// startChild starts a process and waits until its server takes connections.
func startChild(spec childSpec, log io.Writer) (*child, error) {
	exe, err := ownBinary()
	if err != nil {
		return nil, err
	}
	c := &child{
		cmd:     exec.Command(exe),
		stderr:  &tail{},
		dead:    make(chan struct{}),
		waiting: map[int64]chan<- childReport{},
	}
	c.cmd.Args = []string{"natstest-server"} // for ps
	c.cmd.Env = childEnviron()
	c.cmd.SysProcAttr = childAttributes()
	c.cmd.Stderr = c.stderr
	if log != nil {
		c.cmd.Stderr = io.MultiWriter(log, c.stderr)
	}
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	ready := c.expect(0)
	go c.watch(stdout)
	if err := c.handshake(spec, ready); err != nil {
		c.kill()
		return nil, err
	}
	return c, nil
}

// ownBinary is the path of the running binary itself where there is one, because
// the file that it was started from may be another by now.
func ownBinary() (string, error) {
	if runtime.GOOS == "linux" {
		return "/proc/self/exe", nil
	}
	return os.Executable()
}

// childEnviron makes the child a server. A program built with the race detector
// sleeps for a second when it exits, unless told not to.
func childEnviron() []string {
	race := strings.TrimSpace(os.Getenv("GORACE") + " atexit_sleep_ms=0")
	return append(os.Environ(), childEnv+"=1", "GORACE="+race)
}

// watch reads the child's output to its end and then waits for the child.
func (c *child) watch(stdout io.Reader) {
	defer close(c.dead)
	lines := bufio.NewReader(stdout)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			break
		}
		text, ok := strings.CutPrefix(line, reportPrefix)
		var r childReport
		if ok && json.Unmarshal([]byte(text), &r) == nil {
			c.deliver(r)
		}
	}
	_ = c.cmd.Wait() // how it ended is known: it was told to, or nobody cares any more
	_ = c.stdin.Close()
}

// expect returns where the report with this ID will be.
func (c *child) expect(id int64) <-chan childReport {
	report := make(chan childReport, 1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting[id] = report
	return report
}

func (c *child) deliver(r childReport) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if report, ok := c.waiting[r.ID]; ok {
		delete(c.waiting, r.ID)
		report <- r
	}
}

func (c *child) handshake(spec childSpec, ready <-chan childReport) error {
	if err := c.write(spec); err != nil {
		return fmt.Errorf("process ended early: %w%s", err, c.stderr)
	}
	ctx, cancel := context.WithTimeout(context.Background(), readyTimeout)
	defer cancel()
	r, err := c.await(ctx, ready)
	switch {
	case err != nil:
		return fmt.Errorf("process is not ready: %w%s", err, c.stderr)
	case r.Error != "":
		return errors.New(r.Error)
	}
	c.report = r
	return nil
}

// await waits for a report, the end of the child, or that of ctx.
func (c *child) await(ctx context.Context, report <-chan childReport) (childReport, error) {
	select {
	case r := <-report:
		return r, nil
	case <-ctx.Done():
		return childReport{}, context.Cause(ctx)
	case <-c.dead:
	}
	select { // a report may have been its last word
	case r := <-report:
		return r, nil
	default:
		return childReport{}, ErrDown
	}
}

// status asks the child for its server's status.
func (c *child) status(ctx context.Context, q question) (status, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	r, err := c.ask(ctx, request{Order: orderStatus, Question: q})
	return r.Status, err
}

// reload makes the child's server take over set, or no more than this account.
func (c *child) reload(set *settings, account string) error {
	ctx, cancel := context.WithTimeout(context.Background(), learnTimeout)
	defer cancel()
	r, err := c.ask(ctx, request{Order: orderReload, Settings: set, Account: account})
	if err == nil && r.Error != "" {
		err = errors.New(r.Error)
	}
	return err
}

// ask makes a request and waits for its report.
func (c *child) ask(ctx context.Context, r request) (childReport, error) {
	c.mu.Lock()
	c.lastID++
	r.ID = c.lastID
	c.mu.Unlock()
	report := c.expect(r.ID)
	defer c.forget(r.ID)
	c.tell(r)
	return c.await(ctx, report)
}

func (c *child) forget(id int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, id)
}

// tell sends a request. A child that is dead needs none.
func (c *child) tell(r request) { _ = c.write(r) }

// write writes one line. Concurrent ones do not mix: the pipe is an os.File,
// which takes one Write at a time.
func (c *child) write(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = c.stdin.Write(append(text, '\n'))
	return err
}

func (c *child) alive() bool {
	select {
	case <-c.dead:
		return false
	default:
		return true
	}
}

func (c *child) shutdown() {
	if !c.alive() {
		return
	}
	_ = resume(c.cmd.Process.Pid) // it may be paused, or dead, or unable to be either
	c.tell(request{Order: orderShutdown})
	ctx, cancel := context.WithTimeout(context.Background(), exitTimeout)
	defer cancel()
	select {
	case <-c.dead:
	case <-ctx.Done():
		c.kill()
	}
}

func (c *child) kill() {
	_ = c.cmd.Process.Kill() // fails only if it is dead
	<-c.dead
}

// tail keeps the end of what a process wrote to its standard error, which is
// where it says why it died.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const tailSize = 8 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - tailSize; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(p), nil
}

// String is "" or a colon and the text.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := bytes.TrimSpace(t.buf)
	if len(text) == 0 {
		return ""
	}
	return ": " + string(text)
}
