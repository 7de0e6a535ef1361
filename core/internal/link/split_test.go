package link

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/perigee-go/nats/core/internal/figure"
)

// TestFigure14SplitInvariance: whatever the reads return, the sink is told the
// same. One cut at every offset of a session, and all pairs of cuts of each
// operation of up to 64 bytes.
func TestFigure14SplitInvariance(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	stream, want := session(rng, 5, 0, 1, 100, 300)
	splits := 0
	play := func(t *testing.T, r *rig, want []string, parts ...string) {
		for _, part := range parts {
			r.srv.send(part)
			synctest.Wait()
		}
		splits++
		checkEvents(t, fmt.Sprintf("%.100q", parts), r.sink.take(), want)
	}
	live(t, func(t *testing.T, r *rig) {
		for cut := range len(stream) {
			play(t, r, want, stream[:cut], stream[cut:])
		}
	})
	short := shortOperations()
	live(t, func(t *testing.T, r *rig) {
		for _, op := range short {
			for a := range len(op[0]) + 1 {
				for b := a; b <= len(op[0]); b++ {
					play(t, r, op[1:], op[0][:a], op[0][a:b], op[0][b:])
				}
			}
		}
	})
	figure.Print(t, 14, "every operation at every offset, pairs up to 64 bytes",
		"the reader of a link: %d splits of a session of %d bytes and of %d short operations", splits, len(stream), len(short))
}

// shortOperations are operations of up to 64 bytes, with the events that they
// make.
func shortOperations() (ops [][]string) {
	add := func(frame string, events ...string) {
		if len(frame) > 64 {
			panic(frame)
		}
		ops = append(ops, append([]string{frame}, events...))
	}
	for _, c := range []struct{ reply, header, data string }{
		{"", "", ""}, {"", "", "hello"}, {"r", "", "hello"}, {"", "NATS/1.0\r\n\r\n", ""}, {"_R.1", "NATS/1.0 503\r\n\r\n", ""},
		{"", "NATS/1.0\r\nA: 1\r\n\r\n", "\r\nPING\r\n"}, {"", "", "MSG a 1 5\r\nhello\r\n"},
	} {
		frame, event := msg("s.a", 7, c.reply, c.header, c.data)
		add(frame, event)
		add(strings.Replace(strings.Replace(frame, "MSG ", "msg  ", 1), " 7 ", "\t 7\t", 1), event)
	}
	add("PING\r\n")
	add("PONG \t\r\n")
	add("+OK\r\n")
	add("-ERR 'trouble'\r\n", "-ERR trouble")
	add("INFO {\"server_id\":\"X\",\"connect_urls\":[\"b:2\"]} \r\n", "INFO X [b:2]")
	add("+OK\r\nMSG s.a 7 1\r\nx\r\nPONG\r\n", "MSG s.a 7  \"\" x")
	return ops
}
