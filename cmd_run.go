package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"zkelect/zkelect"
	"zkelect/zkelect/cmdline"
	"zkelect/zkelect/notify"
	"zkelect/zkelect/resident"
	"zkelect/zkelect/role"
	"zkelect/zkelect/serve"
	"zkelect/zkelect/show"
)

const runHelp = `Contends in the election at --path, waits, runs CMD while it leads, stops CMD
when leadership ends, and only then lets the next one lead. CMD gets
ZKELECT_FENCING_TOKEN and others in its environment.

Exit code: CMD's own; 128+n if signal n killed it; 121 resigned on request;
122 leadership lost and CMD stopped; 123 the fence command failed; 124 (or
-E) someone else leads; 125 zkelect failed; 126 CMD cannot be executed; 127
CMD not found. The last log line says which: cause=exited, signalled,
stopped, resigned, lost, fence-failed, skipped, not-leader or error. Skipped
exits with 0: CMD ran lately (--skip-if-run-within) and was not started.

Examples:
  # a daemon on several hosts, one of which runs it
  zkelect run -s zk1,zk2,zk3 -p /jobs/billing -- billingd --port 8080
  # the same cron entry on several hosts
  zkelect run -s zk1 -p /jobs/backup -nqE0 --skip-if-run-within 12h -- backup
  # lead again after leadership was lost or resigned
  zkelect run -s zk1,zk2,zk3 -p /jobs/billing --requeue lost -- billingd`

// runFlags are the flags of run.
type runFlags struct {
	*settings
	cfg      zkelect.RunConfig
	wait     *cmdline.Flag
	within   *cmdline.Flag
	after    *cmdline.Flag
	conflict int
	listen   string
	dryRun   bool
	begun    *time.Timer // see beFrugal
}

// runEnd is how a run ended that got past its flags.
type runEnd struct {
	zkelect.Outcome
	conflict int
	err      error
}

func (e *runEnd) Error() string { return string(e.Cause) }
func (e *runEnd) Unwrap() error { return e.err }

