// Package nats is a client of the NATS messaging system: Core NATS.
//
// # Connect
//
// Connect dials one server of a list and returns a Conn, which outlives its
// links: when one is lost it finds another server, subscribes again and sends
// what waited. It is safe for concurrent use; a program needs one.
//
//	nc, err := nats.Connect(ctx, "nats://127.0.0.1:4222", nats.Name("billing"))
//	if err != nil {
//		return err
//	}
//	defer nc.Drain(context.WithoutCancel(ctx))
//
// Drain is the shutdown: it lets handlers finish what has arrived, sends what
// was published, and closes. It is bounded by DrainTimeout, so it gets a context
// that the program's end has not cancelled already.
//
// # Credentials
//
// A user and a password, or a token, stand in the URL or in options. Credentials
// files, JWTs and nkeys have options too, and an AuthHandler answers with any of
// them, for the server that is being tried. All are asked for, and files read
// again, at each attempt to connect; none is ever in an error, an event or the
// log. ErrAuthorization is a server's refusal, ErrAuthExpired and ErrAuthRevoked
// what it says of credentials that were good until now.
//
// # Publish and subscribe
//
// Publish hands over bytes and returns; Flush waits until the server has them.
// There is one subscribe call a shape: a handler, a handle with Next and an
// iterator, a channel. The queue group and everything else are options.
//
//	sub, err := nc.Subscribe("orders.*", func(m nats.Msg) { ... }, nats.Queue("workers"))
//
//	sub, err := nc.SubscribeSync("orders.>")
//	for m, err := range sub.Messages(ctx) { ... }
//
// # Request and reply
//
//	reply, err := nc.Request(ctx, "prices.get", []byte("ABC"))
//
// It fails at once, not at its timeout, when nobody listens (ErrNoResponders)
// and when the link is lost (ErrDisconnected, or ErrOutcomeUnknown if the
// request had left). SafeToRetry tells whether a byte can have left.
//
// # What became of a message
//
// Core NATS delivers at most once. What this package adds is that nobody has to
// guess: each accepted message is buffered, in flight, confirmed, dropped or
// unknown, and Stats counts each in exactly one place. Events tell of every
// loss; without an EventHandler they are logged.
//
// # Contexts and time
//
// Everything that waits for a peer takes a context. One without a deadline gets
// the documented default timeout, whose error is a context.DeadlineExceeded.
package nats
