package zkelect

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"

	"github.com/go-zookeeper/zk"
)

// request is the data of a resigner's node: it names the term that it is for,
// so that it can never end a later one.
type request struct {
	Format int    `json:"format"`
	Term   string `json:"term"`         // the leader's queue node
	To     string `json:"to,omitempty"` // the successor's queue node
	By     string `json:"by"`           // who asks, for logs
}

// found is a request as it stands.
type found struct {
	request
	path  string
	czxid int64
}

// oldest is the oldest of the requests in dir that is for the term of the queue
// node; nil where there is none. Garbage is passed over, and transfers to nodes
// that are not in the queue: names are never used twice, so they are void.
func (p place) oldest(ctx context.Context, s session, dir string, names []string, node string, q queue) (*found, error) {
	var first *found
	for _, name := range names {
		path := dir + "/" + name
		f, err := read(ctx, s, func() (*found, error) {
			data, stat, err := s.get(ctx, path)
			if err != nil {
				return nil, err
			}
			f := &found{path: path, czxid: stat.Czxid}
			if json.Unmarshal(data, &f.request) != nil || stat.EphemeralOwner == 0 {
				return nil, nil
			}
			return f, nil
		})
		switch {
		case errors.Is(err, zk.ErrNoNode), errors.Is(err, zk.ErrNoAuth):
			continue
		case err != nil:
			return nil, err
		case f == nil || f.Term != node || f.To != "" && q.index(f.To) < 0:
			continue
		case first == nil || f.czxid < first.czxid:
			first = f
		}
	}
	return first, nil
}

// ordered is the end of a term that others want: by a request that is marked, or by
// a hold.
type ordered struct {
	by, to string
	hold   *Hold
}

func (b *begun) ordered() *ordered { return &ordered{by: b.By, to: b.To} }

func (o *ordered) attrs() []slog.Attr {
	if o.hold != nil {
		return append(o.hold.heldAttrs(), slog.Bool("hold", true))
	}
	return []slog.Attr{slog.String("by", o.by), slog.String("to", o.to)}
}

// serveRequests answers requests to resign this term. What it sends is the mark
// in the record that a request is honoured: from then on the term ends. So it does
// where it finds a hold in the record. It ends with ctx.
func (c *Candidate) serveRequests(ctx context.Context, t *term) <-chan *ordered {
	marked := make(chan *ordered, 1)
	go func() {
		for ctx.Err() == nil {
			o, err := c.serve(ctx, t)
			switch {
			case o != nil:
				marked <- o
				return
			case err == nil:
			case ambiguous(err):
				if pauseAfter(ctx, t.sess) != nil {
					return
				}
			case errors.Is(err, zk.ErrNoNode):
				// Deleted by hand. With the side node went live, and the
				// checks end the term; a folder alone is made anew.
				if c.place.mend(ctx, t.sess) != nil {
					return
				}
			default:
				return
			}
		}
	}()
	return marked
}

// serve is one round: it waits for a request and tries to mark it. A mark that
// stands for this term is returned, whoever's answer was lost.
func (c *Candidate) serve(ctx context.Context, t *term) (*ordered, error) {
	p, s := c.place, t.sess
	resigns, plain, err := s.childrenW(ctx, p.requests)
	if err != nil {
		return nil, err
	}
	transfers, named, err := s.childrenW(ctx, p.transfer)
	if err != nil {
		return nil, err
	}
	// A hold comes with a request, in one multi, so that the watch tells of it even
	// where whoever made the request has gone, and it with them.
	switch rec, _, err := p.readRecord(ctx, s); {
	case err == nil && rec.names(t.name) && rec.Hold != nil:
		return &ordered{hold: rec.Hold.view()}, nil
	case err != nil && !errors.Is(err, ErrNode) && !errors.Is(err, ErrUnsafe): // garbage is not for us to mend
		return nil, err
	}
	first, err := p.oldest(ctx, s, p.requests, resigns, t.name, nil)
	if err != nil {
		return nil, err
	}
	var moved <-chan zk.EventType
	if len(transfers) > 0 {
		children, ch, err := s.childrenW(ctx, p.latch)
		if err != nil {
			return nil, err
		}
		q := newQueue(children, p.recipe.family())
		transfer, err := p.oldest(ctx, s, p.transfer, transfers, t.name, q)
		if err != nil {
			return nil, err
		}
		moved = ch
		if first == nil || transfer != nil && transfer.czxid < first.czxid {
			first = transfer
		}
		if first != nil && first.To != "" && q.index(first.To) != 1 {
			first = nil // the successor is to stand right behind us first
		}
	}
	if first != nil {
		b, err := c.mark(ctx, t, first)
		if b == nil {
			return nil, err
		}
		return b.ordered(), err
	}
	_, _, changed := s.status()
	select {
	case <-plain:
	case <-named:
	case <-moved:
	case <-changed:
		return nil, awaitConnected(ctx, s)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	return nil, nil
}

// mark writes that the request is honoured. An answer that is lost is made
// certain: the same multi is sent until a server says yes, or that it can no
// longer be executed.
func (c *Candidate) mark(ctx context.Context, t *term, f *found) (*begun, error) {
	p, s := c.place, prompt{t.sess, t.unanswered}
	b := begun{Request: f.path, By: f.By, To: f.To}
	for {
		rec, version, err := p.readRecord(ctx, s)
		if err != nil {
			return nil, err
		}
		if !rec.names(t.name) || rec.Term.Clean {
			return nil, errPlaceLost // the term is over; the loop that leads knows
		}
		if rec.Term.Begun != nil {
			return rec.Term.Begun, nil
		}
		ops := []any{check(f.path), check(t.Node), set(p.side, rec.begin(b), version)}
		if f.To != "" {
			ops = append(ops, check(p.node(f.To)))
		}
		_, err = s.multi(ctx, ops...)
		switch {
		case err == nil:
			return &b, nil
		case errors.Is(err, zk.ErrBadVersion):
		case errors.Is(err, zk.ErrNoNode):
			// Withdrawn, or the successor is gone: no later execution can
			// succeed either. An earlier one may have: then the mark stands.
			if err := p.catchUp(ctx, s); err != nil {
				return nil, err
			}
			rec, _, err := p.readRecord(ctx, s)
			if err == nil && rec.names(t.name) && rec.Term.Begun != nil {
				return rec.Term.Begun, nil
			}
			return nil, err
		case ambiguous(err):
			if err := pauseAfter(ctx, s); err != nil {
				return nil, err
			}
			if err := p.catchUp(ctx, s); err != nil {
				return nil, err
			}
		default:
			return nil, err
		}
	}
}
