package zkelect

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

const (
	curatorUUID = "f261bcda-2df8-4bf0-b67e-063205c27182"
	otherUUID   = "bccccdcc-1134-4e0a-bb52-59a13836434a"
)

// Names that other programs made, and what a latch is to think of them.
var names = []struct {
	name     string
	latch    bool
	sequence int64
	sortKey  string
}{
	// Curator LeaderLatch
	{"_c_f261bcda-2df8-4bf0-b67e-063205c27182-latch-0000000000", true, 0, "0000000000"},
	{"_c_7ea9234d-3973-4e1d-8a6a-e2e30062cdc4-latch-0000000076", true, 76, "0000000076"},
	{"_c_bccccdcc-1134-4e0a-bb52-59a13836434a-latch-2147483647", true, 1<<31 - 1, "2147483647"},
	{"_c_bccccdcc-1134-4e0a-bb52-59a13836434a-latch--000000005", true, -5, "-000000005"},
	{"_c_bccccdcc-1134-4e0a-bb52-59a13836434a-latch--2147483648", true, -1 << 31, "-2147483648"},
	// Curator LeaderSelector, InterProcessMutex
	{"_c_0bd7db98-7293-4ebf-868c-644ed8a9d2cc-lock-0000000025", false, -1, "_c_0bd7db98-7293-4ebf-868c-644ed8a9d2cc-lock-0000000025"},
	// Curator's read-write lock
	{"_c_0bd7db98-7293-4ebf-868c-644ed8a9d2cc-__WRIT__0000000001", false, -1, "_c_0bd7db98-7293-4ebf-868c-644ed8a9d2cc-__WRIT__0000000001"},
	// a latch without Curator's protection
	{"latch-0000000003", false, -1, "0000000003"},
	// kazoo
	{"6d1166b6bdbc4a49845acbb9226d8d0b__lock__0000000003", false, -1, "6d1166b6bdbc4a49845acbb9226d8d0b__lock__0000000003"},
	{"da5719988c244fc793f49ec3aa29b566__rlock__0000000003", false, -1, "da5719988c244fc793f49ec3aa29b566__rlock__0000000003"},
	// go-zookeeper, whose prefix is Curator's but whose digits have no dashes
	{"_c_38553bd6d1d57f710ae70ddcc3d24715-lock-0000000000", false, -1, "_c_38553bd6d1d57f710ae70ddcc3d24715-lock-0000000000"},
	{"_c_38553bd6d1d57f710ae70ddcc3d24715-lock--2147483648", false, -1, "_c_38553bd6d1d57f710ae70ddcc3d24715-lock--2147483648"},
	{"_c_38553bd6d1d57f710ae70ddcc3d24715-latch-0000000000", false, -1, "0000000000"},
	// ZooKeeper's recipes, Hadoop
	{"n_0000000001", false, -1, "n_0000000001"},
	{"ActiveStandbyElectorLock", false, -1, "ActiveStandbyElectorLock"},
	// odd ones
	{"", false, -1, ""},
	{"_c_", false, -1, "_c_"},
	{"latch-", false, -1, ""},
	{"_c_" + curatorUUID, false, -1, "_c_" + curatorUUID},
	{"_c_" + curatorUUID + "-", false, -1, "_c_" + curatorUUID + "-"},
	{"_c_" + curatorUUID + "-latch-", false, -1, ""},
	{"_c_" + curatorUUID + "-latch-000000000", false, -1, "000000000"},
	{"_c_" + curatorUUID + "-latch-2147483648", false, -1, "2147483648"},
	{"_c_" + curatorUUID + "-latch-99999999999", false, -1, "99999999999"},
	{"_c_" + curatorUUID + "-latch-+000000001", false, -1, "+000000001"},
	{"_c_" + curatorUUID + "-latch-000000000x", false, -1, "000000000x"},
	{"_c_" + curatorUUID + "-latch-0_00000001", false, -1, "0_00000001"},
	{"_c_" + curatorUUID + "-latch-latch-0000000001", false, -1, "0000000001"},
	{"_c_" + curatorUUID + "latch-0000000001", false, -1, "0000000001"},
	{"x_c_" + curatorUUID + "-latch-0000000001", false, -1, "0000000001"},
	{"_c_" + strings.ReplaceAll(curatorUUID, "-", "_") + "-latch-0000000001", false, -1, "0000000001"},
	{"_c_g261bcda-2df8-4bf0-b67e-063205c27182-latch-0000000001", false, -1, "0000000001"},
	{"_c_" + curatorUUID + "-latch-\x00000000001", false, -1, "\x00000000001"},
	{"_c_" + curatorUUID + "-latch-٠٠٠٠٠", false, -1, "٠٠٠٠٠"}, // ten bytes of Arabic digits
	// not as %010d writes them: no counter's
	{"_c_" + curatorUUID + "-latch-00000000001", false, -1, "00000000001"},
	{"_c_" + curatorUUID + "-latch--000000000", false, -1, "-000000000"},
	{"_c_" + curatorUUID + "-latch--0000000005", false, -1, "-0000000005"},
}

