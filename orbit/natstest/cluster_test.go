package natstest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/perigee-go/nats/orbit/natstest"
)

func createStream(t *testing.T, addr, name string, replicas int) {
	t.Helper()
	body := fmt.Sprintf(`{"name":%q,"subjects":["%s.>"],"num_replicas":%d,"storage":"file"}`, name, name, replicas)
	if got := connect(t, addr).request("$JS.API.STREAM.CREATE."+name, body); strings.Contains(got, `"error"`) {
		t.Fatal(got)
	}
}

func TestClusterIsReadyForStreams(t *testing.T) {
	t.Parallel()
	c := natstest.RunCluster(t, 3)
	if c.MetaLeader() == nil {
		t.Fatal("no meta leader")
	}
	createStream(t, c.Server(0).Addr(), "S", 3)
	leader, err := c.WaitStreamLeader(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	leader.Kill()
	if leader.Running() {
		t.Error("running after Kill")
	}
	next, err := c.WaitStreamLeader(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	if next == leader {
		t.Error("a killed server leads")
	}
	if got := connect(t, next.Addr()).request("S.x", "one"); !strings.Contains(got, `"seq":1`) {
		t.Error(got)
	}
	if err := leader.Restart(); err != nil {
		t.Fatal(err)
	}
	if err := c.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	if strings.Count(c.URL(), ",") != 2 || len(c.Servers()) != 3 {
		t.Errorf("URL %s", c.URL())
	}
}

func TestClusterWithoutJetStreamRoutesMessages(t *testing.T) {
	t.Parallel()
	c := natstest.RunCluster(t, 2, natstest.NoJetStream(), natstest.Name("duo"))
	if c.Name() != "duo" || c.Server(1).Name() != "duo-1" {
		t.Errorf("names %s, %s", c.Name(), c.Server(1).Name())
	}
	a, b := connect(t, c.Server(0).Addr()), connect(t, c.Server(1).Addr())
	a.say("SUB x 1\r\n")
	a.ping()
	waitInterest(t, c.Server(1), "x")
	b.say("PUB x 2\r\nhi\r\n")
	a.hear("MSG x 1 2")
}

func TestRollingRestart(t *testing.T) {
	t.Parallel()
	c := natstest.RunCluster(t, 2, natstest.NoJetStream())
	p := connect(t, c.Server(0).Addr())
	before := []string{c.Server(0).ID(), c.Server(1).ID()}
	if err := c.RollingRestart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.end(); err != nil || !p.info.LameDuck {
		t.Errorf("%v, INFO %+v", err, p.info)
	}
	if c.Server(0).ID() == before[0] || c.Server(1).ID() == before[1] {
		t.Error("a server was not restarted")
	}
}

func TestStartClusterRefusesNonsense(t *testing.T) {
	t.Parallel()
	_, err := natstest.StartCluster(1, natstest.Port(4222))
	if err == nil || !strings.Contains(err.Error(), "at least 2") || !strings.Contains(err.Error(), "Port") {
		t.Error(err)
	}
}

func TestProcessClusterSurvivesKillOfTheLeader(t *testing.T) {
	if testing.Short() {
		t.Skip("an election without a hand-over takes the server some seconds")
	}
	t.Parallel()
	c := natstest.RunProcessCluster(t, 3, natstest.Name("trio"))
	if c.MetaLeader() == nil || c.Process(2).Name() != "trio-2" || len(c.Processes()) != 3 {
		t.Errorf("meta leader %v, %s", c.MetaLeader(), c.Process(2).Name())
	}
	createStream(t, c.Process(0).Addr(), "S", 3)
	leader, err := c.WaitStreamLeader(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	if got := c.StreamLeader("S"); got != leader || c.ConsumerLeader("S", "nope") != nil {
		t.Errorf("two leaders: %s, %s", got.Name(), leader.Name())
	}
	leader.Kill()
	next, err := c.WaitStreamLeader(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	if next == leader {
		t.Error("a killed server leads")
	}
	if got := connect(t, next.Addr()).request("S.x", "one"); !strings.Contains(got, `"seq":1`) {
		t.Error(got)
	}
	if _, err := c.WaitMetaLeader(t.Context()); err != nil {
		t.Error(err)
	}
	if err := leader.Restart(); err != nil {
		t.Fatal(err)
	}
	if err := c.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestConsumerLeaderAndAccounts(t *testing.T) {
	t.Parallel()
	c := natstest.RunCluster(t, 2, natstest.TLS())
	if c.CA() == nil || c.Server(1).CAFile() != c.CAFile() {
		t.Error("the servers do not share a CA")
	}
	if got := c.StreamLeaderIn("$G", "nope"); got != nil {
		t.Errorf("%s leads a stream that is not there", got.Name())
	}
	if got := c.ConsumerLeader("nope", "nope"); got != nil {
		t.Errorf("%s leads a consumer that is not there", got.Name())
	}
	if leader, err := c.WaitMetaLeader(t.Context()); err != nil || leader != c.MetaLeader() {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.WaitStreamLeader(ctx, "nope"); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "2 of 2") {
		t.Error(err)
	}
	c.Stop()
	c.Stop()
}
