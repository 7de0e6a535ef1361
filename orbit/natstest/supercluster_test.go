package natstest_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/perigee-go/nats/orbit/natstest"
)

func TestSuperCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("six servers and some elections")
	}
	t.Parallel()
	start := time.Now()
	s := natstest.RunSuperCluster(t, 2, 3, natstest.Name("globe"))
	t.Logf("ready after %v", time.Since(start))
	if s.Name() != "globe" || s.Cluster(1).Name() != "globe-1" || s.Cluster(1).Server(2).Name() != "globe-1-2" {
		t.Errorf("names %s, %s, %s", s.Name(), s.Cluster(1).Name(), s.Cluster(1).Server(2).Name())
	}
	if len(s.Clusters()) != 2 || len(s.Servers()) != 6 || strings.Count(s.URL(), ",") != 5 || s.Server(5) != s.Cluster(1).Server(2) {
		t.Errorf("%d clusters, %d servers, %s", len(s.Clusters()), len(s.Servers()), s.URL())
	}
	leader := s.MetaLeader()
	if leader == nil || s.Cluster(0).MetaLeader() != leader || s.Cluster(1).MetaLeader() != leader {
		t.Fatalf("meta leaders %v, %v, %v", leader, s.Cluster(0).MetaLeader(), s.Cluster(1).MetaLeader())
	}

	// A stream in one cluster is to be had in the other.
	for i, c := range s.Clusters() {
		far := connect(t, s.Cluster(1-i).Server(0).Addr())
		name := fmt.Sprintf("S%d", i)
		body := fmt.Sprintf(`{"name":%q,"subjects":[%q],"num_replicas":3,"storage":"file","placement":{"cluster":%q}}`, name, name, c.Name())
		if got := far.request("$JS.API.STREAM.CREATE."+name, body); strings.Contains(got, `"error"`) {
			t.Fatal(got)
		}
		far.say("SUB inbox 1\r\n")
		eventually(t, func() bool { // interest takes its time to cross a gateway
			far.say("PUB %s inbox 3\r\none\r\n", name)
			return strings.Contains(far.message(), `"seq":1`)
		})
		if c.StreamLeader(name) == nil || s.StreamLeader(name) != c.StreamLeader(name) || s.Cluster(1-i).StreamLeader(name) != nil {
			t.Errorf("%s does not live in %s", name, c.Name())
		}
	}

	// A cluster that loses its servers comes back to the others.
	lost := s.Cluster(0)
	for _, srv := range lost.Servers() {
		srv.Kill()
	}
	connect(t, s.Cluster(1).Server(0).Addr())
	for _, srv := range lost.Servers() {
		if err := srv.Restart(); err != nil {
			t.Fatal(err)
		}
	}
	if err := lost.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.WaitStreamLeader(t.Context(), "S0"); err != nil {
		t.Fatal(err)
	}
	if got := connect(t, s.Cluster(1).Server(0).Addr()).request("$JS.API.STREAM.INFO.S0", ""); !strings.Contains(got, `"messages":1`) {
		t.Error(got)
	}
}

func TestSuperClusterWithoutJetStream(t *testing.T) {
	t.Parallel()
	start := time.Now()
	op := natstest.NewOperator()
	s := natstest.RunSuperCluster(t, 3, 1, natstest.NoJetStream(), op, natstest.FullResolver(), natstest.TLS(), natstest.AllowNonTLS())
	t.Logf("ready after %v", time.Since(start))
	ann := op.Account("A").User("ann")
	p := enter(t, s.Server(0).Addr(), ann)
	p.say("SUB x 1\r\n")
	p.ping()
	enter(t, s.Server(2).Addr(), ann).say("PUB x 2\r\nhi\r\n")
	p.hear("MSG x 1 2")
	p.line()
	if s.CA() == nil || s.Cluster(1).CAFile() != s.CAFile() || s.Server(2).CAFile() != s.CAFile() {
		t.Error("the servers do not share a CA")
	}
	if err := op.Account("A").Revoke(ann); err != nil {
		t.Fatal(err)
	}
	p.hear("-ERR")
	if err := s.RollingRestart(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestStartSuperClusterRefusesNonsense(t *testing.T) {
	t.Parallel()
	_, err := natstest.StartSuperCluster(1, 0, natstest.Port(4222))
	if err == nil || !strings.Contains(err.Error(), "at least 2") || !strings.Contains(err.Error(), "at least 1") || !strings.Contains(err.Error(), "Port") {
		t.Error(err)
	}
}
