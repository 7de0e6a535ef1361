package jetstream

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	nats "github.com/perigee-go/nats/core"
)

// TestListPages: lists end, whatever a server answers.
func TestListPages(t *testing.T) {
	type reply struct {
		Total   int               `json:"total"`
		Streams []string          `json:"streams"`
		Missing []string          `json:"missing,omitempty"`
		Offline map[string]string `json:"offline,omitempty"`
	}
	for _, tt := range []struct {
		name   string
		page   func(offset int) reply
		want   []string
		err    error
		asked  int
		lacks  []string
		cannot map[string]string
	}{
		{"nothing", func(int) reply { return reply{} }, nil, nil, 1, nil, nil},
		{"one page", func(int) reply { return reply{Total: 2, Streams: []string{"a", "b"}} }, []string{"a", "b"}, nil, 1, nil, nil},
		{"pages", func(offset int) reply {
			return reply{Total: 5, Streams: []string{"a", "b", "c", "d", "e"}[offset:min(offset+2, 5)]}
		}, []string{"a", "b", "c", "d", "e"}, nil, 3, nil, nil},
		{"fewer than announced", func(offset int) reply {
			return reply{Total: 9, Streams: []string{"a", "b", "c"}[min(offset, 3):min(offset+2, 3)]}
		}, []string{"a", "b", "c"}, nil, 3, nil, nil},
		{"one came in front", func(offset int) reply {
			if offset == 0 {
				return reply{Total: 4, Streams: []string{"b", "c"}}
			}
			return reply{Total: 5, Streams: []string{"a", "b", "c", "d", "e"}[offset:]}
		}, []string{"b", "c", "d", "e"}, nil, 2, nil, nil},
		{"the same page again and again", func(int) reply { return reply{Total: 99, Streams: []string{"a", "b"}} }, []string{"a", "b"}, ErrInvalidResponse, 2, nil, nil},
		{"a total that grows", func(offset int) reply { return reply{Total: offset + 9, Streams: []string{"a"}} }, []string{"a"}, ErrInvalidResponse, 2, nil, nil},
		{"names without end", func(offset int) reply {
			return reply{Total: offset + 5, Streams: []string{fmt.Sprintf("n%03d", offset)}}
		}, manyNames(111), ErrInvalidResponse, 111, nil, nil},
		{"missing and offline", func(offset int) reply {
			if offset == 0 {
				return reply{Total: 3, Streams: []string{"a", "b"}, Missing: []string{"m"}, Offline: map[string]string{"o": "too old"}}
			}
			return reply{Total: 3, Streams: []string{"c"}, Missing: []string{"n"}, Offline: map[string]string{"p": "older"}}
		}, []string{"a", "b", "c"}, ErrIncompleteList, 2, []string{"m", "n"}, map[string]string{"o": "too old", "p": "older"}},
		{"a total below nothing", func(int) reply { return reply{Total: -5, Streams: []string{"a"}} }, []string{"a"}, nil, 1, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			scripted(t, func(_, body string) answer {
				var req struct{ Offset int }
				if err := json.Unmarshal([]byte(body), &req); err != nil {
					t.Error(err)
				}
				return jsonAnswer(t, tt.page(req.Offset))
			}, func(t *testing.T, r *rig) {
				got, err := nats.Collect(r.StreamNames(t.Context()))
				if !slices.Equal(got, tt.want) || !errors.Is(err, tt.err) {
					t.Errorf("%q, %v", got, err)
				}
				if n := len(r.subjects()); n != tt.asked {
					t.Errorf("%d pages were asked for, want %d", n, tt.asked)
				}
				var incomplete *IncompleteListError
				if errors.As(err, &incomplete) && (!slices.Equal(incomplete.Missing, tt.lacks) || !maps.Equal(incomplete.Offline, tt.cannot)) {
					t.Errorf("%+v", incomplete)
				}
				// break asks for nothing more.
				before := len(r.subjects())
				for range r.StreamNames(t.Context()) {
					break
				}
				if n := len(r.subjects()) - before; n != 1 {
					t.Errorf("%d pages for a loop that ends at once", n)
				}
			})
		})
	}
}

func manyNames(n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprintf("n%03d", i))
	}
	return names
}

// TestListIsLazy: nothing is asked before the loop, and an error is the end.
func TestListIsLazy(t *testing.T) {
	scripted(t, each(answer{data: `{"total":3,"streams":[null,{"config":{"name":"a"}}]}`}, answer{data: `{"error":{"code":500,"err_code":10041}}`}), func(t *testing.T, r *rig) {
		seq := r.Streams(t.Context())
		bad := r.Streams(t.Context(), FilterSubject("a..b"))
		if n := len(r.subjects()); n != 0 {
			t.Errorf("%d requests", n)
		}
		if _, err := nats.Collect(bad); !errors.Is(err, ErrInvalidOption) {
			t.Error(err)
		}
		infos, err := nats.Collect(seq)
		if len(infos) != 1 || infos[0].Config.Name != "a" || !errors.Is(err, ErrRaftGeneral) {
			t.Errorf("%v, %v", infos, err)
		}
	})
}

// TestSubjectPages: the subjects of a stream come in pages of their own kind.
func TestSubjectPages(t *testing.T) {
	page := func(offset, n int) map[string]uint64 {
		m := make(map[string]uint64)
		for i := range n {
			m[fmt.Sprintf("s.%d", offset+i)] = uint64(offset + i)
		}
		return m
	}
	for _, tt := range []struct {
		name  string
		per   int
		stuck bool
		err   error
	}{{"pages", 4, false, nil}, {"the same page again", 4, true, ErrInvalidResponse}} {
		scripted(t, func(_, body string) answer {
			var req struct {
				Offset int
				Filter string `json:"subjects_filter"`
			}
			if err := json.Unmarshal([]byte(body), &req); err != nil || req.Filter != "s.>" {
				t.Errorf("asked %s", body)
			}
			if tt.stuck {
				req.Offset = 0
			}
			return jsonAnswer(t, map[string]any{
				"total": 10, "offset": req.Offset, "config": map[string]any{"name": "S"},
				"state": map[string]any{"messages": 7, "subjects": page(req.Offset, min(tt.per, 10-req.Offset))},
			})
		}, func(t *testing.T, r *rig) {
			info, err := r.StreamHandle("S").Info(t.Context(), FilterSubject("s.>"))
			if !errors.Is(err, tt.err) {
				t.Fatalf("%s: %v", tt.name, err)
			}
			if err == nil && (!maps.Equal(info.State.Subjects, page(0, 10)) || info.State.Msgs != 7) {
				t.Errorf("%s: %+v", tt.name, info.State)
			}
		})
	}
}

// TestCreateOrUpdateRace: two programs make the same stream, and both find that
// there is none.
func TestCreateOrUpdateRace(t *testing.T) {
	scripted(t, each(
		answer{data: `{"error":{"code":404,"err_code":10059}}`},
		answer{data: `{"error":{"code":400,"err_code":10058}}`},
		answer{data: `{"config":{"name":"S","max_msgs":5}}`},
	), func(t *testing.T, r *rig) {
		s, err := r.CreateOrUpdateStream(t.Context(), StreamConfig{Name: "S", MaxMsgs: 5})
		if err != nil || s.CachedInfo().Config.MaxMsgs != 5 {
			t.Error(err)
		}
		if got := r.subjects(); !slices.Equal(got, []string{"STREAM.UPDATE.S", "STREAM.CREATE.S", "STREAM.UPDATE.S"}) {
			t.Errorf("asked %q", got)
		}
	})
}
