package creds

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nkeys"
)

// user makes a key of that kind and a JWT for it, which nobody has signed.
func user(t testing.TB, kind nkeys.PrefixByte, more string) (jwt, seed, public string) {
	t.Helper()
	pair, err := nkeys.CreatePair(kind)
	if err != nil {
		t.Fatal(err)
	}
	s, err := pair.Seed()
	if err != nil {
		t.Fatal(err)
	}
	if public, err = pair.PublicKey(); err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	jwt = b64([]byte(`{"typ":"JWT","alg":"ed25519-nkey"}`)) + "." + b64([]byte(`{"sub":"`+public+`"`+more+`}`)) + "." + b64([]byte("signature"))
	return jwt, string(s), public
}

// decorated is what nsc writes.
func decorated(jwt, seed string) string {
	return "-----BEGIN NATS USER JWT-----\n" + jwt + "\n------END NATS USER JWT------\n\n" +
		"************************* IMPORTANT *************************\n" +
		"NKEY Seed printed below can be used to sign and prove identity.\nNKEYs are sensitive and should be treated as secrets.\n\n" +
		"-----BEGIN USER NKEY SEED-----\n" + seed + "\n------END USER NKEY SEED------\n\n" +
		"*************************************************************\n"
}

func TestParse(t *testing.T) {
	jwt, seed, public := user(t, nkeys.PrefixByteUser, "")
	whole := decorated(jwt, seed)
	seedOnly := whole[strings.Index(whole, "-----BEGIN USER"):]
	jwtOnly := whole[:strings.Index(whole, "*****")]
	replace := func(old, now string) string { return strings.ReplaceAll(whole, old, now) }
	for name, c := range map[string]struct{ doc, seed string }{
		"as written":           {whole, ""},
		"CR LF":                {replace("\n", "\r\n"), ""},
		"CR":                   {replace("\n", "\r"), ""},
		"mixed ends":           {strings.Replace(whole, "\n", "\r\n", 3), ""},
		"blank lines":          {replace("\n", "\n\n \t\n"), ""},
		"blanks around":        {replace("\n", "  \n\t"), ""},
		"byte order mark":      {"\ufeff" + whole, ""},
		"bare, with the mark":  {"\ufeff" + jwt + "\n" + seed, ""},
		"no last line feed":    {strings.TrimSpace(whole), ""},
		"more dashes":          {replace("-----", "--------"), ""},
		"comments":             {"# of joe\n// SUPER secret\neyJ is how it begins\n" + whole + "\n# end\n", ""},
		"seed first":           {seedOnly + jwtOnly, ""},
		"bare":                 {jwt + "\n" + seed + "\n", ""},
		"padded JWT":           {jwt + "==\n" + seed + "\n", ""},
		"apart":                {jwtOnly, seedOnly},
		"apart, bare":          {jwt, seed},
		"the other seed wins":  {decorated(jwt, otherSeed(t)), seed},
		"apart, CR LF":         {jwt + "\r\n", "\r\n" + seed + "\r\n"},
		"apart, within creds":  {jwt, whole},
		"a second user behind": {whole + whole, ""},
	} {
		t.Run(name, func(t *testing.T) {
			doc, second := []byte(c.doc), []byte(nil)
			if c.seed != "" {
				second = []byte(c.seed)
			}
			cr, err := Parse(doc, second)
			if err != nil {
				t.Fatal(err)
			}
			want := jwt
			if name == "padded JWT" {
				want += "=="
			}
			if got, err := cr.PublicKey(); cr.JWT() != want || got != public || err != nil {
				t.Errorf("JWT %q, key %s, %v", cr.JWT(), got, err)
			}
			if string(doc) != c.doc || string(second) != c.seed {
				t.Error("what belongs to the caller was changed")
			}
			verify(t, cr, public)
		})
	}
}

func otherSeed(t *testing.T) string {
	_, seed, _ := user(t, nkeys.PrefixByteUser, "")
	return seed
}

