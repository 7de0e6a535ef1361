package jetstream_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/perigee-go/nats/core/internal/exported"
	"github.com/perigee-go/nats/core/jetstream"
)

// left are the fields of the server that are not ours, and why.
var left = map[string]string{
	"ConsumerConfig.direct":   "of the server's own consumers",
	"ConsumerConfig.sourcing": "of the server's own consumers",
	"Placement.preferred":     "for stepping down only",

	"JSApiConsumerPauseResponse.type":  "of all answers",
	"JSApiConsumerPauseResponse.error": "becomes an error",
}

// nanoseconds are durations that the server calls numbers.
var nanoseconds = map[string]string{"JSConsumerAckMetric.ack_time": "duration"}

// clientLeft are fields of a connection that advisories do not use.
var clientLeft = strings.Fields("svc rtt alts stop jwt issuer_key name_tag tags kind client_type client_id nonce reply")

// TestFieldsOfTheServer holds our documents against those of the server: each
// JSON field of it has to be here, and each of ours has to be one of it.
func TestFieldsOfTheServer(t *testing.T) {
	for _, name := range clientLeft {
		left["ClientInfo."+name] = "advisories do not use it"
	}
	c := comparison{seen: make(map[[2]reflect.Type]bool)}
	for _, pair := range []struct{ theirs, ours any }{
		{server.StreamConfig{}, jetstream.StreamConfig{}},
		{server.ConsumerConfig{}, jetstream.ConsumerConfig{}},
		{server.StreamInfo{}, jetstream.StreamInfo{}},
		{server.ConsumerInfo{}, jetstream.ConsumerInfo{}},
		{server.JetStreamAccountStats{}, jetstream.AccountInfo{}},
		{server.PubAck{}, jetstream.PubAck{}},
		{server.ApiError{}, jetstream.APIError{}},
		{server.UserInfo{}, jetstream.UserInfo{}},
		{server.JSAPIAudit{}, jetstream.APIAuditAdvisory{}},
		{server.JSStreamActionAdvisory{}, jetstream.StreamActionAdvisory{}},
		{server.JSConsumerActionAdvisory{}, jetstream.ConsumerActionAdvisory{}},
		{server.JSConsumerPauseAdvisory{}, jetstream.ConsumerPauseAdvisory{}},
		{server.JSConsumerAckMetric{}, jetstream.ConsumerAckMetric{}},
		{server.JSConsumerDeliveryExceededAdvisory{}, jetstream.MaxDeliveriesAdvisory{}},
		{server.JSConsumerDeliveryNakAdvisory{}, jetstream.MsgNakedAdvisory{}},
		{server.JSConsumerDeliveryTerminatedAdvisory{}, jetstream.MsgTerminatedAdvisory{}},
		{server.JSSnapshotCreateAdvisory{}, jetstream.SnapshotCreateAdvisory{}},
		{server.JSSnapshotCompleteAdvisory{}, jetstream.SnapshotCompleteAdvisory{}},
		{server.JSRestoreCreateAdvisory{}, jetstream.RestoreCreateAdvisory{}},
		{server.JSRestoreCompleteAdvisory{}, jetstream.RestoreCompleteAdvisory{}},
		{server.JSDomainLeaderElectedAdvisory{}, jetstream.DomainLeaderAdvisory{}},
		{server.JSStreamLeaderElectedAdvisory{}, jetstream.StreamLeaderAdvisory{}},
		{server.JSStreamQuorumLostAdvisory{}, jetstream.StreamQuorumLostAdvisory{}},
		{server.JSStreamBatchAbandonedAdvisory{}, jetstream.StreamBatchAbandonedAdvisory{}},
		{server.JSConsumerLeaderElectedAdvisory{}, jetstream.ConsumerLeaderAdvisory{}},
		{server.JSConsumerQuorumLostAdvisory{}, jetstream.ConsumerQuorumLostAdvisory{}},
		{server.JSConsumerGroupPinnedAdvisory{}, jetstream.GroupPinnedAdvisory{}},
		{server.JSConsumerGroupUnpinnedAdvisory{}, jetstream.GroupUnpinnedAdvisory{}},
		{server.JSServerOutOfSpaceAdvisory{}, jetstream.ServerOutOfStorageAdvisory{}},
		{server.JSServerRemovedAdvisory{}, jetstream.ServerRemovedAdvisory{}},
		{server.JSMetaRescueAdvisory{}, jetstream.MetaRescueAdvisory{}},
		{server.JSAPILimitReachedAdvisory{}, jetstream.APILimitReachedAdvisory{}},
		{server.JSApiConsumerPauseResponse{}, jetstream.PauseState{}},
	} {
		c.compare(t, reflect.TypeOf(pair.theirs), reflect.TypeOf(pair.ours))
	}
	c.complete(t)
	if c.fields < 300 {
		t.Errorf("only %d fields were compared", c.fields)
	}
}

