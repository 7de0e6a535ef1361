// Package jetstream is streams and consumers of NATS: messages that are stored,
// acknowledged and read again.
package jetstream