func (p *program) runCommand() *cli.Command {
	f := &runFlags{settings: p.newSettings("info"), conflict: exitTimeout}
	f.cfg.StopTimeout, f.cfg.RequeueDelay = zkelect.DefaultStopTimeout, zkelect.DefaultRequeueDelay
	f.wait = &cmdline.Flag{Name: "wait", Short: "w", Arg: "DURATION", Preset: "for ever", Set: cmdline.Duration(&f.cfg.Wait),
		Usage: "wait at most this long for leadership, connecting included; 0 is --nonblock. With --requeue the limit is for each term"}
	f.within = &cmdline.Flag{Name: "skip-if-run-within", Arg: "DURATION", Preset: "off", Set: cmdline.Positive(&f.cfg.SkipIfRunWithin),
		Usage: "for one cron entry on many hosts: where CMD's last successful run began later than this one joined the queue, less DURATION, exit 0 without another"}
	f.after = &cmdline.Flag{Name: "skip-after", Arg: "WHICH", Preset: "success", Usage: "the runs that --skip-if-run-within counts: success (CMD ended by itself with code 0) or any",
		Set: cmdline.OneOf(&f.cfg.SkipAfter, []string{"success", "any"}, []zkelect.SkipAfter{zkelect.SkipAfterSuccess, zkelect.SkipAfterAny})}
	f.options = append([]*cmdline.Flag{
		{Name: "id", Arg: "ID", Preset: "HOST:PID", Set: cmdline.Text(&f.cfg.ID),
			Usage: "this participant's name, as status shows it"},
		{Name: "nonblock", Short: "n", Set: cmdline.Bool(&f.cfg.NoWait),
			Usage: "do not wait: if someone else leads, exit with the conflict code"},
		f.wait,
		{Name: "conflict-exit-code", Short: "E", Arg: "N", Preset: "124", Set: f.setConflict,
			Usage: "the exit code, 0 to 255, where someone else leads"},
		f.within, f.after,
		{Name: "requeue", Arg: "WHEN", Preset: "never", Usage: "contend again: never, lost (after leadership was lost or resigned) or always (also after CMD ended by itself)",
			Set: cmdline.OneOf(&f.cfg.Requeue, []string{"never", "lost", "always"}, []zkelect.Requeue{zkelect.RequeueNever, zkelect.RequeueLost, zkelect.RequeueAlways})},
		{Name: "requeue-delay", Arg: "DURATION", Preset: "1s", Set: cmdline.Positive(&f.cfg.RequeueDelay),
			Usage: "with --requeue always, the pause after CMD failed, doubling to 30s"},
		{Name: "stop-signal", Arg: "SIGNAL", Preset: "TERM", Set: cmdline.Signal(&f.cfg.StopSignal),
			Usage: "the first signal of a stop, a name or a number"},
		{Name: "stop-timeout", Arg: "DURATION", Preset: "5s", Set: cmdline.Duration(&f.cfg.StopTimeout),
			Usage: "then KILL for all of CMD's processes; never later than the lease allows"},
		{Name: "on-suspend", Arg: "WHAT", Preset: "continue", Usage: "while the connection is lost and the session may be alive: continue (until the lease demands the stop), freeze CMD (until the session is known to live) or kill it at once",
			Set: cmdline.OneOf(&f.cfg.OnSuspend, []string{"continue", "freeze", "kill"}, []zkelect.OnSuspend{zkelect.SuspendContinue, zkelect.SuspendFreeze, zkelect.SuspendKill})},
		{Name: "takeover-delay", Arg: "DURATION", Preset: "0s", Set: f.setTakeoverDelay, Words: []string{"auto"},
			Usage: "where a previous leader did not end cleanly, or none is known, wait this long, or its lease where that is longer, before CMD starts; auto is its lease alone"},
		{Name: "fence", Arg: "CMD", Set: cmdline.Text(&f.cfg.FenceCommand),
			Usage: "run by sh -c before CMD starts, once for each previous leader that did not end cleanly, which ZKELECT_PREVIOUS_ID, _HOST, _PID, _NODE, _TOKEN and _SINCE describe; if it fails CMD is not started"},
		{Name: "tick-time", Arg: "DURATION", Preset: "auto", Set: f.setTickTime, Words: []string{"auto"},
			Usage: "the ensemble's tickTime, for the lease's margin"},
		{Name: "isolate", Arg: "HOW", Preset: "auto", Usage: "what holds CMD's processes together: auto, pidns, cgroup or none",
			Set: cmdline.OneOf(&f.cfg.Isolate, []string{"auto", "pidns", "cgroup", "none"}, []zkelect.Isolation{zkelect.IsolateAuto, zkelect.IsolatePIDNS, zkelect.IsolateCgroup, zkelect.IsolateNone})},
		{Name: "listen", Arg: "ADDR", Preset: "off", Set: cmdline.Address(&f.listen),
			Usage: "answer HTTP at HOST:PORT: /leader (200 while leading, else 503), /healthz, /status and /metrics"},
		{Name: "dry-run", Set: cmdline.Bool(&f.dryRun),
			Usage: "connect and show what would be done; join and change nothing. The exit code is 0 where CMD would run, now or in its turn, else that of a run"},
	}, f.options...)
	return &cli.Command{
		Name: "run", Usage: "run a command while leading", UsageText: "zkelect run [flags] -- CMD [ARG...]",
		Description: runHelp, Flags: f.flags(),
		Action: func(ctx *cli.Context) error { return p.runAction(f, ctx.Args().Slice()) },
	}
}

func (f *runFlags) setConflict(s string) error {
	n, err := strconv.ParseUint(s, 10, 8)
	if err != nil {
		return fmt.Errorf("%q is not an exit code; give 0 to 255", s)
	}
	f.conflict = int(n)
	return nil
}

func (f *runFlags) setTickTime(s string) error {
	if s == "auto" {
		f.cfg.TickTime = 0
		return nil
	}
	return cmdline.Positive(&f.cfg.TickTime)(s)
}

func (f *runFlags) setTakeoverDelay(s string) error {
	if s == "auto" {
		f.cfg.TakeoverDelay = zkelect.TakeoverAuto
		return nil
	}
	return cmdline.Duration(&f.cfg.TakeoverDelay)(s)
}

