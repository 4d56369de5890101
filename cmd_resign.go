package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os/signal"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"zkelect/zkelect"
	"zkelect/zkelect/cmdline"
)

const resignHelp = `Makes the leader stop its command, release, and let the next one lead; waits
until that has happened; prints the old leader, the new one and how long it
took.

Exit code: 0 done; 1 there was no leader, or not that one; 2 an error, or
refused; 124 time-out, with the word withdrawn (nothing happened), begun (the
leader is stopping) or unknown.

Examples:
  zkelect resign -s zk1,zk2,zk3 /jobs/billing
  # let a certain waiter lead next
  zkelect resign --to web2:888 /jobs/billing
  # only if that one still leads
  zkelect resign --id web1:4121 /jobs/billing`

// resignFlags are the flags of resign.
type resignFlags struct {
	*settings
	cfg        zkelect.ResignConfig
	output     string
	outputFlag *cmdline.Flag
}

func (p *program) resignCommand() *cli.Command {
	f := &resignFlags{settings: p.newSettings("warn"), output: "table"}
	f.cfg.Timeout = zkelect.DefaultResignTimeout
	outputs := []string{"table", "json"}
	f.outputFlag = &cmdline.Flag{Name: "output", Short: "o", Arg: "FORMAT", Preset: "table", Set: cmdline.OneOf(&f.output, outputs, outputs),
		Usage: "table or json"}
	f.options = append([]*cmdline.Flag{
		{Name: "to", Arg: "ID", Set: cmdline.Text(&f.cfg.To), Usage: "the waiter that leads next: its id or its node's name"},
		{Name: "id", Arg: "ID", Set: cmdline.Text(&f.cfg.ID), Usage: "only if ID is the leader now"},
		{Name: "timeout", Arg: "DURATION", Preset: "30s", Set: cmdline.Positive(&f.cfg.Timeout), Usage: "the longest wait for it to have happened"},
		{Name: "force", Set: cmdline.Bool(&f.cfg.Force), Usage: "delete the queue node of a leader that cannot cooperate"},
		{Name: "no-successor", Set: cmdline.Bool(&f.cfg.NoSuccessor), Usage: "also where nobody waits"},
		f.outputFlag,
	}, f.options...)
	return &cli.Command{
		Name: "resign", Usage: "move leadership by hand", UsageText: "zkelect resign [flags] [PATH]",
		Description: resignHelp, Flags: f.flags(),
		Action: func(ctx *cli.Context) error { return p.resignAction(f, ctx.Args().Slice()) },
	}
}

func (p *program) resignAction(f *resignFlags, args []string) error {
	err := p.parsePath(f.settings, args)
	switch {
	case err != nil:
		return err
	case f.cfg.Force && f.cfg.To != "":
		return p.usage("--force and --to exclude each other: a deleted node hands over to nobody; give one")
	}
	log := f.logger(p.stderr)
	if f.cfg.Config, err = f.config(log); err != nil {
		return err
	}
	if err := f.cfg.Validate(); err != nil {
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

	done, err := p.resign(ctx, f.cfg)
	if done != nil && (!f.quiet || f.outputFlag.Given) {
		if err := p.showResigned(f.output, done); err != nil {
			return err
		}
	}
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

// showResigned prints what was done.
func (p *program) showResigned(output string, r *zkelect.Resigned) error {
	if output == "json" {
		rounded := *r
		rounded.Seconds = math.Round(r.Seconds*1000) / 1000
		return cmdline.WriteJSON(p.stdout, rounded)
	}
	forced := ""
	if r.Forced {
		forced = " (forced)"
	}
	_, err := fmt.Fprintf(p.stdout, "%s  %s -> %s  %.3fs%s\n", cmdline.Printable(r.Path), orNobody(r.Old), orNobody(r.New), r.Seconds, forced)
	return err
}

func orNobody(id *string) string {
	if id == nil {
		return "nobody"
	}
	return cmp.Or(cmdline.Printable(*id), "(no id)")
}
