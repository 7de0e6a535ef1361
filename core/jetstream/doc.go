// Package jetstream is streams and consumers of NATS: messages that a server
// keeps, acknowledges, and delivers again until they are acknowledged.
//
// # A handle
//
// [New] makes a [JetStream] over a connection. It asks nothing of the server, so
// it cannot fail but for its options; [JetStream.AccountInfo] tells whether
// there is JetStream, and how much of it. [Domain] and [APIPrefix] are for one
// that is elsewhere.
//
//	js, err := jetstream.New(nc)
//	if err != nil {
//		return err
//	}
//
// # Streams
//
// A stream keeps what is published to its subjects. [StreamConfig] is the
// server's own document: the zero value of a field is the server's default.
//
//	stream, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
//		Name:     "ORDERS",
//		Subjects: []string{"orders.>"},
//		MaxAge:   30 * 24 * time.Hour,
//	})
//
// [JetStream.CreateStream] and [JetStream.UpdateStream] want to be the first, or
// not. [JetStream.Stream] asks for one, [JetStream.StreamHandle] does not ask.
// [JetStream.Streams] and [JetStream.StreamNames] list them, and
// [JetStream.StreamNameBySubject] finds one. A [Stream] has [Stream.Info],
// [Stream.Purge], [Stream.DeleteMsg], and [Stream.GetMsg] and
// [Stream.GetLastMsgForSubject] to read a message without a consumer.
//
// # Publish
//
// [JetStream.Publish] stores a message and waits for the receipt of the stream.
//
//	ack, err := js.Publish(ctx, "orders.new", data, jetstream.MsgID("order-42"))
//
// Options name the message ([MsgID], [AutoMsgID]), say what has to be true
// ([ExpectStream], [ExpectLastSequence], [ExpectLastSequencePerSubject],
// [ExpectLastMsgID]), how long it is kept ([MsgTTL]), what it replaces
// ([Rollup]) and when it is to appear ([ScheduleAt], [ScheduleEvery],
// [ScheduleCron]). A publish has three outcomes: a [PubAck]; an error that says
// it was not stored; and nats.ErrOutcomeUnknown, when the receipt did not come.
// With a message id, trying again is harmless.
//
// # Consumers
//
// A consumer is a place in a stream that the server remembers.
// [Stream.CreateConsumer] and its siblings make pull consumers, of which a
// [Consumer] is the handle; those with PushConsumer in their names make
// consumers that deliver to a subject. [Stream.PauseConsumer],
// [Stream.ResetConsumer] and [Stream.UnpinConsumer] steer them. [JetStream] has
// the same calls with the name of the stream in front, for programs that have no
// handle of it.
//
// # Consume
//
// [Consumer.Messages] is a loop, [Consumer.Consume] a handler, and
// [Consumer.Receiver] is for loops that are not yours: they read ahead, and go on
// whatever happens to links and servers. [Consumer.Fetch] and [Consumer.Next] ask
// once. Each [Msg] wants a verdict: [Msg.Ack], [Msg.AckSync], [Msg.Nak] or
// [Msg.Term]; what gets none is delivered again.
//
//	for msg, err := range cons.Messages(ctx) {
//		if err != nil {
//			return err
//		}
//		_ = msg.Ack()
//	}
//
// # Publishing without waiting
//
// [JetStream.PublishAsync] returns a [PubAckFuture]; [JetStream.WaitPublished]
// waits for all of them, [PublishAsyncHandler] is told of each.
//
// # Errors
//
// What the server refuses is an [APIError], and errors.Is compares its code with
// the constants of [ErrorCode]: all that the server has. What is wrong before
// anything is sent is a [ConfigError], an [OptionError] or an [ErrInvalidName].
// What an older server would leave out silently is not sent to it: it is an
// [APILevelError].
//
//	if errors.Is(err, jetstream.ErrStreamNotFound) {
//		log.Print("it is not there yet")
//	}
//
// # Contexts
//
// Everything that waits for a server takes a context. One without a deadline
// gets [DefaultTimeout], 5 s.
//
// # What the server tells
//
// [AdvisorySubjects] is where servers tell what happens to streams, consumers
// and messages; [DecodeAdvisory] makes an [Advisory] of it.
//
// # What is not here
//
// [JetStream.Request] is the door to server APIs that have no method, and
// [DecodeResponse], [DecodePubAck], [DecodeStreamMsg] and [ApplyPublishOptions]
// are for those who build on top.
//
// The folder docs of the repository has pages on publishing to streams, on
// consuming and on errors, and programs to copy from.
package jetstream
