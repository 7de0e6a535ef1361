package peers

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"time"
)

// SinkBytes asks the sink how many bytes it has got from everybody.
func SinkBytes(address string) (n int64, err error) {
	err = ask(address, bytesQuestion, &n)
	return n, err
}

// Subscriptions asks the firehose how many subscriptions its last connection has
// made, and how long it took from its start to the flush after them.
func Subscriptions(address string) (n int64, took time.Duration, err error) {
	var ns int64
	err = ask(address, subsQuestion+"\r\n", &n, &ns)
	return n, time.Duration(ns), err
}

func ask(address, question string, answers ...any) error {
	c, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	in := bufio.NewReader(c)
	if _, err := in.ReadString('\n'); err != nil { // the greeting
		return err
	}
	if _, err := io.WriteString(c, question); err != nil {
		return err
	}
	_, err = fmt.Fscan(in, answers...)
	return err
}
