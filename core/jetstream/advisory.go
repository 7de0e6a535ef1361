package jetstream

import (
	"encoding/json"
	"strings"
	"time"

	nats "github.com/perigee-go/nats/core"
)

// AdvisorySubjects is what to subscribe to for everything that JetStream tells
// of its own. Narrower ones are "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.>"
// and the like; they end in the names of stream and consumer.
const AdvisorySubjects = "$JS.EVENT.>"

// Advisory is what a server tells when something has happened: one of the
// structs below, or UnknownAdvisory.
type Advisory interface {
	Head() AdvisoryHead
	advisory()
}

// AdvisoryHead is what all advisories have.
type AdvisoryHead struct {
	Type string    `json:"type"`
	ID   string    `json:"id"`
	Time time.Time `json:"timestamp"`
}

// Head returns the type, id and time.
func (h AdvisoryHead) Head() AdvisoryHead { return h }

func (AdvisoryHead) advisory() {}

// UnknownAdvisory is one of a newer server.
type UnknownAdvisory struct {
	AdvisoryHead
	Data json.RawMessage
}

// APIAuditAdvisory: an API request changed something.
type APIAuditAdvisory struct {
	AdvisoryHead
	Server   string          `json:"server"`
	Client   *AdvisoryClient `json:"client"`
	Subject  string          `json:"subject"`
	Request  string          `json:"request,omitempty"`
	Response string          `json:"response"`
	Domain   string          `json:"domain,omitempty"`
}

// AdvisoryClient is the connection that made a request.
type AdvisoryClient struct {
	Start   time.Time `json:"start,omitzero"`
	Host    string    `json:"host,omitempty"`
	ID      uint64    `json:"id,omitempty"`
	Account string    `json:"acc,omitempty"`
	User    string    `json:"user,omitempty"`
	Name    string    `json:"name,omitempty"`
	Lang    string    `json:"lang,omitempty"`
	Version string    `json:"ver,omitempty"`
	Server  string    `json:"server,omitempty"`
	Cluster string    `json:"cluster,omitempty"`
}

// StreamActionAdvisory: a stream was made, changed or deleted.
type StreamActionAdvisory struct {
	AdvisoryHead
	Stream string `json:"stream"`
	Action string `json:"action"` // create, modify, delete
	Domain string `json:"domain,omitempty"`
}

// ConsumerActionAdvisory: a consumer was made or deleted.
type ConsumerActionAdvisory struct {
	AdvisoryHead
	Stream   string `json:"stream"`
	Consumer string `json:"consumer"`
	Action   string `json:"action"` // create, delete
	Domain   string `json:"domain,omitempty"`
}

// ConsumerPauseAdvisory: a consumer was paused or resumed.
type ConsumerPauseAdvisory struct {
	AdvisoryHead
	Stream     string    `json:"stream"`
	Consumer   string    `json:"consumer"`
	Paused     bool      `json:"paused"`
	PauseUntil time.Time `json:"pause_until,omitzero"`
	Domain     string    `json:"domain,omitempty"`
}

// ConsumerAckMetric: a message was acknowledged; SampleFrequency says how often
// that is told.
type ConsumerAckMetric struct {
	AdvisoryHead
	Stream      string        `json:"stream"`
	Consumer    string        `json:"consumer"`
	ConsumerSeq uint64        `json:"consumer_seq"`
	StreamSeq   uint64        `json:"stream_seq"`
	Delay       time.Duration `json:"ack_time"` // from delivery to acknowledgement
	Deliveries  uint64        `json:"deliveries"`
	Domain      string        `json:"domain,omitempty"`
}

// MaxDeliveriesAdvisory: a message was delivered MaxDeliver times and never
// acknowledged. It is still in the stream.
type MaxDeliveriesAdvisory struct {
	AdvisoryHead
	Stream     string `json:"stream"`
	Consumer   string `json:"consumer"`
	StreamSeq  uint64 `json:"stream_seq"`
	Deliveries uint64 `json:"deliveries"`
	Domain     string `json:"domain,omitempty"`
}

// MsgNakedAdvisory: a message was refused for now.
type MsgNakedAdvisory struct {
	AdvisoryHead
	Stream      string `json:"stream"`
	Consumer    string `json:"consumer"`
	ConsumerSeq uint64 `json:"consumer_seq"`
	StreamSeq   uint64 `json:"stream_seq"`
	Deliveries  uint64 `json:"deliveries"`
	Domain      string `json:"domain,omitempty"`
}

// MsgTerminatedAdvisory: a message was refused for good.
type MsgTerminatedAdvisory struct {
	AdvisoryHead
	Stream      string `json:"stream"`
	Consumer    string `json:"consumer"`
	ConsumerSeq uint64 `json:"consumer_seq"`
	StreamSeq   uint64 `json:"stream_seq"`
	Deliveries  uint64 `json:"deliveries"`
	Reason      string `json:"reason,omitempty"`
	Domain      string `json:"domain,omitempty"`
}

