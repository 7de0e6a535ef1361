package wire

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

// A11: what INFO may leave out, and what it must not say.
func TestParseInfo(t *testing.T) {
	for _, c := range []struct {
		doc  string
		want *Info // nil: refused
	}{
		{`{}`, &Info{}},
		{`{"max_payload":1048576}`, &Info{MaxPayload: 1 << 20}},
		{`{"max_payload":0}`, &Info{}},
		{`{"max_payload":67108864}`, &Info{MaxPayload: 64 << 20}},
		{`{"server_id":"N1","server_name":"n","version":"2.15.2","proto":1,"headers":true,"nonce":"abc","client_id":7,"api_lvl":5}`,
			&Info{ID: "N1", Name: "n", Version: "2.15.2", Proto: 1, Headers: true, Nonce: "abc", ClientID: 7, APILevel: 5}},
		{`{"connect_urls":["a:1","b:2"],"ws_connect_urls":[],"ldm":true}`,
			&Info{ConnectURLs: []string{"a:1", "b:2"}, WSConnectURLs: []string{}, LameDuck: true}},
		{`{"connect_urls":null}`, &Info{}},
		{`{"a_field_of_tomorrow":{"x":[1,2]},"port":4222}`, &Info{Port: 4222}},
		{` { "port" : 1 } `, &Info{Port: 1}},
		{`{"client_id":18446744073709551615}`, &Info{ClientID: 1<<64 - 1}},
		{`{"tls_required":true,"tls_verify":true,"tls_available":true,"auth_required":true,"jetstream":true,"acc_is_sys":true}`,
			&Info{TLSRequired: true, TLSVerify: true, TLSAvailable: true, AuthRequired: true, JetStream: true, SystemAccount: true}},
		{`{"max_payload":-1}`, nil}, {`{"max_payload":2147483648}`, nil}, {`{"max_payload":9223372036854775807}`, nil},
		{`{"max_payload":9223372036854775808}`, nil}, {`{"max_payload":"1048576"}`, nil}, {`{"max_payload":1.5}`, nil},
		{``, nil}, {` `, nil}, {`{`, nil}, {`{}x`, nil}, {`[]`, nil}, {`"x"`, nil}, {`1`, nil},
		{`{"connect_urls":"a:1"}`, nil}, {`{"connect_urls":[1]}`, nil}, {`{"headers":"yes"}`, nil}, {`{"client_id":-1}`, nil},
	} {
		got, err := ParseInfo([]byte(c.doc))
		if c.want == nil {
			var e *Error
			if !errors.As(err, &e) || got != nil {
				t.Errorf("%s: %+v, %v", c.doc, got, err)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\n got %+v, %v\nwant %+v", c.doc, got, err, c.want)
		}
	}
}

// Each field alone, missing or of the wrong type, is refused or passed over; it
// is never a panic, and no error quotes the document.
func TestParseInfoFieldTypes(t *testing.T) {
	typ := reflect.TypeFor[Info]()
	for i := range typ.NumField() {
		name := typ.Field(i).Tag.Get("json")
		for _, v := range []string{`null`, `1`, `-1`, `1e300`, `"s3cret"`, `true`, `[]`, `["s3cret"]`, `[1]`, `{"s3cret":1}`} {
			info, err := ParseInfo([]byte(`{"` + name + `":` + v + `}`))
			if (info == nil) == (err == nil) {
				t.Errorf("%s: %s: %v, %v", name, v, info, err)
			}
			if err != nil && strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%s: %s: %v", name, v, err)
			}
		}
	}
}

// T19: what a later INFO says replaces, what it leaves out is kept.
func TestMerge(t *testing.T) {
	old := &Info{
		ID: "id", Name: "name", Version: "v", Proto: 1, Host: "h", Port: 4222, Headers: true,
		MaxPayload: 100, ClientID: 7, ClientIP: "ip", Nonce: "n1", Cluster: "c", Domain: "d",
		ConnectURLs: []string{"a:1"}, WSConnectURLs: []string{"w:1"}, JetStream: true, APILevel: 5,
		RemoteAccount: "A", SystemAccount: true,
	}
	before := *old

	if got := (*Info)(nil).Merge(old); got != old {
		t.Error("the first INFO is not taken as it is")
	}
	got := old.Merge(&Info{})
	want := before
	want.Headers, want.JetStream, want.Nonce = false, false, "" // always said when true
	if !reflect.DeepEqual(*got, want) {
		t.Errorf("an empty INFO:\n got %+v\nwant %+v", *got, want)
	}
	if got.ConnectURLs == nil || &got.ConnectURLs[0] != &old.ConnectURLs[0] {
		t.Error("the URLs were copied without need")
	}

	next := &Info{
		ID: "id2", Name: "name2", Version: "v2", Proto: 2, Host: "h2", Port: 1, Headers: true,
		AuthRequired: true, TLSRequired: true, MaxPayload: 50, ClientID: 8, ClientIP: "ip2", Nonce: "n2",
		Cluster: "c2", Domain: "d2", ConnectURLs: []string{"b:2", "c:3"}, WSConnectURLs: []string{},
		LameDuck: true, JetStream: true, APILevel: 6, RemoteAccount: "B",
	}
	got = old.Merge(next)
	if !reflect.DeepEqual(got, next) {
		t.Errorf("a full INFO:\n got %+v\nwant %+v", *got, *next)
	}
	if got.SystemAccount {
		t.Error("another account inherited acc_is_sys")
	}
	if !reflect.DeepEqual(*old, before) {
		t.Error("the old INFO was changed")
	}
	if got := old.Merge(&Info{ConnectURLs: []string{}}); len(got.ConnectURLs) != 0 {
		t.Error("connect_urls is replaced whole: an empty list is a list")
	}
	if got := old.Merge(&Info{LameDuck: true}).Merge(&Info{}); got.LameDuck {
		t.Error("ldm is a state, not a memory")
	}
	if got := old.Merge(&Info{SystemAccount: true, RemoteAccount: "A"}); !got.SystemAccount {
		t.Error("acc_is_sys is lost")
	}
}

// A15, T1: CONNECT is an allow-list, and what servers take for true is said.
func TestConnectDocument(t *testing.T) {
	got, err := (&Connect{Protocol: 1, Lang: "go", Version: "1"}).Document()
	want := `{"verbose":false,"pedantic":false,"echo":false,"headers":false,"no_responders":false,` +
		`"tls_required":false,"protocol":1,"lang":"go","version":"1"}`
	if err != nil || string(got) != want {
		t.Errorf("%s, %v", got, err)
	}
	got, err = (&Connect{
		Echo: true, Headers: true, NoResponders: true, TLSRequired: true, Protocol: 1, Lang: "go", Version: "1",
		Name: "n\r\n\"", User: "u", Password: "p", Token: "t", JWT: "j", Nkey: "k", Signature: "s",
	}).Document()
	want = `{"verbose":false,"pedantic":false,"echo":true,"headers":true,"no_responders":true,` +
		`"tls_required":true,"protocol":1,"lang":"go","version":"1","name":"n\r\n\"","user":"u","pass":"p",` +
		`"auth_token":"t","jwt":"j","nkey":"k","sig":"s"}`
	if err != nil || string(got) != want || !json.Valid(got) {
		t.Errorf("%s, %v", got, err)
	}
}
