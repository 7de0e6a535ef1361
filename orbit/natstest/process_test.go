package natstest_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/perigee-go/nats/orbit/natstest"
)

func TestProcessSurvivesKillWithItsStore(t *testing.T) {
	t.Parallel()
	p := natstest.RunProcess(t, natstest.JetStream())
	addr, pid := p.Addr(), p.PID()
	c := connect(t, addr)
	if got := c.request("$JS.API.STREAM.CREATE.S", `{"name":"S","subjects":["s"]}`); strings.Contains(got, `"error"`) {
		t.Fatal(got)
	}
	if got := c.request("s", "one"); !strings.Contains(got, `"seq":1`) {
		t.Fatal(got)
	}
	p.Kill()
	if p.Running() {
		t.Error("running after Kill")
	}
	_ = c.end() // EOF or a reset: the kernel's choice
	if _, err := net.Dial("tcp", addr); err == nil {
		t.Error("somebody accepts connections after Kill")
	}
	if err := p.Restart(); err != nil {
		t.Fatal(err)
	}
	if p.Addr() != addr || p.PID() == pid {
		t.Errorf("%s, process %d; was %s, %d", p.Addr(), p.PID(), addr, pid)
	}
	if got := connect(t, addr).request("s", "two"); !strings.Contains(got, `"seq":2`) {
		t.Error(got)
	}
	dir := p.StoreDir()
	p.Stop()
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("store after Stop: %v", err)
	}
}

func TestProcessPause(t *testing.T) {
	t.Parallel()
	p := natstest.RunProcess(t, natstest.WebSocket())
	c := connect(t, p.Addr())
	if c.info.ID != p.ID() || p.URL() != fmt.Sprintf("nats://127.0.0.1:%d", p.Port()) || !strings.HasPrefix(p.WebSocketURL(), "ws://") {
		t.Errorf("INFO %+v; %s %s %s", c.info, p.ID(), p.URL(), p.WebSocketURL())
	}
	err := p.Pause()
	if runtime.GOOS == "windows" {
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Error(err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	c.say("PING\r\n")
	if err := c.conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if said, err := c.r.Peek(5); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a paused server says %q: %v", said, err)
	}
	if err := p.Resume(); err != nil {
		t.Fatal(err)
	}
	if err := c.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	c.hear("PONG")
	if err := p.Pause(); err != nil {
		t.Fatal(err)
	}
	p.Kill()
	if err := p.Pause(); !errors.Is(err, natstest.ErrDown) {
		t.Errorf("Pause of a dead process: %v", err)
	}
}

func TestProcessLameDuckShutdownAndTLS(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	p := natstest.RunProcess(t, natstest.AllowNonTLS(), natstest.LogTo(&log), natstest.Name("ducky"))
	c := connect(t, p.Addr())
	if !c.info.TLSAvail || p.CA() == nil {
		t.Errorf("INFO %+v", c.info)
	}
	done := p.LameDuck()
	if err := c.end(); err != nil {
		t.Error(err)
	}
	<-done
	if !strings.Contains(log.String(), "ducky: Entering lame duck mode") {
		t.Errorf("log %s", log.String())
	}
	if err := p.Restart(); err != nil {
		t.Fatal(err)
	}
	if err := p.Pause(); err == nil {
		p.Shutdown() // which resumes it
	}
}

func TestProcessSaysWhyItCannotStart(t *testing.T) {
	t.Parallel()
	if _, err := natstest.StartProcess(natstest.Config("jetstream: { store_dir: /dev/null/x }")); err == nil || !strings.Contains(err.Error(), "Can't start JetStream") {
		t.Error(err)
	}
	if _, err := natstest.StartProcess(natstest.ServerOptions(nil)); err == nil || !strings.Contains(err.Error(), "not for a process") {
		t.Error(err)
	}
}

// TestProcessDiesWithItsParent starts a program that starts a process, and
// kills the program.
func TestProcessDiesWithItsParent(t *testing.T) {
	for _, paused := range []bool{false, true} {
		t.Run(fmt.Sprintf("paused=%v", paused), func(t *testing.T) {
			if paused && runtime.GOOS == "windows" {
				t.Skip("no pause")
			}
			t.Parallel()
			parent := exec.Command(os.Args[0], "-test.run=^TestHelperParent$")
			parent.Env = append(os.Environ(), fmt.Sprintf("NATSTEST_HELPER_PARENT=%v", paused))
			stdin, err := parent.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			defer stdin.Close()
			out, err := parent.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := parent.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(out)
			lines.Scan()
			addr, dir, ok := strings.Cut(lines.Text(), " ")
			if !ok {
				t.Fatalf("helper says %q", lines.Text())
			}
			if err := parent.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = parent.Wait()
			eventually(t, func() bool {
				_, err := net.DialTimeout("tcp", addr, time.Second)
				return err != nil
			})
			eventually(t, func() bool { _, err := os.Stat(dir); return os.IsNotExist(err) })
		})
	}
}

func TestHelperParent(t *testing.T) {
	paused, ok := os.LookupEnv("NATSTEST_HELPER_PARENT")
	if !ok {
		t.Skip("for TestProcessDiesWithItsParent")
	}
	p := natstest.RunProcess(t, natstest.JetStream())
	if paused == "true" {
		if err := p.Pause(); err != nil {
			t.Fatal(err)
		}
	}
	fmt.Println(p.Addr(), filepath.Dir(filepath.Dir(p.StoreDir())))
	_, _ = io.Copy(io.Discard, os.Stdin)
}
