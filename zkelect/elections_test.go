package zkelect

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
)

// treeSession answers reads from a tree in memory, each after a random while.
type treeSession struct {
	session // nothing else is asked
	nodes   map[string]treeNode
	slow    func(kind, path string) time.Duration // how long an answer takes

	mu       sync.Mutex
	asked    map[string]int // by path
	now, top int            // under way, and the most of them
}

type treeNode struct {
	data      string
	ephemeral bool
	denied    bool
	names     []string
}

func newTree() *treeSession {
	return &treeSession{nodes: map[string]treeNode{"/": {}}, asked: map[string]int{}, slow: func(string, string) time.Duration { return 0 }}
}

// add makes a node with its parents.
func (s *treeSession) add(p string, n treeNode) {
	if _, ok := s.nodes[p]; !ok {
		dir := path.Dir(p)
		if _, ok := s.nodes[dir]; !ok {
			s.add(dir, treeNode{})
		}
		parent := s.nodes[dir]
		parent.names = append(parent.names, path.Base(p))
		s.nodes[dir] = parent
	}
	n.names = s.nodes[p].names
	s.nodes[p] = n
}

func (s *treeSession) answer(kind, p string) (treeNode, *zk.Stat, error) {
	s.mu.Lock()
	s.asked[p]++
	s.now++
	s.top = max(s.top, s.now)
	s.mu.Unlock()
	time.Sleep(s.slow(kind, p))
	s.mu.Lock()
	s.now--
	s.mu.Unlock()
	n, ok := s.nodes[p]
	switch {
	case !ok:
		return n, nil, zk.ErrNoNode
	case n.denied && kind != "exists":
		return n, nil, zk.ErrNoAuth
	}
	stat := &zk.Stat{NumChildren: int32(len(n.names))}
	if n.ephemeral {
		stat.EphemeralOwner = 9
	}
	return n, stat, nil
}

func (s *treeSession) get(_ context.Context, p string) ([]byte, *zk.Stat, error) {
	n, stat, err := s.answer("get", p)
	return []byte(n.data), stat, err
}

func (s *treeSession) children(_ context.Context, p string) ([]string, *zk.Stat, error) {
	n, stat, err := s.answer("children", p)
	return n.names, stat, err
}

func (s *treeSession) exists(_ context.Context, p string) (*zk.Stat, error) {
	_, stat, err := s.answer("exists", p)
	if errors.Is(err, zk.ErrNoNode) {
		err = nil
	}
	return stat, err
}

func (s *treeSession) status() (sessionState, int, <-chan struct{}) { return sessionConnected, 1, nil }

// elections are what a walk tells, as "path leader waiting recipe".
func (s *treeSession) elections(ctx context.Context, root string) (found []string, err error) {
	i := &Inspector{sess: s}
	err = i.Elections(ctx, root, func(e *Election) error {
		id := "-"
		if e.Leader != nil {
			id = e.Leader.ID
		}
		found = append(found, fmt.Sprintf("%s %s %d %s", e.Path, id, len(e.Participants), e.Recipe))
		return nil
	})
	return found, err
}

func (s *treeSession) total() (n int) {
	for _, v := range s.asked {
		n += v
	}
	return n
}

const emptyRecord = `{"format":1,"recipe":"latch"}`