// SnapshotCreateAdvisory: a snapshot of a stream has begun.
type SnapshotCreateAdvisory struct {
	AdvisoryHead
	Stream string          `json:"stream"`
	State  StreamState     `json:"state"`
	Client *AdvisoryClient `json:"client"`
	Domain string          `json:"domain,omitempty"`
}

// SnapshotCompleteAdvisory: a snapshot has ended; with Error, it failed.
type SnapshotCompleteAdvisory struct {
	AdvisoryHead
	Stream string          `json:"stream"`
	Start  time.Time       `json:"start"`
	End    time.Time       `json:"end"`
	Client *AdvisoryClient `json:"client"`
	Domain string          `json:"domain,omitempty"`
	Error  string          `json:"error,omitempty"`
}

// RestoreCreateAdvisory: the restoring of a stream has begun.
type RestoreCreateAdvisory struct {
	AdvisoryHead
	Stream string          `json:"stream"`
	Client *AdvisoryClient `json:"client"`
	Domain string          `json:"domain,omitempty"`
}

// RestoreCompleteAdvisory: a stream was restored.
type RestoreCompleteAdvisory struct {
	AdvisoryHead
	Stream string          `json:"stream"`
	Start  time.Time       `json:"start"`
	End    time.Time       `json:"end"`
	Bytes  int64           `json:"bytes"`
	Client *AdvisoryClient `json:"client"`
	Domain string          `json:"domain,omitempty"`
}

// DomainLeaderAdvisory: the servers of a domain have a new leader.
type DomainLeaderAdvisory struct {
	AdvisoryHead
	Leader   string     `json:"leader"`
	Replicas []PeerInfo `json:"replicas"`
	Cluster  string     `json:"cluster"`
	Domain   string     `json:"domain,omitempty"`
}

// StreamLeaderAdvisory: a stream has a new leader.
type StreamLeaderAdvisory struct {
	AdvisoryHead
	Account  string     `json:"account,omitempty"`
	Stream   string     `json:"stream"`
	Leader   string     `json:"leader"`
	Replicas []PeerInfo `json:"replicas"`
	Domain   string     `json:"domain,omitempty"`
}

// StreamQuorumLostAdvisory: too few servers of a stream are left; it stands.
type StreamQuorumLostAdvisory struct {
	AdvisoryHead
	Account  string     `json:"account,omitempty"`
	Stream   string     `json:"stream"`
	Replicas []PeerInfo `json:"replicas"`
	Domain   string     `json:"domain,omitempty"`
}

// StreamBatchAbandonedAdvisory: an atomic batch came to nothing.
type StreamBatchAbandonedAdvisory struct {
	AdvisoryHead
	Account string `json:"account,omitempty"`
	Stream  string `json:"stream"`
	Domain  string `json:"domain,omitempty"`
	BatchID string `json:"batch"`
	Reason  string `json:"reason"` // timeout, large, incomplete, unsupported
}

// ConsumerLeaderAdvisory: a consumer has a new leader.
type ConsumerLeaderAdvisory struct {
	AdvisoryHead
	Account  string     `json:"account,omitempty"`
	Stream   string     `json:"stream"`
	Consumer string     `json:"consumer"`
	Leader   string     `json:"leader"`
	Replicas []PeerInfo `json:"replicas"`
	Domain   string     `json:"domain,omitempty"`
}

// ConsumerQuorumLostAdvisory: too few servers of a consumer are left; it stands.
type ConsumerQuorumLostAdvisory struct {
	AdvisoryHead
	Account  string     `json:"account,omitempty"`
	Stream   string     `json:"stream"`
	Consumer string     `json:"consumer"`
	Replicas []PeerInfo `json:"replicas"`
	Domain   string     `json:"domain,omitempty"`
}

// GroupPinnedAdvisory: a priority group was pinned to a client.
type GroupPinnedAdvisory struct {
	AdvisoryHead
	Account        string `json:"account,omitempty"`
	Stream         string `json:"stream"`
	Consumer       string `json:"consumer"`
	Domain         string `json:"domain,omitempty"`
	Group          string `json:"group"`
	PinnedClientID string `json:"pinned_id"`
}

// GroupUnpinnedAdvisory: the client of a priority group lost its pin.
type GroupUnpinnedAdvisory struct {
	AdvisoryHead
	Account  string `json:"account,omitempty"`
	Stream   string `json:"stream"`
	Consumer string `json:"consumer"`
	Domain   string `json:"domain,omitempty"`
	Group    string `json:"group"`
	Reason   string `json:"reason"` // admin, timeout
}

