package nats

import (
	"fmt"
)

// Event is one of the structs below: what happened to a Conn or to one of its
// subscriptions. It is sealed, and new kinds may come: keep a default case.
type Event interface {
	event()
	// String is one line for logs.
	String() string
}

type (
	// Connected: the first link is up.
	Connected struct{ Server Server }

	// Disconnected: the link is gone. Err says why; nil after Close, Drain and
	// Reconnect.
	Disconnected struct {
		Server  Server
		Err     error
		Unknown int // messages whose fate is unknown
	}

	// ConnectFailed: one attempt failed, at dialing, TLS, authentication or
	// anything else before the link was up.
	ConnectFailed struct {
		Server  Server
		Attempt int // on this server since its last success
		Err     error
	}

	// Reconnected: a further link is up and all subscriptions are on it.
	Reconnected struct {
		Server  Server
		Attempt int // failed attempts, on all servers, since the loss
	}

	// ServersDiscovered: INFO changed the pool.
	ServersDiscovered struct{ Added, Removed []Server }

	// LameDuck: the server asks its clients to leave.
	LameDuck struct{ Server Server }

	// Draining: Drain was called, on the Conn (Subscription is nil) or on one
	// subscription.
	Draining struct{ Subscription *Subscription }

	// Closed is the last event. Err is as Conn.Err.
	Closed struct{ Err error }

	// SlowConsumer: messages were dropped because they did not fit the pending
	// limits. It is told at the start of an episode, and with Over and the
	// total at its end.
	SlowConsumer struct {
		Subscription *Subscription
		Dropped      uint64 // in this episode so far
		Over         bool
	}

	// SubscriptionEnded: by Err (permission, overflow), or by the user if that
	// is nil.
	SubscriptionEnded struct {
		Subscription *Subscription
		Err          error
	}

	// AsyncError is an error that no call can return: a *PermissionError of a
	// publish, a *ServerError, a message that makes no sense.
	AsyncError struct{ Err error }
)

func (Connected) event()         {}
func (Disconnected) event()      {}
func (ConnectFailed) event()     {}
func (Reconnected) event()       {}
func (ServersDiscovered) event() {}
func (LameDuck) event()          {}
func (Draining) event()          {}
func (Closed) event()            {}
func (SlowConsumer) event()      {}
func (SubscriptionEnded) event() {}
func (AsyncError) event()        {}

func (e Connected) String() string { return "connected to " + e.Server.URL }

func (e Disconnected) String() string {
	s := "disconnected from " + e.Server.URL
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	if e.Unknown > 0 {
		s += fmt.Sprintf(" (the fate of %d messages is unknown)", e.Unknown)
	}
	return s
}

func (e ConnectFailed) String() string {
	return fmt.Sprintf("attempt %d to connect to %s failed: %v", e.Attempt, e.Server.URL, e.Err)
}

func (e Reconnected) String() string {
	return fmt.Sprintf("reconnected to %s after %d failed attempts", e.Server.URL, e.Attempt)
}

func (e ServersDiscovered) String() string {
	return fmt.Sprintf("servers discovered: %d added, %d removed", len(e.Added), len(e.Removed))
}

func (e LameDuck) String() string { return "server " + e.Server.URL + " is about to shut down" }

func (e Draining) String() string {
	if e.Subscription == nil {
		return "connection draining"
	}
	return fmt.Sprintf("subscription to %q draining", e.Subscription.Subject())
}

func (e Closed) String() string {
	if e.Err == nil {
		return "connection closed"
	}
	return "connection closed: " + e.Err.Error()
}

func (e SlowConsumer) String() string {
	if e.Over {
		return fmt.Sprintf("slow consumer of %q caught up: %d messages dropped", e.Subscription.Subject(), e.Dropped)
	}
	return fmt.Sprintf("slow consumer of %q: dropping messages, %d so far", e.Subscription.Subject(), e.Dropped)
}

func (e SubscriptionEnded) String() string {
	if e.Err == nil {
		return fmt.Sprintf("subscription to %q ended", e.Subscription.Subject())
	}
	return fmt.Sprintf("subscription to %q ended: %v", e.Subscription.Subject(), e.Err)
}

func (e AsyncError) String() string { return fmt.Sprint(e.Err) }

// subscriptionOf returns the subscription an event is about, or nil.
func subscriptionOf(e Event) *Subscription {
	switch e := e.(type) {
	case SlowConsumer:
		return e.Subscription
	case SubscriptionEnded:
		return e.Subscription
	case Draining:
		return e.Subscription
	}
	return nil
}
