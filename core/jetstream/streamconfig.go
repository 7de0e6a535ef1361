package jetstream

import "time"

// StreamConfig is what a stream is. The zero value of a field is the server's
// default; only what is set is sent, so that older servers take it. Limits of 0
// are none: the server answers -1.
type StreamConfig struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	// Subjects that the stream listens on; its name if there are none, and no
	// mirror and sources.
	Subjects             []string        `json:"subjects,omitempty"`
	Retention            RetentionPolicy `json:"retention,omitzero"`
	MaxConsumers         int             `json:"max_consumers,omitempty"`
	MaxMsgs              int64           `json:"max_msgs,omitempty"`
	MaxBytes             int64           `json:"max_bytes,omitempty"`
	Discard              DiscardPolicy   `json:"discard,omitzero"`
	DiscardNewPerSubject bool            `json:"discard_new_per_subject,omitempty"` // with DiscardNew and MaxMsgsPerSubject
	MaxAge               time.Duration   `json:"max_age,omitempty"`
	MaxMsgsPerSubject    int64           `json:"max_msgs_per_subject,omitempty"`
	MaxMsgSize           int32           `json:"max_msg_size,omitempty"`
	Storage              StorageType     `json:"storage,omitzero"`
	Replicas             int             `json:"num_replicas,omitempty"` // 1 to 5
	NoAck                bool            `json:"no_ack,omitempty"`       // publishes get no receipt: ErrOutcomeUnknown
	// Duplicates is how long message ids are remembered. Default 2 minutes, or
	// MaxAge if that is shorter.
	Duplicates       time.Duration           `json:"duplicate_window,omitempty"`
	Placement        *Placement              `json:"placement,omitempty"`
	Mirror           *StreamSource           `json:"mirror,omitempty"`
	Sources          []*StreamSource         `json:"sources,omitempty"`
	Sealed           bool                    `json:"sealed,omitempty"` // nothing comes in, nothing goes; cannot be undone
	DenyDelete       bool                    `json:"deny_delete,omitempty"`
	DenyPurge        bool                    `json:"deny_purge,omitempty"`
	AllowRollup      bool                    `json:"allow_rollup_hdrs,omitempty"`
	Compression      StoreCompression        `json:"compression,omitzero"`
	FirstSeq         uint64                  `json:"first_seq,omitempty"`
	SubjectTransform *SubjectTransformConfig `json:"subject_transform,omitempty"`
	RePublish        *RePublish              `json:"republish,omitempty"`
	// AllowDirect lets any replica answer GetMsg; MirrorDirect lets mirrors, too.
	AllowDirect    bool                 `json:"allow_direct,omitempty"`
	MirrorDirect   bool                 `json:"mirror_direct,omitempty"`
	ConsumerLimits StreamConsumerLimits `json:"consumer_limits,omitzero"`
	// Metadata is the user's. The server adds keys that begin with _nats.
	Metadata    map[string]string `json:"metadata,omitempty"`
	AllowMsgTTL bool              `json:"allow_msg_ttl,omitempty"` // server 2.11; MsgTTL
	// SubjectDeleteMarkerTTL leaves a marker when MaxAge removes the last
	// message of a subject, for so long. Server 2.11.
	SubjectDeleteMarkerTTL time.Duration   `json:"subject_delete_marker_ttl,omitempty"`
	AllowMsgCounter        bool            `json:"allow_msg_counter,omitempty"`   // server 2.12
	AllowAtomicPublish     bool            `json:"allow_atomic,omitempty"`        // server 2.12
	AllowMsgSchedules      bool            `json:"allow_msg_schedules,omitempty"` // server 2.12; ScheduleAt and its siblings
	PersistMode            PersistModeType `json:"persist_mode,omitzero"`         // server 2.12
	AllowBatchPublish      bool            `json:"allow_batched,omitempty"`       // server 2.14
}

// StreamSource is a stream that another one copies from.
type StreamSource struct {
	Name              string                   `json:"name"`
	OptStartSeq       uint64                   `json:"opt_start_seq,omitempty"`
	OptStartTime      time.Time                `json:"opt_start_time,omitzero"`
	FilterSubject     string                   `json:"filter_subject,omitempty"` // not with SubjectTransforms
	SubjectTransforms []SubjectTransformConfig `json:"subject_transforms,omitempty"`
	External          *ExternalStream          `json:"external,omitempty"`
	Consumer          *StreamConsumerSource    `json:"consumer,omitempty"` // server 2.14
	// Domain is where the stream lives, if elsewhere. It becomes External when
	// it is sent, and is not set together with it.
	Domain string `json:"-"`
}

// SubjectTransformConfig maps subjects that match Source to Destination.
type SubjectTransformConfig struct {
	Source      string `json:"src"`
	Destination string `json:"dest"`
}

// RePublish sends what was stored on under another subject, as Core NATS.
type RePublish struct {
	Source      string `json:"src,omitempty"`
	Destination string `json:"dest"`
	HeadersOnly bool   `json:"headers_only,omitempty"`
}

// Placement says where in a cluster something is to live.
type Placement struct {
	Cluster string   `json:"cluster,omitempty"`
	Tags    []string `json:"tags,omitempty"`
}

// ExternalStream is how a stream of another domain or account is reached.
type ExternalStream struct {
	APIPrefix     string `json:"api"`
	DeliverPrefix string `json:"deliver"`
}

// StreamConsumerSource names the consumer that a copying stream uses, instead
// of one of its own making.
type StreamConsumerSource struct {
	Name           string `json:"name,omitempty"`
	DeliverSubject string `json:"deliver_subject,omitempty"`
}

// StreamConsumerLimits are defaults and limits for the consumers of a stream.
type StreamConsumerLimits struct {
	InactiveThreshold time.Duration `json:"inactive_threshold,omitempty"`
	MaxAckPending     int           `json:"max_ack_pending,omitempty"`
}
