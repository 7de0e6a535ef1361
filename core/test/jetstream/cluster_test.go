package jetstream_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/jetstream"
	"github.com/perigee-go/nats/orbit/natstest"
)

// TestCluster publishes while the stream's leader changes, and then does without
// a server.
func TestCluster(t *testing.T) {
	t.Parallel()
	c := natstest.RunCluster(t, 3)
	js := handle(t, c.Server(0).URL(), jetstream.DefaultTimeout(30*time.Second))
	ctx := t.Context()
	s, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "S", Replicas: 3, Storage: jetstream.MemoryStorage})
	if err != nil {
		t.Fatal(err)
	}
	info, err := s.Info(ctx)
	if err != nil || info.Cluster == nil || info.Cluster.Leader == "" || len(info.Cluster.Replicas) != 2 || info.Cluster.LeaderSince.IsZero() || info.Cluster.RaftGroup == "" {
		t.Fatalf("%+v, %v", info.Cluster, err)
	}
	const n = 120
	for i := range n {
		if i%30 == 15 {
			if err := js.Request(ctx, "STREAM.LEADER.STEPDOWN.S", nil, nil); err != nil {
				t.Error(err)
			}
		}
		// A leader that is just elected: nobody listens, or nobody answers.
		if ack, err := js.Publish(ctx, "S", fmt.Append(nil, i), jetstream.AutoMsgID(), jetstream.RetryAttempts(-1), jetstream.RetryWait(20*time.Millisecond)); err != nil || ack.Sequence != uint64(i+1) {
			t.Fatalf("message %d: %+v, %v", i, ack, err)
		}
	}
	if info, err = s.Info(ctx); err != nil || info.State.Msgs != n {
		t.Errorf("%+v, %v", info.State, err)
	}
	_, err = js.Publish(ctx, "S", nil, jetstream.ExpectLastSequencePerSubject(1))
	if !errors.Is(err, jetstream.ErrWrongLastSequence) {
		t.Errorf("somebody else was faster: %v", err)
	}

	testWithoutServer(t, c, js)
}

// testWithoutServer stops the only server of a stream: lists name it.
func testWithoutServer(t *testing.T, c *natstest.Cluster, js *jetstream.JetStream) {
	t.Helper()
	lonely, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ALONE", Storage: jetstream.MemoryStorage})
	if err != nil {
		t.Fatal(err)
	}
	info, err := lonely.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(c.Servers(), func(s *natstest.Server) bool { return s.Name() == info.Cluster.Leader })
	if i < 0 {
		t.Fatalf("the stream is nowhere: %+v", info.Cluster)
	}
	// While the others elect a leader, nobody answers.
	patient := handle(t, c.Server((i+1)%3).URL(), jetstream.DefaultTimeout(time.Second))
	c.Server(i).Stop()
	for range 30 {
		infos, err := nats.Collect(patient.Streams(t.Context()))
		var incomplete *jetstream.IncompleteListError
		if errors.As(err, &incomplete) {
			if !slices.Contains(incomplete.Missing, lonely.Name()) || len(infos) == 0 {
				t.Errorf("%d streams, %v", len(infos), err)
			}
			return
		}
		if err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, jetstream.ErrClusterNotAvail) {
			t.Fatal(err)
		}
	}
	t.Error("nobody misses the stream")
}
