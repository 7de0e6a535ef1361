package jetstream

// Header fields of JetStream. Servers match them by their exact case.
const (
	// Of a publish; options set them.
	MsgIDHeader                   = "Nats-Msg-Id"
	MsgTTLHeader                  = "Nats-TTL"
	MsgRollupHeader               = "Nats-Rollup"
	ExpectedStreamHeader          = "Nats-Expected-Stream"
	ExpectedLastMsgIDHeader       = "Nats-Expected-Last-Msg-Id"
	ExpectedLastSeqHeader         = "Nats-Expected-Last-Sequence"
	ExpectedLastSubjSeqHeader     = "Nats-Expected-Last-Subject-Sequence"
	ExpectedLastSubjSeqSubjHeader = "Nats-Expected-Last-Subject-Sequence-Subject"

	// Of a message that was read or republished; the server sets them.
	StreamHeader       = "Nats-Stream"
	SubjectHeader      = "Nats-Subject"
	SequenceHeader     = "Nats-Sequence"
	TimeStampHeader    = "Nats-Time-Stamp"
	LastSequenceHeader = "Nats-Last-Sequence"
	NumPendingHeader   = "Nats-Num-Pending"
	UpToSequenceHeader = "Nats-UpTo-Sequence"
	MarkerReasonHeader = "Nats-Marker-Reason"
	MsgSizeHeader      = "Nats-Msg-Size" // of a consumer with HeadersOnly
	PinIDHeader        = "Nats-Pin-Id"

	// Of batches.
	BatchIDHeader       = "Nats-Batch-Id"
	BatchSequenceHeader = "Nats-Batch-Sequence"
	BatchCommitHeader   = "Nats-Batch-Commit"

	// Of counters.
	IncrHeader           = "Nats-Incr"
	CounterSourcesHeader = "Nats-Counter-Sources"

	// Of scheduled messages, and of what they produce.
	ScheduleHeader         = "Nats-Schedule"
	ScheduleTargetHeader   = "Nats-Schedule-Target"
	ScheduleSourceHeader   = "Nats-Schedule-Source"
	ScheduleTTLHeader      = "Nats-Schedule-TTL"
	ScheduleTimeZoneHeader = "Nats-Schedule-Time-Zone"
	ScheduleRollupHeader   = "Nats-Schedule-Rollup"
	SchedulerHeader        = "Nats-Scheduler"
	ScheduleNextHeader     = "Nats-Schedule-Next"

	// Of API requests.
	RequiredAPILevelHeader = "Nats-Required-Api-Level"
)
