package examples_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
	"github.com/perigee-go/nats/orbit/natstest"
)

// must returns v, or ends the test.
func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func newKey(t *testing.T, kind nkeys.PrefixByte) (key nkeys.KeyPair, public string, seed []byte) {
	t.Helper()
	key = must[nkeys.KeyPair](t)(nkeys.CreatePair(kind))
	return key, must[string](t)(key.PublicKey()), must[[]byte](t)(key.Seed())
}

// withCredentials makes a server that trusts an operator, and a user's file.
func withCredentials(t *testing.T) ([]natstest.Option, []string) {
	operator, operatorID, _ := newKey(t, nkeys.PrefixByteOperator)
	account, accountID, _ := newKey(t, nkeys.PrefixByteAccount)
	_, userID, seed := newKey(t, nkeys.PrefixByteUser)
	encoded := must[string](t)
	config := fmt.Sprintf("operator: %s\nresolver: MEMORY\nresolver_preload: { %s: %s }",
		encoded(jwt.NewOperatorClaims(operatorID).Encode(operator)), accountID, encoded(jwt.NewAccountClaims(accountID).Encode(operator)))
	creds := must[[]byte](t)(jwt.FormatUserConfig(encoded(jwt.NewUserClaims(userID).Encode(account)), seed))
	return []natstest.Option{natstest.Config(config)}, []string{"NATS_CREDS=" + secretFile(t, creds)}
}

// withNkey makes a server that knows one nkey, and the file of its seed.
func withNkey(t *testing.T) ([]natstest.Option, []string) {
	_, public, seed := newKey(t, nkeys.PrefixByteUser)
	config := fmt.Sprintf("authorization { users: [ { nkey: %s } ] }", public)
	return []natstest.Option{natstest.Config(config)}, []string{"NATS_SEED_FILE=" + secretFile(t, seed)}
}

func secretFile(t *testing.T, text []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
