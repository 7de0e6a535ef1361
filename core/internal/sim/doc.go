// Package sim is a seeded simulation of clients, servers and the network between
// them: one goroutine, a clock that leaps from event to event, and chance that
// comes from a seed. The same seed gives the same run, to the last byte.
//
// It holds the world and everything that is not the client: [World] is clock,
// events, chance and trace; [Net] carries bytes and breaks; [Cluster] is model
// servers that speak the protocol; [Plan] is what happens when, and [Shrink]
// makes a failing one short. The client itself, the real code, is wired to it in
// the tests of package nats.
package sim
