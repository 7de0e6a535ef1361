// Package examples_test runs the programs below this directory and compares
// what they print with the output.txt beside them.
package examples_test

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/jetstream"
	"github.com/perigee-go/nats/orbit/natstest"
)

var update = flag.Bool("update", false, "write output.txt")

func TestMain(m *testing.M) { os.Exit(natstest.Main(m)) }

// timeout is for one program; they take far less.
const timeout = 30 * time.Second

// A setup is what a program needs beyond a bare server. One with a server.conf
// beside it gets a server with that configuration.
type setup struct {
	server      []natstest.Option
	env         func(*natstest.Server) []string
	secrets     func(*testing.T) ([]natstest.Option, []string) // made for the test: options and environment
	interruptAt string                                         // the line after which Ctrl-C is pressed
}

var setups = map[string]setup{
	"auth-credentials": {secrets: withCredentials},
	"auth-nkey":        {secrets: withNkey},
	"auth-token": {
		server: []natstest.Option{natstest.Token("s3cr3t")},
		env:    func(*natstest.Server) []string { return []string{"NATS_TOKEN=s3cr3t"} },
	},
	"auth-user-password": {
		server: []natstest.Option{natstest.UserPassword("alice", "secret")},
		env:    func(*natstest.Server) []string { return []string{"NATS_USER=alice", "NATS_PASSWORD=secret"} },
	},
	"drain":                   {interruptAt: "at work, Ctrl-C ends it"},
	"jetstream-consume":       {server: []natstest.Option{natstest.JetStream()}},
	"jetstream-publish":       {server: []natstest.Option{natstest.JetStream()}},
	"jetstream-publish-async": {server: []natstest.Option{natstest.JetStream()}},
	"jetstream-streams":       {server: []natstest.Option{natstest.JetStream()}},
	"websocket": {
		server: []natstest.Option{natstest.Config("websocket { port: -1, no_tls: true, compression: true }")},
		env:    func(srv *natstest.Server) []string { return []string{"NATS_WS_URL=" + srv.WebSocketURL()} },
	},
	"tls": {
		server: []natstest.Option{natstest.TLSVerify()},
		env: func(srv *natstest.Server) []string {
			cert, key := srv.ClientCertFiles()
			return []string{"NATS_CA=" + srv.CAFile(), "NATS_CERT=" + cert, "NATS_KEY=" + key}
		},
	},
}

func TestExamples(t *testing.T) {
	dir := build(t)
	names, err := filepath.Glob("*/main.go")
	if err != nil {
		t.Fatal(err)
	}
	if len(names) < 20 {
		t.Fatalf("only %d programs found", len(names))
	}
	list := read(t, "README.md")
	for _, name := range names {
		if !strings.Contains(list, "("+filepath.ToSlash(name)+")") {
			t.Errorf("README.md does not list %s", name)
		}
		name := filepath.Dir(name)
		if name == "demo" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testExample(t, dir, name)
		})
	}
	t.Run("demo", func(t *testing.T) {
		t.Parallel()
		testDemo(t, dir)
	})
}

// build compiles all programs at once and returns where they are.
func build(t *testing.T) string {
	dir := t.TempDir()
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", dir, "./...").CombinedOutput()
	if err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return dir
}

func testExample(t *testing.T, dir, name string) {
	s := setups[name]
	if s.interruptAt != "" && runtime.GOOS == "windows" {
		t.Skip("an interrupt cannot be sent to a process here")
	}
	opts := s.server
	if conf := filepath.Join(name, "server.conf"); exists(conf) {
		opts = append(opts[:len(opts):len(opts)], natstest.ConfigFile(conf))
	}
	cmd := command(t, dir, name)
	if s.secrets != nil {
		more, env := s.secrets(t)
		opts, cmd.Env = append(opts[:len(opts):len(opts)], more...), append(cmd.Env, env...)
	}
	srv := natstest.Run(t, opts...)
	cmd.Env = append(cmd.Env, "NATS_URL="+srv.URL())
	if s.env != nil {
		cmd.Env = append(cmd.Env, s.env(srv)...)
	}
	got := run(t, cmd, s.interruptAt)
	// As it looks with a server at the usual place.
	got = strings.ReplaceAll(got, srv.Addr(), "127.0.0.1:4222")

	file := filepath.Join(name, "output.txt")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v (go test -update writes it)", err)
	}
	if got != strings.ReplaceAll(string(want), "\r\n", "\n") {
		t.Errorf("the output is\n%s\nbut %s is\n%s", got, file, want)
	}
}

