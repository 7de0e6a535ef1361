package link

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perigee-go/nats/core/internal/wire"
)

func isServerError(text string) func(error) bool {
	return func(err error) bool {
		var e *ServerError
		return errors.As(err, &e) && e.Text == text
	}
}

func is(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

func both(a, b error) func(error) bool {
	return func(err error) bool { return errors.Is(err, a) && errors.Is(err, b) }
}

func isViolation(err error) bool {
	var e *wire.Error
	return errors.As(err, &e)
}

func ok(err error) bool { return err == nil }

//perigee:allow the scripts run in bubbles
func TestHandshake(t *testing.T) {
	trickle := func(s *server, text string, pause time.Duration) {
		for i := range len(text) {
			if _, err := io.WriteString(s.conn, text[i:i+1]); err != nil {
				return
			}
			time.Sleep(pause)
		}
	}
	hold := func(s *server) { _, _ = io.Copy(io.Discard, s.r) }
	long := strings.Repeat(`"10.0.0.1:4222",`, 2000)
	for _, c := range []struct {
		name   string
		mode   TLSMode
		script func(s *server)
		want   func(error) bool
		took   time.Duration
	}{
		{"plain", TLSAuto, (*server).greet, ok, 0},
		{"INFO after 3 s", TLSAuto, func(s *server) { time.Sleep(3 * time.Second); s.greet() }, ok, 3 * time.Second},
		{"INFO and PONG trickle", TLSAuto, func(s *server) {
			trickle(s, infoLine, 10*time.Millisecond)
			s.await("PING")
			trickle(s, "PONG\r\n", 10*time.Millisecond)
		}, ok, time.Duration(len(infoLine)+5) * 10 * time.Millisecond},
		{"no INFO", TLSAuto, hold, both(ErrNoInfo, context.DeadlineExceeded), 5 * time.Second},
		{"INFO trickles too slowly", TLSAuto, func(s *server) { trickle(s, infoLine+infoLine, 100*time.Millisecond) },
			both(ErrNoInfo, context.DeadlineExceeded), 5 * time.Second},
		{"no PONG", TLSAuto, func(s *server) { s.send(infoLine); hold(s) }, both(ErrHandshake, context.DeadlineExceeded), 5 * time.Second},
		{"half a PONG", TLSAuto, func(s *server) { s.send(infoLine); s.await("PING"); s.send("PON"); hold(s) }, is(context.DeadlineExceeded), 5 * time.Second},
		{"closed at once", TLSAuto, func(s *server) { _ = s.sim.Close() }, both(ErrNoInfo, io.EOF), 0},
		{"closed in INFO", TLSAuto, func(s *server) { s.send(infoLine[:20]); _ = s.sim.Close() }, both(ErrNoInfo, io.EOF), 0},
		{"closed after CONNECT", TLSAuto, func(s *server) { s.send(infoLine); s.await("PING"); _ = s.sim.Close() }, both(ErrHandshake, io.EOF), 0},
		{"-ERR for INFO", TLSAuto, func(s *server) { s.send("-ERR 'maximum connections exceeded'\r\n") }, isServerError("maximum connections exceeded"), 0},
		{"-ERR for PONG", TLSAuto, func(s *server) {
			s.send(infoLine)
			s.await("PING")
			s.send("-ERR 'Authorization Violation'\r\n")
			_ = s.sim.Close()
		}, isServerError("Authorization Violation"), 0},
		{"PING for INFO", TLSAuto, func(s *server) { s.send("PING\r\n" + infoLine) }, isViolation, 0},
		{"rubbish for INFO", TLSAuto, func(s *server) { s.send("HTTP/1.1 400 Bad Request\r\n") }, isViolation, 0},
		{"INFO is no JSON", TLSAuto, func(s *server) { s.send("INFO {\r\n") }, isViolation, 0},
		{"rubbish for PONG", TLSAuto, func(s *server) { s.send(infoLine); s.await("PING"); s.send("PONG?\r\n") }, isViolation, 0},
		{"INFO is no JSON later", TLSAuto, func(s *server) { s.send(infoLine); s.await("PING"); s.send("INFO {\r\nPONG\r\n") }, isViolation, 0},
		{"everything before PONG", TLSAuto, func(s *server) {
			s.send(infoLine)
			if l := s.line(); l != `CONNECT {"verbose":false}` {
				s.t.Errorf("%q", l)
			}
			s.await("PING")
			s.send("+OK\r\nPING\r\nINFO {\"server_id\":\"M\"}\r\nMSG a 1 5\r\nhello\r\nHMSG a 1 12 12\r\nNATS/1.0\r\n\r\n\r\n+OK\r\nPONG\r\n")
			if l := s.line(); l != "PONG" {
				s.t.Errorf("the PING was answered by %q", l)
			}
		}, ok, 0},
		{"long INFO", TLSAuto, func(s *server) {
			s.send(`INFO {"server_id":"L","connect_urls":[` + long + `"x:1"]}` + "\r\n")
			s.await("PING")
			s.send("PONG\r\n")
		}, ok, 0},
		{"endless INFO", TLSAuto, func(s *server) {
			s.send("INFO {")
			for {
				if _, err := io.WriteString(s.conn, strings.Repeat(" ", 8192)); err != nil {
					return
				}
			}
		}, isViolation, 0},
		{"TLS required, not offered", TLSRequired, func(s *server) { s.send(infoLine); hold(s) }, is(ErrNoTLS), 0},
		{"TLS required by the server", TLSAuto, func(s *server) {
			s.send(infoTLS)
			if err := s.startTLS(); err != nil {
				s.t.Error(err)
			}
			s.await("PING")
			s.send("PONG\r\n")
		}, ok, 0},
		{"TLS required by the user", TLSRequired, func(s *server) {
			s.send(`INFO {"tls_available":true}` + "\r\n")
			_ = s.startTLS()
			s.await("PING")
			s.send("PONG\r\n")
		}, ok, 0},
		{"TLS first", TLSFirst, func(s *server) {
			_ = s.startTLS()
			s.send(infoTLS)
			s.await("PING")
			s.send("PONG\r\n")
		}, ok, 0},
		{"TLS first, plain server", TLSFirst, func(s *server) { s.send(infoLine); hold(s) }, is(ErrTLS), 0},
		{"TLS first, silent server", TLSFirst, hold, both(ErrTLS, context.DeadlineExceeded), 5 * time.Second},
		{"TLS, then plain bytes", TLSAuto, func(s *server) { s.send(infoTLS); time.Sleep(time.Second); s.send("PONG\r\n"); hold(s) }, is(ErrTLS), time.Second},
		{"TLS, closed in the handshake", TLSAuto, func(s *server) { s.send(infoTLS); time.Sleep(time.Second); _ = s.sim.Close() }, is(ErrTLS), time.Second},
		{"bytes between INFO and TLS", TLSAuto, func(s *server) { s.send(infoTLS + "PONG\r\n"); hold(s) }, is(ErrInjected), 0},
		{"half an operation between INFO and TLS", TLSRequired, func(s *server) { s.send(infoTLS + "P"); hold(s) }, is(ErrInjected), 0},
		{"TLS by the dialer", TLSDone, func(s *server) { s.send(infoTLS); s.await("PING"); s.send("PONG\r\n") }, ok, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.cfg.TLS = c.mode
				err := r.open(c.script)
				if !c.want(err) {
					t.Errorf("error %v", err)
				}
				if err != nil {
					// The script ended when the connection did.
				} else if r.l.Drop(); r.l.Resumable() == (c.mode == TLSDone || r.l.Secure()) {
					t.Errorf("resumable %v, secure %v", r.l.Resumable(), r.l.Secure())
				}
				_ = r.srv.sim.Close()
				if r.took != c.took {
					t.Errorf("took %v, want %v", r.took, c.took)
				}
				if seen := r.srv.raw.seen.String(); strings.Contains(seen, "CONNECT") && (c.mode == TLSRequired || c.mode == TLSFirst || errors.Is(err, ErrInjected)) {
					t.Errorf("CONNECT went out in clear: %q", seen)
				}
			})
		})
	}
}