func verify(t *testing.T, c *Credentials, public string) {
	t.Helper()
	nonce := []byte("nonce-of-server")
	sig, err := c.Sign(nonce)
	if err != nil {
		t.Fatal(err)
	}
	key, err := nkeys.FromPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	if err := key.Verify(nonce, sig); err != nil {
		t.Errorf("the signature does not hold: %v", err)
	}
}

func TestParseRefuses(t *testing.T) {
	jwt, seed, _ := user(t, nkeys.PrefixByteUser, "")
	_, account, _ := user(t, nkeys.PrefixByteAccount, "")
	curve := newCurve(t)
	damaged := swap(seed)
	for name, c := range map[string]struct {
		doc  string
		want error
	}{
		"empty":         {"", ErrNoJWT},
		"line feeds":    {"\r\n\r\n", ErrNoJWT},
		"words":         {"hello", ErrNoJWT},
		"no JWT":        {decorated("", seed), ErrNoJWT},
		"two parts":     {"eyJa.eyJb\n" + seed, ErrNoJWT},
		"empty part":    {"eyJa..c\n" + seed, ErrNoJWT},
		"torn JWT":      {decorated(jwt[:30]+"\n"+jwt[30:], seed), ErrNoJWT},
		"no seed":       {decorated(jwt, ""), ErrNoSeed},
		"half a seed":   {decorated(jwt, seed[:20]), ErrNoSeed},
		"most of it":    {decorated(jwt, seed[:len(seed)-1]), ErrBadSeed},
		"damaged":       {decorated(jwt, damaged), ErrBadSeed},
		"an account's":  {decorated(jwt, account), ErrNotUser},
		"a curve's":     {decorated(jwt, curve), ErrNotUser},
		"another's":     {decorated(jwt, otherSeed(t)), ErrMismatch},
		"half the file": {decorated(jwt, seed)[:len(jwt)+60], ErrNoSeed},
	} {
		t.Run(name, func(t *testing.T) {
			cr, err := Parse([]byte(c.doc), nil)
			if cr != nil || !errors.Is(err, c.want) {
				t.Fatalf("%v, want %v", err, c.want)
			}
			for _, secret := range []string{jwt, seed, damaged, account, curve} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("it quotes: %v", err)
				}
			}
		})
	}
}

// swap damages an encoded key.
func swap(s string) string {
	c := byte('A')
	if s[30] == c {
		c = 'B'
	}
	return s[:30] + string(c) + s[31:]
}

func newCurve(t *testing.T) string {
	pair, err := nkeys.CreateCurveKeys()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := pair.Seed()
	if err != nil {
		t.Fatal(err)
	}
	return string(seed)
}

