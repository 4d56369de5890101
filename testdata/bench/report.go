package main

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// report prints what was found, and writes it into the page if nothing was left out.
func (b *bench) report(chosen []string, took time.Duration) error {
	whole := true
	for _, p := range phases {
		whole = whole && slices.Contains(chosen, p.name)
	}
	recorded := len(chosen) == 1 && chosen[0] == checkPhase
	texts := map[string]string{}
	page := whole || os.Getenv("BENCH_PAGE") != "" && !recorded
	if page {
		texts["machine"] = b.machineBlock(took)
		texts["verdicts"] = b.verdicts()
		texts["summary"] = b.summary()
	}
	if whole {
		texts["paper"] = b.paper()
	}
	for _, p := range phases {
		if slices.Contains(chosen, p.name) {
			texts[p.name] = blocks[p.name](b)
			for _, note := range b.notes[p.name] {
				texts[p.name] += "\n" + note + "\n"
			}
			texts[p.name] += "\nMade by `" + commandOf(p.name) + "`.\n"
		}
	}
	for _, name := range append([]string{"machine", "verdicts", "summary"}, append(chosen, "paper")...) {
		if text := texts[name]; text != "" {
			fmt.Printf("\n%s\n\n%s", name, text)
		}
	}
	if !page && !recorded {
		log.Printf("%s is left as it is: it has a whole run's numbers alone", b.page)
		return nil
	}
	if slices.Contains(chosen, checkPhase) {
		if err := b.recorded.write(recordedFile()); err != nil {
			return err
		}
	}
	if page {
		if err := b.plots(); err != nil {
			return err
		}
	}
	return writePage(b.page, texts)
}

// commandOf makes that block alone.
func commandOf(phase string) string {
	if phase == checkPhase {
		return "make bench-record"
	}
	return "BENCH_PHASES=" + phase + " make bench"
}

// blocks of the page, by the phase that they show.
var blocks = map[string]func(*bench) string{
	"run": (*bench).runBlock, "timeline": (*bench).timelineBlock, "exchange": (*bench).exchangeBlock,
	"handover": (*bench).handoverBlock, "memory": (*bench).memoryBlock, "traffic": (*bench).trafficBlock,
	"kill": (*bench).killBlock, "loss": (*bench).lossBlock,
	"queue": (*bench).queueBlock, "elections": (*bench).electionsBlock, "three": (*bench).threeBlock, checkPhase: (*bench).checkBlock,
}

// writePage puts the texts between the markers of a page, each of which it must have.
func writePage(page string, texts map[string]string) error {
	data, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	text := string(data)
	for name, block := range texts {
		begin, end := "<!-- bench: "+name+" -->\n", "<!-- end of "+name+" -->"
		before, rest, found := strings.Cut(text, begin)
		_, after, ended := strings.Cut(rest, end)
		if !found || !ended {
			return fmt.Errorf("%s lacks the lines %s%s", page, begin, end)
		}
		text = before + begin + "\n" + block + "\n" + end + after
	}
	return os.WriteFile(page, []byte(text), 0o644)
}

// table is rows of cells in Markdown.
type table struct{ b strings.Builder }

func newTable(head ...string) *table {
	t := &table{}
	t.row(head...)
	rule := []string{"---"}
	for range head[1:] {
		rule = append(rule, "---:")
	}
	t.row(rule...)
	return t
}

func (t *table) row(cells ...string) { t.b.WriteString("| " + strings.Join(cells, " | ") + " |\n") }

func (t *table) String() string { return t.b.String() }

// absent is what a cell shows where nothing was, or can be, measured.
const absent = "–"

func (b *bench) cell(label, measure string) string {
	s := b.stats(label, measure)
	if s.n == 0 {
		return absent
	}
	return number(s.median)
}

// mebibytes shows kB.
func (b *bench) mebibytes(label, measure string) string {
	s := b.stats(label, measure)
	if s.n == 0 {
		return absent
	}
	return number(s.median / 1024)
}

// ratio is that to another's, of the medians.
func (b *bench) ratio(label, of, measure string) string {
	s, to := b.stats(label, measure), b.stats(of, measure)
	if s.n == 0 || to.median == 0 {
		return absent
	}
	return number(s.median / to.median)
}

// spread shows the quartiles, the ends and the number of values.
func (b *bench) spread(label, measure string) (quartiles, ends, n string) {
	s := b.stats(label, measure)
	if s.n == 0 {
		return absent, absent, absent
	}
	return number(s.q1) + " – " + number(s.q3), number(s.min) + " – " + number(s.max), fmt.Sprint(s.n)
}

// row is one of a table that shows all about a measure.
type row struct{ name, label string }

func (b *bench) rows(more ...row) (rows []row) {
	for _, c := range b.contenders {
		name := c.name
		if c.label == floorLabel {
			name = "floor, as a program"
		}
		rows = append(rows, row{name, c.label})
		for _, m := range more {
			if strings.HasPrefix(m.label, c.label+"-") {
				rows = append(rows, m)
			}
		}
	}
	return rows
}

// plots are written beside the page, in a folder of its name.
func (b *bench) plots() error {
	dir := strings.TrimSuffix(b.page, ".md")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, picture := range map[string]string{
		"run":        bars("true under a free lock", "ms, median and quartiles", b.bars("run.wall", row{"floor, in a live process", liveLabel})),
		"handover":   bars("hand-over when the leader's command ends", "ms, median and quartiles", b.bars("handover", row{"zkelect, three behind", behindLabel}, row{"zkelect, by resign", resignLabel})),
		"kill":       bars("failover after kill -9", "ms, median and quartiles", b.bars("kill", row{"zkelect, session 30s", zkelect30})),
		"queue":      b.queuePlot(),
		"elections":  b.electionsPlot(),
		"heartbeats": b.heartbeatsPlot(),
	} {
		if picture == "" { // its phase was left out
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name+".svg"), []byte(picture), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) bars(measure string, more ...row) (all []bar) {
	for _, r := range b.rows(more...) {
		if s := b.stats(r.label, measure); s.n > 0 {
			all = append(all, bar{name: strings.Trim(strings.ReplaceAll(r.name, "`", ""), "*"), low: s.q1, value: s.median, top: s.q3,
				ours: strings.HasPrefix(r.label, zkelectLabel)})
		}
	}
	return all
}
