package jetstream

import (
	"fmt"
	"regexp"
	"time"

	"github.com/perigee-go/nats/core/internal/subject"
)

const groupProblem = "must be 1 to 16 letters, digits and /_=-"

var groupName = regexp.MustCompile(`^[a-zA-Z0-9/_=-]{1,16}$`)

// check says what is wrong with a configuration whatever the server.
func (cfg *ConsumerConfig) check() error {
	var c complaints
	cfg.checkNames(&c)
	cfg.checkStart(&c)
	cfg.checkFilters(&c)
	c.enumeration("AckPolicy", cfg.AckPolicy)
	c.enumeration("ReplayPolicy", cfg.ReplayPolicy)
	c.enumeration("PriorityPolicy", cfg.PriorityPolicy)
	c.duration("AckWait", cfg.AckWait, 0)
	c.limit("MaxDeliver", int64(cfg.MaxDeliver), -1)
	for i, d := range cfg.BackOff {
		c.duration(fmt.Sprintf("BackOff[%d]", i), d, 0)
	}
	c.addIf(cfg.MaxDeliver > 0 && len(cfg.BackOff) > cfg.MaxDeliver, "BackOff", "is longer than MaxDeliver")
	c.limit("MaxAckPending", int64(cfg.MaxAckPending), -1)
	c.duration("InactiveThreshold", cfg.InactiveThreshold, 0)
	c.addIf(cfg.Replicas < 0 || cfg.Replicas > maxReplicas, "Replicas", "must be 0 to 5")
	c.duration("PinnedTTL", cfg.PinnedTTL, 0)
	for i, g := range cfg.PriorityGroups {
		c.addIf(!groupName.MatchString(g), fmt.Sprintf("PriorityGroups[%d]", i), groupProblem)
	}
	if cfg.DeliverSubject == "" {
		cfg.checkPull(&c)
	} else {
		cfg.checkPush(&c)
	}
	return c.err()
}

func (cfg *ConsumerConfig) checkNames(c *complaints) {
	if cfg.Name != "" {
		c.add("Name", nameProblem(cfg.Name))
		c.addIf(cfg.Durable != "" && cfg.Durable != cfg.Name, "Durable", "must be equal to Name, or one of them empty")
	}
	if cfg.Durable != "" {
		c.add("Durable", nameProblem(cfg.Durable))
	}
}

func (cfg *ConsumerConfig) checkStart(c *complaints) {
	c.enumeration("DeliverPolicy", cfg.DeliverPolicy)
	bySeq, byTime := cfg.DeliverPolicy == DeliverByStartSequencePolicy, cfg.DeliverPolicy == DeliverByStartTimePolicy
	c.addIf(bySeq != (cfg.OptStartSeq > 0), "OptStartSeq", "goes with DeliverByStartSequencePolicy, and only with that")
	c.addIf(byTime == cfg.OptStartTime.IsZero(), "OptStartTime", "goes with DeliverByStartTimePolicy, and only with that")
}

func (cfg *ConsumerConfig) checkFilters(c *complaints) {
	if cfg.FilterSubject != "" {
		c.add("FilterSubject", subject.CheckSubscribe(cfg.FilterSubject))
		c.addIf(len(cfg.FilterSubjects) > 0, "FilterSubject", "not together with FilterSubjects")
	}
	for i, s := range cfg.FilterSubjects {
		c.add(fmt.Sprintf("FilterSubjects[%d]", i), subject.CheckSubscribe(s))
	}
}

func (cfg *ConsumerConfig) checkPull(c *complaints) {
	const push = "is for push consumers"
	c.addIf(cfg.DeliverGroup != "", "DeliverGroup", push)
	c.addIf(cfg.FlowControl, "FlowControl", push)
	c.addIf(cfg.IdleHeartbeat != 0, "IdleHeartbeat", push)
	c.addIf(cfg.RateLimit != 0, "RateLimit", push)
	c.addIf(cfg.AckPolicy == AckFlowControlPolicy, "AckPolicy", "AckFlowControlPolicy "+push)
	c.limit("MaxWaiting", int64(cfg.MaxWaiting), 0)
	c.limit("MaxRequestBatch", int64(cfg.MaxRequestBatch), 0)
	c.duration("MaxRequestExpires", cfg.MaxRequestExpires, time.Millisecond)
	c.limit("MaxRequestMaxBytes", int64(cfg.MaxRequestMaxBytes), 0)
}

func (cfg *ConsumerConfig) checkPush(c *complaints) {
	const pull = "is for pull consumers"
	c.add("DeliverSubject", subject.CheckPublish(cfg.DeliverSubject))
	c.duration("IdleHeartbeat", cfg.IdleHeartbeat, leastAge)
	c.addIf(cfg.FlowControl && cfg.IdleHeartbeat == 0, "FlowControl", "needs IdleHeartbeat")
	c.addIf(cfg.MaxWaiting != 0, "MaxWaiting", pull)
	c.addIf(len(cfg.PriorityGroups) > 0, "PriorityGroups", pull)
	if cfg.DeliverGroup != "" {
		c.add("DeliverGroup", subject.CheckQueue(cfg.DeliverGroup))
	}
}

// name is what the consumer is to be called; "" for any.
func (cfg *ConsumerConfig) name() string {
	if cfg.Name != "" {
		return cfg.Name
	}
	return cfg.Durable
}

// filterToken is what a request's subject ends in, so that permissions can tell
// filters apart: ".orders.new". A subject to publish to has no wildcards, so
// filters with some stand in the request only.
func (cfg *ConsumerConfig) filterToken() string {
	filter := cfg.FilterSubject
	if len(cfg.FilterSubjects) > 0 || filter == "" || subject.CheckPublish(filter) != "" {
		return ""
	}
	return "." + filter
}

// level is the API level that a server needs to honour the configuration.
func (cfg *ConsumerConfig) level() (level int, feature string) {
	return highest([]need{
		{!cfg.PauseUntil.IsZero(), 1, "PauseUntil"},
		{len(cfg.PriorityGroups) > 0, 1, "PriorityGroups"},
		{cfg.PinnedTTL > 0, 1, "PinnedTTL"},
		{cfg.PriorityPolicy != PriorityPolicyNone, 1, "PriorityPolicy"},
		{cfg.PriorityPolicy == PriorityPolicyPrioritized, 2, "PriorityPolicyPrioritized"},
		{cfg.AckPolicy == AckFlowControlPolicy, 4, "AckFlowControlPolicy"},
	})
}
