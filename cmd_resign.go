package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"zkelect/zkelect"
	"zkelect/zkelect/cmdline"
	"zkelect/zkelect/show"
)

const resignHelp = `Makes the leader stop its command, release, and let the next one lead; waits
until that has happened; prints the old leader, the new one and how long it
took.

With --hold nobody leads afterwards: who waits keeps its place, whoever
comes queues, and CMD is not started until --unhold, or the time is over.
So a job is stopped on all hosts, or kept from starting where none runs.
With --mine -r a host is drained: others lead what it has led.

Exit code: 0 done; 1 there was no leader, or not that one, or no hold; 2 an
error, or refused; 124 time-out, with the word withdrawn (nothing happened),
begun (the leader is stopping) or unknown. With --mine the highest of them.

Examples:
  zkelect resign -s zk1,zk2,zk3 /jobs/billing
  # let a certain waiter lead next
  zkelect resign --to web2:888 /jobs/billing
  # only if that one still leads
  zkelect resign --id web1:4121 /jobs/billing
  # nobody runs it while the database is down, at most two hours
  zkelect resign --hold 2h --reason 'database upgrade' /jobs/billing
  zkelect resign --unhold /jobs/billing
  # before this host goes down
  zkelect resign --mine -r /jobs`

// resignFlags are the flags of resign.
type resignFlags struct {
	*settings
	cfg             zkelect.ResignConfig
	hold            zkelect.HoldConfig
	mine, recursive bool
	output          string

	holdFlag, reasonFlag, outputFlag *cmdline.Flag
}

func (p *program) resignCommand() *cli.Command {
	f := &resignFlags{settings: p.newSettings("warn"), output: "table"}
	f.cfg.Timeout = zkelect.DefaultResignTimeout
	outputs := []string{"table", "json"}
	f.outputFlag = &cmdline.Flag{Name: "output", Short: "o", Arg: "FORMAT", Preset: "table", Set: cmdline.OneOf(&f.output, outputs, outputs),
		Usage: "table or json"}
	f.holdFlag = &cmdline.Flag{Name: "hold", Arg: "DURATION", Set: f.setHold, Words: []string{"forever"},
		Usage: "nobody leads afterwards until --unhold or for this long; forever: until --unhold. Also where nobody leads"}
	f.reasonFlag = &cmdline.Flag{Name: "reason", Arg: "TEXT", Set: cmdline.Text(&f.hold.Reason), Usage: "with --hold: why, for status and the logs of those who wait"}
	f.options = append([]*cmdline.Flag{
		{Name: "to", Arg: "ID", Set: cmdline.Text(&f.cfg.To), Usage: "the waiter that leads next: its id or its node's name"},
		{Name: "id", Arg: "ID", Set: cmdline.Text(&f.cfg.ID), Usage: "only if ID is the leader now"},
		{Name: "timeout", Arg: "DURATION", Preset: "30s", Set: cmdline.Positive(&f.cfg.Timeout), Usage: "the longest wait for it to have happened"},
		{Name: "force", Set: cmdline.Bool(&f.cfg.Force), Usage: "delete the queue node of a leader that cannot cooperate"},
		{Name: "no-successor", Set: cmdline.Bool(&f.cfg.NoSuccessor), Usage: "also where nobody waits"},
		f.holdFlag, f.reasonFlag,
		{Name: "unhold", Set: cmdline.Bool(&f.cfg.Unhold), Usage: "remove the hold, whoever made it"},
		{Name: "mine", Set: cmdline.Bool(&f.mine), Usage: "only if a participant of this host leads; with -r, every election that one leads"},
		{Name: "recursive", Short: "r", Set: cmdline.Bool(&f.recursive), Usage: "with --mine: at or below PATH"},
		f.outputFlag,
	}, f.options...)
	return &cli.Command{
		Name: "resign", Usage: "move leadership by hand", UsageText: "zkelect resign [flags] [PATH]",
		Description: resignHelp, Flags: f.flags(),
		Action: func(ctx *cli.Context) error { return p.resignAction(f, ctx.Args().Slice()) },
	}
}

func (f *resignFlags) setHold(s string) error {
	if s == "forever" {
		f.hold.For = 0
		return nil
	}
	return cmdline.Positive(&f.hold.For)(s)
}

// together refuses flags that say nothing together.
func (p *program) together(f *resignFlags) error {
	switch {
	case f.cfg.Force && f.cfg.To != "":
		return p.usage("--force and --to exclude each other: a deleted node hands over to nobody; give one")
	case f.cfg.Hold != nil && f.cfg.To != "":
		return p.usage("--hold and --to exclude each other: nobody leads an election that is held; give one")
	case f.reasonFlag.Given && f.cfg.Hold == nil:
		return p.usage("--reason is why an election is held; give --hold too")
	case f.cfg.Unhold && (f.cfg.Hold != nil || f.cfg.To != "" || f.cfg.ID != "" || f.cfg.Force || f.cfg.NoSuccessor || f.mine):
		return p.usage("--unhold ends a hold and no term; leave out the other flags")
	case f.recursive && !f.mine:
		return p.usage("--recursive is for --mine alone; give that too")
	case f.mine && (f.cfg.To != "" || f.cfg.ID != ""):
		return p.usage("--mine excludes --to and --id, which are about one participant; leave them out")
	}
	return nil
}

