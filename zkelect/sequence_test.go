package zkelect

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"zkelect/zkelect/zktest"
)

// The counter from what a server tells, which has overflowed by the middle.
func TestNextSequence(t *testing.T) {
	for _, c := range []struct{ created, left int32 }{
		{0, 0}, {1, 1}, {7, 0}, {1 << 30, 3}, {warnSequence, 1}, {lastSequence - 1, 1000}, {lastSequence, 0}, {lastSequence, 2},
	} {
		stat := &zk.Stat{Cversion: 2*c.created - c.left, NumChildren: c.left} // DataNode.copyStat
		if got := nextSequence(stat); got != int64(c.created) {
			t.Errorf("%d of %d are left: the next is taken for %d", c.left, c.created, got)
		}
	}
}

// Many join at once while the sequence ends. The servers give some of them the same
// number and some a negative one. At most one leads, and all others say why not.
func TestManyJoinAtTheEndOfSequence(t *testing.T) {
	t.Parallel()
	server := zktest.Start(t, zktest.Sequences())
	for _, left := range []int32{0, 1, 4} {
		t.Run(fmt.Sprint(left, " left"), func(t *testing.T) {
			t.Parallel()
			e := newElection(t, server).premade()
			noError(t, server.SetSequence(e.abs(e.latch), math.MaxInt32-left))
			var all []*participant
			for n := range 8 {
				all = append(all, contend(t, e.steady(fmt.Sprint("p", n)), workPlan{Exits: 300 * time.Millisecond}))
			}
			led := 0
			for _, p := range all {
				switch out, err := p.awaitEnd(); {
				case err == nil && out.Cause == CauseExited:
					led++
				case !errors.Is(err, ErrUnsafe) || !strings.Contains(err.Error(), anew(e.latch)):
					t.Errorf("%s: %+v, %v", p.id, out, err)
				}
			}
			t.Logf("%d of %d have led", led, len(all))
			if led > int(left) {
				t.Errorf("%d have led, with %d numbers left", led, left)
			}
			checkExclusion(t, all...)
			e.awaitEmpty()
		})
	}
}
