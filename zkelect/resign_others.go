package zkelect

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-zookeeper/zk"
)

// revokeMessage asks a revocable Curator InterProcessMutex to release: it is written
// to the mutex's node, whose data is empty before (Revoker and LockInternals, Curator
// 5.4). Programs of that family look at the queue again when a predecessor's data
// changes. A LeaderLatch does not: its watch would be spent.
const revokeMessage = "__REVOKE__"

// revocable tells whether the leader looks like such a mutex. What a LeaderSelector
// writes is never empty, and go-zookeeper's names have no dashes.
func (s *snapshot) revocable() bool {
	n := parseNode(s.term)
	return n.family == familyLock && n.dashes && !s.ours && (s.Leader.ID == "" || s.Leader.ID == revokeMessage)
}

// revoke asks a revocable mutex to release.
func (r *resignation) revoke(ctx context.Context) error {
	path := r.place.node(r.term)
	for {
		n, err := read(ctx, r.i.sess, func() (n node, err error) {
			n.data, n.stat, err = r.i.sess.get(ctx, path)
			return n, err
		})
		switch {
		case errors.Is(err, zk.ErrNoNode), err == nil && string(n.data) == revokeMessage:
			return nil
		case err != nil:
			return denied(err, "read", path)
		case len(n.data) > 0:
			return fmt.Errorf("%w: %s is not a revocable mutex", ErrRefused, path)
		}
		_, err = r.i.sess.multi(ctx, &zk.SetDataRequest{Path: path, Data: []byte(revokeMessage), Version: n.stat.Version})
		switch {
		case err == nil, errors.Is(err, zk.ErrBadVersion), errors.Is(err, zk.ErrNoNode): // reading tells
		case ambiguous(err):
			if err := pauseAfter(ctx, r.i.sess); err != nil {
				return err
			}
		default:
			return denied(err, "write", path)
		}
	}
}

// takesNoRequest says of a leader that is not a zkelect how it is ended.
func (s *snapshot) takesNoRequest() error {
	force := ", or delete its node with --force (it may go on working beside the next leader)"
	how := "end its process"
	switch s.family {
	case familyLatch:
		how = "have its program call LeaderLatch.close, or end its process"
	case familyLock:
		how = "have its program call LeaderSelector.interruptLeadership or InterProcessMutex.release, or end its process (only a mutex that is made revocable can be asked)"
		if !parseNode(s.term).dashes {
			how = "have its program call Lock.Unlock of go-zookeeper, or end its process"
		}
	case familyKazoo:
		how = "have the function that its Election runs return, or its program call Lock.release, or end its process"
	case familySupport:
		how = "have its program call LeaderElectionSupport.stop, or end its process"
	case familyHadoop:
		how, force = "use 'hdfs haadmin -failover' or 'yarn rmadmin -transitionToStandby', which fence it", ""
	case familyPlain:
		how, force = "have its program close its session, or end its process", ""
	}
	return fmt.Errorf("%w: the leader %s is not a zkelect and takes no request; %s%s. The servers' command 'cons' tells the address of its session %s",
		ErrRefused, s.named(), how, force, s.Leader.Session)
}

// named is the leader's id, or its node where it has none.
func (s *snapshot) named() string {
	if s.Leader.ID == "" {
		return s.Leader.Node
	}
	return s.Leader.ID
}
