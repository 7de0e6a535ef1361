package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
)

// startProxy starts the smallest proxy there can be, so that the program runs
// where there is none. It returns the URL for NATS_PROXY.
func startProxy() (address string, stop func(), err error) {
	srv := httptest.NewServer(http.HandlerFunc(serve))
	u, err := url.Parse(srv.URL)
	if err != nil {
		srv.Close()
		return "", nil, err
	}
	u.User = url.UserPassword("joe", "s3cret")
	return u.String(), srv.Close, nil
}

// serve passes bytes on in both directions until one side ends.
func serve(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect || r.Header.Get("Proxy-Authorization") == "" {
		w.WriteHeader(http.StatusProxyAuthRequired)
		return
	}
	server, err := net.Dial("tcp", r.Host)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer server.Close()
	client, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer client.Close()
	fmt.Println("the proxy opens a way to", r.Host)
	_, _ = io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n")
	over := make(chan struct{}, 2)
	pass := func(to io.Writer, from io.Reader) {
		_, _ = io.Copy(to, from)
		over <- struct{}{}
	}
	go pass(server, client)
	go pass(client, server)
	<-over
}
