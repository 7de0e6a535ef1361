// Package natstest runs real NATS servers for tests and programs: one in the
// same process, a cluster, or one in a process of its own, and puts a proxy
// before them that fails as networks do. It works with any client, because it
// knows the server and no client library.
//
//	func TestOrders(t *testing.T) {
//		srv := natstest.Run(t, natstest.JetStream())
//		nc, err := nats.Connect(t.Context(), srv.URL())
//		…
//	}
//
// # Servers
//
// [Run] starts a [Server] within a few milliseconds, on a free port of
// 127.0.0.1, without a log, and ends it with the test. What it needs beyond
// that is said with options: [JetStream], [TLS], [UserPassword], [Config] and
// so on; [ServerOptions] reaches everything else. A server per test is
// affordable, also in parallel tests.
//
// A server can go down and come back: [Server.Shutdown], [Server.Kill],
// [Server.LameDuck] and [Server.Restart]. Its address, its name and its store
// stay the same. The address is held while the server is down (on Linux and
// macOS), so nobody else gets the port: a client that reconnects meets this
// server or nobody.
//
// [RunCluster] does the same with several servers, and returns when they have
// elected a leader; [Cluster.StreamLeader] says whom to kill. [RunSuperCluster]
// connects several clusters by gateways, and [LeafNode] any server or cluster
// with a hub, which is one that has [LeafNodes].
//
// # Who may connect
//
// Everybody may, unless options say otherwise: [UserPassword], [Token], [Users]
// with names or nkeys (see [NewKey]) and [Permissions]. An [Operator], which is
// an option as well, is for JWTs: it makes accounts and credentials in memory.
//
//	op := natstest.NewOperator()
//	srv := natstest.Run(t, op)
//	ann := op.Account("ORDERS").User("ann")
//	nc, err := nats.Connect(t.Context(), srv.URL(), nats.UserCredentials(ann.File(t)))
//	…
//	op.Account("ORDERS").Revoke(ann) // and she is out
//
// [Server.Reconfigure] changes options of a running server, users among them.
//
// # Faults
//
// [RunProcess] starts the server in a process of its own, which is this
// program started once more: for kill -9 ([Process.Kill]) and for a server
// that is there and does not answer ([Process.Pause]). [RunProcessCluster]
// makes a cluster of them.
//
// [RunProxy] puts a [Proxy] between client and server: connections are cut
// after an exact number of bytes, delayed, throttled, refused, or deaf in one
// direction.
//
// # Leaks
//
// [CheckLeaks] fails a test that leaves goroutines behind, and [Main] a whole
// package; both know what belongs to the testing package and what to you.
//
// # Programs
//
// Each Run function has a Start twin that returns an error instead of needing
// a [testing.TB], for demonstrations, benchmarks and tools:
//
//	srv, err := natstest.Start(natstest.JetStream())
//	…
//	defer srv.Stop()
package natstest
