package zkelect

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"testing"
)

const (
	curatorUUID = "f261bcda-2df8-4bf0-b67e-063205c27182"
	otherUUID   = "bccccdcc-1134-4e0a-bb52-59a13836434a"
)

// Names that programs made, and odd ones. The key is what Curator's latch sorts by.
var names = []struct {
	name     string
	family   family
	sequence int64
	key      string // "" where it is the whole name
}{
	// Curator LeaderLatch
	{"_c_f261bcda-2df8-4bf0-b67e-063205c27182-latch-0000000000", familyLatch, 0, "0000000000"},
	{"_c_7ea9234d-3973-4e1d-8a6a-e2e30062cdc4-latch-0000000076", familyLatch, 76, "0000000076"},
	{"_c_bccccdcc-1134-4e0a-bb52-59a13836434a-latch-2147483647", familyLatch, 1<<31 - 1, "2147483647"},
	{"_c_bccccdcc-1134-4e0a-bb52-59a13836434a-latch--000000005", familyLatch, -5, "-000000005"},
	{"_c_bccccdcc-1134-4e0a-bb52-59a13836434a-latch--2147483648", familyLatch, -1 << 31, "-2147483648"},
	// Curator LeaderSelector, InterProcessMutex
	{"_c_0bd7db98-7293-4ebf-868c-644ed8a9d2cc-lock-0000000025", familyLock, 25, ""},
	// go-zookeeper, whose prefix is Curator's but whose digits have no dashes
	{"_c_38553bd6d1d57f710ae70ddcc3d24715-lock-0000000000", familyLock, 0, ""},
	{"_c_38553bd6d1d57f710ae70ddcc3d24715-lock--2147483648", familyLock, -1 << 31, ""},
	{"_c_38553bd6d1d57f710ae70ddcc3d24715-latch-0000000000", familyUnknown, -1, "0000000000"},
	// Curator's read-write lock
	{"_c_0bd7db98-7293-4ebf-868c-644ed8a9d2cc-__WRIT__0000000001", familyReadWrite, 1, ""},
	{"_c_0bd7db98-7293-4ebf-868c-644ed8a9d2cc-__READ__0000000002", familyReadWrite, 2, ""},
	// without Curator's protection
	{"latch-0000000003", familyUnknown, -1, "0000000003"},
	{"lock-0000000003", familyUnknown, -1, ""},
	// kazoo
	{"6d1166b6bdbc4a49845acbb9226d8d0b__lock__0000000003", familyKazoo, 3, ""},
	{"da5719988c244fc793f49ec3aa29b566__rlock__0000000003", familyReader, 3, ""},
	{"6d1166b6bdbc4a49845acbb9226d8d0__lock__0000000003", familyUnknown, -1, ""},
	{"6d1166b6-bdbc-4a49-845a-cbb9226d8d0b__lock__0000000003", familyUnknown, -1, ""},
	// ZooKeeper's recipes, Hadoop
	{"n_0000000001", familySupport, 1, ""},
	{"n_1", familyUnknown, -1, ""},
	{"x-72057594037927936-0000000001", familyUnknown, -1, ""},
	{"ActiveStandbyElectorLock", familyHadoop, -1, ""},
	{"ActiveBreadCrumb", familyHadoop, -1, ""},
	// odd ones
	{"", familyUnknown, -1, ""},
	{"_c_", familyUnknown, -1, ""},
	{"latch-", familyUnknown, -1, ""},
	{"_c_" + curatorUUID, familyUnknown, -1, ""},
	{"_c_" + curatorUUID + "-", familyUnknown, -1, ""},
	{"_c_" + curatorUUID + "-latch-", familyUnknown, -1, ""},
	{"_c_" + curatorUUID + "-latch-000000000", familyUnknown, -1, "000000000"},
	{"_c_" + curatorUUID + "-latch-2147483648", familyUnknown, -1, "2147483648"},
	{"_c_" + curatorUUID + "-latch-99999999999", familyUnknown, -1, "99999999999"},
	{"_c_" + curatorUUID + "-latch-+000000001", familyUnknown, -1, "+000000001"},
	{"_c_" + curatorUUID + "-latch-000000000x", familyUnknown, -1, "000000000x"},
	{"_c_" + curatorUUID + "-latch-0_00000001", familyUnknown, -1, "0_00000001"},
	{"_c_" + curatorUUID + "-latch-latch-0000000001", familyUnknown, -1, "0000000001"},
	{"_c_" + curatorUUID + "latch-0000000001", familyUnknown, -1, "0000000001"},
	{"x_c_" + curatorUUID + "-latch-0000000001", familyUnknown, -1, "0000000001"},
	{"_c_" + strings.ReplaceAll(curatorUUID, "-", "_") + "-latch-0000000001", familyUnknown, -1, "0000000001"},
	{"_c_g261bcda-2df8-4bf0-b67e-063205c27182-latch-0000000001", familyUnknown, -1, "0000000001"},
	{"_c_" + curatorUUID + "-latch-\x00000000001", familyUnknown, -1, "\x00000000001"},
	{"_c_" + curatorUUID + "-latch-٠٠٠٠٠", familyUnknown, -1, "٠٠٠٠٠"}, // ten bytes of Arabic digits
	// not as %010d writes them: no counter's
	{"_c_" + curatorUUID + "-latch-00000000001", familyUnknown, -1, "00000000001"},
	{"_c_" + curatorUUID + "-latch--000000000", familyUnknown, -1, "-000000000"},
	{"_c_" + curatorUUID + "-latch--0000000005", familyUnknown, -1, "-0000000005"},
}

