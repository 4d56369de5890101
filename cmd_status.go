package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"path"
	"reflect"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"zkelect/zkelect"
	"zkelect/zkelect/cmdline"
	"zkelect/zkelect/show"
)

const statusHelp = `Shows who leads, who waits, in the order in which they would lead, and how
the last term ended. It joins nothing and changes nothing. It knows the
elections of Curator, kazoo, go-zookeeper, Hadoop and others by their nodes.

Exit code, as grep: 0 there is a leader (or what was asked holds), 1 not, 2
an error. With -q it is the whole answer, unless -o asks for an output.

Examples:
  zkelect status -s zk1,zk2,zk3 /jobs/billing
  # the leader's id alone
  leader=$(zkelect status -o id /jobs/billing)
  # inside run's CMD: is this term still the current one?
  zkelect status -q --token "$ZKELECT_FENCING_TOKEN" || exit 1
  # wait until a participant of this host leads
  zkelect status -qW --mine /jobs/billing`

// inspector is what status needs of a zkelect.Inspector.
type inspector interface {
	Inspect(ctx context.Context, path string) (*zkelect.Election, error)
	Holds(ctx context.Context, path string, cond zkelect.Condition) (bool, *zkelect.Election, error)
	Watch(ctx context.Context, path string, each func(*zkelect.Election) bool) error
	Elections(ctx context.Context, root string, each func(*zkelect.Election) error) error
	Browse(ctx context.Context, dir, prefix string) ([]zkelect.Below, error)
	Close()
}

// statusFlags are the flags of status.
type statusFlags struct {
	*settings
	output           string
	watch, recursive bool
	cond             zkelect.Condition
	timeout          time.Duration

	outputFlag, timeoutFlag *cmdline.Flag
}

func (p *program) statusCommand() *cli.Command {
	f := &statusFlags{settings: p.newSettings("warn"), output: "table", timeout: 10 * time.Second}
	outputs := []string{"table", "id", "json"}
	f.outputFlag = &cmdline.Flag{Name: "output", Short: "o", Arg: "FORMAT", Preset: "table", Set: cmdline.OneOf(&f.output, outputs, outputs),
		Usage: "table, id (the leader's id alone) or json"}
	f.timeoutFlag = &cmdline.Flag{Name: "timeout", Arg: "DURATION", Preset: "10s; none with --watch", Set: cmdline.Positive(&f.timeout),
		Usage: "the longest wait for the answer"}
	f.options = append([]*cmdline.Flag{
		f.outputFlag,
		{Name: "watch", Short: "W", Set: cmdline.Bool(&f.watch),
			Usage: "stay and print each change; with a condition, until it holds"},
		{Name: "recursive", Short: "r", Set: cmdline.Bool(&f.recursive),
			Usage: "every election at or below PATH, a line each; with a condition, those for which it holds"},
		{Name: "mine", Set: cmdline.Bool(&f.cond.Mine), Usage: "condition: a participant of this host leads"},
		{Name: "leader-is", Arg: "ID", Set: cmdline.Text(&f.cond.LeaderIs), Usage: "condition: ID leads"},
		{Name: "token", Arg: "N", Set: f.setToken, Usage: "condition: the current term's fencing token is N"},
		f.timeoutFlag,
	}, f.options...)
	return &cli.Command{
		Name: "status", Usage: "show who leads and who waits", UsageText: "zkelect status [flags] [PATH]",
		Description: statusHelp, Flags: f.flags(),
		Action: func(ctx *cli.Context) error { return p.statusAction(f, ctx.Args().Slice()) },
	}
}

func (f *statusFlags) setToken(s string) (err error) {
	if f.cond.Token, err = strconv.ParseInt(s, 10, 64); err != nil || f.cond.Token <= 0 {
		return fmt.Errorf("%q is not a fencing token; give a number from 1", s)
	}
	return nil
}

func (p *program) statusAction(f *statusFlags, args []string) error {
	err := p.parsePath(f.settings, args)
	switch {
	case err != nil:
		return err
	case f.watch && f.recursive:
		return p.usage("--watch and --recursive exclude each other; give one")
	}
	log := f.logger(p.stderr)
	cfg, err := f.config(log)
	if err != nil {
		return err
	}
	if f.recursive && f.path == "/" {
		cfg.Path = zkelect.DefaultPath // where nothing is looked for; the root itself can hold no election
	}
	// status makes nothing, so an ACL from the environment is not its concern.
	cfg.ACL = zkelect.ACLAuto
	if err := cfg.Validate(); err != nil {
		return p.usage("%s", errorText(err))
	}
	f.nameDefault(log)
	ctx := context.Background()
	if !f.watch || f.timeoutFlag.Given {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, f.timeout)
		defer cancel()
		if cfg.ConnectTimeout == 0 || cfg.ConnectTimeout > f.timeout {
			cfg.ConnectTimeout = f.timeout
		}
	}
	// Bounded by its own timeout, whose error tells of each server.
	i, err := p.open(context.Background(), cfg)
	if err != nil {
		return err
	}
	defer i.Close()
	err = p.status(ctx, f, i, log)
	switch {
	case errors.Is(err, context.DeadlineExceeded) && f.recursive:
		return fmt.Errorf("not all below %s was seen on %s within %v; give a longer --timeout", f.path, f.servers, f.timeout)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer on %s from %s within %v; check the servers, or give a longer --timeout", f.path, f.servers, f.timeout)
	}
	return err
}

