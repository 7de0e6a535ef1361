package natstest

import (
	"math"
	"slices"

	"github.com/nats-io/nats-server/v2/server"
)

// NumClients returns the number of client connections.
func (s *Server) NumClients() int { return s.Embedded().NumClients() }

// NumSubscriptions returns the number of subscriptions that client connections
// hold; the server's own are not counted.
func (s *Server) NumSubscriptions() int { return len(s.Subscriptions()) }

// Subscriptions returns the subscriptions of the clients with these names (the
// name of the CONNECT), or of all clients without names: "subject", or "subject
// queue" for a queue subscription, sorted, each as often as it was subscribed.
// It is what a client's own list must be equal to once a PONG has answered its
// PING.
func (s *Server) Subscriptions(names ...string) []string {
	return subscriptions(s.Embedded(), func(c *server.ConnInfo) bool {
		return len(names) == 0 || slices.Contains(names, c.Name)
	})
}

// SubscriptionsByID is Subscriptions for clients with these IDs, which are the
// client_id of the INFO.
func (s *Server) SubscriptionsByID(cids ...uint64) []string {
	return subscriptions(s.Embedded(), func(c *server.ConnInfo) bool {
		return slices.Contains(cids, c.Cid)
	})
}

// Disconnect closes the connections of the clients with these names, or of all
// clients without names, at once and without a word, as a network failure
// would. It returns how many there were.
func (s *Server) Disconnect(names ...string) int {
	return disconnect(s.Embedded(), names)
}

func disconnect(srv *server.Server, names []string) int {
	n := 0
	for _, c := range clients(srv) {
		if len(names) > 0 && !slices.Contains(names, c.Name) {
			continue
		}
		if srv.DisconnectClientByID(c.Cid) == nil {
			n++
		}
	}
	return n
}

func subscriptions(srv *server.Server, wanted func(*server.ConnInfo) bool) []string {
	list := []string{}
	for _, c := range clients(srv) {
		if !wanted(c) {
			continue
		}
		for _, sub := range c.SubsDetail {
			if sub.Queue != "" {
				sub.Subject += " " + sub.Queue
			}
			list = append(list, sub.Subject)
		}
	}
	slices.Sort(list)
	return list
}

// clients returns the client connections of srv, none if it is down.
func clients(srv *server.Server) []*server.ConnInfo {
	connz, err := srv.Connz(&server.ConnzOptions{Subscriptions: true, SubscriptionsDetail: true, Limit: math.MaxInt32})
	if err != nil {
		return nil
	}
	return connz.Conns
}
