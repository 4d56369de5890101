package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"zkelect/zkelect/cmdline"
)

// The pages are made by make, for every command that has flags, and whatever those
// are; two formatters find no fault in them.
func TestManualPages(t *testing.T) {
	dir := t.TempDir()
	out, err := exec.Command("make", "-o", "bin/zkelect", "man", "SHARE="+dir, "ZKELECT=zkelect").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	want := []string{"zkelect.1"}
	for _, c := range allCommands() {
		if c.Hidden || len(c.Flags) == 0 {
			continue
		}
		name := "zkelect-" + c.Name + ".1"
		want = append(want, name)
		text := formatted(t, filepath.Join(dir, "man/man1", name))
		for _, f := range flagsOf(c) {
			head, _, _ := strings.Cut(f.String(), "\n")
			if !strings.Contains(text, head+"\n") && !strings.Contains(text, head+" ") || !strings.Contains(text, f.Env) {
				t.Errorf("%s lacks %s", name, head)
			}
		}
		for _, heading := range []string{"NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "ENVIRONMENT", "EXIT STATUS", "EXAMPLES", "SEE ALSO"} {
			if !strings.Contains(text, "\n"+heading+"\n") {
				t.Errorf("%s has no section %s", name, heading)
			}
		}
	}
	formatted(t, filepath.Join(dir, "man/man1/zkelect.1"))
	files, err := filepath.Glob(filepath.Join(dir, "man/man1/*"))
	if err != nil {
		t.Fatal(err)
	}
	for i, file := range files {
		files[i] = filepath.Base(file)
	}
	slices.Sort(want)
	if !slices.Equal(files, want) {
		t.Errorf("make man writes %q, want %q", files, want)
	}
	for _, file := range []string{"bash-completion/completions/zkelect", "zsh/site-functions/_zkelect", "fish/vendor_completions.d/zkelect.fish"} {
		shell, _, _ := strings.Cut(file, "/")
		data, err := os.ReadFile(filepath.Join(dir, file))
		if shell = strings.TrimSuffix(shell, "-completion"); err != nil || string(data) != cmdline.Completion(shell) {
			t.Error(file, err)
		}
	}
}

// formatted is a page as it is read, without a word of warning.
func formatted(t *testing.T, file string) string {
	t.Helper()
	lint, _ := exec.Command("mandoc", "-Tlint", "-Wwarning", file).CombinedOutput()
	for line := range strings.Lines(string(lint)) {
		if !strings.Contains(line, "missing date") { // as it is meant to be
			t.Error(line)
		}
	}
	cmd := exec.Command("groff", "-ww", "-man", "-Tascii", "-P-cbou", file)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	text, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Errorf("%s: %v %s", file, err, stderr.String())
	}
	if len(lint) == 0 {
		t.Error("mandoc says nothing, not even of the date")
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		lines = append(lines, strings.TrimSpace(line))
	}
	return strings.Join(lines, "\n") + "\n"
}
