package wire

import (
	"fmt"
	"strings"
	"testing"
)

func benchParse(b *testing.B, frame string) {
	in := []byte(frame)
	var p Parser
	var f Frame
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		if ok, err := p.Parse(in, &f); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	for _, size := range []int{16, 128} {
		payload := strings.Repeat("x", size)
		b.Run(fmt.Sprintf("MSG/%dB", size), func(b *testing.B) {
			benchParse(b, fmt.Sprintf("MSG orders.eu.created 42 %d\r\n%s\r\n", size, payload))
		})
		b.Run(fmt.Sprintf("MSG-reply/%dB", size), func(b *testing.B) {
			benchParse(b, fmt.Sprintf("MSG orders.eu.created 42 _INBOX.4PKVXAGQ.17 %d\r\n%s\r\n", size, payload))
		})
		header := "NATS/1.0\r\nNats-Msg-Id: 4711\r\n\r\n"
		b.Run(fmt.Sprintf("HMSG/%dB", size), func(b *testing.B) {
			benchParse(b, fmt.Sprintf("HMSG orders.eu.created 42 %d %d\r\n%s%s\r\n",
				len(header), len(header)+size, header, payload))
		})
	}
	b.Run("PING", func(b *testing.B) { benchParse(b, "PING\r\n") })
}

func BenchmarkAppendPub(b *testing.B) {
	for _, size := range []int{16, 128} {
		data := make([]byte, size)
		for _, header := range []string{"", "NATS/1.0\r\nNats-Msg-Id: 4711\r\n\r\n"} {
			name := fmt.Sprintf("PUB/%dB", size)
			if header != "" {
				name = "H" + name
			}
			b.Run(name, func(b *testing.B) {
				buf := make([]byte, 0, 1024)
				b.ReportAllocs()
				for b.Loop() {
					buf = AppendPub(buf[:0], "orders.eu.created", "", header, data)
				}
				b.SetBytes(int64(len(buf)))
			})
		}
	}
}

func BenchmarkLookupField(b *testing.B) {
	block := HeaderPrefix + "A: 1\r\nNats-Stream: ORDERS\r\nNats-Subject: orders.eu.created\r\nNats-Sequence: 4711\r\n\r\n"
	for _, name := range []string{"A", "Nats-Sequence", "absent"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				LookupField(block, name)
			}
		})
	}
}

func BenchmarkScanClient(b *testing.B) {
	frame := AppendPub(nil, "orders.eu.created", "", "", make([]byte, 128))
	b.SetBytes(int64(len(frame)))
	b.ReportAllocs()
	for b.Loop() {
		ScanClient(frame)
	}
}