// comparison goes through two documents together.
type comparison struct {
	seen   map[[2]reflect.Type]bool
	fields int
}

func (c *comparison) compare(t *testing.T, theirs, ours reflect.Type) {
	theirs, ours = element(theirs), element(ours)
	if c.seen[[2]reflect.Type{theirs, ours}] || theirs.Kind() != reflect.Struct || ours.Kind() != reflect.Struct || theirs == reflect.TypeFor[time.Time]() {
		return
	}
	c.seen[[2]reflect.Type{theirs, ours}] = true
	have, want := jsonFields(ours), jsonFields(theirs)
	for name, field := range want {
		if _, ok := left[theirs.Name()+"."+name]; ok {
			continue
		}
		c.fields++
		mine, ok := have[name]
		if !ok {
			t.Errorf("%v lacks the server's %q (%s.%s)", ours, name, theirs, field.Name)
			continue
		}
		if a, b := kind(field.Type), kind(mine.Type); a != b && nanoseconds[theirs.Name()+"."+name] != b {
			t.Errorf("%v: %q is %s there and %s here", ours, name, a, b)
		}
		c.compare(t, field.Type, mine.Type)
	}
	for name := range have {
		if _, ok := want[name]; !ok {
			t.Errorf("%v has %q, which the server's %v does not", ours, name, theirs)
		}
	}
}

// complete checks that no document of ours, and no advisory of the server, was
// left out.
func (c *comparison) complete(t *testing.T) {
	ours, theirs := make(map[string]bool), make(map[string]bool)
	for pair := range c.seen {
		theirs[pair[0].Name()], ours[pair[1].Name()] = true, true
	}
	embedded := []string{"AdvisoryHead", "Tier"} // compared with what they are in
	for _, name := range documents(t, "../../jetstream") {
		if ast.IsExported(name) && !ours[name] && !slices.Contains(embedded, name) {
			t.Errorf("jetstream.%s was not held against anything of the server", name)
		}
	}
	pkg, err := build.Import("github.com/nats-io/nats-server/v2/server", ".", build.FindOnly)
	if err != nil {
		t.Fatal(err)
	}
	events, err := parser.ParseFile(token.NewFileSet(), filepath.Join(pkg.Dir, "jetstream_events.go"), nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	told := 0
	for _, name := range documentsIn(events) {
		if !strings.HasPrefix(name, "JS") || !strings.HasSuffix(name, "Advisory") && !strings.HasSuffix(name, "Metric") && !strings.HasSuffix(name, "Audit") {
			continue
		}
		told++
		if !theirs[name] {
			t.Errorf("the server's %s is not known here", name)
		}
	}
	if told < 20 {
		t.Errorf("only %d advisories of the server were found", told)
	}
}

// documents are the struct types of a package that have names in JSON.
func documents(t *testing.T, dir string) []string {
	_, files := exported.Source(t, dir)
	return documentsIn(files...)
}

func documentsIn(files ...*ast.File) (names []string) {
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			s, ok := spec.Type.(*ast.StructType)
			if ok && slices.ContainsFunc(s.Fields.List, func(f *ast.Field) bool { return f.Tag != nil && strings.Contains(f.Tag.Value, "json:") }) {
				names = append(names, spec.Name.Name)
			}
			return true
		})
	}
	return names
}

