package jetstream

import (
	"context"
	"time"

	nats "github.com/perigee-go/nats/core"
)

// UserInfo is how a server sees the user of a connection: what to look at when
// JetStream is refused.
type UserInfo struct {
	User        string           `json:"user"`
	Account     string           `json:"account"`
	AccountName string           `json:"account_name,omitempty"`
	UserName    string           `json:"user_name,omitempty"`
	Permissions *UserPermissions `json:"permissions,omitempty"` // nil: all is allowed
	Expires     time.Duration    `json:"expires,omitempty"`     // until the credentials end; 0: never
}

// UserPermissions are the subjects that a user may publish and subscribe to.
type UserPermissions struct {
	Publish   *SubjectPermissions  `json:"publish"`
	Subscribe *SubjectPermissions  `json:"subscribe"`
	Responses *ResponsePermissions `json:"responses,omitempty"`
}

// SubjectPermissions has what is allowed; everything if it is empty, but what is
// denied.
type SubjectPermissions struct {
	Allow []string `json:"allow,omitempty"`
	Deny  []string `json:"deny,omitempty"`
}

// ResponsePermissions lets a user answer on any reply subject that it has got.
type ResponsePermissions struct {
	MaxMsgs int           `json:"max"`
	Expires time.Duration `json:"ttl"`
}

// UserInfo asks the connected server about the connection's own user: account,
// permissions, expiry. It needs the permission to publish to
// "$SYS.REQ.USER.INFO".
func (js *JetStream) UserInfo(ctx context.Context) (*UserInfo, error) {
	if err := js.ready(ctx); err != nil {
		return nil, err
	}
	c := call{op: "user info"}
	ctx, cancel := js.bound(ctx)
	defer cancel()
	m, err := js.roundTrip(ctx, nats.OpAPI, c, nats.Msg{Subject: "$SYS.REQ.USER.INFO"})
	if err != nil {
		return nil, c.failed(err)
	}
	var resp struct {
		Data *UserInfo `json:"data"`
	}
	if err := DecodeResponse(m, &resp); err != nil {
		return nil, c.failed(err)
	}
	if resp.Data == nil {
		return nil, c.failed(ErrInvalidResponse)
	}
	return resp.Data, nil
}