// A bearer's JWT needs no signature, and one that cannot be read is the
// server's to judge.
func TestMismatchIsOnlyToldWhenSure(t *testing.T) {
	bearer, _, _ := user(t, nkeys.PrefixByteUser, `,"nats":{"bearer_token":true}`)
	for name, jwt := range map[string]string{
		"bearer": bearer, "no JSON": "eyJh.eyJh.eyJh", "no base64": "eyJh.a.eyJh",
		"no subject": "eyJh." + base64.RawURLEncoding.EncodeToString([]byte("{}")) + ".eyJh",
	} {
		if _, err := Parse([]byte(jwt+"\n"+otherSeed(t)), nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWipe(t *testing.T) {
	jwt, seed, _ := user(t, nkeys.PrefixByteUser, "")
	c, err := Parse([]byte(jwt), []byte(seed))
	if err != nil {
		t.Fatal(err)
	}
	held, err := c.pair.Seed()
	if err != nil || string(held) != seed {
		t.Fatal(err)
	}
	c.Wipe()
	c.Wipe()
	if string(held) == seed {
		t.Error("the seed is still in memory")
	}
	if _, err := c.Sign([]byte("nonce")); !errors.Is(err, ErrWiped) {
		t.Errorf("signs: %v", err)
	}
	if _, err := c.PublicKey(); !errors.Is(err, ErrWiped) {
		t.Errorf("has a key: %v", err)
	}
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("USERPROFILE", dir)
	t.Setenv("CREDS_DIR", dir)
	jwt, seed, public := user(t, nkeys.PrefixByteUser, "")
	whole := write(t, dir, "joe.creds", decorated(jwt, seed))
	write(t, dir, "joe.jwt", jwt)
	write(t, dir, "joe.nk", seed+"\n")
	for _, names := range [][]string{
		{whole, ""}, {"~/joe.creds", ""}, {"$CREDS_DIR/joe.creds", ""}, {"${CREDS_DIR}/joe.creds", ""}, {"~/joe.jwt", "$HOME/joe.nk"},
		{"~/joe.jwt", "~/joe.creds"},
	} {
		c, err := Load(names[0], names[1])
		if err != nil || c.JWT() != jwt {
			t.Fatalf("%q: %v", names, err)
		}
		verify(t, c, public)
	}
	for _, name := range []string{"~/joe.nk", whole} {
		c, err := LoadSeed(name)
		if err != nil || c.JWT() != "" {
			t.Fatalf("%s: %v", name, err)
		}
		verify(t, c, public)
	}
}

func TestLoadRefuses(t *testing.T) {
	dir := t.TempDir()
	jwt, seed, _ := user(t, nkeys.PrefixByteUser, "")
	t.Setenv("CREDS_TEXT", decorated(jwt, seed))
	jwtOnly, empty := write(t, dir, "joe.jwt", jwt), write(t, dir, "empty", "")
	big := write(t, dir, "big", strings.Repeat("x", maxFile+1))
	none := filepath.Join(dir, "none")
	other := write(t, dir, "other", otherSeed(t))
	for name, c := range map[string]struct {
		file, seedFile string
		want           error
		names          string
	}{
		"no name":          {"", "", errNoName, ""},
		"no file":          {none, "", fs.ErrNotExist, none},
		"no seed file":     {jwtOnly, none, fs.ErrNotExist, none},
		"a folder":         {dir, "", nil, dir},
		"empty":            {empty, "", ErrNoJWT, empty},
		"only a JWT":       {jwtOnly, "", ErrNoSeed, jwtOnly},
		"empty seed file":  {jwtOnly, empty, ErrNoSeed, empty},
		"another's seed":   {jwtOnly, other, ErrMismatch, other},
		"large":            {big, "", nil, big},
		"no variable":      {"$CREDS_NO_SUCH/x", "", nil, "$CREDS_NO_SUCH/x"},
		"the seed itself":  {seed, "", errNotName, ""},
		"the JWT itself":   {jwt, "", errNotName, ""},
		"text":             {decorated(jwt, seed), "", errNotName, ""},
		"text in variable": {"$CREDS_TEXT", "", errNotName, "$CREDS_TEXT"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Load(c.file, c.seedFile)
			if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.names) {
				t.Fatalf("%v", err)
			}
			if text := fmt.Sprintf("%+v", err); strings.Contains(text, seed) || strings.Contains(text, jwt) {
				t.Errorf("it quotes: %s", text)
			}
			if c.seedFile == "" && c.want != ErrNoJWT && name != "only a JWT" {
				if _, err := LoadSeed(c.file); err == nil || c.want != nil && !errors.Is(err, c.want) {
					t.Errorf("as a seed: %v", err)
				}
			}
		})
	}
}

// FuzzParse: whatever a file holds, there are no panics, and what is found can
// sign.
func FuzzParse(f *testing.F) {
	jwt, seed, _ := user(f, nkeys.PrefixByteUser, "")
	f.Add([]byte(decorated(jwt, seed)), []byte(nil))
	f.Add([]byte(jwt), []byte(seed))
	f.Add([]byte("eyJ.eyJ.eyJ\r"), []byte(swap(seed)))
	f.Fuzz(func(t *testing.T, doc, seed []byte) {
		before := bytes.Clone(doc)
		c, err := Parse(doc, seed)
		if !bytes.Equal(doc, before) {
			t.Error("the document was changed")
		}
		if err != nil {
			return
		}
		if _, err := c.Sign([]byte("nonce")); err != nil || c.JWT() == "" || strings.ContainsAny(c.JWT(), "\r\n \"") {
			t.Errorf("%q: %v", c.JWT(), err)
		}
	})
}
