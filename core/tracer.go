package nats

import "context"

// Tracer is told of the start and end of every operation. The context that
// Start returns goes to End, and to Msg.Context for deliveries. Both are called
// on the goroutine of the operation and must be fast.
type Tracer interface {
	Start(ctx context.Context, op *Operation) context.Context
	End(ctx context.Context, op *Operation, err error)
}

// Operation describes what is traced. Fields are added, never changed.
type Operation struct {
	Kind             OperationKind
	Conn             *Conn
	Subject, Queue   string
	Stream, Consumer string  // JetStream
	Header           *Header // outgoing: may be changed, to inject; incoming: to extract from
	Size, Count      int
}

// OperationKind grows over time; ignore what you do not know.
type OperationKind int

const (
	// OpConnect is one attempt to connect; Subject is the server's URL.
	OpConnect OperationKind = iota
	// OpPublish is a publish that hands over bytes.
	OpPublish
	// OpRequest is a request and its reply.
	OpRequest
	// OpDeliver is around one handler call, or one message taken with Next.
	OpDeliver
	// OpAPI is a JetStream API request.
	OpAPI
	// OpPublishAck is a JetStream publish and its acknowledgement.
	OpPublishAck
	// OpPull is a pull request.
	OpPull
	// OpAck is an acknowledgement of a message.
	OpAck
	// OpService is around one service handler.
	OpService
)