func (p *program) runAction(f *runFlags, args []string) error {
	command, err := p.parse(f.settings, args, false)
	switch {
	case err != nil:
		return err
	case f.cfg.NoWait && f.wait.Given:
		return p.usage("--nonblock and --wait exclude each other; give one")
	case f.after.Given && !f.within.Given:
		return p.usage("--skip-after says which runs --skip-if-run-within counts; give that too")
	case len(command) == 0:
		return p.usage("no command to run; give one after the flags: zkelect run [flags] -- CMD")
	}
	if p.alone {
		f.beFrugal()
	}
	f.cfg.NoWait = f.cfg.NoWait || f.wait.Given && f.cfg.Wait == 0
	f.cfg.Command = command

	// A reader of our log that is gone must not end us while the child lives:
	// Go's runtime dies of SIGPIPE on standard error unless it is caught, and
	// an ignored one the child would inherit.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	stderr := p.stderr
	if file, ok := stderr.(*os.File); ok {
		stderr = zkelect.LogFile(file)
	}
	w := cmdline.NewLogWriter(stderr)
	defer w.Close()
	log := f.logger(w)

	outcome := zkelect.Outcome{Cause: zkelect.CauseError}
	if f.cfg.Config, err = f.config(log); err == nil {
		if err := f.cfg.Validate(); err != nil {
			return p.usage("%s", errorText(err))
		}
		f.nameDefault(log)
		err = p.refuseNested(f.cfg.Config)
	}
	switch {
	case err != nil:
	case f.dryRun:
		var plan *zkelect.Plan
		if plan, err = p.plan(context.Background(), f.cfg); err == nil {
			return f.showPlan(p.stdout, plan, log)
		}
		if errors.Is(err, zkelect.ErrNotLeader) {
			outcome.Cause = zkelect.CauseNotLeader
		}
	default:
		f.cfg.Settings = f.environment(f.cfg.Config)
		// Not TSTP: while only waiting, Ctrl-Z may suspend us as any program.
		f.cfg.Signals = catchSignals(syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT,
			syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH, syscall.SIGCONT)
		var listeners []listener
		if f.listen != "" {
			var board *serve.Board
			var server *serve.Server
			if board, server, err = f.serve(log, p.app.Version); err != nil {
				break
			}
			defer server.Close()
			listeners = append(listeners, board.Observe)
		}
		systemd := notify.New(notify.Options{Log: log, StopTimeout: f.cfg.StopTimeout})
		f.cfg.Pulse = systemd.Pulse()
		f.cfg.Observer = following(f.cfg.Observer, append(listeners, systemd.Observe, new(resident.Keeper).Observe))
		outcome, err = p.run(context.Background(), f.cfg)
		systemd.Close("ended: " + string(outcome.Cause))
	}
	end := &runEnd{Outcome: outcome, conflict: f.conflict, err: err}
	f.logEnd(w, end)
	return end
}

// beginning is how long a run starts for, with room.
const beginning = 3 * time.Second

// beFrugal has Go's runtime do no more than a run is worth, where the environment
// doesn't say otherwise. What mostly waits needs one processor: more are threads that
// wake each other, and memory. The start of the guard holds it for a millisecond, when
// this process leads nothing.
func (f *runFlags) beFrugal() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(1)
	}
	if os.Getenv("GOGC") == "" {
		// The client library's buffers, of which little is ever used, would have the start
		// collect garbage. It is done when nobody waits for it: a waiter leaves so little
		// that else the first time would come with its term.
		debug.SetGCPercent(150)
		f.begun = time.AfterFunc(beginning, func() {
			debug.SetGCPercent(100)
			debug.FreeOSMemory()
		})
	}
}

// polled is called when somebody asks at --listen. Who does so all day leaves garbage all
// day: collected from 2 MB on, not 4.
func (f *runFlags) polled() {
	if f.begun != nil {
		f.begun.Stop()
		debug.SetGCPercent(50)
	}
}