func TestParseNode(t *testing.T) {
	for _, c := range names {
		n := parseNode(c.name)
		if n.name != c.name || n.latch != c.latch || n.sequence != c.sequence {
			t.Errorf("%q: latch %v, sequence %d; want %v, %d", c.name, n.latch, n.sequence, c.latch, c.sequence)
		}
		if want := c.name; c.latch {
			if n.uuid = want[3:39]; parseNode(want).uuid != n.uuid {
				t.Errorf("%q: uuid %q", want, parseNode(want).uuid)
			}
		} else if n.uuid != "" {
			t.Errorf("%q: a stranger has uuid %q", c.name, n.uuid)
		}
		if n.ours() || n.hostPID() {
			t.Errorf("%q: taken for a zkelect's", c.name)
		}
		if got := sortKey(c.name); got != c.sortKey {
			t.Errorf("%q: sorted by %q, Curator does by %q", c.name, got, c.sortKey)
		}
	}
}

func TestOwnNames(t *testing.T) {
	seen := map[string]bool{}
	for i := range 2000 {
		hostPID := i%2 == 0
		uuid := newUUID(hostPID)
		if seen[uuid] {
			t.Fatalf("%s twice", uuid)
		}
		seen[uuid] = true
		if !isUUID(uuid) || uuid[14] != '8' || !strings.ContainsRune("89ab", rune(uuid[19])) {
			t.Fatalf("%s is no UUID of version 8", uuid)
		}
		prefix := latchPrefix(uuid)
		if want := "_c_" + uuid + "-latch-"; prefix != want {
			t.Fatalf("prefix %q, want %q", prefix, want)
		}
		n := parseNode(fmt.Sprintf("%s%010d", prefix, i))
		if !n.latch || !n.ours() || n.hostPID() != hostPID || n.uuid != uuid || n.sequence != int64(i) {
			t.Fatalf("%+v of %s", n, uuid)
		}
	}
}

func TestRecipeNames(t *testing.T) {
	for _, r := range []Recipe{RecipeLatch, RecipeSelector, RecipeKazoo, RecipePlain} {
		if got, err := ParseRecipe(r.String()); err != nil || got != r {
			t.Errorf("%v: %v, %v", r, got, err)
		}
	}
	for _, bad := range []string{"", "Latch", "unknown", "latch "} {
		if _, err := ParseRecipe(bad); !errors.Is(err, ErrConfig) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if Recipe(-1).String() != "unknown" || Recipe(99).String() != "unknown" {
		t.Error("a recipe that there is not has a name")
	}
}

func TestSplitHostPID(t *testing.T) {
	for _, c := range []struct {
		id, host string
		pid      int
	}{
		{"web1:4121", "web1", 4121},
		{"::1:17", "::1", 17},
		{"web1", "", 0},
		{":17", "", 0},
		{"web1:", "", 0},
		{"web1:0", "", 0},
		{"web1:-3", "", 0},
		{"web1:x", "", 0},
		{"web1:99999999999999999999", "", 0},
		{"", "", 0},
	} {
		if host, pid := splitHostPID(c.id); host != c.host || pid != c.pid {
			t.Errorf("%q: %q, %d", c.id, host, pid)
		}
	}
	if host, pid := splitHostPID(DefaultID()); host == "" || pid == 0 {
		t.Errorf("the default id %q does not come apart", DefaultID())
	}
}

func FuzzParseNode(f *testing.F) {
	for _, c := range names {
		f.Add(c.name)
	}
	f.Add(latchPrefix(newUUID(true)) + "0000000001")
	f.Fuzz(func(t *testing.T, name string) {
		n := parseNode(name)
		if n.name != name {
			t.Fatalf("%q became %q", name, n.name)
		}
		if !n.latch {
			if n.uuid != "" || n.ours() || n.hostPID() {
				t.Fatalf("a stranger with a uuid: %+v", n)
			}
			return
		}
		if back := fmt.Sprintf("%s%010d", latchPrefix(n.uuid), n.sequence); back != name {
			t.Fatalf("%q is read as %q", name, back)
		}
		if n.sequence < -1<<31 || n.sequence > 1<<31-1 {
			t.Fatalf("sequence %d", n.sequence)
		}
		if sortKey(name) != fmt.Sprintf("%010d", n.sequence) {
			t.Fatalf("%q is sorted by %q", name, sortKey(name))
		}
	})
}
