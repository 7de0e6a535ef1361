package jetstream

import (
	"fmt"
	"slices"
	"sync"
)

// Enumerations are numbers here and names on the wire. The zero value is the
// server's default. A name that a newer server sends is kept: it gets a number
// below zero, the same one each time, and is printed and sent as it came.
type (
	// RetentionPolicy says what a stream keeps.
	RetentionPolicy int
	// DiscardPolicy says what a full stream does.
	DiscardPolicy int
	// StorageType says where a stream is kept.
	StorageType int
	// StoreCompression says how stored messages are compressed.
	StoreCompression int
	// PersistModeType says when a stored message is acknowledged.
	PersistModeType int
	// DeliverPolicy says where in the stream a consumer begins.
	DeliverPolicy int
	// AckPolicy says how the messages of a consumer are acknowledged.
	AckPolicy int
	// ReplayPolicy says how fast a consumer delivers what is stored.
	ReplayPolicy int
	// PriorityPolicy says who of several pulling clients gets messages.
	PriorityPolicy int
)

const (
	// LimitsPolicy keeps messages until a limit is reached.
	LimitsPolicy RetentionPolicy = iota
	// InterestPolicy keeps them until all consumers have acknowledged.
	InterestPolicy
	// WorkQueuePolicy keeps them until one consumer has acknowledged.
	WorkQueuePolicy
)

const (
	// DiscardOld removes the oldest messages.
	DiscardOld DiscardPolicy = iota
	// DiscardNew refuses new ones.
	DiscardNew
)

const (
	// FileStorage keeps messages on disk.
	FileStorage StorageType = iota
	// MemoryStorage keeps them in memory.
	MemoryStorage
)

const (
	// NoCompression stores messages as they are.
	NoCompression StoreCompression = iota
	// S2Compression compresses them with S2.
	S2Compression
)

const (
	// DefaultPersistMode acknowledges what was written.
	DefaultPersistMode PersistModeType = iota
	// AsyncPersistMode acknowledges before it is written: faster, and lost with
	// the server.
	AsyncPersistMode
)

const (
	// DeliverAllPolicy begins with the first message.
	DeliverAllPolicy DeliverPolicy = iota
	// DeliverLastPolicy begins with the last.
	DeliverLastPolicy
	// DeliverNewPolicy delivers what comes from now on.
	DeliverNewPolicy
	// DeliverByStartSequencePolicy begins at OptStartSeq.
	DeliverByStartSequencePolicy
	// DeliverByStartTimePolicy begins at OptStartTime.
	DeliverByStartTimePolicy
	// DeliverLastPerSubjectPolicy begins with the last of each subject.
	DeliverLastPerSubjectPolicy
)

const (
	// AckExplicitPolicy wants an acknowledgement of each message.
	AckExplicitPolicy AckPolicy = iota
	// AckAllPolicy takes one for all messages before it, too.
	AckAllPolicy
	// AckNonePolicy wants none.
	AckNonePolicy
	// AckFlowControlPolicy acknowledges by flow control: push consumers of
	// sourcing streams.
	AckFlowControlPolicy
)

const (
	// ReplayInstantPolicy delivers as fast as possible.
	ReplayInstantPolicy ReplayPolicy = iota
	// ReplayOriginalPolicy delivers in the rhythm of publication.
	ReplayOriginalPolicy
)

const (
	// PriorityPolicyNone: all pulls are equal.
	PriorityPolicyNone PriorityPolicy = iota
	// PriorityPolicyPinned: one client of the group gets all.
	PriorityPolicyPinned
	// PriorityPolicyOverflow: a client may wait until much is pending.
	PriorityPolicyOverflow
	// PriorityPolicyPrioritized: pulls have priorities.
	PriorityPolicyPrioritized
)

var (
	retentionNames   = enumeration{known: []string{"limits", "interest", "workqueue"}}
	discardNames     = enumeration{known: []string{"old", "new"}}
	storageNames     = enumeration{known: []string{"file", "memory"}}
	compressionNames = enumeration{known: []string{"none", "s2"}}
	persistNames     = enumeration{known: []string{"default", "async"}}
	deliverNames     = enumeration{known: []string{"all", "last", "new", "by_start_sequence", "by_start_time", "last_per_subject"}}
	ackNames         = enumeration{known: []string{"explicit", "all", "none", "flow_control"}}
	replayNames      = enumeration{known: []string{"instant", "original"}}
	priorityNames    = enumeration{known: []string{"none", "pinned_client", "overflow", "prioritized"}}
)

// enumeration is the names of one enumeration.
type enumeration struct {
	known []string

	mu      sync.Mutex
	unknown []string // of newer servers; the number of a name is -1 - its index
}

// maxUnknown bounds what a peer can make us keep.
const maxUnknown = 64