// serve answers at --listen what is known of the run. The address is taken before
// anybody is disturbed.
func (f *runFlags) serve(log *slog.Logger, version string) (*serve.Board, *serve.Server, error) {
	server, err := serve.Listen(f.listen)
	if err != nil {
		return nil, nil, fmt.Errorf("--listen: %w", err)
	}
	board := serve.NewBoard(f.cfg.Config, version)
	f.cfg.Candidate = board.Contends
	log.Info("listening", "address", server.Address(), "path", f.path)
	first := sync.OnceFunc(f.polled)
	server.Serve(log, func(path string) *serve.Page {
		first()
		return board.Page(path)
	})
	return board, server, nil
}

// listener hears of an event and of the place that it left the candidate in.
type listener func(zkelect.Event, role.State)

// following is an observer with listeners, who hear of an event before it does.
func following(observer func(zkelect.Event), listeners []listener) func(zkelect.Event) {
	var follower role.Follower
	return func(e zkelect.Event) {
		follower.Observe(e, time.Now())
		for _, listen := range listeners {
			listen(e, follower.State())
		}
		observer(e)
	}
}

// catchSignals has HUP and others sent to a channel. A HUP that is ignored when
// we start stays so: that is what nohup does.
func catchSignals(others ...os.Signal) chan os.Signal {
	if !signal.Ignored(syscall.SIGHUP) {
		others = append(others, syscall.SIGHUP)
	}
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, others...)
	return signals
}

// refuseNested refuses what would wait for ever: a run below a zkelect that
// leads the same election and lives until we have ended.
func (p *program) refuseNested(cfg zkelect.Config) error {
	node := p.getenv("ZKELECT_NODE")
	if node == "" {
		return nil
	}
	ours, err := zkelect.ParseConnectString(cfg.Servers)
	if err != nil {
		return err
	}
	above, err := zkelect.ParseConnectString(cmp.Or(p.getenv("ZKELECT_SERVERS"), zkelect.DefaultServers))
	if err != nil {
		return err
	}
	// Either may name only some servers of the ensemble.
	shared := slices.ContainsFunc(ours.Servers, func(s string) bool { return slices.Contains(above.Servers, s) })
	is := func(path string) bool { return ours.Chroot+cfg.Path == above.Chroot+path }
	if !shared || !is(path.Dir(node)) && !is(node) { // with recipe plain the node is the path
		return nil
	}
	return fmt.Errorf("this run is inside one that leads %s (ZKELECT_NODE is %s) and would wait for it for ever; give another --path, or unset ZKELECT_NODE if that run is over", cfg.Path, node)
}

// environment is what the child needs to reach the same servers in the same
// way; the library adds the term's own variables. Paths are made absolute, as
// the child may change its directory.
func (s *settings) environment(cfg zkelect.Config) []string {
	env := []string{
		"ZKELECT_SERVERS=" + cfg.Servers,
		"ZKELECT_RECIPE=" + cfg.Recipe.String(),
		"ZKELECT_SESSION_TIMEOUT=" + cfg.SessionTimeout.String(),
		"ZKELECT_CONNECT_TIMEOUT=" + cfg.ConnectTimeout.String(),
	}
	if s.secretFile != "" {
		env = append(env, "ZKELECT_AUTH_FILE="+s.secretFile)
	}
	env = append(env, s.tls.Environment()...)
	// An ACL for the creator is an error without the credentials, and those
	// of ZKELECT_AUTH do not reach the child.
	if s.aclFlag.Given && (cfg.ACL == zkelect.ACLOpen || s.secretFile != "") {
		env = append(env, "ZKELECT_ACL="+s.aclFlag.Value)
	}
	// The levels of status and resign are others than run's unless one asks.
	if s.levelFlag.Given {
		env = append(env, "ZKELECT_LOG_LEVEL="+s.levelFlag.Value)
	}
	if s.formatFlag.Given {
		env = append(env, "ZKELECT_LOG_FORMAT="+s.format)
	}
	return env
}