// testDemo runs the demo with a server of its own, and with one of ours. It
// checks itself.
func testDemo(t *testing.T, dir string) {
	got := run(t, command(t, dir, "demo"), "")
	if !strings.Contains(got, "acts as they should be") {
		t.Errorf("the end is missing in\n%s", got)
	}
	if strings.Contains(got, "\x1b") {
		t.Error("colours without a terminal")
	}
	for _, want := range []string{"duplicate: true", "ErrWrongLastSequence", "each order was taken once", "lost          0 of", "made anew"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	got = run(t, command(t, dir, "demo", "-cluster", "3"), "")
	if !strings.Contains(got, "of which 0 failed") {
		t.Errorf("the rolling restart is missing in\n%s", got)
	}
	if !strings.Contains(got, "in 3 replicas") || !strings.Contains(got, "leads now") {
		t.Errorf("the replicated stream is missing in\n%s", got)
	}
	testDemoWithURL(t, dir)
	if runtime.GOOS != "windows" {
		run(t, command(t, dir, "demo", "-serve"), "Ctrl-C ends it.")
	}
}

// testDemoWithURL runs the demo with servers that are not its own: they are not
// stopped, and nothing is left on them.
func testDemoWithURL(t *testing.T, dir string) {
	srv := natstest.Run(t)
	got := run(t, command(t, dir, "demo", "-url", srv.URL()), "")
	if n := strings.Count(got, "no JetStream"); n != 6 || strings.Count(got, "skipped") != 7 {
		t.Errorf("%d acts say that there is no JetStream, want 6 and the restart to be skipped, in\n%s", n, got)
	}
	srv = natstest.Run(t, natstest.JetStream())
	got = run(t, command(t, dir, "demo", "-url", srv.URL()), "")
	if strings.Count(got, "skipped") != 2 || !strings.Contains(got, "duplicate: true") {
		t.Errorf("more or less than both restarts was skipped in\n%s", got)
	}
	nc, err := nats.Connect(t.Context(), srv.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := js.AccountInfo(t.Context()); err != nil || info.Streams != 0 {
		t.Errorf("left behind: %+v, %v", info, err)
	}
}

// TestReadme keeps the code of the README equal to a program that is run.
func TestReadme(t *testing.T) {
	readme := read(t, filepath.Join("..", "..", "README.md"))
	program := read(t, filepath.Join("quickstart", "main.go"))
	_, rest, ok := strings.Cut(readme, "```go\n")
	block, _, closed := strings.Cut(rest, "```\n")
	if !ok || !closed {
		t.Fatal("the README has no block of Go")
	}
	if !strings.Contains(program, block) {
		t.Errorf("the first block of Go in the README is not in quickstart/main.go:\n%s", block)
	}
	if n := strings.Count(block, "\n"); n > 20 {
		t.Errorf("the block has %d lines, at most 20 are promised", n)
	}
}

// command prepares to run a program without anything that our environment says
// of NATS.
func command(t *testing.T, dir, name string, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	t.Cleanup(cancel)
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	cmd := exec.CommandContext(ctx, filepath.Join(dir, name), args...)
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "NATS_") {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	return cmd
}

// run returns what a program prints. It interrupts it after the line
// interruptAt, and fails the test if the program does.
func run(t *testing.T, cmd *exec.Cmd, interruptAt string) string {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	lines := bufio.NewReader(stdout)
	for {
		line, err := lines.ReadString('\n')
		got.WriteString(line)
		if interruptAt != "" && strings.TrimSpace(line) == interruptAt {
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Error(err)
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%s: %v\n%s%s", filepath.Base(cmd.Path), err, got.String(), stderr.String())
	}
	if stderr.Len() > 0 {
		t.Logf("%s logs:\n%s", filepath.Base(cmd.Path), stderr.String())
	}
	return got.String()
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(data), "\r\n", "\n")
}