func (e *enumeration) name(v int) (string, bool) {
	if v >= 0 {
		if v < len(e.known) {
			return e.known[v], true
		}
		return "", false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if i := -1 - v; i < len(e.unknown) {
		return e.unknown[i], true
	}
	return "", false
}

func (e *enumeration) string(v int) string {
	if name, ok := e.name(v); ok {
		return name
	}
	return fmt.Sprintf("invalid(%d)", v)
}

func (e *enumeration) marshal(v int) ([]byte, error) {
	name, ok := e.name(v)
	if !ok {
		return nil, fmt.Errorf("%w: %d is none of %q", ErrInvalidConfig, v, e.known)
	}
	return []byte(name), nil
}

func (e *enumeration) parse(text []byte) (int, error) {
	name := string(text)
	if name == "" {
		return 0, nil
	}
	if i := slices.Index(e.known, name); i >= 0 {
		return i, nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	i := slices.Index(e.unknown, name)
	if i < 0 {
		if i = len(e.unknown); i == maxUnknown {
			return 0, fmt.Errorf("%w: %q is none of %q", ErrInvalidResponse, name, e.known)
		}
		e.unknown = append(e.unknown, name)
	}
	return -1 - i, nil
}

func unmarshal[T ~int](e *enumeration, v *T, text []byte) error {
	n, err := e.parse(text)
	*v = T(n)
	return err
}

// String is the server's name of it.
func (p RetentionPolicy) String() string { return retentionNames.string(int(p)) }

// MarshalText returns the server's name of it.
func (p RetentionPolicy) MarshalText() ([]byte, error) { return retentionNames.marshal(int(p)) }

// UnmarshalText takes any name.
func (p *RetentionPolicy) UnmarshalText(text []byte) error {
	return unmarshal(&retentionNames, p, text)
}

// String is the server's name of it.
func (p DiscardPolicy) String() string { return discardNames.string(int(p)) }

// MarshalText returns the server's name of it.
func (p DiscardPolicy) MarshalText() ([]byte, error) { return discardNames.marshal(int(p)) }

// UnmarshalText takes any name.
func (p *DiscardPolicy) UnmarshalText(text []byte) error { return unmarshal(&discardNames, p, text) }

// String is the server's name of it.
func (p StorageType) String() string { return storageNames.string(int(p)) }

// MarshalText returns the server's name of it.
func (p StorageType) MarshalText() ([]byte, error) { return storageNames.marshal(int(p)) }

// UnmarshalText takes any name.
func (p *StorageType) UnmarshalText(text []byte) error { return unmarshal(&storageNames, p, text) }

// String is the server's name of it.
func (p StoreCompression) String() string { return compressionNames.string(int(p)) }

// MarshalText returns the server's name of it.
func (p StoreCompression) MarshalText() ([]byte, error) { return compressionNames.marshal(int(p)) }

// UnmarshalText takes any name.
func (p *StoreCompression) UnmarshalText(text []byte) error {
	return unmarshal(&compressionNames, p, text)
}

// String is the server's name of it.
func (p PersistModeType) String() string { return persistNames.string(int(p)) }

// MarshalText returns the server's name of it.
func (p PersistModeType) MarshalText() ([]byte, error) { return persistNames.marshal(int(p)) }

// UnmarshalText takes any name.
func (p *PersistModeType) UnmarshalText(text []byte) error { return unmarshal(&persistNames, p, text) }

// String is the server's name of it.
func (p DeliverPolicy) String() string { return deliverNames.string(int(p)) }

// MarshalText returns the server's name of it.
func (p DeliverPolicy) MarshalText() ([]byte, error) { return deliverNames.marshal(int(p)) }

// UnmarshalText takes any name.
func (p *DeliverPolicy) UnmarshalText(text []byte) error { return unmarshal(&deliverNames, p, text) }

// String is the server's name of it.
func (p AckPolicy) String() string { return ackNames.string(int(p)) }

// MarshalText returns the server's name of it.
func (p AckPolicy) MarshalText() ([]byte, error) { return ackNames.marshal(int(p)) }

// UnmarshalText takes any name.
func (p *AckPolicy) UnmarshalText(text []byte) error { return unmarshal(&ackNames, p, text) }

// String is the server's name of it.
func (p ReplayPolicy) String() string { return replayNames.string(int(p)) }

// MarshalText returns the server's name of it.
func (p ReplayPolicy) MarshalText() ([]byte, error) { return replayNames.marshal(int(p)) }

// UnmarshalText takes any name.
func (p *ReplayPolicy) UnmarshalText(text []byte) error { return unmarshal(&replayNames, p, text) }

// String is the server's name of it.
func (p PriorityPolicy) String() string { return priorityNames.string(int(p)) }

// MarshalText returns the server's name of it.
func (p PriorityPolicy) MarshalText() ([]byte, error) { return priorityNames.marshal(int(p)) }

// UnmarshalText takes any name.
func (p *PriorityPolicy) UnmarshalText(text []byte) error { return unmarshal(&priorityNames, p, text) }
