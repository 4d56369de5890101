package zkelect

import (
	"context"
	"fmt"

	"github.com/go-zookeeper/zk"
)

// nextSequence is the number that the next sequential child of a node gets. What a
// server tells as cversion is not its counter: it counts each child that comes and
// each that goes (DataNode.copyStat), and overflows on the way.
func nextSequence(stat *zk.Stat) int64 { return int64(uint32(stat.Cversion+stat.NumChildren) / 2) }

// room refuses to join at the end of the sequence. The look at the queue after joining
// refuses too, but by then the node stands there, and at the end a node disturbs: where
// several join at a time, 3.8.0 counts on from the lowest negative number, which
// programs take for the first. And others cannot tell who of two is first who have the
// same number.
// The path's stat is that of seen, if the candidate has just come.
func (p place) room(ctx context.Context, s session, seen *sight) error {
	if p.recipe == RecipePlain {
		return nil // one node for all
	}
	var stat *zk.Stat
	var err error
	if seen != nil {
		stat = seen.latch
	} else {
		stat, err = read(ctx, s, func() (*zk.Stat, error) { return s.exists(ctx, p.latch) })
	}
	if stat == nil || err != nil {
		return err
	}
	if next := nextSequence(stat); next >= lastSequence {
		return fmt.Errorf("%w: the sequence of %s is at its end (%d); %s", ErrUnsafe, p.latch, next, anew(p.latch))
	}
	return nil
}

// sequence warns where that of the path nears its end, or is there.
func (s *snapshot) sequence(latch *zk.Stat) {
	if latch == nil {
		return
	}
	switch next := nextSequence(latch); {
	case next >= lastSequence:
		s.warn("the sequence of %s is at its end (%d), so nobody can join any more; %s", s.Path, next, anew(s.Path))
	case next >= warnSequence:
		s.warn("the sequence of %s is at %d and ends at %d; %s", s.Path, next, lastSequence, anew(s.Path))
	}
}