// showPlan says what a run would do.
func (f *runFlags) showPlan(to io.Writer, plan *zkelect.Plan, log *slog.Logger) error {
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) { fmt.Fprintf(w, name+"\t"+format+"\n", args...) }
	leader := "none"
	if e := plan.Election; e != nil && e.Leader != nil {
		leader = who(e.Leader.ID)
	}
	line("ELECTION", "%s on %s", cmdline.Printable(f.path), cmdline.Printable(f.servers))
	line("FAMILY", "nodes %s", plan.Family)
	line("LEADER", "%s", leader)
	held := plan.Election != nil && plan.Election.Hold != nil && !plan.Election.Hold.Over(time.Now())
	switch {
	case plan.Ahead > 0 && f.recipe == zkelect.RecipePlain:
		line("POSITION", "%s would wait for the node, in no order", cmdline.Printable(plan.ID))
	case plan.Ahead > 0:
		line("POSITION", "%s would wait behind %s (%d ahead)", cmdline.Printable(plan.ID), who(plan.Election.Participants[plan.Ahead-1].ID), plan.Ahead)
	case plan.Blocked:
		line("POSITION", "%s would lead once the processes of the leader before are dead", cmdline.Printable(plan.ID))
	case held:
		line("POSITION", "%s would be the first and wait for the end of the hold", cmdline.Printable(plan.ID))
	default:
		line("POSITION", "%s would lead at once", cmdline.Printable(plan.ID))
	}
	if held {
		line("HELD", "%s", show.Hold(plan.Election.Hold, time.Now()))
	}
	if e := plan.Election; e != nil {
		for _, u := range e.Unclean {
			line("UNCLEAN", "%s", uncleanTerm(u))
		}
		for _, warning := range e.Warnings {
			log.Warn(warning, "path", e.Path)
		}
	}
	acl := map[zkelect.ACLMode]string{
		zkelect.ACLOpen: "open: everyone may do everything", zkelect.ACLCreator: "creator: who has the credentials may do everything, everyone may read",
		zkelect.ACLPrivate: "private: only who has the credentials may do anything",
	}
	line("ACL", "%s", acl[plan.ACL])
	if len(plan.Makes) > 0 {
		line("MAKES", "%s", cmdline.Printable(strings.Join(plan.Makes, " ")))
	}
	line("SESSION", "%v (asked for %v)", plan.Granted, plan.Asked)
	l := plan.Lease
	line("LEASE", "%v from a heartbeat, one every %v; without an answer the stop begins after %v", l.Deadline, l.Heartbeat, l.Stop)
	needs := ""
	if l.Needed > 0 {
		needs = fmt.Sprintf(" (%v needs a session timeout of %v)", f.cfg.StopTimeout, l.Needed)
	}
	line("GRACE", "%v%s", l.Grace, needs)
	words := []string{plan.Program}
	for _, arg := range f.cfg.Command[1:] {
		if arg == "" || strings.ContainsAny(arg, " \t\n'\"\\$") {
			arg = strconv.Quote(arg)
		}
		words = append(words, arg)
	}
	line("COMMAND", "%s", cmdline.Printable(strings.Join(words, " ")))
	return w.Flush()
}

// logEnd writes the last line, whatever the level: it tells the child's exit
// codes from zkelect's own.
func (f *runFlags) logEnd(w io.Writer, end *runEnd) {
	code := runCode(end)
	if f.quiet && code == 0 {
		return
	}
	level := slog.LevelInfo
	attrs := []slog.Attr{slog.String("cause", string(end.Cause)), slog.Int("code", code)}
	if end.Signal != 0 {
		attrs = append(attrs, slog.String("signal", cmp.Or(unix.SignalName(end.Signal), end.Signal.String())))
	}
	if end.Leader != "" {
		attrs = append(attrs, slog.String("leader", end.Leader))
	}
	if run := end.Skipped; run != nil {
		attrs = append(attrs, slog.String("by", run.ID), slog.Time("began", run.Began.UTC()))
	}
	if end.err != nil {
		attrs = append(attrs, slog.String("error", errorText(end.err)))
	}
	switch {
	case end.Cause == zkelect.CauseError, end.Cause == zkelect.CauseLost, end.Cause == zkelect.CauseFenceFailed:
		level = slog.LevelError
	case code != 0:
		level = slog.LevelWarn
	}
	attrs = append(attrs, slog.String("path", f.path))
	slog.New(cmdline.NewHandler(w, f.format, slog.LevelDebug)).LogAttrs(context.Background(), level, "done", attrs...)
}
