package main

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"zkelect/zkelect"
	"zkelect/zkelect/serve"
)

// docs/listen.md lists every metric with its type, and the alerts use no other.
func TestListenPageNamesEveryMetric(t *testing.T) {
	names := func(re, text string) (found []string) {
		for _, m := range regexp.MustCompile(re).FindAllStringSubmatch(text, -1) {
			found = append(found, strings.Join(m[1:], " "))
		}
		slices.Sort(found)
		return slices.Compact(found)
	}
	read := func(name string) string {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	page := string(serve.NewBoard(zkelect.Config{}, "").Page("/metrics").Body) + "# TYPE zkelect_role_start_time_seconds gauge\n" // once there is a role
	served := names(`(?m)^# TYPE (\S+) (\S+)$`, page)
	if listed := names("(?m)^\\| `(zkelect_\\w+)` \\| (\\w+) \\|", read("docs/listen.md")); !slices.Equal(listed, served) {
		t.Errorf("docs/listen.md has\n%q\nand /metrics\n%q", listed, served)
	}
	for _, name := range names(`(zkelect_\w+)`, read("docs/alerts.yml")) {
		if !strings.Contains(page, "# TYPE "+name+" ") {
			t.Errorf("docs/alerts.yml uses %s, which there is not", name)
		}
	}
}

// TestAlerts has promtool read docs/alerts.yml, and play what testdata/alerts.yml says.
func TestAlerts(t *testing.T) {
	for _, args := range [][]string{{"check", "rules", "docs/alerts.yml"}, {"test", "rules", "testdata/alerts.yml"}} {
		if out, err := exec.Command("promtool", args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %q: %v (Debian: apt-get install --no-install-recommends prometheus)\n%s", args, err, out)
		}
	}
}
