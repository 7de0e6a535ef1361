// Package nats is a client of the NATS messaging system: Core NATS.
//
// # Connect
//
// [Connect] dials one server of a list and returns a [Conn], which outlives its
// links: when one is lost it finds another server, subscribes again and sends
// what waited. It is safe for concurrent use; a program needs one.
//
//	nc, err := nats.Connect(ctx, "nats://127.0.0.1:4222", nats.Name("billing"))
//	if err != nil {
//		return err
//	}
//	defer nc.Drain(context.WithoutCancel(ctx))
//
// [Conn.Drain] is the shutdown: it lets handlers finish what has arrived, sends
// what was published, and closes. It is bounded by [DrainTimeout], so it gets a
// context that the program's end has not cancelled already.
//
// Options are bare names. An [Option] is given to Connect, a [SubOption] to
// Subscribe and its siblings, and a [ConnSubOption] to either: on Connect it is
// the default of every subscription. What is wrong with them is found before
// anything is dialed, and comes back as one error.
//
// # Credentials
//
// A user and a password, or a token, stand in the URL or in options. Credentials
// files, JWTs and nkeys have options too, and an [AuthHandler] answers with any of
// them, for the server that is being tried. All are asked for, and files read
// again, at each attempt to connect; none is ever in an error, an event or the
// log. [ErrAuthorization] is a server's refusal, [ErrAuthExpired] and
// [ErrAuthRevoked] what it says of credentials that were good until now.
//
// # Publish
//
// [Conn.Publish] hands over bytes and returns; [Conn.Flush] waits until the
// server has them. [Conn.PublishMsg] sends a [Msg], which has a [Header] beside
// subject and data.
//
//	header, err := nats.NewHeader("Trace", "42")
//	if err != nil {
//		return err
//	}
//	err = nc.PublishMsg(ctx, nats.Msg{Subject: "orders.created", Header: header, Data: data})
//
// # Subscribe
//
// There is one call a shape: [Conn.Subscribe] calls a handler,
// [Conn.SubscribeSync] makes a handle with [Subscription.Next] and the iterator
// [Subscription.Messages], [Conn.SubscribeChan] feeds a channel. The queue group
// and everything else are options: [Queue], [Concurrency], [AutoUnsubscribe],
// [PendingLimits], [Overflow], [OnReader].
//
//	workers, err := nc.Subscribe("orders.*", func(m nats.Msg) {
//		_ = m.Respond([]byte("thanks"))
//	}, nats.Queue("workers"))
//
//	all, err := nc.SubscribeSync("orders.>")
//	for m, err := range all.Messages(ctx) {
//		if err != nil {
//			return err
//		}
//		fmt.Println(m.Subject)
//	}
//
// A subscription's messages come in order; those of different subscriptions are
// handled independently. What is not taken in time waits within limits, and what
// does not fit is dropped, told and counted.
//
// # Request and reply
//
//	reply, err := nc.Request(ctx, "prices.get", []byte("ABC"))
//
// [Conn.Request] fails at once, not at its timeout, when nobody listens
// ([ErrNoResponders]) and when the link is lost ([ErrDisconnected], and
// [ErrOutcomeUnknown] beside it if the request had left). [SafeToRetry] tells
// whether a byte can have left.
//
// # What became of a message
//
// Core NATS delivers at most once. What this package adds is that nobody has to
// guess: each accepted message is buffered, in flight, confirmed, dropped or
// unknown, and [Stats] counts each in exactly one place. An [EventHandler] is
// told of every loss, as one of the structs that are an [Event]; without one
// they are logged.
//
// # Errors
//
// States are values for errors.Is, such as [ErrClosed]; what has data is a type
// for errors.As, such as [PermissionError]. No error text holds a secret.
//
// # Contexts and time
//
// Everything that waits for a peer takes a context. One without a deadline gets
// the documented default timeout, whose error is a context.DeadlineExceeded.
//
// # Instrumentation
//
// A [Tracer] hears the start and the end of every operation, and may carry a
// trace in headers; [Msg.Context] is its context. Without one it costs nothing.
//
// # More
//
// The folder docs of the repository has pages on connecting, reconnecting,
// subscriptions, requests and errors, and programs to copy from.
package nats
