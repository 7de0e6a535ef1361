package scenario

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// The sets by name.
var sets = map[string][]string{
	"pub": {
		"pub/16/g1", "pub/128/g1", "pub/1024/g1", "pub/65536/g1", "pub/262144/g1", "pub/1048576/g1",
		"pub/16/g8", "pub/128/g8", "pub/1024/g8", "pub/128/g64",
		"pubhdr/128/g1", "pubhdrready/128/g1", "pubmany/128/g1", "pub-tls/128/g1",
	},
	"sub": {
		"cb/16/s1/msg", "cb/128/s1/msg", "cb/1024/s1/msg", "cb/65536/s1/msg", "cb/262144/s1/msg", "cb/1048576/s1/msg",
		"cb/16/s1000/msg", "cb/128/s1000/msg", "sync/16/s1/msg", "sync/128/s1/msg",
		"chan/16/s1/msg", "chan/128/s1/msg", "chan/128/s1000/msg",
		"cb/128/s1/hdr", "cb/128/s1/hdrread", "cb/128/s1/js", "cb-tls/128/s1/msg",
	},
	"req": {
		"req/16/c1", "req/128/c64", "echo/128/c1", "echo/128/c64",
		"e2e/16", "e2e/128", "e2e/1024", "e2e/65536", "e2e/262144", "e2e/1048576", "e2e-tls/128", "e2elat/128",
	},
	"js": {
		"jspub/128/c1", "jspub/128/c64", "jsasync/128/w256", "jsasync/128/w4096",
	},
	"other": {
		"fair/0/s1", "retain/16/s1/msg", "retain/128/s1/msg", "retain/1024/s1/msg",
		"block/1000", "resub/100000", "idle/1000", "stall/128/g1",
	},
	// Where the garbage collector runs often, because the heap is empty.
	"no-ballast": {
		"cb/16/s1/msg", "cb/128/s1/msg", "cb/1024/s1/msg", "cb/128/s1/hdr", "sync/128/s1/msg", "chan/128/s1/msg",
	},
	"quick": {
		"pub/16/g1", "pub/128/g1", "pubhdr/128/g1", "cb/16/s1/msg", "cb/128/s1/msg", "cb/128/s1/hdr",
		"sync/128/s1/msg", "req/128/c64", "e2e/128",
	},
}

// compound are the sets made of other sets.
var compound = map[string][]string{
	"core": {"pub", "sub"},
	"all":  {"pub", "sub", "req", "js", "other"},
}

// SetNames lists the sets.
func SetNames() []string {
	return []string{"pub", "sub", "req", "js", "other", "core", "all", "no-ballast", "quick"}
}

// Set returns the names of a set's scenarios.
func Set(name string) ([]string, bool) {
	if parts, ok := compound[name]; ok {
		var all []string
		for _, p := range parts {
			all = append(all, sets[p]...)
		}
		return all, true
	}
	names, ok := sets[name]
	return names, ok
}

// Select resolves names of scenarios and sets, keeping the first of doubles, and
// then drops those that do not match the pattern.
func Select(names []string, pattern string) ([]Spec, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, err
	}
	var specs []Spec
	for _, name := range names {
		list, ok := Set(name)
		if !ok {
			list = []string{name}
		}
		for _, n := range list {
			s, err := Parse(n)
			if err != nil {
				return nil, err
			}
			if re.MatchString(n) && !slices.Contains(specs, s) {
				specs = append(specs, s)
			}
		}
	}
	if len(specs) == 0 {
		return nil, fmt.Errorf("no scenario in %s matches %q", strings.Join(names, ","), pattern)
	}
	return specs, nil
}
