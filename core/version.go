package nats

const (
	// DefaultURL is where a server listens that was started without options.
	DefaultURL = "nats://127.0.0.1:4222"
	// Version is the version of this module, without the tag's prefix. Servers
	// show it beside the connection's name.
	Version = "0.1.0"
)
