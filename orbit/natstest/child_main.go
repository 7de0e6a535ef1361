package natstest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/nats-io/nats-server/v2/server"
)

// init turns this process into a server if StartProcess started it. An init
// function rather than a call in main or TestMain, because nobody can forget
// it: a test binary that was started again and went on to its tests would start
// itself again, and so on. For the same reason there is no way back: whoever
// sets the variable gets a server or an error, and never a test run.
func init() {
	if os.Getenv(childEnv) == "" {
		return
	}
	_ = os.Unsetenv(childEnv)
	signal.Ignore(syscall.SIGHUP) // the end of the input is the word that counts, see childAttributes
	os.Exit(childMain(os.Stdin, os.Stdout, os.Stderr))
}

// childServer is the server of a child and what it was told about itself.
type childServer struct {
	srv     *server.Server
	life    life
	log     io.Writer // nil: none
	tempDir string
	stdout  io.Writer
}

// childMain runs the server that the parent describes, until the parent says so
// or is gone, and returns the exit code.
func childMain(stdin io.Reader, stdout, stderr io.Writer) int {
	requests := bufio.NewReader(stdin)
	line, err := requests.ReadBytes('\n')
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "natstest: %s is set, but no parent is there: %v\n", childEnv, err)
		return 2
	}
	c := &childServer{stdout: stdout}
	if err := c.start(line, stderr); err != nil {
		c.report(childReport{Error: err.Error()})
		return 1
	}
	c.report(childReport{
		URL: c.life.url, WebSocketURL: c.life.wsURL, LeafURL: c.life.leafURL, Addr: c.life.addr,
		Server: c.srv.ID(), Name: c.srv.Name(), StoreDir: c.srv.StoreDir(),
	})
	return c.serve(requests)
}

func (c *childServer) start(line []byte, stderr io.Writer) error {
	var spec childSpec
	if err := json.Unmarshal(line, &spec); err != nil {
		return err
	}
	if spec.Log {
		c.log = &lockedWriter{w: stderr}
		spec.Settings.logTo = c.log
	}
	srv, o, err := launch(&spec.Settings)
	if err != nil {
		return err
	}
	c.srv, c.life, c.tempDir = srv, newLife(srv, o), spec.TempDir
	return nil
}

// serve does what it is told until the server is down, and returns the exit
// code.
func (c *childServer) serve(requests *bufio.Reader) int {
	down, orphaned := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(down)
		c.srv.WaitForShutdown()
	}()
	go func() {
		defer close(orphaned)
		for {
			line, err := requests.ReadBytes('\n')
			if err != nil {
				return
			}
			var r request
			if json.Unmarshal(line, &r) == nil {
				c.obey(r)
			}
		}
	}()
	select {
	case <-down:
		return 0
	case <-orphaned: // and nobody else will tidy up
		c.srv.Shutdown()
		<-down
		if c.tempDir != "" {
			_ = removeAll(c.tempDir)
		}
		return 1
	}
}

// obey does not wait for the server to end.
func (c *childServer) obey(r request) {
	switch r.Order {
	case orderStatus:
		c.report(childReport{ID: r.ID, Status: statusOf(c.srv, c.life.routesPerPeer, r.Question)})
	case orderReload:
		c.report(childReport{ID: r.ID, Error: c.reload(r)})
	case orderShutdown:
		go c.srv.Shutdown()
	case orderLameDuck:
		go func() {
			c.srv.LameDuckShutdown()
			c.srv.Shutdown() // a server without a listener ignored the line above
		}()
	}
}

// reload returns what went wrong, or "".
func (c *childServer) reload(r request) string {
	set := r.Settings
	set.logTo = c.log
	var err error
	if r.Account != "" {
		err = set.learn(c.srv, r.Account)
	} else {
		err = reload(c.srv, set)
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

func (c *childServer) report(r childReport) {
	text, err := json.Marshal(r)
	if err != nil {
		return // strings and numbers: cannot happen
	}
	_, _ = fmt.Fprintf(c.stdout, "%s%s\n", reportPrefix, text)
}
