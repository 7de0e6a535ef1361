package jetstream_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/jetstream"
	"github.com/perigee-go/nats/orbit/natstest"
)

// TestAdvisories lets a server tell what it can alone, and reads it.
func TestAdvisories(t *testing.T) {
	t.Parallel()
	js, _ := run(t)
	ctx := t.Context()
	sub, err := js.Conn().SubscribeSync(jetstream.AdvisorySubjects)
	if err != nil {
		t.Fatal(err)
	}
	cfg := jetstream.StreamConfig{Name: "S", Storage: jetstream.MemoryStorage}
	s, err := js.CreateStream(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		publish(t, js, "S", "x")
	}
	consumer := jetstream.ConsumerConfig{
		Durable: "c", MaxDeliver: 1, AckWait: 50 * time.Millisecond, SampleFrequency: "100",
		PriorityPolicy: jetstream.PriorityPolicyPinned, PriorityGroups: []string{"g"},
	}
	if _, err := s.CreateConsumer(ctx, consumer); err != nil {
		t.Fatal(err)
	}
	for _, ack := range []string{"+ACK", "-NAK", "+TERM too late"} {
		m, err := next(js, "S.c", `{"batch":1,"group":"g","expires":5000000000}`)
		if err != nil {
			t.Fatal(err)
		}
		if err := js.Conn().Publish(m.Reply, []byte(ack)); err != nil {
			t.Fatal(err)
		}
		if err := s.UnpinConsumer(ctx, "c", "g"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.PauseConsumer(ctx, "c", time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	cfg.Description = "changed"
	_, err = js.UpdateStream(ctx, cfg)
	err = errors.Join(err, s.DeleteConsumer(ctx, "c"), js.DeleteStream(ctx, "S"))
	if err != nil {
		t.Fatal(err)
	}

	seen := make(map[string]int)
	for seen["stream delete"] == 0 || seen["consumer delete"] == 0 {
		m, err := sub.Next(ctx)
		if err != nil {
			t.Fatalf("%v, after %v", err, seen)
		}
		a, err := jetstream.DecodeAdvisory(m)
		if err != nil || a.Head().Type == "" || a.Head().ID == "" || time.Since(a.Head().Time) > time.Hour {
			t.Fatalf("%s: %+v, %v", m.Data, a, err)
		}
		switch a := a.(type) {
		case jetstream.StreamActionAdvisory:
			seen["stream "+a.Action]++
			check(t, a, a.Stream == "S")
		case jetstream.ConsumerActionAdvisory:
			seen["consumer "+a.Action]++
			check(t, a, a.Stream == "S" && a.Consumer == "c")
		case jetstream.ConsumerPauseAdvisory:
			seen["pause"]++
			check(t, a, a.Paused && a.Consumer == "c" && time.Until(a.PauseUntil) > 50*time.Minute)
		case jetstream.ConsumerAckMetric:
			seen["ack"]++
			check(t, a, a.StreamSeq == 1 && a.ConsumerSeq == 1 && a.Deliveries == 1 && a.Delay > 0)
		case jetstream.MsgNakedAdvisory:
			seen["nak"]++
			check(t, a, a.StreamSeq == 2 && a.Consumer == "c")
		case jetstream.MsgTerminatedAdvisory:
			seen["term"]++
			check(t, a, a.StreamSeq == 3 && a.Reason == "too late")
		case jetstream.MaxDeliveriesAdvisory:
			seen["max deliveries"]++
			check(t, a, a.StreamSeq == 2 && a.Deliveries == 1)
		case jetstream.GroupPinnedAdvisory:
			seen["pinned"]++
			check(t, a, a.Group == "g" && a.PinnedClientID != "")
		case jetstream.GroupUnpinnedAdvisory:
			seen["unpinned"]++
			check(t, a, a.Group == "g" && a.Reason == "admin")
		case jetstream.APIAuditAdvisory:
			seen["audit"]++
			check(t, a, strings.HasPrefix(a.Subject, "$JS.API.") && a.Client != nil && a.Client.Lang == "go" && a.Response != "")
		default:
			t.Errorf("what is %T?", a)
		}
	}
	for _, what := range []string{
		"stream create", "stream modify", "consumer create", "pause", "ack", "nak", "term", "max deliveries", "pinned", "unpinned", "audit",
	} {
		if seen[what] == 0 {
			t.Errorf("nothing was told of %s: %v", what, seen)
		}
	}
}

func check(t *testing.T, a jetstream.Advisory, ok bool) {
	t.Helper()
	if !ok {
		t.Errorf("%T: %+v", a, a)
	}
}

func TestUserInfo(t *testing.T) {
	t.Parallel()
	srv := natstest.Run(t, natstest.JetStream(), natstest.Config(`
		accounts {
			A { jetstream: enabled, users: [
				{user: all, password: all}
				{user: some, password: some, permissions: {publish: {allow: ["$JS.API.INFO", "$SYS.REQ.USER.INFO"]}, subscribe: {deny: ["secret.>"]}, allow_responses: {max: 3, expires: "1m"}}}
				{user: none, password: none, permissions: {publish: ["x"]}}
			] }
		}`))
	js := func(user string) *jetstream.JetStream {
		return handle(t, strings.Replace(srv.URL(), "://", "://"+user+":"+user+"@", 1))
	}
	info, err := js("all").UserInfo(t.Context())
	if err != nil || info.User != "all" || info.Account != "A" || info.Permissions != nil || info.Expires != 0 {
		t.Errorf("%+v, %v", info, err)
	}
	info, err = js("some").UserInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p := info.Permissions
	slices.Sort(p.Publish.Allow) // the server says them in any order
	if got := fmt.Sprint(p.Publish.Allow, p.Subscribe.Deny, *p.Responses); got != "[$JS.API.INFO $SYS.REQ.USER.INFO] [secret.>] {3 1m0s}" {
		t.Error(got)
	}
	_, err = js("none").UserInfo(t.Context())
	var refused *nats.PermissionError
	if !errors.As(err, &refused) || refused.Subject != "$SYS.REQ.USER.INFO" {
		t.Errorf("without permission: %v", err)
	}
	// It is the same with JetStream: the refusal names what is not allowed.
	if _, err = js("some").CreateStream(t.Context(), jetstream.StreamConfig{Name: "S"}); !errors.As(err, &refused) || refused.Subject != "$JS.API.STREAM.CREATE.S" {
		t.Errorf("a stream without permission: %v", err)
	}
}
