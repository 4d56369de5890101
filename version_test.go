package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"testing"
)

// The place that says the version, and the one that says what is new in it.
func TestVersionAndChangelogAgree(t *testing.T) {
	want := strings.TrimSpace(release)
	if !regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)$`).MatchString(want) {
		t.Errorf("packaging/VERSION: %q is no version without what comes before or behind it", want)
	}
	text, err := os.ReadFile("CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	top := regexp.MustCompile(`(?m)^## \[(.*)\] - (unreleased|\d{4}-\d\d-\d\d)$`).FindStringSubmatch(string(text))
	if top == nil || top[1] != want {
		t.Fatalf("the first heading of CHANGELOG.md is %q, want one of %s", top, want)
	}
	printed, err := exec.Command(".ci/version").Output()
	if err != nil {
		t.Fatal(err)
	}
	if string(printed) == want+"\n" && top[2] == "unreleased" {
		t.Errorf("the commit is tagged as %s, which CHANGELOG.md calls unreleased", want)
	}
	if tag := exec.Command("git", "merge-base", "--is-ancestor", "v"+want, "HEAD~1"); tag.Run() == nil {
		t.Errorf("v%s has been released: packaging/VERSION and CHANGELOG.md need the next version", want)
	}
}

// What .ci/version prints in a checkout, in what git archive makes of it, and without git.
func TestVersionOfASource(t *testing.T) {
	repository := t.TempDir()
	for _, name := range []string{".ci/version", "packaging/VERSION", ".gitattributes"} {
		data, err := os.ReadFile(name)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(filepath.Join(repository, name)), 0o755)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(repository, name), data, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	sh := func(dir, script string) string {
		t.Helper()
		cmd := exec.Command("sh", "-ec", script)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "TZ=Asia/Tokyo", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
			"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b",
			"GIT_COMMITTER_DATE=1795392850 +0200", "GIT_CEILING_DIRECTORIES="+filepath.Dir(dir))
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v", script, err)
		}
		return strings.TrimSuffix(string(out), "\n")
	}
	archived := func() string {
		dir := t.TempDir()
		sh(repository, "git archive HEAD | tar -x -C "+dir)
		return sh(dir, ".ci/version")
	}
	base := strings.TrimSpace(release)
	if got, want := sh(repository, ".ci/version"), base+"-dev"; got != want {
		t.Errorf("without git: %s, want %s", got, want)
	}
	commit := sh(repository, "git init -q . && git add . && git commit -qm one && git rev-parse HEAD")
	want := base + "-dev.20261123001410+" + commit[:12]
	recorded := []debug.BuildSetting{
		{Key: "vcs.revision", Value: commit}, {Key: "vcs.time", Value: "2026-11-23T00:14:10Z"}, {Key: "vcs.modified", Value: "true"},
	}
	if got := sh(repository, ".ci/version"); got != want {
		t.Errorf("on the way: %s, want %s", got, want)
	}
	if got := developmentVersion(base, recorded[:2]); got != want {
		t.Errorf("as go build records it: %s, want %s", got, want)
	}
	if got := archived(); got != want {
		t.Errorf("in a tarball: %s, want %s", got, want)
	}
	if got := sh(repository, ".ci/version time"); got != "1795392850" {
		t.Errorf("the time of the commit: %s", got)
	}
	sh(repository, "git tag other && git tag v"+base+".1")
	if got := sh(repository, ".ci/version"); got != want {
		t.Errorf("tagged as another: %s, want %s", got, want)
	}
	sh(repository, "git tag v"+base)
	if got := sh(repository, ".ci/version") + " " + archived(); got != base+" "+base {
		t.Errorf("tagged: %s, want %s, twice", got, base)
	}
	sh(repository, "echo >>.gitattributes")
	if got := sh(repository, ".ci/version"); got != want+".dirty" {
		t.Errorf("with changes: %s, want %s.dirty", got, want)
	}
	if got := developmentVersion(base, recorded); got != want+".dirty" {
		t.Errorf("with changes, as go build records it: %s, want %s.dirty", got, want)
	}
	if got := developmentVersion(base, nil); got != base+"-dev" {
		t.Errorf("where nothing is recorded: %s", got)
	}
}