// TestOnlyWhatIsSet: a field that is not set is not sent, since its zero value is
// the server's default; but for those without which there is nothing.
func TestOnlyWhatIsSet(t *testing.T) {
	always := map[string]bool{
		"StreamConfig.name": true, "StreamSource.name": true, "SubjectTransformConfig.src": true, "SubjectTransformConfig.dest": true, "RePublish.dest": true,
		"ExternalStream.api": true, "ExternalStream.deliver": true,
		"ConsumerConfig.ack_policy": true, // the server's own default is another
	}
	seen := make(map[reflect.Type]bool)
	var visit func(t reflect.Type)
	visit = func(typ reflect.Type) {
		typ = element(typ)
		if typ.Kind() != reflect.Struct || typ == reflect.TypeFor[time.Time]() || seen[typ] {
			return
		}
		seen[typ] = true
		for name, f := range jsonFields(typ) {
			_, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
			left := strings.Contains(opts, "omitempty") || strings.Contains(opts, "omitzero")
			if left == always[typ.Name()+"."+name] {
				t.Errorf("%v: %q has the options %q", typ, name, opts)
			}
			if k := element(f.Type).Kind(); strings.Contains(opts, "omitempty") && f.Type.Kind() == reflect.Struct {
				t.Errorf("%v: %q is a %v, which is never empty: omitzero", typ, name, k)
			}
			visit(f.Type)
		}
	}
	visit(reflect.TypeFor[jetstream.StreamConfig]())
	visit(reflect.TypeFor[jetstream.ConsumerConfig]())
	if len(seen) < 9 {
		t.Errorf("only %d types", len(seen))
	}
}

// element is what a pointer, a slice or a map holds.
func element(t reflect.Type) reflect.Type {
	for slices.Contains([]reflect.Kind{reflect.Pointer, reflect.Slice, reflect.Map}, t.Kind()) {
		t = t.Elem()
	}
	return t
}

// kind is what a field looks like in JSON.
func kind(t reflect.Type) string {
	switch {
	case t.Kind() == reflect.Pointer:
		return kind(t.Elem())
	case t == reflect.TypeFor[time.Time]():
		return "time"
	case t == reflect.TypeFor[time.Duration]():
		return "duration"
	case t.Kind() == reflect.String:
		return "text"
	case t.Kind() == reflect.Slice, t.Kind() == reflect.Map:
		return t.Kind().String() + " of " + kind(t.Elem())
	case t.Implements(reflect.TypeFor[json.Marshaler]()), reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()),
		t.Implements(reflect.TypeFor[interface{ MarshalText() ([]byte, error) }]()):
		return "text"
	case t.Kind() >= reflect.Int && t.Kind() <= reflect.Float64:
		return "number"
	}
	return t.Kind().String()
}

// jsonFields are the fields of a struct by their names in JSON, those of embedded
// structs among them.
func jsonFields(t reflect.Type) map[string]reflect.StructField {
	fields := make(map[string]reflect.StructField)
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" || !f.IsExported() || name == "-" {
			continue
		}
		fields[name] = f
	}
	return fields
}

// TestErrorCodesOfTheServer: each code that the server has, has a name and a text
// here.
func TestErrorCodesOfTheServer(t *testing.T) {
	if len(server.ApiErrors) < 200 {
		t.Fatalf("the server has %d errors", len(server.ApiErrors))
	}
	for _, e := range server.ApiErrors {
		if text := jetstream.ErrorCode(e.ErrCode).Error(); text == fmt.Sprintf("jetstream: error %d", e.ErrCode) {
			t.Errorf("%d is not known: %s", e.ErrCode, e.Description)
		}
	}
}

