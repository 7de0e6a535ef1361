package jetstream

import "time"

// StreamInfo is what the server tells about a stream.
type StreamInfo struct {
	Config     StreamConfig        `json:"config"`
	Created    time.Time           `json:"created"` // tells it from one of the same name that was made later
	State      StreamState         `json:"state"`
	Domain     string              `json:"domain,omitempty"`
	Cluster    *ClusterInfo        `json:"cluster,omitempty"`
	Mirror     *StreamSourceInfo   `json:"mirror,omitempty"`
	Sources    []*StreamSourceInfo `json:"sources,omitempty"`
	Alternates []StreamAlternate   `json:"alternates,omitempty"` // the stream and its mirrors, nearest first
	TimeStamp  time.Time           `json:"ts"`                   // of this information
}

// StreamState is what a stream holds.
type StreamState struct {
	Msgs        uint64            `json:"messages"`
	Bytes       uint64            `json:"bytes"`
	FirstSeq    uint64            `json:"first_seq"`
	FirstTime   time.Time         `json:"first_ts"`
	LastSeq     uint64            `json:"last_seq"`
	LastTime    time.Time         `json:"last_ts"`
	Consumers   int               `json:"consumer_count"`
	Deleted     []uint64          `json:"deleted,omitempty"` // with DeletedDetails
	NumDeleted  int               `json:"num_deleted,omitempty"`
	NumSubjects uint64            `json:"num_subjects,omitempty"`
	Subjects    map[string]uint64 `json:"subjects,omitempty"` // with FilterSubject: how many messages each has
	Lost        *LostStreamData   `json:"lost,omitempty"`
}

// LostStreamData is what the server found missing when it read the stream.
type LostStreamData struct {
	Msgs  []uint64 `json:"msgs"`
	Bytes uint64   `json:"bytes"`
}

// StreamAlternate is another place to read the same messages from.
type StreamAlternate struct {
	Name    string `json:"name"`
	Domain  string `json:"domain,omitempty"`
	Cluster string `json:"cluster"`
}

// StreamSourceInfo is how far the copying from another stream is.
type StreamSourceInfo struct {
	Name              string                   `json:"name"`
	External          *ExternalStream          `json:"external,omitempty"`
	Lag               uint64                   `json:"lag"`
	Seq               uint64                   `json:"seq,omitempty"` // last one copied
	Active            time.Duration            `json:"active"`        // since something was heard; below 0: never
	Error             *APIError                `json:"error,omitempty"`
	FilterSubject     string                   `json:"filter_subject,omitempty"`
	SubjectTransforms []SubjectTransformConfig `json:"subject_transforms,omitempty"`
}

// ClusterInfo is who keeps a stream or a consumer.
type ClusterInfo struct {
	Name           string          `json:"name,omitempty"`
	RaftGroup      string          `json:"raft_group,omitempty"`
	Leader         string          `json:"leader,omitempty"`
	LeaderSince    time.Time       `json:"leader_since,omitzero"`
	SystemAccount  bool            `json:"system_account,omitempty"`
	TrafficAccount string          `json:"traffic_account,omitempty"`
	Replicas       []PeerInfo      `json:"replicas,omitempty"` // all but the leader
	Desired        *DesiredCluster `json:"desired,omitempty"`  // while it moves
}

// PeerInfo is a server of a cluster, as its leader sees it.
type PeerInfo struct {
	Name    string        `json:"name"`
	Current bool          `json:"current"`
	Offline bool          `json:"offline,omitempty"`
	Active  time.Duration `json:"active"` // since it was heard
	Lag     uint64        `json:"lag,omitempty"`
	Peer    string        `json:"peer"`
	Pending bool          `json:"pending,omitempty"` // it joins or leaves
}

// DesiredCluster is where a stream or a consumer is moving to.
type DesiredCluster struct {
	Created  time.Time        `json:"created"`
	Name     string           `json:"name,omitempty"`
	Replicas []DesiredPeer    `json:"replicas,omitempty"`
	Origin   *DesiredOrigin   `json:"origin,omitempty"`
	Status   *MigrationStatus `json:"status,omitempty"`
}

// DesiredPeer is a server of a cluster to be.
type DesiredPeer struct {
	Name    string `json:"name"`
	Offline bool   `json:"offline,omitempty"`
	Peer    string `json:"peer"`
}

