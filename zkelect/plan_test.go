package zkelect

import (
	"context"
	"errors"
	"maps"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"zkelect/zkelect/zktest"
)

// stats are those of all that there is in the election's chroot, which the smallest
// change would change.
func (e *election) stats(node string) map[string]zk.Stat {
	e.t.Helper()
	children, stat, err := e.eye.Children(strings.TrimSuffix(e.abs(node), "/"))
	noError(e.t, err)
	all := map[string]zk.Stat{node: *stat}
	for _, child := range children {
		maps.Copy(all, e.stats(path.Join(node, child)))
	}
	return all
}

func TestDryRunChangesNothing(t *testing.T) {
	for recipe := range recipeNames {
		t.Run(recipeNames[recipe], func(t *testing.T) {
			t.Parallel()
			e := newElection(t, zktest.Shared(t))
			e.recipe = Recipe(recipe)
			dry := func(nowait bool) (*Plan, error) {
				t.Helper()
				cfg := RunConfig{CandidateConfig: e.config("dry"), Command: []string{"true"}}
				cfg.Recipe, cfg.NoWait = Recipe(recipe), nowait
				before := e.stats("/")
				plan, err := DryRun(t.Context(), cfg)
				if after := e.stats("/"); !maps.Equal(before, after) {
					t.Errorf("before: %+v\nafter:  %+v", before, after)
				}
				return plan, err
			}
			plan, err := dry(true)
			if noError(t, err); plan.Ahead > 0 || plan.Blocked || plan.Election != nil || plan.Program == "" || plan.Lease.Deadline <= plan.Lease.Stop {
				t.Errorf("%+v", plan)
			}

			cfg := e.config("led")
			cfg.Recipe = Recipe(recipe)
			c, err := NewCandidate(cfg)
			noError(t, err)
			ended := make(chan error)
			started := make(chan struct{})
			go func() {
				_, err := c.Run(t.Context(), WorkFunc(func(ctx context.Context, _ Term) error {
					close(started)
					<-ctx.Done()
					return nil
				}))
				ended <- err
			}()
			<-started
			plan, err = dry(false)
			if noError(t, err); plan.Ahead != 1 || plan.Election.Leader.ID != "led" || len(plan.Makes) > 0 {
				t.Errorf("%+v", plan)
			}
			if _, err = dry(true); !errors.Is(err, ErrNotLeader) {
				t.Error(err)
			}
			c.Kill()
			select {
			case err := <-ended:
				noError(t, err)
			case <-time.After(harnessPatience):
				t.Fatal("still there")
			}
			plan, err = dry(true)
			if noError(t, err); plan.Ahead > 0 || plan.Election == nil {
				t.Errorf("%+v", plan)
			}
		})
	}
}
