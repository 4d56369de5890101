package zkelect

import (
	"context"
	"path"
	"slices"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"zkelect/zkelect/zktest"
)

// watchedKinds are the families, each by the node with which a program stands for
// election at /jobs/billing.
var watchedKinds = []struct {
	recipe, node string
	flags        int32
	alone        bool // there is one node, and nobody queues
}{
	{"latch", "/jobs/billing/_c_f261bcda-2df8-4bf0-b67e-063205c27182-latch-", zk.FlagEphemeralSequential, false},
	{"selector", "/jobs/billing/_c_0bd7db98-7293-4ebf-868c-644ed8a9d2cc-lock-", zk.FlagEphemeralSequential, false},
	{"selector", "/jobs/billing/_c_38553bd6d1d57f710ae70ddcc3d24715-lock-", zk.FlagEphemeralSequential, false}, // go-zookeeper's
	{"kazoo", "/jobs/billing/6d1166b6bdbc4a49845acbb9226d8d0b__lock__", zk.FlagEphemeralSequential, false},
	{"support", "/jobs/billing/n_", zk.FlagEphemeralSequential, false},
	{"plain", "/jobs/billing", zk.FlagEphemeral, true},
	{"hadoop", "/jobs/billing/ActiveStandbyElectorLock", zk.FlagEphemeral, true},
}

// watched is a Watch of one election, by what it has told.
type watched struct {
	*testing.T
	states chan *Election
}

func watchElection(t *testing.T, i *Inspector, at string) *watched {
	w := &watched{T: t, states: make(chan *Election, 100)}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- i.Watch(ctx, at, func(e *Election) bool { w.states <- e; return true })
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return w
}

// until awaits a state in which these lead and wait, in this order; "" leads where
// nobody does.
func (w *watched) until(recipe string, ids ...string) {
	w.Helper()
	for deadline := time.After(harnessPatience); ; {
		select {
		case e := <-w.states:
			got := []string{}
			for _, p := range e.Participants {
				got = append(got, p.ID)
			}
			leads := len(ids) > 0 && e.Leader != nil && e.Leader.ID == ids[0] || len(ids) == 0 && e.Leader == nil
			if slices.Equal(got, ids) && leads && (recipe == "" || e.Recipe == recipe) {
				return
			}
		case <-deadline:
			w.Fatalf("no state of %s with %q", recipe, ids)
		}
	}
}

// Each change of an election of any kind is told, and who leads can be proved.
func TestWatchEachFamily(t *testing.T) {
	for _, kind := range watchedKinds {
		t.Run(path.Base(kind.node), func(t *testing.T) {
			t.Parallel()
			e := newElection(t, zktest.Shared(t))
			px := zktest.NewProxy(t, e.server.Addr())
			create := func(node, data string, flags int32) string {
				t.Helper()
				name, err := e.eye.Create(e.abs(node), []byte(data), flags, zk.WorldACL(zk.PermAll))
				noError(t, err)
				return name
			}
			create("/jobs", "", 0)
			i, err := Open(t.Context(), e.config("", px.Addr()).Config)
			noError(t, err)
			t.Cleanup(i.Close)
			prover, err := Open(t.Context(), e.config("", px.Addr()).Config)
			noError(t, err)
			t.Cleanup(prover.Close)
			w := watchElection(t, i, "/jobs/billing")
			proved := func(id string, want bool) {
				t.Helper()
				px.Forget()
				holds, _, err := prover.Holds(t.Context(), "/jobs/billing", Condition{LeaderIs: id})
				noError(t, err)
				multis := px.Requests(func(op zktest.Op) bool { return op.Type == zktest.Multi })
				if holds != want || want && len(multis) == 0 {
					t.Errorf("%s leads: %v, want %v; %d transactions", id, holds, want, len(multis))
				}
			}

			w.until("unknown")
			if kind.recipe != "plain" {
				create("/jobs/billing", "", 0)
			}
			a := create(kind.node, "a", kind.flags)
			w.until(kind.recipe, "a")
			proved("a", true)
			if kind.alone {
				noError(t, e.eye.Delete(a, -1))
				w.until("")
				create(kind.node, "b", kind.flags)
				w.until(kind.recipe, "b")
				proved("b", true)
				proved("a", false)
				// At once, so that one reading may see neither end nor beginning.
				noError(t, e.eye.Delete(a, -1))
				create(kind.node, "c", kind.flags)
				w.until(kind.recipe, "c")
				return
			}
			b := create(kind.node, "b", kind.flags)
			w.until(kind.recipe, "a", "b")
			create(kind.node, "c", kind.flags)
			w.until(kind.recipe, "a", "b", "c")
			noError(t, e.eye.Delete(b, -1))
			w.until(kind.recipe, "a", "c")
			proved("c", false)
			noError(t, e.eye.Delete(a, -1))
			w.until(kind.recipe, "c")
			proved("c", true)
			proved("a", false)
		})
	}
}