// ServerOutOfStorageAdvisory: a server has no room left.
type ServerOutOfStorageAdvisory struct {
	AdvisoryHead
	Server   string `json:"server"`
	ServerID string `json:"server_id"`
	Stream   string `json:"stream,omitempty"`
	Cluster  string `json:"cluster"`
	Domain   string `json:"domain,omitempty"`
}

// ServerRemovedAdvisory: a server was taken out of its cluster.
type ServerRemovedAdvisory struct {
	AdvisoryHead
	Server   string `json:"server"`
	ServerID string `json:"server_id"`
	Cluster  string `json:"cluster"`
	Domain   string `json:"domain,omitempty"`
}

// MetaRescueAdvisory: a server was told to go on with fewer servers than are
// safe.
type MetaRescueAdvisory struct {
	AdvisoryHead
	Server     string `json:"server"`
	ServerID   string `json:"server_id"`
	PrevQuorum int    `json:"prev_quorum"`
	NewQuorum  int    `json:"new_quorum"`
	Cluster    string `json:"cluster"`
	Domain     string `json:"domain,omitempty"`
}

// APILimitReachedAdvisory: a server dropped API requests because too many waited.
type APILimitReachedAdvisory struct {
	AdvisoryHead
	Server  string `json:"server"`
	Domain  string `json:"domain,omitempty"`
	Dropped int64  `json:"dropped"`
}

// advisories knows the types by what follows the version in their names:
// "io.nats.jetstream.advisory.v1.max_deliver".
var advisories = map[string]func([]byte) (Advisory, error){
	"api_audit":               decodeAdvisory[APIAuditAdvisory],
	"stream_action":           decodeAdvisory[StreamActionAdvisory],
	"consumer_action":         decodeAdvisory[ConsumerActionAdvisory],
	"consumer_pause":          decodeAdvisory[ConsumerPauseAdvisory],
	"consumer_ack":            decodeAdvisory[ConsumerAckMetric],
	"max_deliver":             decodeAdvisory[MaxDeliveriesAdvisory],
	"nak":                     decodeAdvisory[MsgNakedAdvisory],
	"terminated":              decodeAdvisory[MsgTerminatedAdvisory],
	"snapshot_create":         decodeAdvisory[SnapshotCreateAdvisory],
	"snapshot_complete":       decodeAdvisory[SnapshotCompleteAdvisory],
	"restore_create":          decodeAdvisory[RestoreCreateAdvisory],
	"restore_complete":        decodeAdvisory[RestoreCompleteAdvisory],
	"domain_leader_elected":   decodeAdvisory[DomainLeaderAdvisory],
	"stream_leader_elected":   decodeAdvisory[StreamLeaderAdvisory],
	"stream_quorum_lost":      decodeAdvisory[StreamQuorumLostAdvisory],
	"stream_batch_abandoned":  decodeAdvisory[StreamBatchAbandonedAdvisory],
	"consumer_leader_elected": decodeAdvisory[ConsumerLeaderAdvisory],
	"consumer_quorum_lost":    decodeAdvisory[ConsumerQuorumLostAdvisory],
	"consumer_group_pinned":   decodeAdvisory[GroupPinnedAdvisory],
	"consumer_group_unpinned": decodeAdvisory[GroupUnpinnedAdvisory],
	"server_out_of_space":     decodeAdvisory[ServerOutOfStorageAdvisory],
	"server_removed":          decodeAdvisory[ServerRemovedAdvisory],
	"meta_rescue":             decodeAdvisory[MetaRescueAdvisory],
	"api_limit_reached":       decodeAdvisory[APILimitReachedAdvisory],
}

func decodeAdvisory[A Advisory](data []byte) (Advisory, error) {
	var a A
	if err := json.Unmarshal(data, &a); err != nil {
		return nil, both{ErrInvalidResponse, err}
	}
	return a, nil
}

// DecodeAdvisory reads a message that came on AdvisorySubjects, or a part of
// them. Subscriptions to them are Core NATS: what is told while nobody listens
// is gone.
//
//	switch a := a.(type) {
//	case jetstream.MaxDeliveriesAdvisory:
//		log.Printf("message %d of %s was given up by %s", a.StreamSeq, a.Stream, a.Consumer)
//	}
func DecodeAdvisory(m nats.Msg) (Advisory, error) {
	var head AdvisoryHead
	if err := json.Unmarshal(m.Data, &head); err != nil {
		return nil, both{ErrInvalidResponse, err}
	}
	name := head.Type[strings.LastIndexByte(head.Type, '.')+1:]
	if decode, ok := advisories[name]; ok && strings.HasPrefix(head.Type, "io.nats.jetstream.") {
		return decode(m.Data)
	}
	return UnknownAdvisory{head, m.Data}, nil
}
