package child

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestParseStat(t *testing.T) {
	rest := func(state string) string {
		return state + " 7 8 9 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 2 3 4 5 6 777 8"
	}
	for _, name := range []string{"sh", "a b", ") Z 1 1 (", "((", "", "x\n) Z 1"} {
		p, ok := parseStat(42, []byte("42 ("+name+") "+rest("T")))
		want := proc{ident: ident{42, 12345}, ppid: 7, pgid: 8, state: 'T', stack: 777}
		if !ok || p != want {
			t.Errorf("%q: %+v %v", name, p, ok)
		}
	}
	for _, bad := range []string{"", "42", "42 (sh", "42 (sh) S 1", "42 (sh) " + strings.Replace(rest("S"), "7", "x", 1)} {
		if p, ok := parseStat(42, []byte(bad)); ok {
			t.Errorf("%q: %+v", bad, p)
		}
	}
}

// fakeProc is a /proc in which 1 has the children 2 and 3 by two threads, and 3
// has 4: a kernel with lists of children and one without must show the same.
func fakeProc(t *testing.T, lists bool) *procfs {
	root := t.TempDir()
	put := func(name, text string) {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, path, text, 0o644)
	}
	for pid, parent := range map[int]int{1: 0, 2: 1, 3: 1, 4: 3, 9: 0, 10: 9} {
		put(fmt.Sprintf("%d/stat", pid), fmt.Sprintf("%d (x) S %d %d 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 %d 0", pid, parent, pid, 100+pid))
	}
	put("uptime", "1 1")
	if lists {
		put("thread-self/children", "")
		put("1/task/1/children", "2 ")
		put("1/task/11/children", "3 99 ") // 99 ended since
		put("3/task/3/children", "4 ")
		put("4/task/4/children", "1 ") // no ring, whatever is read
	}
	return newProcfs(root)
}

func TestBelow(t *testing.T) {
	for _, lists := range []bool{false, true} {
		fs := fakeProc(t, lists)
		if fs.hasChildren() != lists {
			t.Error("hasChildren:", !lists)
		}
		var got []int
		for _, p := range fs.below(1) {
			got = append(got, p.pid, p.ppid)
		}
		byParent := slices.Equal(got, []int{2, 1, 3, 1, 4, 3}) || slices.Equal(got, []int{3, 1, 2, 1, 4, 3})
		if !byParent {
			t.Errorf("lists %v: %v", lists, got)
		}
	}
}

func TestPidfds(t *testing.T) {
	held := trees.fs.pidfds()
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if !trees.fs.pidfds()[os.Getpid()] || held[os.Getpid()] {
		t.Error("before:", held, "then:", trees.fs.pidfds())
	}
	self.Release()
	if trees.fs.pidfds()[os.Getpid()] {
		t.Error("still held after Release")
	}
}
