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
	"strings"
	"sync"
	"time"
)

// The parent's side of a server process. Parent and child talk in lines: the
// parent writes a childSpec in JSON to the child's standard input and later
// commands, the child writes one childReport to its standard output. The end of
// the input means that the parent is gone.

// childEnv is set for server processes alone.
const childEnv = "NATSTEST_SERVER_PROCESS"

const (
	cmdShutdown = "shutdown"
	cmdLameDuck = "lameduck"

	// reportPrefix tells the report from what other packages print while they
	// are initialised.
	reportPrefix = "natstest-report: "
)

type childSpec struct {
	Settings settings
	TempDir  string // what the child removes if the parent dies
	Log      bool
}

type childReport struct {
	URL, WebSocketURL, Addr, ID, Name, StoreDir string
	Error                                       string
}

// child is one life of a server process.
type child struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stderr *tail
	report childReport
	dead   chan struct{} // closed when the process is gone and waited for
}

// startChild starts a process and waits until its server takes connections.
func startChild(spec childSpec, log io.Writer) (*child, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{cmd: exec.Command(exe), dead: make(chan struct{}), stderr: &tail{}}
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
	reports := make(chan childReport, 1)
	go c.watch(stdout, reports)
	if err := c.handshake(spec, reports); err != nil {
		c.kill()
		return nil, err
	}
	return c, nil
}

// childEnviron makes the child a server. A program built with the race detector
// sleeps for a second when it exits, unless told not to.
func childEnviron() []string {
	race := strings.TrimSpace(os.Getenv("GORACE") + " atexit_sleep_ms=0")
	return append(os.Environ(), childEnv+"=1", "GORACE="+race)
}

// watch reads the child's output to its end and then waits for the child.
func (c *child) watch(stdout io.Reader, reports chan<- childReport) {
	defer close(c.dead)
	defer close(reports)
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		text, ok := strings.CutPrefix(lines.Text(), reportPrefix)
		var r childReport
		if ok && json.Unmarshal([]byte(text), &r) == nil {
			select {
			case reports <- r:
			default: // there is only one
			}
		}
	}
	_, _ = io.Copy(io.Discard, stdout) // a line too long for the scanner must not block the child
	_ = c.cmd.Wait()                   // how it ended is known: it was told to, or nobody cares any more
	_ = c.stdin.Close()
}

func (c *child) handshake(spec childSpec, reports <-chan childReport) error {
	text, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	if _, err := c.stdin.Write(append(text, '\n')); err != nil {
		return fmt.Errorf("process ended early: %w%s", err, c.stderr)
	}
	timeout := time.NewTimer(readyTimeout)
	defer timeout.Stop()
	select {
	case r, ok := <-reports:
		if !ok {
			return fmt.Errorf("process ended early%s", c.stderr)
		}
		if r.Error != "" {
			return errors.New(r.Error)
		}
		c.report = r
		return nil
	case <-timeout.C:
		return fmt.Errorf("not ready after %v%s", readyTimeout, c.stderr)
	}
}

// command tells the child to do something. A child that is dead needs no
// command.
func (c *child) command(line string) {
	_, _ = io.WriteString(c.stdin, line+"\n")
}

func (c *child) shutdown() {
	_ = resume(c.cmd.Process.Pid) // it may be paused, or dead, or unable to be either
	c.command(cmdShutdown)
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
