package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"zkelect/zkelect"
)

const unitFile = "packaging/systemd/zkelect@.service"

// pages are what is written for people.
func pages(t *testing.T) map[string]string {
	names, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for _, name := range append(names, "README.md") {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		texts[name] = string(data)
	}
	return texts
}

var (
	linked   = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	quoted   = regexp.MustCompile("`([^`\n]+)`")
	fileLike = regexp.MustCompile(`^(\.?\w[\w./*-]*)?[\w*-]+(\.(go|md|txtar|mod)|/)$`)
	flagged  = regexp.MustCompile(`(?:^|[\s` + "`" + `(])--([a-z][a-z-]*)`)
	message  = regexp.MustCompile("`msg=\"([^\"]*)\"`")
	variable = regexp.MustCompile(`\bZKELECT_[A-Z_]*[A-Z]`)
)

// A page names files as they are seen from the root, from the page, or from
// the folder that it is about.
func TestDocsNameFilesThatExist(t *testing.T) {
	for name, text := range pages(t) {
		for _, m := range linked.FindAllStringSubmatch(text, -1) {
			target, _, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") || target == "" {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(name), target)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, m := range quoted.FindAllStringSubmatch(text, -1) {
			if !fileLike.MatchString(m[1]) {
				continue
			}
			found := false
			for _, dir := range []string{".", filepath.Dir(name), "zkelect", "zkelect/internal"} {
				files, _ := filepath.Glob(filepath.Join(dir, m[1]))
				found = found || len(files) > 0
			}
			if !found {
				t.Errorf("%s: there is no %s", name, m[1])
			}
		}
	}
}

func TestDocsNameFlagsAndVariablesThatExist(t *testing.T) {
	known := map[string]bool{}
	for _, c := range allCommands() {
		for _, f := range c.Flags {
			known[f.Names()[0]] = true
			for _, v := range f.(cli.DocGenerationFlag).GetEnvVars() {
				known[v] = true
			}
		}
	}
	// The child's are made in one place; the credential itself has no flag.
	for _, file := range []string{"zkelect/run.go", unitFile} {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range variable.FindAllString(string(source), -1) {
			known[v] = true
		}
	}
	known["ZKELECT_REPEAT"] = true // of the tests
	for name, text := range pages(t) {
		for _, m := range flagged.FindAllStringSubmatch(text, -1) {
			if !known[m[1]] {
				t.Errorf("%s: there is no flag --%s", name, m[1])
			}
		}
		for _, v := range variable.FindAllString(text, -1) {
			if !known[v] {
				t.Errorf("%s: there is no variable %s", name, v)
			}
		}
	}
}

// A page quotes the messages of the log as they are.
func TestDocsQuoteTheLog(t *testing.T) {
	told := map[string]bool{}
	for k := zkelect.Kind(0); k.String() != ""; k++ {
		told[k.String()] = true
	}
	for name, text := range pages(t) {
		for _, m := range message.FindAllStringSubmatch(text, -1) {
			if !told[m[1]] {
				t.Errorf("%s: the log never says %q", name, m[1])
			}
		}
	}
}

// The first cell of each row in README's tables of exit codes.
func TestReadmeHasEveryExitCode(t *testing.T) {
	_, section, _ := strings.Cut(pages(t)["README.md"], "\n## Exit codes\n")
	section, _, _ = strings.Cut(section, "\n## ")
	tables := strings.SplitN(section, "| `status` |", 2)
	if len(tables) != 2 {
		t.Fatal("want a table for run and one for status and resign")
	}
	for n, codes := range [][]int{
		{exitResigned, exitLost, exitFenceFailed, exitTimeout, exitFailed, exitNotExecutable, exitNotFound, exitSignal},
		{0, exitNo, exitError, exitTimeout},
	} {
		for _, code := range codes {
			if !regexp.MustCompile(`(?m)^\|[^|]*(\|[^|]*)?\b` + strconv.Itoa(code) + `\b`).MatchString(tables[n]) {
				t.Errorf("table %d lacks the exit code %d", n+1, code)
			}
		}
	}
}
