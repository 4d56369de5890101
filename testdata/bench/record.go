package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// recorded is what checks compare with, a file beside this program's sources.
type recorded struct {
	Machine  string               `json:"machine"`
	Repeats  int                  `json:"repeats"`
	Measures map[string]recording `json:"measures"`
}

// recording is of one measure, over the medians of repeated checks; of what is counted,
// over each count.
type recording struct {
	Median float64 `json:"median"`
	Least  float64 `json:"least"`
	Most   float64 `json:"most"`
}

func recordedFile() string {
	return cmp.Or(os.Getenv("BENCH_RECORDED"), filepath.Join(sources, "recorded.json"))
}

func readRecorded(file string) (r recorded, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return r, fmt.Errorf("%s: %w; run: make bench-record", file, err)
	}
	return r, nil
}

func (r recorded) write(file string) error {
	text, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}

// records does what a check does several times, so that it shows how much that varies.
func (b *bench) records() error {
	at, stop, err := b.serveCheck()
	if err != nil {
		return err
	}
	defer stop()
	var all []string
	for _, p := range parts {
		all = append(all, p.name)
	}
	medians := map[string][]float64{}
	repeats := 5
	if b.small {
		repeats = 1
	}
	for range repeats {
		if err := b.measureParts(at, all, 1); err != nil {
			return err
		}
		for _, m := range measures {
			values := []float64{b.stats(checkLabel, m.name).median}
			if m.tolerance == ofRequests {
				values = b.values(checkLabel, m.name)
			}
			medians[m.name] = append(medians[m.name], values...)
		}
	}
	b.recorded = recorded{Machine: b.machine.cpu, Repeats: repeats, Measures: map[string]recording{}}
	for name, values := range medians {
		s := statsOf(values)
		b.recorded.Measures[name] = recording{s.median, s.min, s.max}
	}
	return nil
}

func (b *bench) checkBlock() string {
	t := newTable("", "recorded", fmt.Sprintf("least – most of %d checks", b.recorded.Repeats), "tolerance, %", "fails beyond")
	for _, m := range measures {
		r := b.recorded.Measures[m.name]
		v := verdict{checked: m, was: r}
		t.row(m.what, number(v.recorded()), number(r.Least)+" – "+number(r.Most), fmt.Sprintf("%.0f", m.tolerance*100), number(v.bound()))
	}
	return t.String()
}
