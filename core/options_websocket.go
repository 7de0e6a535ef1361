package nats

import (
	"context"
	"net/http"
	"net/url"
	"strings"
)

// webSocketConfig is what the options say of WebSockets. TLS, the dialer and
// the rest are the same as without.
type webSocketConfig struct {
	compress   bool
	path       string // instead of the URL's; escaped, with its slash
	header     http.Header
	headerFunc func(context.Context) (http.Header, error)
}

// Compression compresses what is sent and received over WebSockets, if the
// server agrees; default off. It costs time and, while writing, 1.2 MB of
// memory.
func Compression(on bool) Option {
	return option("Compression", func(c *config) { c.webSocket.compress = on })
}

// ProxyPath is the path of every WebSocket URL, instead of the one that the URL
// has. Discovered servers have none but this. The slash in front may be left
// out; a query is not part of it.
func ProxyPath(path string) Option {
	return connOption{"ProxyPath", func(c *config) string {
		if path == "" {
			return "is empty"
		}
		u, err := url.Parse("http://host/" + strings.TrimPrefix(path, "/"))
		if err != nil || u.RawQuery != "" || u.ForceQuery || strings.Contains(path, "#") {
			return "is not the path of a URL"
		}
		c.webSocket.path = u.EscapedPath()
		return ""
	}}
}

// WebSocketConnectionHeaders adds HTTP headers to the request for a WebSocket:
// for gateways, and for servers that take credentials from cookies. Discovered
// servers get them too. Those that make the request one for a WebSocket cannot
// be set.
func WebSocketConnectionHeaders(h http.Header) Option {
	h = h.Clone()
	return connOption{"WebSocketConnectionHeaders", func(c *config) string {
		if h == nil {
			return "is nil"
		}
		c.webSocket.header = h
		return checkHTTPHeader(h)
	}}
}

// WebSocketConnectionHeadersHandler is asked for those headers before each
// request, with a context that ends with the attempt. If it fails, so does the
// attempt.
func WebSocketConnectionHeadersHandler(f func(context.Context) (http.Header, error)) Option {
	return connOption{"WebSocketConnectionHeadersHandler", func(c *config) string {
		c.webSocket.headerFunc = f
		return needFunc(f == nil)
	}}
}

// ownHTTPHeaders are made by us. The last asks the server to read frames in
// another way than they are written.
var ownHTTPHeaders = []string{
	"Host", "Connection", "Upgrade", "Content-Length", "Transfer-Encoding", "Trailer", "Te", "Nats-No-Masking",
}

// checkHTTPHeader says what is wrong with h. Values may be secrets.
func checkHTTPHeader(h http.Header) string {
	for name, values := range h {
		if !isHTTPToken(name) {
			return "has a name that is none"
		}
		if strings.HasPrefix(strings.ToLower(name), "sec-websocket-") {
			return "cannot set " + name
		}
		for _, own := range ownHTTPHeaders {
			if strings.EqualFold(name, own) {
				return "cannot set " + name
			}
		}
		for _, v := range values {
			if strings.ContainsFunc(v, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
				return "has a control character in the value of " + name
			}
		}
	}
	return ""
}

func isHTTPToken(s string) bool {
	return s != "" && strings.Trim(s, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}
