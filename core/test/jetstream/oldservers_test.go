package jetstream_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/internal/figure"
	"github.com/perigee-go/nats/core/jetstream"
)

// TestSoakOldServers builds servers of earlier versions and does with them what they
// can do; what they cannot is refused, and not done in part. It is for soaks:
// building a server takes minutes.
func TestSoakOldServers(t *testing.T) {
	if !figure.Soak() {
		t.Skip("builds servers; it is part of make soak")
	}
	for version, level := range map[string]int{"v2.10.27": 0, "v2.11.17": 1, "v2.12.15": 3, "v2.14.9": 4} {
		t.Run(version, func(t *testing.T) {
			js := handle(t, runVersion(t, version), jetstream.DefaultTimeout(10*time.Second))
			testOldServer(t, js, level)
		})
	}
}

func testOldServer(t *testing.T, js *jetstream.JetStream, level int) {
	ctx := t.Context()
	info, err := js.AccountInfo(ctx)
	if err != nil || info.API.Level != level {
		t.Fatalf("%+v, %v", info, err)
	}
	s := create(t, js, jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}, AllowDirect: true, MaxAge: time.Hour})
	for i := range 3 {
		publish(t, js, fmt.Sprintf("s.%d", i), "x", jetstream.MsgID(fmt.Sprint(i)), jetstream.ExpectStream("S"))
	}
	if raw, err := s.GetMsg(ctx, 2); err != nil || raw.Subject != "s.1" || raw.Header.Len() != 2 {
		t.Errorf("direct get: %+v, header %v, %v", raw, raw.Header, err)
	}
	if raw, err := s.GetLastMsgForSubject(ctx, "s.*", jetstream.FromLeader()); err != nil || raw.Sequence != 3 {
		t.Errorf("get: %+v, %v", raw, err)
	}
	c, err := s.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: "c", FilterSubjects: []string{"s.1", "s.2"}})
	if err != nil || c.CachedInfo().NumPending != 2 {
		t.Errorf("consumer: %v", err)
	}
	if names, err := nats.Collect(s.ConsumerNames(ctx)); err != nil || len(names) != 1 {
		t.Errorf("consumers: %q, %v", names, err)
	}
	if n, err := s.Purge(ctx, jetstream.FilterSubject("s.0")); err != nil || n != 1 {
		t.Errorf("purged %d, %v", n, err)
	}

	for _, tt := range []struct {
		needs int
		cfg   jetstream.StreamConfig
	}{
		{1, jetstream.StreamConfig{Name: "L1", AllowMsgTTL: true}},
		{2, jetstream.StreamConfig{Name: "L2", AllowMsgSchedules: true}},
		{4, jetstream.StreamConfig{Name: "L4", AllowBatchPublish: true}},
	} {
		_, err := js.CreateStream(ctx, tt.cfg)
		if errors.Is(err, jetstream.ErrRequiredAPILevel) != (tt.needs > level) || tt.needs <= level && err != nil {
			t.Errorf("a stream of level %d: %v", tt.needs, err)
		}
		_, err = js.Stream(ctx, tt.cfg.Name)
		if errors.Is(err, jetstream.ErrStreamNotFound) != (tt.needs > level) {
			t.Errorf("a stream of level %d that was refused is there: %v", tt.needs, err)
		}
	}
	_, err = s.PauseConsumer(ctx, "c", time.Now().Add(time.Hour))
	if errors.Is(err, jetstream.ErrRequiredAPILevel) != (level < 1) || level >= 1 && err != nil {
		t.Errorf("pause: %v", err)
	}
	_, err = s.ResetConsumer(ctx, "c", 0)
	if errors.Is(err, jetstream.ErrRequiredAPILevel) != (level < 4) || level >= 4 && err != nil {
		t.Errorf("reset: %v", err)
	}
}

// runVersion builds a server of a version, starts it, and returns its URL.
func runVersion(t *testing.T, version string) string {
	t.Helper()
	dir := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "install", "github.com/nats-io/nats-server/v2@"+version)
	build.Env = append(os.Environ(), "GOBIN="+dir, "GOWORK=off", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go install: %v\n%s", err, out)
	}
	name := filepath.Join(dir, "nats-server")
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	ctx, stop := context.WithCancel(context.Background())
	srv := exec.CommandContext(ctx, name, "-a", "127.0.0.1", "-p", "-1", "-js", "-sd", filepath.Join(dir, "store"), "--ports_file_dir", dir)
	if err := srv.Start(); err != nil {
		stop()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		_ = srv.Wait() // it was killed
	})
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 500 {
		<-tick.C
		files, err := filepath.Glob(filepath.Join(dir, "*.ports"))
		if err != nil || len(files) == 0 {
			continue
		}
		var ports struct{ NATS []string }
		if data, err := os.ReadFile(files[0]); err == nil && json.Unmarshal(data, &ports) == nil && len(ports.NATS) > 0 {
			return ports.NATS[0]
		}
	}
	t.Fatal("the server does not start")
	return ""
}