// TestEnumerationsOfTheServer: each name that the server writes is one of ours.
func TestEnumerationsOfTheServer(t *testing.T) {
	names := 0
	known := func(value any, into any) {
		t.Helper()
		data, err := json.Marshal(value)
		if err != nil || string(data) == `""` || string(data) == `"undefined"` {
			return
		}
		names++
		if err := json.Unmarshal(data, into); err != nil || reflect.ValueOf(into).Elem().Int() < 0 {
			t.Errorf("%T: the server says %s, %v", into, data, err)
		}
	}
	for i := range 60 {
		known(server.RetentionPolicy(i), new(jetstream.RetentionPolicy))
		known(server.DiscardPolicy(i), new(jetstream.DiscardPolicy))
		known(server.StorageType(i), new(jetstream.StorageType))
		known(server.StoreCompression(i), new(jetstream.StoreCompression))
		known(server.PersistModeType(i), new(jetstream.PersistModeType))
		known(server.DeliverPolicy(i), new(jetstream.DeliverPolicy))
		known(server.AckPolicy(i), new(jetstream.AckPolicy))
		known(server.ReplayPolicy(i), new(jetstream.ReplayPolicy))
		known(server.PriorityPolicy(i), new(jetstream.PriorityPolicy))
	}
	if names < 27 {
		t.Errorf("only %d names were compared", names)
	}
}

// TestHeaderNamesOfTheServer: each name is spelled as the server spells it.
func TestHeaderNamesOfTheServer(t *testing.T) {
	for ours, theirs := range map[string]string{
		jetstream.MsgIDHeader: server.JSMsgId, jetstream.MsgTTLHeader: server.JSMessageTTL, jetstream.MsgRollupHeader: server.JSMsgRollup,
		jetstream.ExpectedStreamHeader: server.JSExpectedStream, jetstream.ExpectedLastMsgIDHeader: server.JSExpectedLastMsgId,
		jetstream.ExpectedLastSeqHeader: server.JSExpectedLastSeq, jetstream.ExpectedLastSubjSeqHeader: server.JSExpectedLastSubjSeq,
		jetstream.ExpectedLastSubjSeqSubjHeader: server.JSExpectedLastSubjSeqSubj,
		jetstream.StreamHeader:                  server.JSStream, jetstream.SubjectHeader: server.JSSubject, jetstream.SequenceHeader: server.JSSequence,
		jetstream.TimeStampHeader: server.JSTimeStamp, jetstream.LastSequenceHeader: server.JSLastSequence, jetstream.NumPendingHeader: server.JSNumPending,
		jetstream.UpToSequenceHeader: server.JSUpToSequence, jetstream.MarkerReasonHeader: server.JSMarkerReason, jetstream.MsgSizeHeader: server.JSMsgSize,
		jetstream.PinIDHeader:   server.JSPullRequestNatsPinId,
		jetstream.BatchIDHeader: server.JSBatchId, jetstream.BatchSequenceHeader: server.JSBatchSeq, jetstream.BatchCommitHeader: server.JSBatchCommit,
		jetstream.IncrHeader: server.JSMessageIncr, jetstream.CounterSourcesHeader: server.JSMessageCounterSources,
		jetstream.ScheduleHeader: server.JSSchedulePattern, jetstream.ScheduleTargetHeader: server.JSScheduleTarget, jetstream.ScheduleSourceHeader: server.JSScheduleSource,
		jetstream.ScheduleTTLHeader: server.JSScheduleTTL, jetstream.ScheduleTimeZoneHeader: server.JSScheduleTimeZone,
		jetstream.ScheduleRollupHeader: server.JSScheduleRollup, jetstream.SchedulerHeader: server.JSScheduler, jetstream.ScheduleNextHeader: server.JSScheduleNext,
		jetstream.RequiredAPILevelHeader: server.JSRequiredApiLevel,
	} {
		if ours != theirs {
			t.Errorf("%q is %q there", ours, theirs)
		}
	}
}
