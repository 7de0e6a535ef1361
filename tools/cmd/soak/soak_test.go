package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// played is a runner whose commands print a figure, and fail at fail.
func played(t *testing.T, fail string) (r *runner, ran *[]string) {
	t.Helper()
	ran = new([]string)
	r = &runner{root: "/root", dir: t.TempDir(), out: io.Discard}
	r.run = func(log io.Writer, dir string, env, command []string) error {
		*ran = append(*ran, dir+" "+strings.Join(command, " "))
		for _, e := range env {
			if file, ok := strings.CutPrefix(e, "PERIGEE_FIGURES="); ok {
				text := "figure 4: " + string(rune('0'+len(*ran))) + " of 20 lost (promised: 0)\nno figure\n"
				if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
					t.Error(err)
				}
			}
		}
		_, _ = io.WriteString(log, "noise\nfigure 13: 7 executions (promised: 8)\n")
		if fail != "" && strings.Contains(strings.Join(command, " "), fail) {
			return errors.New("it failed")
		}
		return nil
	}
	return r, ran
}

func TestRound(t *testing.T) {
	r, ran := played(t, "")
	done := r.round(round{Number: 3, Seed: 7}, time.Hour)
	if len(done.Steps) != 5 || len(*ran) != 5 || done.Failed != "" || done.Seed != 7 || done.Took <= 0 {
		t.Errorf("%+v, ran %q", done, *ran)
	}
	if !strings.Contains((*ran)[2], "-shuffle=7") || !strings.HasPrefix((*ran)[1], filepath.Join("/root", "core/test")) {
		t.Errorf("%q", *ran)
	}
	got := figures([]round{done, done})
	if len(got) != 2 || got[0].number != 4 || got[0].last != "2 of 20 lost" || got[0].rounds != 2 || got[1].number != 13 || got[1].rounds != 10 {
		t.Errorf("%+v", got)
	}
	if b, err := os.ReadFile(filepath.Join(r.dir, "fuzzing.log")); err != nil || !strings.HasPrefix(string(b), "noise") {
		t.Errorf("%q, %v", b, err)
	}
	if done := r.round(round{}, 0); len(done.Steps) > 1 {
		t.Errorf("no time is left, and it ran %q", done.Steps)
	}
}

func TestRoundFails(t *testing.T) {
	r, ran := played(t, "-race")
	done := r.round(round{Number: 1, Seed: 7}, time.Hour)
	if len(*ran) != 3 || done.Failed != "cd core && PERIGEE_SEED=7 go test -count=1 -race -shuffle=7 ./..." {
		t.Errorf("%+v, ran %q", done, *ran)
	}
	r, _ = played(t, "Figure|Soak")
	done = r.round(round{Number: 1, Seed: 7}, time.Hour)
	if done.Failed != "cd core && PERIGEE_SEED=7 PERIGEE_SOAK=1 go test -count=1 -timeout=60m -run '^Test(Figure|Soak)' ./..." {
		t.Errorf("%+v", done)
	}
}

// A soak goes on where it was, also after a line that was not written whole.
func TestLogIsResumed(t *testing.T) {
	dir := t.TempDir()
	l, err := openLog(dir)
	if err != nil {
		t.Fatal(err)
	}
	first := l.next()
	first.Took, first.Steps = time.Minute, []string{"a"}
	if err := l.append(first); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(l.path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"Number":2,"Se`); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := openLog(dir)
	if err != nil || len(again.rounds) != 1 || again.elapsed() != time.Minute {
		t.Fatalf("%+v, %v", again, err)
	}
	second := again.next()
	if second.Number != 2 || second.Seed != first.Seed+seedsApart {
		t.Errorf("%+v after %+v", second, first)
	}
	if hash(l.rounds) != hash(again.rounds) {
		t.Error("the same rounds have another hash")
	}
	second.Failed, second.Took = "x", time.Hour
	if err := again.append(second); err != nil {
		t.Fatal(err)
	}
	if again, err = openLog(dir); err != nil || len(again.rounds) != 2 {
		t.Fatalf("%+v, %v", again, err)
	}
	if third := again.next(); third.Number != 2 || third.Seed != second.Seed || again.elapsed() != time.Minute {
		t.Errorf("after a failure it goes on with %+v", third)
	}
	if hash(l.rounds) == hash(again.rounds) {
		t.Error("other rounds have the same hash")
	}
}

func TestTable(t *testing.T) {
	var b strings.Builder
	table(&b, []round{{Number: 1, Seed: 5, Took: time.Minute, Figures: []string{"figure 8: 28.5s at worst (promised: 30s)"}}, {Number: 2, Seed: 6, Failed: "x"}})
	if s := b.String(); !strings.HasPrefix(s, "2 rounds in 1m0s, 1 failed; seeds 5 to 6; hash ") || !strings.Contains(s, "   8 | 1 times | 28.5s at worst | promised: 30s\n") {
		t.Errorf("%s", s)
	}
}
