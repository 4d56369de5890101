package zkelect

import (
	"cmp"
	"context"
	"fmt"
	"time"
)

// notLeader is ErrNotLeader with the name of who leads, or with the hold because of
// which nobody does.
type notLeader struct {
	path, leader string
	waited       time.Duration
	hold         *Hold
}

func (e *notLeader) Error() string {
	who := "someone else"
	if e.leader != "" {
		who = e.leader
	}
	text := fmt.Sprintf("%s leads %s", who, e.path)
	if e.waited > 0 {
		text += fmt.Sprintf(" still after %v", e.waited)
	}
	if e.hold != nil {
		text = fmt.Sprintf("%s is %s", e.path, e.hold)
		if e.waited > 0 {
			text = fmt.Sprintf("after %v %s", e.waited, text)
		}
	}
	return text
}

func (e *notLeader) Unwrap() error { return ErrNotLeader }

// conflict is why this candidate, which may not wait any longer, does not lead: because
// of a hold, or else of the leader, "" where that is not known yet.
func (c *Candidate) conflict(leader string, waited time.Duration) *notLeader {
	e := &notLeader{path: c.cfg.Path, leader: cmp.Or(leader, c.blockedBy), waited: waited}
	if c.sess == nil {
		return e
	}
	ctx, cancel := context.WithTimeout(c.awake(context.Background()), time.Second)
	defer cancel()
	if e.hold = c.holdInForce(ctx); e.hold != nil {
		e.leader = ""
	} else if e.leader == "" {
		e.leader = c.whoLeads(ctx)
	}
	return e
}

// holdInForce is the hold that keeps everybody from leading, nil where there is none,
// or the servers do not tell.
func (c *Candidate) holdInForce(ctx context.Context) *Hold {
	rec, _, err := c.place.readRecord(ctx, c.sess)
	if err != nil || rec.Hold == nil {
		return nil
	}
	if left, err := c.place.left(ctx, c.sess, rec.Hold); err == nil && left == 0 {
		return nil
	}
	return rec.Hold.view()
}

// whoLeads is the id of the first in the queue, "" where it is not known.
func (c *Candidate) whoLeads(ctx context.Context) string {
	children, _, err := c.sess.children(ctx, c.place.latch)
	if err != nil || len(children) == 0 && c.cfg.Recipe != RecipePlain {
		return ""
	}
	first := ""
	if len(children) > 0 {
		first = newQueue(children, c.cfg.Recipe.family())[0].name
	}
	data, _, err := c.sess.get(ctx, c.place.node(first))
	if err != nil {
		return ""
	}
	return printable(data)
}