// A1: an INFO that was read in clear names no servers when TLS is in use; one
// inside does.
func TestTopologyComesFromInsideTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		err := r.open(func(s *server) {
			s.send(infoTLS)
			_ = s.startTLS()
			s.await("PING")
			s.send("PONG\r\nINFO {\"server_id\":\"N\",\"connect_urls\":[\"good:1\"]}\r\n")
		})
		if err != nil {
			t.Fatal(err)
		}
		if i := r.l.Info(); len(i.ConnectURLs)+len(i.WSConnectURLs) > 0 || i.Host != "" || i.Port != 0 || i.ID != "N" || !i.TLSRequired {
			t.Errorf("%+v", i)
		}
		r.out.Attach(1, nil, nil)
		r.l.Start(1)
		r.out.Open(1)
		synctest.Wait()
		if got := r.sink.take(); fmt.Sprint(got) != "[INFO N [good:1]]" {
			t.Errorf("%q", got)
		}
		r.l.End(io.EOF)
		_ = r.l.Wait()
	})
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cfg.TLS = TLSFirst
		err := r.open(func(s *server) { _ = s.startTLS(); s.greet() })
		if err != nil || len(r.l.Info().ConnectURLs) != 1 {
			t.Errorf("%v", err)
		}
		r.l.Drop()
	})
}

