// Package fakeserver is a scripted peer and a small in-memory broker, for
// tests of package nats. It is imported by test files only.
//
// A Net is the network: a dialer, and hosts by name. Each host is a Server that
// behaves like a broker until it is told otherwise: by hooks on operations, by
// a script, or by faults of its connections. Everything works on the time of a
// testing/synctest bubble, and everything that was received is on record.
package fakeserver
