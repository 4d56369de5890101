package main

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// pageBlock is a fenced block of a page.
type pageBlock struct {
	line      int // of its fence, in the file
	lang, how string
	with      []string // the ids of participants that are there
	text      string
}

func pageBlocks(t *testing.T, page string) (blocks []pageBlock) {
	data, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var marker string
	var b *pageBlock
	for i, line := range strings.Split(string(data), "\n") {
		fence, fenced := strings.CutPrefix(line, "```")
		switch {
		case b != nil && fenced:
			blocks, b = append(blocks, *b), nil
		case b != nil:
			b.text += line + "\n"
		case fenced:
			b = &pageBlock{line: i + 1, lang: fence}
			for word := range strings.FieldsSeq(marker) {
				if ids, ok := strings.CutPrefix(word, "with="); ok {
					b.with = strings.Split(ids, ",")
				} else {
					b.how = word
				}
			}
			marker = ""
		case marker != "":
			t.Errorf("line %d: no block follows the marker", i)
			marker = ""
		case strings.Contains(line, "```"), strings.HasPrefix(line, "    "), strings.HasPrefix(line, "\t"):
			t.Errorf("line %d: a block that is not run; fence it at the margin", i+1)
		default:
			if rest, ok := strings.CutPrefix(line, "<!-- run: "); ok {
				marker = strings.TrimSuffix(rest, " -->")
			}
		}
	}
	if b != nil || len(blocks) == 0 {
		t.Errorf("%d blocks, the last one open: %v", len(blocks), b != nil)
	}
	return blocks
}

// exchange is a command of a console block and what it is said to print.
type exchange struct {
	command string
	lines   []string
}

// console runs the commands of a block in one shell and compares what they
// print. A line ... stands for any number of lines. Each command must exit 0
// unless the next one asks for its exit code, or all are to fail.
func (s *stage) console(fails bool) {
	var session []exchange
	for line := range strings.Lines(s.block.text) {
		line = strings.TrimSuffix(line, "\n")
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			session = append(session, exchange{command: command})
		} else if len(session) == 0 {
			s.Fatalf("output before the first command: %s", line)
		} else {
			last := &session[len(session)-1]
			last.lines = append(last.lines, line)
		}
	}
	// Each command's output ends with a control character and its exit code.
	var script strings.Builder
	for _, e := range session {
		script.WriteString("(exit $code)\n" + e.command + "\ncode=$?\nprintf '\\036%s\\036' $code\n")
	}
	a := s.start("bash", s.file("script", "code=0\n"+script.String()))
	s.ends(a, 0)
	parts := strings.Split(s.output(a), "\036")
	for i, e := range session {
		got, code := strings.Split(strings.TrimSuffix(parts[2*i], "\n"), "\n"), parts[2*i+1]
		if parts[2*i] == "" {
			got = nil
		}
		if !fits(e.lines, got) {
			s.Errorf("$ %s\nprints:\n%s\nwant, but for times and numbers:\n%s", e.command, strings.Join(got, "\n"), strings.Join(e.lines, "\n"))
		}
		asked := i+1 < len(session) && session[i+1].command == "echo $?"
		well := code == "0" || asked
		if fails && strings.HasPrefix(e.command, "zkelect ") && !strings.HasSuffix(e.command, "&") {
			well = code != "0"
		}
		if _, err := strconv.Atoi(code); err != nil || !well {
			s.Errorf("$ %s\nexit %s", e.command, code)
		}
	}
}

// fits tells whether lines are those wanted, but for what differs from run to run.
func fits(want, got []string) bool {
	if len(want) == 0 {
		return len(got) == 0
	}
	if want[0] == "..." {
		return fits(want[1:], got) || len(got) > 0 && fits(want, got[1:])
	}
	return len(got) > 0 && masked(want[0]) == masked(got[0]) && fits(want[1:], got[1:])
}

// masks are what differs from run to run, and what stands for it.
var masks = []struct {
	what *regexp.Regexp
	by   string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\d[ T][\d:.]+(Z| [A-Z]{2,5}| [+-]\d+)?`), "TIME"},
	{regexp.MustCompile(`_c_[0-9a-f-]{36}-`), "_c_UUID-"},
	{regexp.MustCompile(` on [\w.]+:\d+(/\w+)?;`), " on SERVER;"}, // with the test's chroot
	{regexp.MustCompile(`\b(\d+(\.\d+)?(ms|s|m|h|d))+\b`), "SPAN"},
	{regexp.MustCompile(`0x[0-9a-f]+`), "SESSION"},
	{regexp.MustCompile(`^(HOST|PID|TOKEN) .*`), "$1 X"},
	{regexp.MustCompile(`\b(by) \S+:\d+ since`), "$1 X since"},
	{regexp.MustCompile(`("(?:host|pid|fencing_token|sequence)":)("[^"]*"|\d+)`), "${1}X"},
	{regexp.MustCompile(` +`), " "}, // columns are as wide as their values
}

func masked(line string) string {
	for _, m := range masks {
		line = m.what.ReplaceAllString(line, m.by)
	}
	return strings.TrimSpace(line)
}
