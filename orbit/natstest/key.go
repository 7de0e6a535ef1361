package natstest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/nkeys"
)

// Key is the nkey of a user: what the server knows of it and what only the
// client may know. It does not change and may be used concurrently.
type Key struct {
	public string
	seed   string
}

// NewKey makes a new user nkey. Let the server know it with [Users].
func NewKey() *Key {
	pair := newPair(nkeys.PrefixByteUser)
	seed, _ := pair.Seed() // a pair that was just made has one
	return &Key{public: publicKey(pair), seed: string(seed)}
}

// PublicKey returns the public key, which begins with U.
func (k *Key) PublicKey() string { return k.public }

// Seed returns the secret, which begins with SU.
func (k *Key) Seed() string { return k.seed }

// SeedFile writes the seed to a file in the test's temporary directory, which
// only the owner may read, and returns its path. Each call makes a new file.
func (k *Key) SeedFile(t testing.TB) string {
	t.Helper()
	return writeSecret(t, "user.nk", []byte(k.seed+"\n"))
}

// Sign signs the nonce of an INFO, as a client does that has the seed. CONNECT
// takes the signature in base64, raw and URL-safe.
func (k *Key) Sign(nonce []byte) []byte {
	pair, err := nkeys.FromSeed([]byte(k.seed))
	if err != nil {
		return nil // it was made from a pair
	}
	signature, _ := pair.Sign(nonce) // fails only without a seed
	return signature
}

// String returns the public key.
func (k *Key) String() string { return k.public }

// GoString returns the public key.
func (k *Key) GoString() string { return k.public }

func writeSecret(t testing.TB, name string, text []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// newPair makes a key pair. It needs nothing but randomness, which does not
// fail.
func newPair(prefix nkeys.PrefixByte) nkeys.KeyPair {
	pair, _ := nkeys.CreatePair(prefix)
	return pair
}

// publicKey is that of a pair made by newPair, which has one.
func publicKey(pair nkeys.KeyPair) string {
	public, _ := pair.PublicKey()
	return public
}