func (p *program) resignAction(f *resignFlags, args []string) error {
	err := p.parsePath(f.settings, args)
	if err != nil {
		return err
	}
	if f.holdFlag.Given {
		f.cfg.Hold = &f.hold
	}
	if err := p.together(f); err != nil {
		return err
	}
	log := f.logger(p.stderr)
	if f.cfg.Config, err = f.config(log); err != nil {
		return err
	}
	checked := f.cfg.Config
	if f.recursive && f.path == "/" {
		checked.Path = zkelect.DefaultPath // the root itself can hold no election
	}
	if err := checked.Validate(); err != nil {
		return p.usage("%s", errorText(err))
	}
	f.nameDefault(log)

	// A resigner that a signal ends withdraws its request first: the leader
	// would else find it until our session is over.
	ctx, stop := context.WithCancelCause(context.Background())
	defer stop(nil)
	signals := catchSignals(syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(signals)
	go func() {
		select {
		case s := <-signals:
			stop(&interrupted{s.(syscall.Signal)})
		case <-ctx.Done():
		}
	}()

	if f.mine {
		return p.drain(ctx, f, log)
	}
	done, err := p.resign(ctx, f.cfg)
	if done != nil && f.shows() {
		if err := p.showResigned(f.output, done, nil); err != nil {
			return err
		}
	}
	return resignError(ctx, err)
}

// shows tells whether what was done is printed.
func (f *resignFlags) shows() bool { return !f.quiet || f.outputFlag.Given }

// resignError puts the words for what became of a request that was given up.
func resignError(ctx context.Context, err error) error {
	var late *zkelect.ResignTimeout
	var sig *interrupted
	switch {
	case err == nil, errors.As(err, &sig):
		return err
	case errors.As(context.Cause(ctx), &sig) && errors.As(err, &late):
		return fmt.Errorf("%w; the request is %s", sig, late.State)
	case errors.As(context.Cause(ctx), &sig):
		return fmt.Errorf("%w: %s", sig, errorText(err))
	case errors.As(err, &late) && strings.Contains(late.Text, string(late.State)):
		return fmt.Errorf("%w: %s", errTimeout, late.Text)
	case errors.As(err, &late):
		return fmt.Errorf("%w: %s: %s", errTimeout, late.State, late.Text)
	}
	return err
}

// drain resigns what this host leads. Its exit code is the highest of theirs.
func (p *program) drain(ctx context.Context, f *resignFlags, log *slog.Logger) error {
	var worst, wrote error
	failed, all := 0, 0
	err := p.resignMine(ctx, f.cfg, f.recursive, func(d zkelect.Drained) {
		all++
		d.Err = resignError(ctx, d.Err)
		switch {
		case d.Err != nil:
			failed++
			if worst == nil || exitCode(p.command, d.Err) > exitCode(p.command, worst) {
				worst = d.Err
			}
			if f.recursive { // else it is said in the end
				log.Error("not resigned", "error", errorText(d.Err), "path", d.Path)
			}
		case d.Stays:
			log.Warn("another participant of this host leads now", "leader", *d.Done.New, "path", d.Path)
		}
		switch {
		case wrote != nil || !f.shows():
		case d.Err == nil:
			wrote = p.showResigned(f.output, d.Done, nil)
		case f.output == "json":
			wrote = p.showResigned(f.output, &zkelect.Resigned{Path: d.Path, Old: &d.Old, Forced: f.cfg.Force}, d.Err)
		}
	})
	switch {
	case wrote != nil:
		return wrote
	case failed > 0 && f.recursive:
		if err != nil { // not all could be seen
			log.Error(errorText(err), "path", f.path)
		}
		return &partly{failed, all, worst}
	case failed > 0:
		return worst
	}
	return resignError(ctx, err)
}

// partly is the end of a drain after errors that have been told; worst gives the code.
type partly struct {
	failed, all int
	worst       error
}

func (e *partly) Error() string {
	return fmt.Sprintf("%d of %d elections were not resigned", e.failed, e.all)
}
func (e *partly) Unwrap() error { return e.worst }

// resignedView is what was done in JSON. Where it was not, error says why.
type resignedView struct {
	*zkelect.Resigned
	Seconds float64        `json:"seconds"`
	Hold    *show.HoldView `json:"hold,omitempty"`
	Unheld  *show.HoldView `json:"unheld,omitempty"`
	Error   string         `json:"error,omitempty"`
}

// showResigned prints what was done.
func (p *program) showResigned(output string, r *zkelect.Resigned, failed error) error {
	if output == "json" {
		view := resignedView{Resigned: r, Seconds: math.Round(r.Seconds*1000) / 1000, Hold: show.HoldJSON(r.Hold), Unheld: show.HoldJSON(r.Unheld)}
		if failed != nil {
			view.Error = errorText(failed)
		}
		return cmdline.WriteJSON(p.stdout, view)
	}
	path, more := cmdline.Printable(r.Path), ""
	if r.Unheld != nil {
		_, err := fmt.Fprintf(p.stdout, "%s  was held %s\n", path, show.Hold(r.Unheld, time.Now()))
		return err
	}
	if r.Forced {
		more = " (forced)"
	}
	if r.Hold != nil {
		more += "  held " + show.HeldUntil(r.Hold, time.Now())
	}
	_, err := fmt.Fprintf(p.stdout, "%s  %s -> %s  %.3fs%s\n", path, orNobody(r.Old), orNobody(r.New), r.Seconds, more)
	return err
}

func orNobody(id *string) string {
	if id == nil {
		return "nobody"
	}
	return cmp.Or(cmdline.Printable(*id), "(no id)")
}