func TestElectionsOfATree(t *testing.T) {
	s := newTree()
	for _, p := range []string{"/b/q/" + seq(javaLatch, 2), "/b/q/" + seq(javaLatch, 1), "/b/k/" + seq(pyLock, 1), "/a/plain", "/hdfs/ActiveStandbyElectorLock",
		"/b/k/inside/deep/" + seq(pyLock, 7), "/b/k/stranger", "/b/mixed/" + seq(javaLatch, 0), "/b/mixed/" + seq(javaLatch, 2), "/b/mixed/" + seq(pyLock, 1), "/b/mixed/stranger",
		"/n_0000000001", "/zookeeper/inside"} {
		s.add(p, treeNode{data: path.Base(p), ephemeral: true})
	}
	s.add("/hdfs/ActiveBreadCrumb", treeNode{})
	s.add("/c/text", treeNode{data: "no election"})
	s.add("/.zkelect-reaped", treeNode{data: emptyRecord}) // and its container is gone
	s.add("/c/.zkelect-idle", treeNode{data: emptyRecord})
	s.add("/c/.zkelect-idle/resign/request", treeNode{ephemeral: true})
	s.add("/c/idle/inner/plain", treeNode{ephemeral: true, data: "in"})
	s.add("/c/idle/"+seq("n_", 1), treeNode{data: "kept"}) // not ephemeral, so that it may have children
	s.add("/c/idle/"+seq("n_", 1)+"/plain", treeNode{ephemeral: true, data: "below"})
	s.add("/c/secret", treeNode{denied: true})
	s.add("/c/secret/plain", treeNode{ephemeral: true})
	s.add("/d/private/"+seq(javaLock, 1), treeNode{ephemeral: true, denied: true, data: "x"})
	s.add("/d/.zkelect-garbage", treeNode{data: "\x00"})
	s.add("/d/garbage/"+seq(javaLatch, 1), treeNode{ephemeral: true, data: "java"})
	want := []string{
		"/a/plain plain 1 plain",
		"/b/k " + seq(pyLock, 1) + " 1 kazoo",
		"/b/k/inside/deep " + seq(pyLock, 7) + " 1 kazoo",
		"/b/k/stranger stranger 1 plain",
		"/b/mixed " + seq(javaLatch, 0) + " 4 latch",
		"/b/q " + seq(javaLatch, 1) + " 2 latch",
		"/c/idle kept 1 support",
		"/c/idle/inner/plain in 1 plain",
		"/c/idle/n_0000000001/plain below 1 plain",
		"/d/garbage java 1 latch",
		"/d/private  1 selector",
		"/hdfs ActiveStandbyElectorLock 1 hadoop",
		"/n_0000000001 n_0000000001 1 plain",
		"/reaped - 0 latch",
		"/zookeeper/inside inside 1 plain",
	}
	for range 20 {
		s.slow = func(string, string) time.Duration { return time.Duration(rand.IntN(300)) * time.Microsecond }
		s.asked, s.top = map[string]int{}, 0
		got, err := s.elections(t.Context(), "/")
		var unread *UnreadError
		if !errors.As(err, &unread) || unread.Nodes != 1 || unread.First != "/c/secret" || !errors.Is(err, ErrDenied) {
			t.Fatal(err)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		for p, n := range s.asked {
			plain := strings.Contains(p, "plain") || strings.Contains(p, "stranger") || strings.Contains(p, "private/") || strings.Contains(p, "inside") || p == "/n_0000000001"
			if again := n > 1 && p != "/c/idle/"+seq("n_", 1); again && !plain || n > 2 {
				t.Errorf("%s is read %d times", p, n)
			}
			if strings.Contains(p, "resign") || p == "/c/secret/plain" {
				t.Errorf("%s is read", p)
			}
		}
		if s.top > underWay {
			t.Errorf("%d requests under way", s.top)
		}
	}
	// From within the tree.
	for root, want := range map[string]int{"/b": 5, "/b/q": 1, "/reaped": 1, "/c/idle": 3, "/a/plain": 1, "/c/text": 0} {
		if got, err := s.elections(t.Context(), root); err != nil || len(got) != want {
			t.Errorf("%s: %q, %v", root, got, err)
		}
	}
	for root, want := range map[string]error{"/nowhere": ErrNoElection, "/c/secret": ErrDenied, "bad": ErrConfig, "/zookeeper": ErrConfig} {
		if got, err := s.elections(t.Context(), root); !errors.Is(err, want) || len(got) > 0 {
			t.Errorf("%s: %q, %v", root, got, err)
		}
	}
}

// A random tree is walked in its order, whatever comes first, and what is asked is
// bounded by its nodes.
func TestElectionsOfRandomTrees(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 1))
		s := newTree()
		var want []string
		var grow func(dir string, depth int)
		grow = func(dir string, depth int) {
			for i := range r.IntN(12) {
				p := path.Join(dir, fmt.Sprintf("%c", 'a'+i))
				switch r.IntN(5) {
				case 0:
					s.add(p, treeNode{ephemeral: true, data: "x"})
					want = append(want, p+" x 1 plain")
				case 1:
					n := 1 + r.IntN(20)
					for q := range n {
						s.add(p+"/"+seq(pyLock, int64(q)), treeNode{ephemeral: true, data: fmt.Sprint(q)})
					}
					want = append(want, fmt.Sprintf("%s 0 %d kazoo", p, n))
					if depth < 3 {
						grow(p, depth+1)
					}
				default:
					s.add(p, treeNode{})
					if depth < 3 {
						grow(p, depth+1)
					}
				}
			}
		}
		grow("/", 0)
		var mu sync.Mutex
		s.slow = func(string, string) time.Duration {
			mu.Lock()
			defer mu.Unlock()
			if r.IntN(8) == 0 {
				return time.Duration(r.IntN(1000)) * time.Microsecond
			}
			return 0
		}
		got, err := s.elections(t.Context(), "/")
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("seed %d: %v\n%s\nwant\n%s", seed, err, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if s.top > underWay {
			t.Errorf("%d requests under way", s.top)
		}
		for p, n := range s.asked {
			if n > 2 || n > 1 && !s.nodes[p].ephemeral && len(s.nodes[p].names) == 0 {
				t.Errorf("seed %d: %s is read %d times", seed, p, n)
			}
		}
	}
}

