package zkelect

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func latchName(uuid string, sequence int64) string {
	return fmt.Sprintf("%s%010d", RecipeLatch.prefix(uuid), sequence)
}

func TestQueueOrder(t *testing.T) {
	a, b, c := latchName(newUUID(true), 9), latchName(curatorUUID, 10), latchName(otherUUID, 100)
	kazoo, selector := "6d1166b6bdbc4a49845acbb9226d8d0b__lock__0000000003", "_c_0bd7db98-7293-4ebf-868c-644ed8a9d2cc-lock-0000000001"
	for _, tc := range []struct {
		name     string
		children []string
		want     []string
	}{
		{"nobody", nil, nil},
		{"by the number, not by the uuid", []string{c, a, b}, []string{a, b, c}},
		{"as LeaderLatch sorts strangers: by the whole name", []string{selector, kazoo, c, "a", "0"}, []string{"0", c, kazoo, selector, "a"}},
		{"an unprotected latch among them", []string{b, "latch-0000000003", a}, []string{"latch-0000000003", a, b}},
		{"as strings: the sign before the digits, then the larger negative first",
			[]string{latchName(curatorUUID, 3), latchName(curatorUUID, -7), latchName(otherUUID, -5), latchName(otherUUID, -1<<31)},
			[]string{latchName(otherUUID, -5), latchName(curatorUUID, -7), latchName(otherUUID, -1<<31), latchName(curatorUUID, 3)}},
		{"the same number: by name, so that all agree", []string{latchName(curatorUUID, 7), latchName(otherUUID, 7)}, []string{latchName(otherUUID, 7), latchName(curatorUUID, 7)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			given := slices.Clone(tc.children)
			q := newQueue(tc.children, familyLatch)
			for i, name := range tc.want {
				if q.index(name) != i {
					t.Fatalf("%s is at %d, want %d, of %+v", name, q.index(name), i, q)
				}
			}
			if len(q) != len(tc.want) || q.index("nobody") != -1 {
				t.Errorf("queue %+v", q)
			}
			if !slices.Equal(given, tc.children) {
				t.Error("what was given is changed")
			}
		})
	}
}

func TestQueueByUUID(t *testing.T) {
	mine := newUUID(false)
	q := newQueue([]string{latchName(mine, 12), latchName(curatorUUID, 3), latchName(mine, 2), "_c_" + mine + "-lock-0000000001"}, familyLatch)
	own := q.byUUID(mine, familyLatch)
	if len(own) != 2 || own[0].sequence != 2 || own[1].sequence != 12 {
		t.Errorf("own nodes: %v", own)
	}
	if len(q.byUUID(newUUID(false), familyLatch)) != 0 {
		t.Error("somebody else's taken for ours")
	}
}

func TestQueueSafe(t *testing.T) {
	at := func(sequences ...int64) (children []string) {
		for _, s := range sequences {
			children = append(children, latchName(curatorUUID, s))
		}
		return children
	}
	kazoo := "6d1166b6bdbc4a49845acbb9226d8d0b__lock__0000000003"
	mutex := "_c_0bd7db98-7293-4ebf-868c-644ed8a9d2cc-lock-0000000025"
	golock := "_c_38553bd6d1d57f710ae70ddcc3d24715-lock-0000000000"
	for _, c := range []struct {
		name     string
		recipe   Recipe
		children []string
		says     string // "" where it is safe
	}{
		{"empty", RecipeLatch, nil, ""},
		{"latches", RecipeLatch, at(0, 5, 9), ""},
		{"mutex and go-zookeeper", RecipeSelector, []string{mutex, golock}, ""},
		{"kazoo's own", RecipeKazoo, []string{kazoo}, ""},
		{"negative", RecipeLatch, at(4, -9), "has run over (-9)"},
		{"nearly at the end", RecipeLatch, at(lastSequence - 1), ""},
		{"at the end", RecipeLatch, at(3, lastSequence), "at its end (2147483647)"},
		{"latch beside kazoo", RecipeLatch, append(at(1), kazoo), kazoo},
		{"kazoo beside latch", RecipeKazoo, append(at(1), kazoo), "use --recipe latch"},
		{"kazoo's readers", RecipeKazoo, []string{strings.Replace(kazoo, "__lock__", "__rlock__", 1)}, "ReadLock"},
		{"selector", RecipeLatch, []string{mutex}, "--recipe selector"},
		{"latch in a selector's", RecipeSelector, at(1), "LeaderLatch"},
		{"LeaderElectionSupport", RecipeSelector, []string{"n_0000000001"}, "LeaderElectionSupport"},
		{"Hadoop", RecipeLatch, []string{hadoopLock}, "Hadoop"},
		{"garbage", RecipeLatch, []string{"\x1b[2J\n"}, `"\x1b[2J\n"`}, // as it can be shown
	} {
		err := newQueue(c.children, c.recipe.family()).safe("/jobs/x", c.recipe)
		switch {
		case c.says == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.says == "":
		case !errors.Is(err, ErrUnsafe) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "/jobs/x"):
			t.Errorf("%s: %v; want it to say %q and the path", c.name, err, c.says)
		}
	}
}

// A large queue is ordered as by Curator's own way: a stable sort by what
// follows the last mark.
func TestQueueHuge(t *testing.T) {
	const n = 20_000
	r := rand.New(rand.NewPCG(1, 2))
	children := make([]string, n)
	for i, s := range r.Perm(n) {
		children[i] = latchName(fmt.Sprintf("%08x-1111-4111-8111-111111111111", r.Uint32()), int64(s))
	}
	curators := slices.Clone(children)
	slices.SortStableFunc(curators, func(a, b string) int {
		fix := func(s string) string { return s[strings.LastIndex(s, "latch-")+len("latch-"):] }
		return cmp.Compare(fix(a), fix(b))
	})
	q := newQueue(children, familyLatch)
	if len(q) != n {
		t.Fatalf("%d of %d", len(q), n)
	}
	for i, name := range curators {
		if q[i].name != name || q[i].sequence != int64(i) {
			t.Fatalf("%s is not at %d", name, i)
		}
	}
	if err := q.safe("/x", RecipeLatch); err != nil {
		t.Error(err)
	}
}
