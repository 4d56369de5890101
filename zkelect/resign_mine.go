package zkelect

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// drainAtOnce is how many elections are resigned at a time: each waits for a command
// to end.
const drainAtOnce = 8

// Drained is what became of one of the elections that ResignMine found.
type Drained struct {
	Path string
	Old  string    // who led it
	Done *Resigned // nil where that failed
	Err  error
	// Stays tells that another participant of this host leads it now.
	Stays bool
}

// ResignMine resigns every election that a participant of this host leads: the one at
// cfg.Path, or, with below, all at or below that, which may be the root. Each is
// resigned as Resign does it, with the same limits, so another may lead next, of this
// host too. each is called as they are done, one at a time, in no order.
//
// It looks once. An election that such a participant comes to lead later is left
// alone, and so is one whose leader has changed until it is asked. The error is
// ErrNoLeader where nothing was found to resign, and an *UnreadError where not
// everything could be looked at.
func ResignMine(ctx context.Context, cfg ResignConfig, below bool, each func(Drained)) error {
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultResignTimeout
	}
	cfg.setDefaults()
	checked := cfg
	if below && cfg.Path == "/" {
		checked.Path = DefaultPath // the root itself can hold no election
	}
	if err := checked.validate(); err != nil {
		return err
	}
	if cfg.ID != "" || cfg.To != "" || cfg.Unhold {
		return fmt.Errorf("%w: an id, a successor and the end of a hold are for one election", ErrConfig)
	}
	cfg.Observer = serial(cfg.Observer)
	mine, err := cfg.mine(ctx, below)
	var unread *UnreadError
	if err != nil && !errors.As(err, &unread) {
		return err
	}
	if len(mine) == 0 && err == nil {
		where := "nothing at "
		if below {
			where = "nothing at or below "
		}
		return fmt.Errorf("%w: %s leads %s%s", ErrNoLeader, hostname(), where, cfg.Path)
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	slots := make(chan struct{}, drainAtOnce)
	for _, p := range mine {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			one := cfg
			one.Path, one.leads = p.path, p.leader.Node
			d := Drained{Path: p.path, Old: p.leader.ID}
			d.Done, d.Err = Resign(ctx, one)
			if errors.Is(d.Err, ErrNoLeader) || errors.Is(d.Err, ErrNoElection) {
				return // it is not ours any more
			}
			d.Stays = d.Done != nil && (Condition{Mine: true}).Fits(d.Done.next)
			mu.Lock()
			defer mu.Unlock()
			each(d)
		})
	}
	wg.Wait()
	return err
}

// led is an election with its leader.
type led struct {
	path   string
	leader Participant
}

// mine are the elections that a participant of this host leads.
func (c *ResignConfig) mine(ctx context.Context, below bool) (mine []led, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.Timeout, fmt.Errorf("not all below %s was seen within %v; give a longer --timeout", c.Path, c.Timeout))
	defer cancel()
	i, err := Open(ctx, c.Config)
	if err != nil {
		return nil, err
	}
	defer i.Close()
	see := func(e *Election) error {
		if (Condition{Mine: true}).Fits(e.Leader) {
			mine = append(mine, led{e.Path, *e.Leader})
		}
		return nil
	}
	if below {
		return mine, i.Elections(ctx, c.Path, see)
	}
	e, err := i.Inspect(ctx, c.Path)
	if err == nil {
		err = see(e)
	}
	return mine, err
}
