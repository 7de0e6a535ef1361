package jetstream

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/perigee-go/nats/core/internal/subject"
)

// maxName is how long the name of a stream or a consumer may be.
const maxName = 255

// nameProblem says why no stream and no consumer can have this name.
func nameProblem(name string) string {
	switch {
	case name == "":
		return "it is empty"
	case len(name) > maxName:
		return "it is longer than 255 bytes"
	}
	for i := range len(name) {
		if name[i] <= ' ' || name[i] == 0x7f || strings.IndexByte(`.*>/\`, name[i]) >= 0 {
			return fmt.Sprintf("%q at offset %d", name[i], i)
		}
	}
	return ""
}

func checkStreamName(name string) error   { return checkName("stream", name) }
func checkConsumerName(name string) error { return checkName("consumer", name) }

func checkName(what, name string) error {
	if p := nameProblem(name); p != "" {
		return fmt.Errorf("%w of a %s, %s: %s", ErrInvalidName, what, quote(name), p)
	}
	return nil
}

// complaints collects what is wrong with a configuration.
type complaints []error

func (c *complaints) add(field, problem string) {
	if problem != "" {
		*c = append(*c, &ConfigError{field, problem})
	}
}

func (c *complaints) addIf(wrong bool, field, problem string) {
	if wrong {
		c.add(field, problem)
	}
}

// enumeration complains of a value that no constant has.
func (c *complaints) enumeration(field string, v interface{ MarshalText() ([]byte, error) }) {
	_, err := v.MarshalText()
	c.addIf(err != nil, field, "no such value")
}

// duration complains of one that is below 0, or above 0 and below least.
func (c *complaints) duration(field string, d, least time.Duration) {
	c.addIf(d < 0, field, "must not be below 0")
	c.addIf(d > 0 && d < least, field, "must be at least "+least.String())
}

// limit complains of a number that is below least.
func (c *complaints) limit(field string, n, least int64) {
	c.addIf(n < least, field, "must not be below "+strconv.FormatInt(least, 10))
}

func (c complaints) err() error { return errors.Join(c...) }

const (
	leastAge    = 100 * time.Millisecond
	maxReplicas = 5
)

// check says what is wrong with a configuration whatever the server. What only
// a server can know, it will say.
func (cfg *StreamConfig) check() error {
	var c complaints
	c.add("Name", nameProblem(cfg.Name))
	for i, s := range cfg.Subjects {
		c.add(fmt.Sprintf("Subjects[%d]", i), subject.CheckSubscribe(s))
	}
	c.enumeration("Retention", cfg.Retention)
	c.enumeration("Discard", cfg.Discard)
	c.enumeration("Storage", cfg.Storage)
	c.enumeration("Compression", cfg.Compression)
	c.enumeration("PersistMode", cfg.PersistMode)
	c.limit("MaxConsumers", int64(cfg.MaxConsumers), -1)
	c.limit("MaxMsgs", cfg.MaxMsgs, -1)
	c.limit("MaxBytes", cfg.MaxBytes, -1)
	c.limit("MaxMsgsPerSubject", cfg.MaxMsgsPerSubject, -1)
	c.limit("MaxMsgSize", int64(cfg.MaxMsgSize), -1)
	c.duration("MaxAge", cfg.MaxAge, leastAge)
	c.duration("Duplicates", cfg.Duplicates, leastAge)
	c.addIf(cfg.MaxAge > 0 && cfg.Duplicates > cfg.MaxAge, "Duplicates", "must not be above MaxAge")
	c.duration("SubjectDeleteMarkerTTL", cfg.SubjectDeleteMarkerTTL, time.Second)
	c.addIf(cfg.Replicas < 0 || cfg.Replicas > maxReplicas, "Replicas", "must be 1 to 5")
	c.addIf(cfg.DiscardNewPerSubject && cfg.Discard != DiscardNew, "DiscardNewPerSubject", "needs DiscardNew")
	c.duration("ConsumerLimits.InactiveThreshold", cfg.ConsumerLimits.InactiveThreshold, 0)
	c.limit("ConsumerLimits.MaxAckPending", int64(cfg.ConsumerLimits.MaxAckPending), -1)
	if cfg.Mirror != nil {
		c.addIf(len(cfg.Subjects) > 0, "Mirror", "not together with Subjects")
		c.addIf(len(cfg.Sources) > 0, "Mirror", "not together with Sources")
		cfg.Mirror.check(&c, "Mirror")
	}
	for i, s := range cfg.Sources {
		field := fmt.Sprintf("Sources[%d]", i)
		if s == nil {
			c.add(field, "it is nil")
			continue
		}
		s.check(&c, field)
	}
	if r := cfg.RePublish; r != nil {
		c.addIf(r.Source != "", "RePublish.Source", subject.CheckSubscribe(r.Source))
		c.addIf(r.Destination == "", "RePublish.Destination", "it is empty")
	}
	return c.err()
}

func (s *StreamSource) check(c *complaints, field string) {
	c.add(field+".Name", nameProblem(s.Name))
	if s.FilterSubject != "" {
		c.add(field+".FilterSubject", subject.CheckSubscribe(s.FilterSubject))
		c.addIf(len(s.SubjectTransforms) > 0, field+".FilterSubject", "not together with SubjectTransforms")
	}
	c.addIf(s.OptStartSeq > 0 && !s.OptStartTime.IsZero(), field+".OptStartSeq", "not together with OptStartTime")
	if s.Domain != "" {
		c.addIf(s.External != nil, field+".Domain", "not together with External")
		c.add(field+".Domain", nameProblem(s.Domain))
	}
}

// outgoing is the configuration as the server knows it: a copy, where something
// has to change.
func (cfg StreamConfig) outgoing() StreamConfig {
	if cfg.Mirror != nil {
		cfg.Mirror = cfg.Mirror.outgoing()
	}
	if len(cfg.Sources) > 0 {
		sources := make([]*StreamSource, len(cfg.Sources))
		for i, s := range cfg.Sources {
			sources[i] = s.outgoing()
		}
		cfg.Sources = sources
	}
	return cfg
}

func (s *StreamSource) outgoing() *StreamSource {
	if s.Domain == "" {
		return s
	}
	out := *s
	out.External = &ExternalStream{APIPrefix: "$JS." + s.Domain + ".API"}
	return &out
}

// A need is a feature that servers have from an API level on.
type need struct {
	used    bool
	level   int
	feature string
}

// highest is the level that all needs together have, and the feature that has it.
func highest(needs []need) (level int, feature string) {
	for _, n := range needs {
		if n.used && n.level > level {
			level, feature = n.level, n.feature
		}
	}
	return level, feature
}

// level is the API level that a server needs to honour the configuration.
func (cfg *StreamConfig) level() (level int, feature string) {
	durable := func(s *StreamSource) bool { return s != nil && s.Consumer != nil }
	sourced := durable(cfg.Mirror)
	for _, s := range cfg.Sources {
		sourced = sourced || durable(s)
	}
	return highest([]need{
		{cfg.AllowMsgTTL, 1, "AllowMsgTTL"},
		{cfg.SubjectDeleteMarkerTTL > 0, 1, "SubjectDeleteMarkerTTL"},
		{cfg.AllowMsgCounter, 2, "AllowMsgCounter"},
		{cfg.AllowAtomicPublish, 2, "AllowAtomicPublish"},
		{cfg.AllowMsgSchedules, 2, "AllowMsgSchedules"},
		{cfg.PersistMode != DefaultPersistMode, 2, "PersistMode"},
		{cfg.AllowBatchPublish, 4, "AllowBatchPublish"},
		{sourced, 4, "StreamSource.Consumer"},
	})
}
