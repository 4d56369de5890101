package zkelect

import (
	"context"
	"errors"
	"reflect"
	"time"

	"github.com/go-zookeeper/zk"
)

// missingPoll is how often a path that does not exist yet is looked at: a
// watch on a missing node may never fire in the library.
const missingPoll = 500 * time.Millisecond

// Watch calls each with every change of the election, the present state
// first, until each returns false or ctx is done. It survives disconnection.
// A path that does not exist yet is an election without participants.
func (i *Inspector) Watch(ctx context.Context, path string, each func(*Election) bool) error {
	var before *Election
	return i.watchSnapshots(ctx, path, func(s *snapshot) bool {
		if reflect.DeepEqual(before, &s.Election) {
			return true
		}
		before = &s.Election
		return each(before)
	})
}

// watchSnapshots calls each after every event, mostly a change.
func (i *Inspector) watchSnapshots(ctx context.Context, path string, each func(*snapshot) bool) error {
	for {
		now, wake, err := i.armed(ctx, path)
		switch {
		case errors.Is(err, errSessionLost):
			if err := i.reconnect(ctx); err != nil {
				return err
			}
			continue
		case ambiguous(err) && ctx.Err() == nil:
			if err := pauseAfter(ctx, i.sess); err != nil && !errors.Is(err, errSessionLost) {
				return err
			}
			continue
		case err != nil:
			return err
		}
		if !each(now) {
			return nil
		}
		if err := wake(); err != nil {
			return err
		}
	}
}

// armed reads the election after the watches on it are set, and returns how to
// wait for one of them.
func (i *Inspector) armed(ctx context.Context, path string) (*snapshot, func() error, error) {
	p := placeOf(path, RecipeLatch)
	var poll <-chan time.Time
	_, queue, err := i.sess.childrenW(ctx, p.latch)
	there := err == nil
	if errors.Is(err, zk.ErrNoNode) {
		poll, err = time.After(missingPoll), nil
	}
	if errors.Is(err, zk.ErrNoAuth) {
		err = denied(err, "read", p.latch)
	}
	if err != nil {
		return nil, nil, err
	}
	_, _, side, err := i.sess.getW(ctx, p.side)
	var live <-chan zk.EventType
	if err == nil {
		_, live, err = i.sess.childrenW(ctx, p.side)
	}
	if errors.Is(err, zk.ErrNoNode) {
		poll, err = time.After(missingPoll), nil
	}
	if err != nil && !errors.Is(err, zk.ErrNoAuth) {
		return nil, nil, err
	}
	_, _, changed := i.sess.status()
	e, err := i.snapshot(ctx, path)
	if errors.Is(err, ErrNoElection) {
		e = newSnapshot(path)
		if there { // but no election
			e.warn("%v", err)
		}
		err = nil
	}
	return e, func() error {
		select {
		case <-queue:
		case <-side:
		case <-live:
		case <-poll:
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		return nil
	}, err
}
