package natstest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"

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
	os.Exit(childMain(os.Stdin, os.Stdout, os.Stderr))
}

// childMain runs the server that the parent describes, until the parent says so
// or is gone, and returns the exit code.
func childMain(stdin io.Reader, stdout, stderr io.Writer) int {
	commands := bufio.NewReader(stdin)
	line, err := commands.ReadBytes('\n')
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "natstest: %s is set, but no parent is there: %v\n", childEnv, err)
		return 2
	}
	var spec childSpec
	if err := json.Unmarshal(line, &spec); err != nil {
		return reportError(stdout, err)
	}
	set := &spec.Settings
	if spec.Log {
		set.logTo = &lockedWriter{w: stderr}
	}
	srv, o, err := launch(set)
	if err != nil {
		return reportError(stdout, err)
	}
	l := newLife(srv, o)
	report(stdout, childReport{
		URL: l.url, WebSocketURL: l.wsURL, Addr: l.addr,
		ID: srv.ID(), Name: srv.Name(), StoreDir: srv.StoreDir(),
	})
	return obey(srv, commands, spec.TempDir)
}

// obey carries out commands until the server is down, and returns the exit code.
func obey(srv *server.Server, commands *bufio.Reader, tempDir string) int {
	orphaned := make(chan struct{})
	down := make(chan struct{})
	go func() {
		defer close(down)
		srv.WaitForShutdown()
	}()
	go func() {
		defer close(orphaned)
		for {
			line, err := commands.ReadString('\n')
			if err != nil {
				return
			}
			obeyLine(srv, line)
		}
	}()
	select {
	case <-down:
		return 0
	case <-orphaned: // and nobody else will tidy up
		srv.Shutdown()
		<-down
		if tempDir != "" {
			_ = removeAll(tempDir)
		}
		return 1
	}
}

func obeyLine(srv *server.Server, line string) {
	switch line {
	case cmdShutdown + "\n":
		go srv.Shutdown()
	case cmdLameDuck + "\n":
		go func() {
			srv.LameDuckShutdown()
			srv.Shutdown() // a server without a listener ignored the line above
		}()
	}
}

func reportError(stdout io.Writer, err error) int {
	report(stdout, childReport{Error: err.Error()})
	return 1
}

func report(stdout io.Writer, r childReport) {
	text, err := json.Marshal(r)
	if err != nil {
		text = []byte("{}") // strings only: cannot happen
	}
	_, _ = fmt.Fprintf(stdout, "%s%s\n", reportPrefix, text)
}