func TestHandshakeFailuresOfOurs(t *testing.T) {
	errUser := errors.New("no credentials")
	for name, c := range map[string]struct {
		change func(cfg *Config)
		want   error
	}{
		"Connect fails":   {func(cfg *Config) { cfg.Connect = func(*wire.Info, bool) ([]byte, error) { return nil, errUser } }, errUser},
		"TLSConfig fails": {func(cfg *Config) { cfg.TLS, cfg.TLSConfig = TLSFirst, failTLS(errUser) }, errUser},
		"Connect has EOF": {func(cfg *Config) { cfg.Connect = func(*wire.Info, bool) ([]byte, error) { return nil, io.EOF } }, io.EOF},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				c.change(&r.cfg)
				err := r.open(func(s *server) { s.send(infoLine); _ = s.line() })
				if !errors.Is(err, c.want) {
					t.Errorf("%v", err)
				}
				if r.srv.raw.seen.Len() > 0 {
					t.Errorf("%q was sent", r.srv.raw.seen.String())
				}
			})
		})
	}
}

// INFO does not tell how long a CONNECT may be. So it is sent; if the server
// ends the connection, that is told as the likely reason.
func TestLongConnect(t *testing.T) {
	hangUp := func(s *server) { _ = s.sim.Close() }
	refuse := func(text string) func(s *server) {
		return func(s *server) { s.send("-ERR '" + text + "'\r\n"); _ = s.sim.Close() }
	}
	pong := func(s *server) { s.send("PONG\r\n") }
	for name, c := range map[string]struct {
		bytes   int
		answer  func(*server)
		tooLong bool
		want    error
	}{
		"accepted":            {50_000, pong, false, nil},
		"of the usual length": {4096, hangUp, false, io.EOF},
		"hung up":             {4097, hangUp, true, io.EOF},
		"said so":             {4097, refuse("maximum control line exceeded"), true, nil},
		"said something else": {4097, refuse("Authorization Violation"), false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			for _, mode := range []TLSMode{TLSAuto, TLSFirst} {
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t)
					r.cfg.TLS = mode
					r.cfg.Connect = func(*wire.Info, bool) ([]byte, error) { return bytes.Repeat([]byte("x"), c.bytes), nil }
					err := r.open(func(s *server) {
						if mode == TLSFirst {
							_ = s.startTLS()
						}
						s.send(infoLine)
						s.await("PING")
						c.answer(s)
					})
					if (err == nil) != (name == "accepted") || errors.Is(err, ErrTooLong) != c.tooLong || c.want != nil && !errors.Is(err, c.want) {
						t.Errorf("TLS mode %d: %v", mode, err)
					}
					if err == nil {
						r.l.Drop()
					}
				})
			}
		})
	}
}

// What Connect is told.
func TestConnectSeesTheServer(t *testing.T) {
	for _, mode := range []TLSMode{TLSAuto, TLSFirst} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.cfg.TLS = mode
			r.cfg.Connect = func(info *wire.Info, secure bool) ([]byte, error) {
				if info.ID != "N" || secure != (mode == TLSFirst) {
					t.Errorf("%+v, %v", info, secure)
				}
				return []byte("{}"), nil
			}
			err := r.open(func(s *server) {
				if mode == TLSFirst {
					_ = s.startTLS()
				}
				s.greet()
			})
			if err != nil {
				t.Fatal(err)
			}
			if r.l.Secure() != (mode == TLSFirst) || r.l.Conn() == nil {
				t.Error("Secure")
			}
			r.l.Drop()
		})
	}
}

func TestHandshakeCancelled(t *testing.T) {
	for _, at := range []string{"INFO", "PONG"} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			cause := errors.New("the user went away")
			ctx, cancel := context.WithCancelCause(t.Context())
			go func() {
				if at == "PONG" {
					r.srv.send(infoLine)
				}
				time.Sleep(time.Second)
				cancel(cause)
			}()
			_, err := Open(ctx, r.conn, r.cfg)
			if !errors.Is(err, cause) {
				t.Errorf("%v", err)
			}
			if _, err := r.sim.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
				t.Errorf("left open: %v", err)
			}
		})
	}
}

// A deadline that the handshake set does not stay.
func TestDeadlineIsLifted(t *testing.T) {
	live(t, func(t *testing.T, r *rig) {
		time.Sleep(8 * time.Second)
		r.srv.send("MSG a 1 1\r\nx\r\n")
		synctest.Wait()
		if got := r.sink.take(); len(got) != 1 {
			t.Errorf("%q", got)
		}
	})
}

// B3: a size that is announced during the handshake is not memory yet.
func TestHandshakeDoesNotAllocateAnnouncedSizes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		var before, after runtime.MemStats
		err := r.open(func(s *server) {
			s.send(infoLine)
			s.await("PING")
			runtime.ReadMemStats(&before)
			s.send("MSG a 1 60000000\r\n")
			for range 100 {
				time.Sleep(time.Millisecond)
				s.send("x")
			}
			time.Sleep(time.Millisecond)
			runtime.ReadMemStats(&after)
			_ = s.sim.Close()
		})
		if !errors.Is(err, io.EOF) {
			t.Error(err)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 4<<20 {
			t.Errorf("%d bytes were allocated for 120 that arrived", n)
		}
	})
}
