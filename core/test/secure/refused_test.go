package secure

import (
	"net/url"
	"testing"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/test/internal/ledger"
	"github.com/perigee-go/nats/orbit/natstest"
)

// Credentials that are missing, wrong, or of the other kind.
func TestPasswordsAndTokensRefused(t *testing.T) {
	t.Parallel()
	user := ledger.Run(t, natstest.UserPassword("joe", "pw"))
	token := ledger.Run(t, natstest.Token("t0ken"))
	for name, tc := range map[string]struct {
		url  string
		opts []nats.Option
	}{
		"no user":               {user.URL(), nil},
		"wrong password":        {user.URL(), []nats.Option{nats.UserInfo("joe", "pW")}},
		"no password":           {user.URL(), []nats.Option{nats.UserInfo("joe", "")}},
		"wrong user":            {user.URL(), []nats.Option{nats.UserInfo("jim", "pw")}},
		"wrong password in URL": {withUser(t, user.URL(), url.UserPassword("joe", "pW")), nil},
		"token for user":        {user.URL(), []nats.Option{nats.Token("pw")}},
		"no token":              {token.URL(), nil},
		"wrong token":           {token.URL(), []nats.Option{nats.Token("T0ken")}},
		"user for token":        {token.URL(), []nats.Option{nats.UserInfo("joe", "t0ken")}},
	} {
		t.Run(name, func(t *testing.T) { refused(t, tc.url, nats.ErrAuthorization, tc.opts...) })
	}
}
