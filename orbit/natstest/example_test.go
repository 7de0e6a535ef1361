package natstest_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"

	"github.com/perigee-go/nats/orbit/natstest"
)

func ExampleRun() {
	_ = func(t *testing.T) {
		srv := natstest.Run(t, natstest.JetStream(), natstest.UserPassword("ann", "secret"))
		fmt.Println("connect any client to", srv.URL())

		srv.Kill() // the client sees its connection break
		srv.Restart()
	}
}

func ExampleStart() {
	srv, err := natstest.Start(natstest.Name("demo"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer srv.Stop()

	conn, err := srv.InProcessConn()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	line, _ := bufio.NewReader(conn).ReadString('\n')
	fmt.Println(strings.HasPrefix(line, "INFO {"), srv.Name())
	// Output: true demo
}

func ExampleRunCluster() {
	_ = func(t *testing.T) {
		cluster := natstest.RunCluster(t, 3)
		fmt.Println("connect to", cluster.URL())
		// … create the stream ORDERS with three replicas …

		leader, err := cluster.WaitStreamLeader(t.Context(), "ORDERS")
		if err != nil {
			t.Fatal(err)
		}
		leader.Kill()
		if _, err := cluster.WaitStreamLeader(t.Context(), "ORDERS"); err != nil {
			t.Fatal(err)
		}
	}
}

func ExampleNewOperator() {
	op := natstest.NewOperator()
	srv, err := natstest.Start(op)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer srv.Stop()

	orders := op.Account("ORDERS")
	ann := orders.User("ann", natstest.ExpireIn(time.Minute))
	creds := ann.Bytes() // what stands in a credentials file
	fmt.Println(strings.HasPrefix(string(creds), "-----BEGIN NATS USER JWT-----"))

	fmt.Println(orders.Revoke(ann)) // the server disconnects her
	// Output:
	// true
	// <nil>
}

func ExampleAccount_Update() {
	_ = func(t *testing.T) {
		op := natstest.NewOperator()
		cluster := natstest.RunCluster(t, 3, op)
		fmt.Println("connect to", cluster.URL())

		err := op.Account("ORDERS").Update(func(c *jwt.AccountClaims) {
			c.Limits.Conn = 10
			c.Limits.Streams = 1
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func ExampleUsers() {
	_ = func(t *testing.T) {
		key := natstest.NewKey()
		srv := natstest.Run(t, natstest.Users(
			natstest.User{NKey: key.PublicKey()},
			natstest.User{Name: "ann", Password: "secret", Permissions: natstest.Permissions{Subscribe: []string{"news.>"}}},
		))
		fmt.Println("connect to", srv.URL(), "with the seed in", key.SeedFile(t))

		// Ann loses her password and her permissions, the other one stays.
		srv.Reconfigure(natstest.Users(natstest.User{NKey: key.PublicKey()}))
	}
}

func ExampleRunSuperCluster() {
	_ = func(t *testing.T) {
		world := natstest.RunSuperCluster(t, 2, 3)
		east, west := world.Cluster(0), world.Cluster(1)
		fmt.Println("connect to", east.URL(), "and", west.URL())

		for _, srv := range east.Servers() {
			srv.Kill()
		}
	}
}

func ExampleLeafNode() {
	_ = func(t *testing.T) {
		hub := natstest.Run(t, natstest.JetStreamDomain("hub"), natstest.LeafNodes())
		leaf := natstest.Run(t, natstest.JetStreamDomain("leaf"), natstest.LeafNode(natstest.Hub{URL: hub.LeafURL()}))
		fmt.Println("connect to", leaf.URL())

		hub.DisconnectLeafNodes()
		if err := leaf.WaitLeafNodes(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
	}
}

func ExampleProxy() {
	srv, err := natstest.Start()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer srv.Stop()
	proxy, err := natstest.StartProxy(srv.URL())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer proxy.Stop()

	// The next connection ends in the middle of the server's first word.
	proxy.CutAfter(natstest.ServerToClient, 3)
	conn, err := net.Dial("tcp", proxy.Addr())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	heard, err := io.ReadAll(conn)
	fmt.Printf("%s %v\n", heard, err)
	// Output: INF <nil>
}

func ExampleProxy_Stall() {
	_ = func(t *testing.T) {
		srv := natstest.Run(t)
		proxy := natstest.RunProxy(t, srv.URL())
		fmt.Println("connect to", proxy.URL())

		// The server hears the client, and the client hears nothing any more:
		// does it notice?
		proxy.Stall(natstest.ServerToClient)
	}
}

func ExampleRunProcess() {
	_ = func(t *testing.T) {
		p := natstest.RunProcess(t, natstest.JetStream())
		fmt.Println("connect to", p.URL())

		p.Kill() // kill -9: what was not synced to disk may be gone
		p.Restart()

		p.Pause() // there, and silent
		p.Resume()
	}
}

func ExampleMain() {
	// func TestMain(m *testing.M) { os.Exit(natstest.Main(m)) }
	_ = func(m *testing.M) { os.Exit(natstest.Main(m)) }
}

func ExampleCheckLeaks() {
	_ = func(t *testing.T) {
		natstest.CheckLeaks(t) // first
		srv := natstest.Run(t)
		fmt.Println("connect, close, and see that nothing is left", srv.URL())
	}
}

func ExampleLogTo() {
	_ = func(t *testing.T) {
		natstest.Run(t, natstest.LogTo(t.Output()), natstest.Debug())
	}
}

func ExampleLameDuck() {
	_ = func(t *testing.T) {
		srv := natstest.Run(t, natstest.LameDuck(2*time.Second, time.Second))
		<-srv.LameDuck()
	}
}
