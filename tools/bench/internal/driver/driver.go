// Package driver holds the small interface that a client must implement to be
// measured. An adapter is as thin as possible: nothing but the native call, with
// the client's default options.
package driver

// Options say what to connect to. All else stays at the client's defaults.
type Options struct {
	URL string
	// CAFile, if set, is the certificate authority to trust, in PEM.
	CAFile string
	// OnReconnect, if set, is called after each reconnect.
	OnReconnect func()
	// Bare leaves out the handlers by which a dropped message fails the run, so
	// that a connection costs what it costs without any option.
	Bare bool
}

// Driver makes connections of one client.
type Driver struct {
	Name    string
	Version string
	Connect func(Options) (Conn, error)
}

// Conn is one connection.
type Conn interface {
	Publish(subject string, data []byte) error
	// PublishHeader publishes with one header field that is built natively for
	// each message.
	PublishHeader(subject, key, value string, data []byte) error
	// Prepare returns a call that publishes the same message, whose header was
	// built once, again and again.
	Prepare(subject, key, value string, data []byte) (func() error, error)
	Flush() error
	// Subscribe delivers to a callback. With a headerKey the adapter reads that
	// header natively from each message first.
	Subscribe(subject, headerKey string, callback func(data []byte)) error
	// SubscribeSync and SubscribeChan return a receiver that is looped natively.
	SubscribeSync(subject string) (Receiver, error)
	SubscribeChan(subject string, capacity int) (Receiver, error)
	// Respond answers every request with the request's own payload, as a member
	// of a queue group if one is named.
	Respond(subject, queue string) error
	// Request waits as long as the client does by default, or five seconds where
	// the call wants a timeout.
	Request(subject string, data []byte) ([]byte, error)
	// Store makes a stream in memory that listens to subject, anew, and returns
	// what publishes to it. At most window publishes wait for their receipts.
	Store(subject string, window int) (Store, error)
	// State asks for the status and the statistics, which must never wait.
	State()
	Close()
}

// Stream is the name of the stream that Conn.Store makes.
const Stream = "BENCH"

// Store publishes to a stream.
type Store interface {
	// Publish waits for the receipt.
	Publish(data []byte) error
	// PublishAsync waits for room in the window.
	PublishAsync(data []byte) error
	// Wait waits for all receipts, and fails if not everything is stored.
	Wait() error
}

// Receiver receives n messages with the client's native loop and calls each for
// every one of them.
type Receiver interface {
	Receive(n int, each func(data []byte)) error
}
