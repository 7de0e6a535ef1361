package jetstream

import "time"

// ConsumerConfig is what a consumer is. The zero value of a field is the
// server's default, and AckPolicy's is explicit; only what is set is sent.
type ConsumerConfig struct {
	// Name of the consumer; a unique one if it is empty. Durable is a name, too:
	// with it the consumer stays until it is deleted, without it the consumer is
	// ephemeral and goes after InactiveThreshold.
	Name           string          `json:"name,omitempty"`
	Durable        string          `json:"durable_name,omitempty"`
	Description    string          `json:"description,omitempty"`
	DeliverPolicy  DeliverPolicy   `json:"deliver_policy,omitzero"`
	OptStartSeq    uint64          `json:"opt_start_seq,omitempty"`
	OptStartTime   time.Time       `json:"opt_start_time,omitzero"`
	AckPolicy      AckPolicy       `json:"ack_policy"` // the server's own default would be none
	AckWait        time.Duration   `json:"ack_wait,omitempty"`
	MaxDeliver     int             `json:"max_deliver,omitempty"`
	BackOff        []time.Duration `json:"backoff,omitempty"`
	FilterSubject  string          `json:"filter_subject,omitempty"` // not with FilterSubjects
	FilterSubjects []string        `json:"filter_subjects,omitempty"`
	ReplayPolicy   ReplayPolicy    `json:"replay_policy,omitzero"`
	RateLimit      uint64          `json:"rate_limit_bps,omitempty"` // bits a second; push
	// SampleFrequency is how many acknowledgements in a hundred are told as
	// ConsumerAckMetric.
	SampleFrequency string `json:"sample_freq,omitempty"`
	MaxWaiting      int    `json:"max_waiting,omitempty"` // pulls that wait at a time
	MaxAckPending   int    `json:"max_ack_pending,omitempty"`
	HeadersOnly     bool   `json:"headers_only,omitempty"`
	// What one pull may ask for at most.
	MaxRequestBatch    int               `json:"max_batch,omitempty"`
	MaxRequestExpires  time.Duration     `json:"max_expires,omitempty"`
	MaxRequestMaxBytes int               `json:"max_bytes,omitempty"`
	InactiveThreshold  time.Duration     `json:"inactive_threshold,omitempty"`
	Replicas           int               `json:"num_replicas,omitempty"` // 0: as the stream
	MemoryStorage      bool              `json:"mem_storage,omitempty"`
	Metadata           map[string]string `json:"metadata,omitempty"`
	PauseUntil         time.Time         `json:"pause_until,omitzero"`      // server 2.11
	PriorityPolicy     PriorityPolicy    `json:"priority_policy,omitzero"`  // server 2.11; prioritized 2.12
	PinnedTTL          time.Duration     `json:"priority_timeout,omitzero"` // server 2.11
	PriorityGroups     []string          `json:"priority_groups,omitempty"` // server 2.11

	// DeliverSubject makes it a push consumer. What follows is for those.
	DeliverSubject string        `json:"deliver_subject,omitempty"`
	DeliverGroup   string        `json:"deliver_group,omitempty"`
	FlowControl    bool          `json:"flow_control,omitempty"`
	IdleHeartbeat  time.Duration `json:"idle_heartbeat,omitempty"`
}
