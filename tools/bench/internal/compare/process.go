// Package compare runs scenarios with several clients, each run in a process of
// its own, and takes care of everything that a run needs around it.
package compare

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// A child is this program, started once more. It gets its task as one line of
// JSON on its standard input, and it ends when that input ends: so no child
// outlives its parent, however the parent ends. It answers with one line that
// bears a prefix, in case a package prints something.
const reportPrefix = "natsbench-report: "

// The names of the commands that children are started with.
const (
	ChildCommand = "child"
	PeersCommand = "peers"
)

// command prepares this program to be started once more.
func command(ctx context.Context, name string) (*exec.Cmd, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, exe, name)
	// A program built with the race detector sleeps for a second when it exits,
	// unless told not to.
	race := strings.TrimSpace(os.Getenv("GORACE") + " atexit_sleep_ms=0")
	cmd.Env = append(os.Environ(), childVariable+"=1", "GORACE="+race)
	cmd.WaitDelay = 5 * time.Second
	return cmd, nil
}

// childVariable is set for children. It lets a test binary know that it is one.
const childVariable = "NATSBENCH_CHILD"

// IsChild reports whether this process was started by a comparison.
func IsChild() bool { return os.Getenv(childVariable) != "" }

// send writes a child's task; the input stays open.
func send(stdin io.Writer, task any) error {
	text, err := json.Marshal(task)
	if err != nil {
		return err
	}
	_, err = stdin.Write(append(text, '\n'))
	return err
}

// report is what a child answers with.
func report(w io.Writer, answer any) error {
	text, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s%s\n", reportPrefix, text)
	return err
}

// readReport finds the answer in what a child printed.
func readReport(output []byte, answer any) error {
	_, rest, ok := bytes.Cut(output, []byte(reportPrefix))
	if !ok {
		return errors.New("the child process answered nothing")
	}
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	return json.Unmarshal(line, answer)
}

// endWithParent ends this process when its standard input ends.
func endWithParent(stdin io.Reader) {
	_, _ = io.Copy(io.Discard, stdin) // any end is the end
	os.Exit(3)
}
