package peers

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/perigee-go/nats/tools/bench/internal/wire"
)

func TestPingCounterFindsEveryLine(t *testing.T) {
	stream := "GPING\r\nPUB a 4\r\nping\r\nPING\r\nPING\r\nPIPING\r\nPUB b 0\r\n\r\nPING\r\n"
	want := strings.Count(stream, "PING\r\n")
	for size := 1; size <= len(stream); size++ {
		var p pingCounter
		got := 0
		for rest := stream; rest != ""; {
			n := min(size, len(rest))
			got += p.count([]byte(rest[:n]))
			rest = rest[n:]
		}
		if got != want {
			t.Errorf("in pieces of %d: %d PINGs, want %d", size, got, want)
		}
	}
}

// talk connects to a peer and reads its greeting.
func talk(t *testing.T, address string) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(c)
	if line := readLine(t, in); line+"\n" != strings.ReplaceAll(wire.Info, "\r", "") {
		t.Fatalf("greeting %q", line)
	}
	return c, in
}

func readLine(t *testing.T, in *bufio.Reader) string {
	t.Helper()
	line, err := in.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimRight(line, "\r\n")
}

func write(t *testing.T, c io.Writer, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

func TestSinkAnswersEveryPingAndCounts(t *testing.T) {
	a, err := Serve()
	if err != nil {
		t.Fatal(err)
	}
	c, in := talk(t, a.Sink)
	sent := wire.Ping + string(wire.AppendPublish(nil, "a", "", wire.Payload(100))) + wire.Ping + wire.Ping
	write(t, c, sent)
	for range 3 {
		if line := readLine(t, in); line != "PONG" {
			t.Fatalf("got %q", line)
		}
	}
	n, err := SinkBytes(a.Sink)
	if err != nil || n != int64(len(sent)) {
		t.Errorf("the sink counted %d bytes of %d, %v", n, len(sent), err)
	}
}

func TestFirehoseSendsWithinTheWindow(t *testing.T) {
	a, err := Serve()
	if err != nil {
		t.Fatal(err)
	}
	c, in := talk(t, a.Firehose)
	write(t, c, wire.Connect+"SUB fh.subject.0000 1\r\nSUB fh.subject.0001 2\r\n"+wire.Ping)
	if line := readLine(t, in); line != "PONG" {
		t.Fatalf("got %q", line)
	}
	order := Order{Count: 5, Size: 3, Kind: wire.KindHdr, Window: 4, Subs: 2}
	write(t, c, string(wire.AppendPublish(nil, StartSubject, "", []byte(order.String()))))
	for i := range 5 {
		if i == 4 { // the window is used up
			write(t, c, string(wire.AppendPublish(nil, CreditSubject, "", []byte("1"))))
		}
		want := string(wire.AppendDelivery(nil, wire.KindHdr, FeedSubject(i%2), fmt.Sprint(i%2+1), wire.Payload(3)))
		got := make([]byte, len(want))
		if _, err := io.ReadFull(in, got); err != nil || string(got) != want {
			t.Fatalf("message %d: %q, %v", i, got, err)
		}
	}
	if n, took, err := Subscriptions(a.Firehose); n != 2 || took <= 0 || err != nil {
		t.Errorf("%d subscriptions in %v, %v", n, took, err)
	}
	write(t, c, string(wire.AppendPublish(nil, DropSubject, "", nil)))
	if _, err := in.ReadByte(); err != io.EOF {
		t.Errorf("after the drop: %v", err)
	}
}

func TestOrder(t *testing.T) {
	want := Order{Count: 5, Size: 0, Kind: wire.KindMsg, Window: 0, Subs: 2}
	if got, err := parseOrder(want.String()); got != want || err != nil {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, bad := range []string{"", "1 2 3", "0 1 1 1 msg", "x 1 1 1 msg"} {
		if _, err := parseOrder(bad); err == nil {
			t.Errorf("parseOrder(%q) succeeded", bad)
		}
	}
}

func TestFlowEndsAnOlderRun(t *testing.T) {
	f := newFlow()
	old := f.begin(2)
	if got := old.take(5); got != 2 {
		t.Errorf("took %d of a window of 2", got)
	}
	waited := make(chan int)
	go func() { waited <- old.take(1) }()
	fresh := f.begin(1)
	if got := <-waited; got != 0 {
		t.Errorf("the older run took %d", got)
	}
	f.credit(3)
	if got := fresh.take(9); got != 4 {
		t.Errorf("the newer run took %d", got)
	}
	f.stop()
	if got := fresh.take(1); got != 0 {
		t.Errorf("took %d after the end", got)
	}
}
