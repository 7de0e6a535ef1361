package natstest

import (
	"slices"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
)

// User is somebody whom the server lets in, by name and password or by nkey.
type User struct {
	Name, Password string // either both of these
	NKey           string // or this, a public key such as Key.PublicKey returns

	Permissions Permissions
}

// Permissions are what a user may do. The zero value forbids nothing.
type Permissions struct {
	// Publish and Subscribe are the subjects allowed, with wildcards; none
	// stands for all. A subscription may be bound to a queue: "subject queue".
	Publish, Subscribe []string
	// DenyPublish and DenySubscribe are forbidden, even if allowed above.
	DenyPublish, DenySubscribe []string
	// Responses is how many messages may be sent to the reply subject of each
	// message received, on top of Publish: -1 for any number, 0 for none. They
	// make all else that Publish does not name forbidden.
	Responses int
	// ResponseTime is how long after the message; 0 stands for the server's
	// default, two minutes, and negative for ever.
	ResponseTime time.Duration
}

// Users makes the server let in these users and nobody else. They take the
// place of the users of a configuration and of the options before, UserPassword
// and Token included.
func Users(users ...User) Option {
	return optionFunc(func(s *settings) {
		s.User, s.Password, s.Token = "", "", ""
		s.Users = slices.Clone(users)
		s.complainIf(len(users) == 0, "Users: nobody could connect")
		for i, u := range users {
			s.complainIf((u.Name == "") == (u.NKey == ""), "Users: user %d needs either a name or an nkey", i)
			s.complainIf(u.NKey != "" && !nkeys.IsValidPublicUserKey(u.NKey), "Users: user %d: not the public nkey of a user", i)
			s.complainIf(u.NKey != "" && u.Password != "", "Users: user %d has an nkey and a password", i)
		}
	})
}

func (s *settings) setUsers(o *server.Options) {
	if s.Users == nil {
		return
	}
	o.Username, o.Password, o.Authorization = "", "", ""
	o.Users, o.Nkeys = nil, nil
	for _, u := range s.Users {
		if u.NKey != "" {
			o.Nkeys = append(o.Nkeys, &server.NkeyUser{Nkey: u.NKey, Permissions: u.Permissions.ofServer()})
			continue
		}
		o.Users = append(o.Users, &server.User{Username: u.Name, Password: u.Password, Permissions: u.Permissions.ofServer()})
	}
}

// ofServer is p as the server has it.
func (p Permissions) ofServer() *server.Permissions {
	s := &server.Permissions{
		Publish:   subjects(p.Publish, p.DenyPublish),
		Subscribe: subjects(p.Subscribe, p.DenySubscribe),
	}
	if p.Responses != 0 {
		s.Response = &server.ResponsePermission{MaxMsgs: p.Responses, Expires: p.ResponseTime}
	}
	if *s == (server.Permissions{}) {
		return nil
	}
	return s
}

// subjects keeps the difference that the server makes between no list and an
// empty one, which allows nothing.
func subjects(allow, deny []string) *server.SubjectPermission {
	if len(allow) == 0 && len(deny) == 0 {
		return nil
	}
	return &server.SubjectPermission{Allow: append([]string(nil), allow...), Deny: append([]string(nil), deny...)}
}