// DesiredOrigin is what it was before the move.
type DesiredOrigin struct {
	Replicas  int              `json:"replicas"`
	Placement *Placement       `json:"placement,omitempty"`
	Retention *RetentionPolicy `json:"retention,omitempty"`
}

// MigrationStatus is what a move does, or waits for.
type MigrationStatus struct {
	Type        string `json:"type"` // meta, membership, snapshot, catchup, quorum, blocked, unavailable
	Description string `json:"description"`
	Error       string `json:"err,omitempty"`
}

// ConsumerInfo is what the server tells about a consumer.
type ConsumerInfo struct {
	Stream         string               `json:"stream_name"`
	Name           string               `json:"name"`
	Created        time.Time            `json:"created"` // tells it from one of the same name that was made later
	Config         ConsumerConfig       `json:"config"`
	Delivered      SequenceInfo         `json:"delivered"`
	AckFloor       SequenceInfo         `json:"ack_floor"` // everything up to it is acknowledged
	NumAckPending  int                  `json:"num_ack_pending"`
	NumRedelivered int                  `json:"num_redelivered"`
	NumWaiting     int                  `json:"num_waiting"` // pulls
	NumPending     uint64               `json:"num_pending"` // messages not delivered yet
	Cluster        *ClusterInfo         `json:"cluster,omitempty"`
	PushBound      bool                 `json:"push_bound,omitempty"` // somebody listens on DeliverSubject
	PriorityGroups []PriorityGroupState `json:"priority_groups,omitempty"`
	Paused         bool                 `json:"paused,omitempty"`
	PauseRemaining time.Duration        `json:"pause_remaining,omitempty"`
	TimeStamp      time.Time            `json:"ts"` // of this information
}

// SequenceInfo is a point that a consumer has reached.
type SequenceInfo struct {
	Consumer uint64    `json:"consumer_seq"`
	Stream   uint64    `json:"stream_seq"`
	Last     time.Time `json:"last_active,omitzero"`
}

// PriorityGroupState is who a priority group is pinned to.
type PriorityGroupState struct {
	Group          string    `json:"group"`
	PinnedClientID string    `json:"pinned_client_id,omitempty"`
	PinnedTS       time.Time `json:"pinned_ts,omitzero"`
}

// PauseState is what PauseConsumer and ResumeConsumer led to.
type PauseState struct {
	Paused    bool          `json:"paused"`
	Until     time.Time     `json:"pause_until"`
	Remaining time.Duration `json:"pause_remaining,omitempty"`
}

// AccountInfo is what an account has and may have. With tiers, Tiers has the
// limits, by the number of replicas: "R1", "R3".
type AccountInfo struct {
	Tier
	Domain string          `json:"domain,omitempty"`
	API    APIStats        `json:"api"`
	Tiers  map[string]Tier `json:"tiers,omitempty"`
}

// Tier is usage and limits.
type Tier struct {
	Memory         uint64        `json:"memory"`
	Store          uint64        `json:"storage"`
	ReservedMemory uint64        `json:"reserved_memory"`
	ReservedStore  uint64        `json:"reserved_storage"`
	Streams        int           `json:"streams"`
	Consumers      int           `json:"consumers"`
	Limits         AccountLimits `json:"limits"`
}

// APIStats counts API requests of the account. Level is what the server can do:
// 1 is 2.11, 2 is 2.12, 4 is 2.14, 5 is 2.15.
type APIStats struct {
	Level    int    `json:"level"`
	Total    uint64 `json:"total"`
	Errors   uint64 `json:"errors"`
	Inflight uint64 `json:"inflight,omitempty"`
}

// AccountLimits are below 0 where there is none.
type AccountLimits struct {
	MaxMemory            int64 `json:"max_memory"`
	MaxStore             int64 `json:"max_storage"`
	MaxStreams           int   `json:"max_streams"`
	MaxConsumers         int   `json:"max_consumers"`
	MaxAckPending        int   `json:"max_ack_pending"`
	MemoryMaxStreamBytes int64 `json:"memory_max_stream_bytes"`
	StoreMaxStreamBytes  int64 `json:"storage_max_stream_bytes"`
	MaxBytesRequired     bool  `json:"max_bytes_required"`
}