func TestParseNode(t *testing.T) {
	for _, c := range names {
		n := parseNode(c.name)
		if n.name != c.name || n.family != c.family || n.sequence != c.sequence {
			t.Errorf("%q is %s, sequence %d; want %s, %d", c.name, n.family, n.sequence, c.family, c.sequence)
		}
		if wantUUID := c.sequence != -1 && c.family != familySupport; (n.uuid != "") != wantUUID {
			t.Errorf("%q has uuid %q", c.name, n.uuid)
		}
		if n.uuid != "" && !strings.Contains(dashless(c.name), n.uuid) {
			t.Errorf("%q has uuid %q", c.name, n.uuid)
		}
		if n.ours() || n.hostPID() {
			t.Errorf("%q: taken for a zkelect's", c.name)
		}
		want := cmp.Or(c.key, c.name)
		if strings.HasSuffix(c.name, latchMark) {
			want = "" // nothing follows it
		}
		if got := familyLatch.sortKey(n); got != want {
			t.Errorf("%q: sorted by %q, Curator's latch does by %q", c.name, got, want)
		}
	}
}

// Each recipe's programs go by other parts of a name.
func TestSortKeys(t *testing.T) {
	for _, c := range []struct {
		family    family
		name, key string
	}{
		{familyLock, "_c_0bd7db98-7293-4ebf-868c-644ed8a9d2cc-lock-0000000025", "0000000025"},
		{familyLock, "_c_38553bd6d1d57f710ae70ddcc3d24715-lock-0000000026", "0000000026"},
		{familyLock, "_c_f261bcda-2df8-4bf0-b67e-063205c27182-latch-0000000000", "_c_f261bcda-2df8-4bf0-b67e-063205c27182-latch-0000000000"},
		{familyKazoo, "6d1166b6bdbc4a49845acbb9226d8d0b__lock__0000000003", "0000000003"},
		{familyKazoo, "n_0000000001", "~n_0000000001"},
		{familyKazoo, "6d1166b6bdbc4a49845acbb9226d8d0b__lock__-2147483648", "-2147483648"},
		{familySupport, "n_0000000001", "2147483649"}, // by the number
		{familySupport, "n_-000000001", "2147483647"},
		{familySupport, "n_-2147483648", "0000000000"},
		{familySupport, "x", "~x"},
	} {
		if got := c.family.sortKey(parseNode(c.name)); got != c.key {
			t.Errorf("%q is sorted by %q among those %s", c.name, got, c.family)
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
		if !isUUID(uuid) || len(uuid) != uuidLen || uuid[14] != '8' || !strings.ContainsRune("89ab", rune(uuid[19])) {
			t.Fatalf("%s is no UUID of version 8", uuid)
		}
		for recipe, want := range map[Recipe]string{
			RecipeLatch: "_c_" + uuid + "-latch-", RecipeSelector: "_c_" + uuid + "-lock-",
			RecipeKazoo: strings.ReplaceAll(uuid, "-", "") + "__lock__",
		} {
			prefix := recipe.prefix(uuid)
			if prefix != want {
				t.Fatalf("prefix %q, want %q", prefix, want)
			}
			n := parseNode(fmt.Sprintf("%s%010d", prefix, i))
			if n.family != recipe.family() || !n.ours() || n.hostPID() != hostPID || n.uuid != dashless(uuid) || n.sequence != int64(i) {
				t.Fatalf("%+v of %s", n, uuid)
			}
		}
		// The digits of go-zookeeper are all of them random, and may be anything.
		if n := parseNode("_c_" + dashless(uuid) + "-lock-0000000001"); n.family != familyLock || n.ours() || n.hostPID() {
			t.Fatalf("%+v is taken for a zkelect's", n)
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
	for _, r := range []Recipe{RecipeLatch, RecipeSelector, RecipeKazoo} {
		f.Add(r.prefix(newUUID(true)) + "0000000001")
	}
	f.Fuzz(func(t *testing.T, name string) {
		n := parseNode(name)
		if n.name != name {
			t.Fatalf("%q became %q", name, n.name)
		}
		recipe, joinable := n.family.recipe()
		if !joinable {
			if n.ours() || n.hostPID() {
				t.Fatalf("a stranger is ours: %+v", n)
			}
			return
		}
		if n.sequence < -1<<31 || n.sequence > 1<<31-1 {
			t.Fatalf("sequence %d", n.sequence)
		}
		if !n.dashes && n.family != familyKazoo {
			return // go-zookeeper's
		}
		digits := fmt.Sprintf("%010d", n.sequence)
		prefix := strings.TrimSuffix(name, digits)
		if dashless(recipe.prefix(n.uuid)) != dashless(prefix) || prefix+digits != name {
			t.Fatalf("%q is read as %+v", name, n)
		}
	})
}
