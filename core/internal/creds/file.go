package creds

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// maxFile is far beyond any file with credentials.
const maxFile = 1 << 20

// Load reads a credentials file; seedFile, if not empty, is the one that the
// seed stands in. In their names a leading ~ and variables are replaced.
func Load(file, seedFile string) (*Credentials, error) {
	doc, name, err := read(file)
	defer func() { clear(doc) }()
	if err != nil {
		return nil, err
	}
	var seed []byte
	if seedFile != "" {
		var seedName string
		seed, seedName, err = read(seedFile)
		defer func() { clear(seed) }()
		if err != nil {
			return nil, err
		}
		if find(doc, isJWT) != nil {
			name = seedName // whatever is wrong now, is wrong there
		}
	}
	c, err := Parse(doc, seed)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return c, nil
}

// LoadSeed reads the seed of a user from a file.
func LoadSeed(file string) (*Credentials, error) {
	doc, name, err := read(file)
	defer func() { clear(doc) }()
	if err != nil {
		return nil, err
	}
	c, err := ParseSeed(doc)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return c, nil
}

// read returns what the file holds, which is the caller's to wipe, and the
// file's full name. The document is never nil without an error.
func read(file string) (doc []byte, name string, err error) {
	if name, err = expand(file); err != nil {
		return nil, "", err
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, name, err
	}
	defer func() { _ = f.Close() }()
	// One buffer: growing would leave copies behind that nobody wipes.
	size := int64(maxFile)
	if st, err := f.Stat(); err == nil && st.Mode().IsRegular() {
		size = min(size, st.Size())
	}
	doc = make([]byte, size+1)
	n, err := io.ReadFull(f, doc)
	switch {
	case err == nil:
		return doc, name, fmt.Errorf("%s: is too large for credentials, or changes", name)
	case err != io.ErrUnexpectedEOF && err != io.EOF:
		return doc, name, err
	}
	return doc[:n], name, nil
}

var (
	errNoName  = errors.New("names no file")
	errNotName = errors.New("this is not the name of a file; is it what belongs into one?")
)

func looksSecret(name string) bool {
	doc := []byte(name)
	return find(doc, isJWT) != nil || find(doc, isSeed) != nil || bytes.ContainsAny(doc, "\r\n")
}

// expand replaces ~ and variables in the name of a file. A name that is the
// credentials themselves, an easy mistake, is not repeated in the error.
func expand(file string) (string, error) {
	switch {
	case file == "":
		return "", errNoName
	case looksSecret(file):
		return "", errNotName
	}
	missing := ""
	name := os.Expand(file, func(v string) string {
		s, ok := os.LookupEnv(v)
		if !ok && missing == "" {
			missing = v
		}
		return s
	})
	switch {
	case missing != "":
		return "", fmt.Errorf("%s: there is no variable %s", file, missing)
	case looksSecret(name):
		return "", fmt.Errorf("%s: %w", file, errNotName)
	}
	if name == "~" || strings.HasPrefix(name, "~/") || strings.HasPrefix(name, "~"+string(filepath.Separator)) {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("%s: %w", file, err)
		}
		name = filepath.Join(home, name[1:])
	}
	return name, nil
}