func (p *program) status(ctx context.Context, f *statusFlags, i inspector, log *slog.Logger) error {
	switch {
	case f.recursive:
		return p.statusAll(ctx, f, i, log)
	case f.watch:
		return p.statusWatch(ctx, f, i, log)
	}
	var e *zkelect.Election
	var holds bool
	var err error
	if f.cond == (zkelect.Condition{}) {
		e, err = i.Inspect(ctx, f.path)
		holds = err == nil && e.Leader != nil
	} else {
		holds, e, err = i.Holds(ctx, f.path, f.cond)
	}
	switch {
	case errors.Is(err, zkelect.ErrNoElection) && f.quiet:
		return errNo
	case err != nil:
		return err
	}
	f.show(p.stdout, e, log)
	if !holds {
		return errNo
	}
	return nil
}

// statusWatch prints each change. With a condition it ends once that is proved.
func (p *program) statusWatch(ctx context.Context, f *statusFlags, i inspector, log *slog.Logger) error {
	var last *zkelect.Election
	for {
		holds, proof := false, error(nil)
		err := i.Watch(ctx, f.path, func(e *zkelect.Election) bool {
			if !reflect.DeepEqual(e, last) {
				f.show(p.stdout, e, log)
			}
			last = e
			if f.cond == (zkelect.Condition{}) {
				return true
			}
			holds, _, proof = i.Holds(ctx, f.path, f.cond)
			if errors.Is(proof, zkelect.ErrNoElection) {
				proof = nil
			}
			return !holds && proof == nil
		})
		switch {
		case holds:
			return nil
		case ctx.Err() != nil && f.cond == (zkelect.Condition{}) && last != nil && last.Leader != nil:
			return nil
		case ctx.Err() != nil:
			return errNo
		case err != nil || proof == nil:
			return err
		}
		// The watch may have no change to tell after one that could not be
		// proved: look at all of it again.
		log.Warn("cannot prove the condition; trying again", "error", proof, "path", f.path)
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}

// maxWarned is how many elections have their warnings printed by -r.
const maxWarned = 10

// statusAll prints a line for each election, as it is found.
func (p *program) statusAll(ctx context.Context, f *statusFlags, i inspector, log *slog.Logger) error {
	found, view, warned := false, 0, 0
	w := cmdline.NewColumns(p.stdout)
	if f.output == "table" && f.shows() {
		_ = w.Row("PATH", "LEADER", "SINCE", "WAITING", "RECIPE") // written with those that follow
	}
	err := i.Elections(ctx, f.path, func(e *zkelect.Election) error {
		holds := e.Leader != nil
		if f.cond != (zkelect.Condition{}) {
			if !f.cond.Fits(e.Leader) {
				return nil
			}
			var err error
			if holds, _, err = i.Holds(ctx, e.Path, f.cond); err != nil && !errors.Is(err, zkelect.ErrNoElection) {
				return err
			} else if !holds {
				return nil
			}
		}
		found = found || holds
		view++
		if len(e.Warnings) > 0 {
			if warned++; warned <= maxWarned && f.shows() {
				f.warn(e, log)
			}
		}
		return f.showLine(p.stdout, w, e)
	})
	var unread *zkelect.UnreadError
	partly := errors.As(err, &unread)
	if err == nil || partly || view > 0 {
		err = cmp.Or(w.Flush(), err)
	}
	if warned > maxWarned && f.shows() {
		log.Warn("more elections have warnings, which -o json shows", "elections", warned-maxWarned)
	}
	switch {
	case partly && found && p.stdout.Err == nil:
		log.Warn(unread.Error())
		return nil
	case err == nil && !found:
		return errNo
	}
	return err
}

// showLine prints one election of many.
func (f *statusFlags) showLine(to io.Writer, w *cmdline.Columns, e *zkelect.Election) error {
	switch {
	case !f.shows():
	case f.output == "json":
		return cmdline.WriteJSON(to, show.ElectionJSON(e))
	case f.output == "id" && e.Leader != nil:
		return w.Row(cmdline.Printable(e.Path), cmdline.Printable(e.Leader.ID))
	case f.output == "table":
		id, since, waiting := "-", "-", len(e.Participants)
		if e.Leader != nil {
			id, since, waiting = who(e.Leader.ID), age(e.Leader.Since), waiting-1
		}
		if e.Hold != nil && !e.Hold.Over(time.Now()) {
			id += " (held)"
		}
		return w.Row(cmdline.Printable(e.Path), id, since, strconv.Itoa(waiting), cmdline.Printable(e.Recipe))
	}
	return nil
}

// shows tells whether the answer is printed. Under -q the exit code is the
// answer, as grep's, unless an output is asked for.
func (f *statusFlags) shows() bool { return !f.quiet || f.outputFlag.Given }

// show prints an election in the form that was asked for.
func (f *statusFlags) show(w io.Writer, e *zkelect.Election, log *slog.Logger) {
	f.warn(e, log)
	switch {
	case !f.shows():
	case f.output == "json":
		_ = cmdline.WriteJSON(w, show.ElectionJSON(e))
	case f.output == "table":
		writeTable(w, e, cmdline.EmphasisOn(w, f.getenv))
		if f.watch {
			fmt.Fprintln(w)
		}
	case e.Leader != nil:
		fmt.Fprintln(w, cmdline.Printable(e.Leader.ID))
	case f.watch: // an empty line where nobody leads any more
		fmt.Fprintln(w)
	}
}

// warn prints the warnings of an election.
func (f *statusFlags) warn(e *zkelect.Election, log *slog.Logger) {
	for _, warning := range e.Warnings {
		log.Warn(warning, "path", e.Path)
	}
}

// who is an id for people. Programs of Curator's lock family write none, or their
// host's address, unless they are given one.
func who(id string) string {
	if id == "" {
		return "(no id)"
	}
	if _, err := netip.ParseAddr(id); err == nil {
		return cmdline.Printable(id) + " (address)"
	}
	return cmdline.Printable(id)
}

// writeTable is an election for people, in bold who leads.
func writeTable(to io.Writer, e *zkelect.Election, shown cmdline.Emphasis) {
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	defer w.Flush()
	recipe := cmdline.Printable(e.Recipe)
	if e.Program != "" {
		recipe += ": " + e.Program
	}
	fmt.Fprintf(w, "ELECTION\t%s (%s)\n", cmdline.Printable(e.Path), recipe)
	if l := e.Leader; l != nil {
		fmt.Fprintf(w, "LEADER\t%s\n", shown.Row(true, who(l.ID)))
		if l.Host != "" {
			fmt.Fprintf(w, "HOST\t%s\n", cmdline.Printable(l.Host))
		}
		if l.PID != 0 {
			fmt.Fprintf(w, "PID\t%d\n", l.PID)
		}
		fmt.Fprintf(w, "SINCE\t%s (%s)\n", show.Clock(l.Since), age(l.Since))
		if l.FencingToken != 0 {
			fmt.Fprintf(w, "TOKEN\t%d\n", l.FencingToken)
		}
		if !l.Persistent {
			fmt.Fprintf(w, "SESSION\t%s\n", cmdline.Printable(l.Session))
		}
	} else {
		fmt.Fprintln(w, "LEADER\tnone")
	}
	if e.Hold != nil {
		fmt.Fprintf(w, "HELD\t%s\n", show.Hold(e.Hold, time.Now()))
	}
	if e.Last != nil {
		fmt.Fprintf(w, "LAST\t%s\n", lastTerm(e.Last))
	}
	for _, line := range show.RunsTable(e.Runs) {
		fmt.Fprintf(w, "%s\t%s\n", line[0], line[1])
	}
	for _, u := range e.Unclean {
		fmt.Fprintf(w, "UNCLEAN\t%s\n", uncleanTerm(u))
	}
	if len(e.Participants) > 0 {
		w.Flush() // the columns below have other widths
		fmt.Fprintln(w, "\n"+shown.Row(false, "#\tID\tSTATE\tFOR"))
	}
	for n, x := range e.Participants {
		state := "waits"
		if x.Leader {
			state = "leads"
		}
		if x.Persistent {
			state += ", not ephemeral"
		}
		fmt.Fprintln(w, shown.Row(x.Leader, fmt.Sprintf("%d\t%s\t%s\t%s", n+1, who(x.ID), state, age(x.Since))))
	}
}

// lastTerm is who led last, how that ended, and when.
func lastTerm(l *zkelect.LastTerm) string {
	s := cmdline.Printable(l.ID) + ", " + cmdline.Printable(string(l.Cause))
	if l.ExitCode != nil {
		s += fmt.Sprintf(" with code %d", *l.ExitCode)
	}
	if l.Until != nil {
		s += " " + show.Clock(*l.Until)
		if l.Since != nil {
			s += " after " + cmdline.Span(l.Until.Sub(*l.Since))
		}
	}
	return s
}

// uncleanTerm is who led and came to no clean end.
func uncleanTerm(u zkelect.UncleanTerm) string {
	lease := time.Duration(u.Lease) * time.Millisecond
	s := fmt.Sprintf("%s (%s), lease %s", cmdline.Printable(u.ID), cmdline.Printable(path.Base(u.Node)), cmdline.Span(lease))
	if u.Since != nil {
		s += ", led since " + show.Clock(*u.Since)
	}
	return s
}

// age is the time since t, which is by the servers' clock: ours may be behind.
func age(t time.Time) string { return cmdline.Span(max(0, time.Since(t))) }
