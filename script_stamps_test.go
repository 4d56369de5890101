package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// lifespan is what is known of the children of one term.
type lifespan struct {
	begin, last int64
	token       int64
	pid         int // of one of them
	id          string
}

// readStamps is the terms in the order in which their children began. Those without a
// token are of programs that have none; each of their files is a term.
func readStamps(dir string) ([]lifespan, error) {
	files, err := filepath.Glob(filepath.Join(dir, "term-*"))
	if err != nil {
		return nil, err
	}
	terms := map[int64]*lifespan{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var s lifespan
		if _, err := fmt.Sscanf(string(data), "%d %d %d %d %s", &s.begin, &s.last, &s.token, &s.pid, &s.id); err != nil {
			return nil, fmt.Errorf("%s: %q: %w", file, data, err)
		}
		key := s.token
		if key == 0 {
			key = -int64(len(terms)) - 1
		}
		t := terms[key]
		if t == nil {
			t = &s
			terms[key] = t
		}
		t.begin, t.last = min(t.begin, s.begin), max(t.last, s.last)
	}
	var sorted []lifespan
	for _, t := range terms {
		sorted = append(sorted, *t)
	}
	slices.SortFunc(sorted, func(a, b lifespan) int { return cmp.Compare(a.begin, b.begin) })
	if overlaps, _ := filepath.Glob(filepath.Join(dir, "overlap-*")); len(overlaps) > 0 {
		note, _ := os.ReadFile(overlaps[0])
		return sorted, fmt.Errorf("two children at a time: %s", note)
	}
	var newest lifespan // of those with a token
	for i, t := range sorted {
		if t.token != 0 && t.token <= newest.token {
			return sorted, fmt.Errorf("the token of %s, %d, is not greater than that of %s before it, %d", t.id, t.token, newest.id, newest.token)
		}
		if t.token != 0 {
			newest = t
		}
		if i == 0 {
			continue
		}
		before := sorted[i-1]
		if t.begin <= before.last {
			return sorted, fmt.Errorf("two children at a time: %s began %v before the last sign of life of %s",
				t.id, time.Duration(before.last-t.begin), before.id)
		}
	}
	return sorted, nil
}

func scriptChildren(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: children N")
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	for deadline := time.Now().Add(bound); ; time.Sleep(5 * time.Millisecond) {
		terms, _ := readStamps(ts.Getenv("STAMPS"))
		if len(terms) >= n {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%d after %v", len(terms), bound)
		}
	}
}

func scriptStamps(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: stamps [ID...]")
	}
	terms, err := readStamps(ts.Getenv("STAMPS"))
	if err != nil {
		ts.Fatalf("%v", err)
	}
	var ids []string
	for _, t := range terms {
		ids = append(ids, t.id)
	}
	if len(args) > 0 && !slices.Equal(ids, args) {
		ts.Fatalf("children of %v, want %v", ids, args)
	}
}
