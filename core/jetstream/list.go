package jetstream

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
)

// page is what all paged answers have.
type page struct {
	Total   int               `json:"total"`
	Offset  int               `json:"offset"`
	Missing []string          `json:"missing"`
	Offline map[string]string `json:"offline"`
}

// lister asks for page after page.
type lister[T any] struct {
	ask func(offset int) (page, []T, error)
	key func(T) string // what tells items apart
}

// all yields the items of all pages, and an *IncompleteListError at the end if
// there should be more. Things come and go between pages, so what was yielded is
// not yielded again; a page with nothing new is the last one, or the servers
// that send it are broken.
func (l lister[T]) all(yield func(T, error) bool) {
	var missing []string
	offline := make(map[string]string)
	seen := make(map[string]bool)
	var zero T
	offset := 0
	for pages, most := 0, 0; ; pages++ {
		p, items, err := l.ask(offset)
		if err != nil {
			yield(zero, err)
			return
		}
		if pages == 0 {
			most = maxPages(p.Total, len(items))
		}
		fresh := 0
		for _, item := range items {
			if seen[l.key(item)] {
				continue
			}
			fresh++
			seen[l.key(item)] = true
			if !yield(item, nil) {
				return
			}
		}
		missing = append(missing, p.Missing...)
		maps.Copy(offline, p.Offline)
		offset += len(items)
		if offset >= p.Total || len(items) == 0 {
			break
		}
		if fresh == 0 {
			yield(zero, fmt.Errorf("%w: the same page again", ErrInvalidResponse))
			return
		}
		if pages == most {
			yield(zero, fmt.Errorf("%w: a list without end", ErrInvalidResponse))
			return
		}
	}
	if len(missing) > 0 || len(offline) > 0 {
		yield(zero, &IncompleteListError{missing, offline})
	}
}

// maxPages is how many pages a list may have whose first one has so many items:
// it may grow while it is read, but not without end.
func maxPages(total, items int) int {
	const most, some = 1 << 20, 100
	return 2*min(total/max(items, 1), most) + some
}

// list makes a sequence of a lister; err, if there is one, is all of it.
func list[T any](c call, err error, l lister[T]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		if err != nil {
			var zero T
			yield(zero, c.failed(err))
			return
		}
		l.all(func(item T, err error) bool {
			var incomplete *IncompleteListError
			if errors.As(err, &incomplete) || errors.Is(err, ErrInvalidResponse) {
				err = c.failed(err)
			}
			return yield(item, err)
		})
	}
}

// present leaves out what a server said nothing about.
func present[T any](infos []*T) []*T {
	return slices.DeleteFunc(infos, func(i *T) bool { return i == nil })
}

// pageRequest asks for a page of streams or consumers.
type pageRequest struct {
	Offset  int    `json:"offset,omitempty"`
	Subject string `json:"subject,omitempty"`
}

// Streams lists the streams of the account, in the order of their names, page
// by page as the loop goes on; FilterSubject narrows it. If servers did not
// answer, or cannot run a stream, the last error is an *IncompleteListError.
func (js *JetStream) Streams(ctx context.Context, opts ...StreamsOption) iter.Seq2[*StreamInfo, error] {
	c := call{op: "list streams"}
	q, err := newStreamQuery(opts)
	return list(c, err, lister[*StreamInfo]{
		ask: func(offset int) (page, []*StreamInfo, error) {
			var resp struct {
				page
				Streams []*StreamInfo `json:"streams"`
			}
			err := js.api(ctx, c, "STREAM.LIST", pageRequest{offset, q.subject}, &resp)
			return resp.page, present(resp.Streams), err
		},
		key: func(i *StreamInfo) string { return i.Config.Name },
	})
}

// StreamNames lists the names of the streams of the account, as Streams does.
func (js *JetStream) StreamNames(ctx context.Context, opts ...StreamsOption) iter.Seq2[string, error] {
	c := call{op: "list stream names"}
	q, err := newStreamQuery(opts)
	return list(c, err, lister[string]{
		ask: func(offset int) (page, []string, error) {
			var resp struct {
				page
				Streams []string `json:"streams"`
			}
			err := js.api(ctx, c, "STREAM.NAMES", pageRequest{offset, q.subject}, &resp)
			return resp.page, resp.Streams, err
		},
		key: func(name string) string { return name },
	})
}

// StreamNameBySubject returns the name of a stream that listens to subject;
// ErrStreamNotFound.
func (js *JetStream) StreamNameBySubject(ctx context.Context, subject string) (string, error) {
	for name, err := range js.StreamNames(ctx, FilterSubject(subject)) {
		return name, err
	}
	return "", opError(ErrStreamNotFound, "stream of subject", subject)
}

// Consumers lists the consumers of the stream, as JetStream.Streams does.
func (s *Stream) Consumers(ctx context.Context) iter.Seq2[*ConsumerInfo, error] {
	c := call{op: "list consumers of stream", stream: s.Name()}
	return list(c, checkStreamName(s.Name()), lister[*ConsumerInfo]{
		ask: func(offset int) (page, []*ConsumerInfo, error) {
			var resp struct {
				page
				Consumers []*ConsumerInfo `json:"consumers"`
			}
			err := s.JetStream().api(ctx, c, "CONSUMER.LIST."+s.Name(), pageRequest{Offset: offset}, &resp)
			return resp.page, present(resp.Consumers), err
		},
		key: func(i *ConsumerInfo) string { return i.Name },
	})
}

// ConsumerNames lists the names of the consumers of the stream.
func (s *Stream) ConsumerNames(ctx context.Context) iter.Seq2[string, error] {
	c := call{op: "list consumer names of stream", stream: s.Name()}
	return list(c, checkStreamName(s.Name()), lister[string]{
		ask: func(offset int) (page, []string, error) {
			var resp struct {
				page
				Consumers []string `json:"consumers"`
			}
			err := s.JetStream().api(ctx, c, "CONSUMER.NAMES."+s.Name(), pageRequest{Offset: offset}, &resp)
			return resp.page, resp.Consumers, err
		},
		key: func(name string) string { return name },
	})
}

// streamInfo asks for a stream, and for the pages of its subjects.
func (js *JetStream) streamInfo(ctx context.Context, c call, q streamQuery) (*StreamInfo, error) {
	var first *StreamInfo
	ask := func(offset int) (page, []string, error) {
		var resp struct {
			page
			StreamInfo
		}
		req := struct {
			Offset         int    `json:"offset,omitempty"`
			DeletedDetails bool   `json:"deleted_details,omitempty"`
			SubjectsFilter string `json:"subjects_filter,omitempty"`
		}{offset, q.deletedDetails && offset == 0, q.subject}
		var body any // empty, if nothing special is asked for
		if q.deletedDetails || q.subject != "" {
			body = req
		}
		if err := js.api(ctx, c, "STREAM.INFO."+c.stream, body, &resp); err != nil {
			return page{}, nil, err
		}
		subjects := resp.State.Subjects
		if first == nil {
			first = &resp.StreamInfo
		} else {
			maps.Copy(first.State.Subjects, subjects)
		}
		names := make([]string, 0, len(subjects))
		for name := range subjects {
			names = append(names, name)
		}
		return resp.page, names, nil
	}
	for _, err := range list(c, nil, lister[string]{ask, func(name string) string { return name }}) {
		if err != nil {
			return nil, err
		}
	}
	if first.Config.Name != c.stream {
		return nil, c.failed(ErrInvalidResponse)
	}
	return first, nil
}
