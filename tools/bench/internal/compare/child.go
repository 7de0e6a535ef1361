package compare

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/perigee-go/nats/tools/bench/internal/scenario"
)

// task is one run.
type task struct {
	Client, Scenario string
	BallastMiB       int
	Env              scenario.Env
}

// runTimeout ends a run that hangs.
const runTimeout = 3 * time.Minute

// runInChild runs a task in a process of its own.
func runInChild(ctx context.Context, t task) scenario.Result {
	r, err := tryInChild(ctx, t)
	if err != nil {
		r.Err = err.Error()
	}
	r.Client, r.Scenario = t.Client, t.Scenario
	return r
}

func tryInChild(ctx context.Context, t task) (r scenario.Result, err error) {
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()
	cmd, err := command(ctx, ChildCommand)
	if err != nil {
		return r, err
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return r, err
	}
	defer stdin.Close()
	stderr := &lastBytes{}
	cmd.Stderr = stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return r, err
	}
	if err := cmd.Start(); err != nil {
		return r, err
	}
	if err := send(stdin, t); err != nil {
		return r, err
	}
	output, _ := io.ReadAll(stdout) // what is missing shows below
	if err := cmd.Wait(); err != nil {
		return r, fmt.Errorf("%w: %s", err, stderr)
	}
	return r, readReport(output, &r)
}

// Child is the whole life of a process that runs one task.
func Child(clients []scenario.Client, stdin io.Reader, stdout io.Writer) error {
	in := bufio.NewReader(stdin)
	line, err := in.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("no task on the standard input: %w", err)
	}
	go endWithParent(in)
	var t task
	if err := json.Unmarshal(line, &t); err != nil {
		return err
	}
	i := slices.IndexFunc(clients, func(c scenario.Client) bool { return c.Name == t.Client })
	if i < 0 {
		return fmt.Errorf("there is no client %q", t.Client)
	}
	spec, err := scenario.Parse(t.Scenario)
	if err != nil {
		return err
	}
	release := Ballast(t.BallastMiB)
	defer release()
	return report(stdout, scenario.Run(clients[i], spec, t.Env))
}

// Ballast holds live memory, as an application does, until the function it
// returns is called. With an empty heap the garbage collector runs every 4 MiB
// and is then most of what is measured.
func Ballast(mib int) (release func()) {
	live := make([]byte, mib<<20)
	page := os.Getpagesize()
	for i := 0; i < len(live); i += page {
		live[i] = 1
	}
	return func() { runtime.KeepAlive(live) }
}

// lastBytes keeps the end of what is written to it, for an error message.
type lastBytes struct{ kept []byte }

func (l *lastBytes) Write(p []byte) (int, error) {
	const most = 2000
	l.kept = append(l.kept, p...)
	l.kept = l.kept[max(0, len(l.kept)-most):]
	return len(p), nil
}

func (l *lastBytes) String() string { return string(l.kept) }
