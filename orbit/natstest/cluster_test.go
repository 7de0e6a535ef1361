package natstest_test

import (
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
	if got := strings.Count(c.URL(), ","); got != 2 {
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
