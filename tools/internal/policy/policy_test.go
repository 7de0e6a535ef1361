package policy

import (
	"strings"
	"testing"
)

// The table of this repository says what the design says.
func TestModules(t *testing.T) {
	table, err := Modules()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		module    string
		published bool
		ours      string
		others    string
		notOurs   string
		notOthers string
	}{
		{"core", true, "", "github.com/nats-io/nkeys github.com/coder/websocket golang.org/x/sync",
			"orbit/natstest", "github.com/nats-io/nats-server/v2 github.com/google/go-cmp golang.org/x/net"},
		{"core/test", false, "core orbit/natstest", "github.com/google/go-cmp github.com/nats-io/jwt/v2",
			"tools", "github.com/stretchr/testify"},
		{"orbit/natstest", true, "", "github.com/nats-io/nats-server/v2", "core", "github.com/nats-io/nats.go"},
		{"orbit/pcgroups", true, "core", "golang.org/x/sync", "orbit orbit/natstest", "golang.org/x/net"},
		{"orbit/batch/test", false, "orbit/batch core orbit/natstest", "github.com/nats-io/nats.go", "orbit", ""},
		{"orbit-counters", true, "core orbit", "", "orbit/natstest", "github.com/nats-io/nkeys"},
		{"orbit-context/test", false, "orbit-context core orbit/natstest", "", "", ""},
		{"tools", false, "", "", "core", "golang.org/x/tools"},
		{"tools/bench", false, "core orbit/natstest", "github.com/nats-io/nats.go", "", ""},
	} {
		rule, ok := table.Find(tt.module)
		if !ok {
			t.Errorf("%s: not in the table", tt.module)
			continue
		}
		if rule.Published != tt.published || table.Published(tt.module) != tt.published {
			t.Errorf("%s: published %v", tt.module, rule.Published)
		}
		eachWord(tt.ours, func(s string) {
			if !rule.MayRequireOurs(tt.module, s) {
				t.Errorf("%s may not require %s", tt.module, s)
			}
		})
		eachWord(tt.notOurs, func(s string) {
			if rule.MayRequireOurs(tt.module, s) {
				t.Errorf("%s may require %s", tt.module, s)
			}
		})
		eachWord(tt.others, func(s string) {
			if !rule.MayRequireOther(s) {
				t.Errorf("%s may not require %s", tt.module, s)
			}
		})
		eachWord(tt.notOthers, func(s string) {
			if rule.MayRequireOther(s) {
				t.Errorf("%s may require %s", tt.module, s)
			}
		})
	}
	if _, ok := table.Find("elsewhere"); ok {
		t.Error("a module that nobody knows is in the table")
	}
}

func eachWord(text string, f func(string)) {
	for word := range strings.FieldsSeq(text) {
		f(word)
	}
}

func TestParseFails(t *testing.T) {
	for _, text := range []string{
		"core | yes | -",
		"core | maybe | - | -",
		"[ | yes | - | -",
	} {
		if _, err := Parse(text); err == nil || !strings.HasPrefix(err.Error(), "modules.txt:1:") {
			t.Errorf("%q: error %v does not name the line", text, err)
		}
	}
}
