package jetstream

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/internal/figure"
)

// matrixStates are the states that the methods are called in.
var matrixStates = []struct {
	name string
	make func(s *stage)
}{
	{"JetStream answers", func(s *stage) { s.begin() }},
	{"JetStream answers nothing", func(s *stage) {
		s.begin()
		s.script(func(string) answer { return answer{} })
	}},
	{"JetStream answers nonsense", func(s *stage) {
		s.begin()
		s.script(func(string) answer { return answer{data: "[5"} })
	}},
	{"JetStream answers the same page for ever", func(s *stage) {
		s.begin()
		s.script(func(string) answer {
			return answer{data: `{"total":1000000,"config":{"name":"S"},"state":{"subjects":{"a":1}},"name":"C","streams":[],"consumers":[]}`}
		})
	}},
	{"JetStream is off", func(s *stage) {
		s.begin()
		s.script(func(string) answer { return nobody })
	}},
	{"JetStream is off for the account", func(s *stage) {
		s.begin()
		s.script(func(string) answer { return answer{data: `{"error":{"code":503,"err_code":10039}}`} })
	}},
	{"no link, a dial hangs", func(s *stage) {
		s.begin()
		s.srv.Hang(true)
		s.srv.Peer().Cut()
		synctest.Wait()
	}},
	{"no link, a wait", func(s *stage) {
		s.begin(nats.CustomReconnectDelay(func(int) time.Duration { return time.Hour }))
		s.srv.Refuse(true)
		s.srv.Peer().Cut()
		synctest.Wait()
	}},
	{"connecting", func(s *stage) {
		s.srv.Hang(true)
		s.connect(nats.RetryOnFailedConnect(true))
		var err error
		s.rec, err = s.stream.ConsumerHandle("R").Receiver()
		s.must(err)
		s.running, err = s.stream.ConsumerHandle("H").Consume(func(*Msg) {})
		s.must(err)
		s.msg = newMsg(nats.Msg{Reply: goodAck}, time.Second)
	}},
	{"the peer stopped reading", (*stage).stall},
	{"the peer stopped writing", func(s *stage) {
		s.begin()
		s.srv.Peer().StallWrites(true)
	}},
	{"a handler blocks", (*stage).blockHandler},
	{"draining, a handler blocks", func(s *stage) {
		s.blockHandler()
		s.drain()
	}},
	{"draining, nobody takes what was read ahead", func(s *stage) {
		s.begin()
		s.deliver("R")
		s.drainFor(10 * time.Second)
	}},
	{"draining, without a link", func(s *stage) {
		s.begin()
		s.srv.Hang(true)
		s.srv.Peer().Cut()
		synctest.Wait()
		s.drain()
	}},
	{"closed", func(s *stage) {
		s.begin()
		s.must(s.nc.Close())
	}},
	{"closed by itself", func(s *stage) {
		s.begin(nats.NoReconnect())
		s.srv.Peer().Cut()
		synctest.Wait()
	}},
	{"drained", func(s *stage) {
		s.begin()
		ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
		defer cancel()
		s.must(s.nc.Drain(ctx))
	}},
	{"the consumer was deleted", func(s *stage) {
		s.begin()
		for _, inbox := range s.inbox {
			s.srv.Deliver(inbox, "", "NATS/1.0 409 Consumer Deleted\r\n\r\n", "")
		}
		synctest.Wait()
		s.script(func(string) answer { return answer{data: `{"error":{"code":404,"err_code":10014}}`} })
	}},
}

func (s *stage) begin(opts ...nats.Option) {
	s.connect(opts...)
	s.consume(func(*Msg) {})
}

func (s *stage) blockHandler() {
	s.connect()
	s.consume(func(*Msg) { <-s.block })
	s.deliver("H")
	s.deliver("H")
}

func (s *stage) drain() { s.drainFor(time.Hour) }

func (s *stage) drainFor(d time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	go func() {
		defer cancel()
		_ = s.nc.Drain(ctx)
	}()
	synctest.Wait()
}

// stall makes a peer that stopped reading, with all buffers on the way full.
func (s *stage) stall() {
	s.srv.Capacity(4096)
	s.connect(nats.WriteBufferSize(64<<10), nats.ReconnectBufSize(64<<10))
	s.consume(func(*Msg) {})
	s.srv.Peer().StallReads(true)
	for _, size := range []int{8192, 100} { // to the last bytes
		for range 1000 {
			ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
			err := s.nc.PublishMsg(ctx, nats.Msg{Subject: "fill", Data: make([]byte, size)})
			cancel()
			if errors.Is(err, context.DeadlineExceeded) {
				break
			}
			s.must(err)
		}
	}
}

// TestFigure10EveryMethodInEveryState calls every method in every state: none is
// held up by what the connection, the server or another call waits for.
func TestFigure10EveryMethodInEveryState(t *testing.T) {
	realWatchdog(t)
	var x matrix
	for _, state := range matrixStates {
		t.Run(state.name, func(t *testing.T) {
			for _, m := range matrixMethods() {
				for _, kind := range contextKinds {
					if !m.takesContext() && kind.name != "deadline" {
						continue
					}
					for _, over := range []bool{false, true} {
						if over && (state.name != "JetStream answers" || m.recv != "Receiver" && m.recv != "Consumption" && m.recv != "Msg") {
							continue
						}
						synctest.Test(t, func(t *testing.T) {
							s := newStage(t)
							state.make(s)
							if over {
								s.over()
							}
							oneCall(s, &x, fmt.Sprintf("%s, context %s, over %v", state.name, kind.name, over), m, kind)
						})
					}
				}
			}
		})
	}
	figure.Print(t, 10, "50 ms", "JetStream: %d calls with a context, of %d of all %d methods in %d states, outlived it by at most %v (%s)",
		x.contexts, x.calls, len(matrixMethods()), len(matrixStates), x.worst, x.worstBy)
}

func oneCall(s *stage, x *matrix, where string, m method, kind contextKind) {
	ctx, cancel := kind.make()
	defer cancel()
	err := x.call(s, where, m, ctx, kind.within)
	switch {
	case kind.name == "nil" && m.takesContext() && canFail(m.Type) && !errors.Is(err, nats.ErrInvalidOption) && !(m.recv == "Msg" && errors.Is(err, ErrMsgAlreadyAckd)):
		s.t.Errorf("%s: %v: %v", where, m, err)
	case kind.name == "ended" && m.takesContext() && err == nil && m.Name != "Drain" && m.Name != "Messages" && m.Name != "Next":
		s.t.Errorf("%s: %v works", where, m)
	}
	close(s.block)
	closed := time.AfterFunc(time.Hour, func() { panic(where + ": Close hangs after " + m.String()) })
	_ = s.nc.Close()
	closed.Stop()
	s.srv.Hang(false)
	pass(time.Minute)
	s.js.sessions.mu.Lock()
	defer s.js.sessions.mu.Unlock()
	if n := len(s.js.sessions.all); n > 0 {
		s.t.Errorf("%s: %d sessions are left after %v", where, n, m)
	}
}