// While one answer is awaited, not all that comes behind it is gathered.
func TestElectionsAreNotGathered(t *testing.T) {
	t.Parallel()
	const elections = 20_000
	s := newTree()
	s.add("/r/a", treeNode{ephemeral: true})
	for n := range elections {
		s.add(fmt.Sprintf("/r/b%05d/%s", n, seq(pyLock, 1)), treeNode{ephemeral: true})
	}
	var ahead int
	s.slow = func(_, p string) time.Duration {
		if p == "/r/a" {
			for before := -1; before != ahead; { // until nothing is asked any more
				time.Sleep(300 * time.Millisecond)
				s.mu.Lock()
				before, ahead = ahead, s.total()
				s.mu.Unlock()
			}
		}
		return 0
	}
	found, err := s.elections(t.Context(), "/r")
	if err != nil || len(found) != elections+1 {
		t.Fatal(len(found), err)
	}
	if ahead < underWay || ahead > 2*maxHeld {
		t.Errorf("%d requests before the first answer", ahead)
	}
	if s.total() > 2*elections+4*underWay {
		t.Errorf("%d requests for %d nodes", s.total(), 2*elections+2)
	}
}

func TestElectionsEnd(t *testing.T) {
	s := newTree()
	for n := range 1000 {
		s.add(fmt.Sprintf("/r/%d", n), treeNode{ephemeral: true})
	}
	i := &Inspector{sess: s}
	enough := errors.New("enough")
	told := 0
	if err := i.Elections(t.Context(), "/", func(*Election) error { told++; return enough }); !errors.Is(err, enough) || told != 1 {
		t.Error(told, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := i.Elections(ctx, "/", func(*Election) error { cancel(); return nil }); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Registrations, which nobody queues for, are read once each.
func TestElectionsOfRegistrations(t *testing.T) {
	s := newTree()
	for n := range 5000 {
		s.add(fmt.Sprintf("/services/s%d/i%d", n%10, n), treeNode{ephemeral: true, data: "x"})
	}
	found, err := s.elections(t.Context(), "/services")
	if err != nil || len(found) != 5000 || s.total() > 5000+11+10*2*underWay {
		t.Error(len(found), s.total(), err)
	}
}
