// Package natstest runs real NATS servers, clusters and network faults for
// tests, with any client: it knows the server and no client library.
//
//	func TestOrders(t *testing.T) {
//		srv := natstest.Run(t, natstest.JetStream())
//		nc, err := nats.Connect(t.Context(), srv.URL())
//		…
//	}
package natstest
