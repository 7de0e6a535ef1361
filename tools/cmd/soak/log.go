package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

// round is what one round did.
type round struct {
	Number  int
	Seed    uint64
	Took    time.Duration
	Steps   []string // those that passed
	Figures []string // the lines that tests printed
	Failed  string   // how to repeat the step that failed; "" for none
}

// roundLog is the file of rounds, one JSON document a line.
type roundLog struct {
	path   string
	rounds []round
	torn   bool // the last line was not written whole
}

// openLog reads the rounds that are done. A last line that was not written whole
// is passed over.
func openLog(dir string) (*roundLog, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	l := &roundLog{path: filepath.Join(dir, "rounds.jsonl")}
	b, err := os.ReadFile(l.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l.torn = len(b) > 0 && b[len(b)-1] != '\n'
	lines := bufio.NewScanner(bytes.NewReader(b))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r round
		if json.Unmarshal(lines.Bytes(), &r) == nil {
			l.rounds = append(l.rounds, r)
		}
	}
	return l, lines.Err()
}

// seedsApart leaves room for the tests that use many seeds from that of a round
// on.
const seedsApart = 1 << 20

// next is the round to come. Seeds count up from one drawn by lot, so that a
// table of a soak is a table of seeds.
func (l *roundLog) next() round {
	if n := len(l.rounds); n > 0 {
		last := l.rounds[n-1]
		if last.Failed != "" {
			return round{Number: last.Number, Seed: last.Seed} // once more: is it mended?
		}
		return round{Number: last.Number + 1, Seed: last.Seed + seedsApart}
	}
	return round{Number: 1, Seed: rand.Uint64N(1 << 40)}
}

func (l *roundLog) append(r round) error {
	l.rounds = append(l.rounds, r)
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	b = append(b, '\n')
	if l.torn {
		b, l.torn = append([]byte{'\n'}, b...), false
	}
	f, err := os.OpenFile(l.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Close())
}

// elapsed is the time of the rounds that passed.
func (l *roundLog) elapsed() (sum time.Duration) {
	for _, r := range l.rounds {
		if r.Failed == "" {
			sum += r.Took
		}
	}
	return sum
}
