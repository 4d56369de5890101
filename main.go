// Command zkelect runs a command on exactly one of many hosts: on the one that
// leads an Apache ZooKeeper election.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"zkelect/zkelect"
	"zkelect/zkelect/cmdline"
)

func main() {
	p := newProgram(os.Stdin, os.Stdout, os.Stderr, os.Getenv)
	p.alone = true
	os.Exit(p.main(os.Args))
}

// The exit codes that are zkelect's own; run's other codes are its child's,
// or 128 + the number of the signal that killed the child.
const (
	exitNo            = 1   // status: there is no leader, or what was asked does not hold; resign: no such leader, or no hold
	exitError         = 2   // status and resign: wrong usage, an error, or refused
	exitResigned      = 121 // run: resigned on request
	exitLost          = 122 // run: leadership lost and the child stopped
	exitFenceFailed   = 123 // run: the fence command failed
	exitTimeout       = 124 // resign: time-out; run: someone else leads, unless -E says otherwise
	exitFailed        = 125 // run: wrong usage or an error; zkelect without a command: wrong usage
	exitNotExecutable = 126 // run: CMD cannot be executed
	exitNotFound      = 127 // run: CMD not found
	exitSignal        = 128 // plus the signal's number
)

// errorCodes is the table of errors to exit codes, first match first. What
// it does not name, wrong usage above all, has its command's code for errors.
var errorCodes = []struct {
	err  error
	code int
}{
	{errNo, exitNo},
	{zkelect.ErrNoElection, exitNo},
	{zkelect.ErrNoLeader, exitNo},
	{zkelect.ErrOtherSuccessor, exitNo},
	{zkelect.ErrNoHold, exitNo},
	{errTimeout, exitTimeout},
}

var (
	errNo      = errors.New("no") // an answer, not an error: never printed
	errTimeout = errors.New("timed out")
)

// exitCode turns the end of a command into the code of the process.
func exitCode(command string, err error) int {
	var end *runEnd
	var sig *interrupted
	switch {
	case err == nil:
		return 0
	case errors.As(err, &end):
		return runCode(end)
	case errors.As(err, &sig):
		return exitSignal + int(sig.Signal)
	case command != "status" && command != "resign":
		return exitFailed
	}
	for _, e := range errorCodes {
		if errors.Is(err, e.err) {
			return e.code
		}
	}
	return exitError
}

// runCode is the code of a run that got past its flags.
func runCode(end *runEnd) int {
	switch end.Cause {
	case zkelect.CauseExited, zkelect.CauseSignalled, zkelect.CauseStopped:
		if end.Signal != 0 {
			return exitSignal + int(end.Signal)
		}
		return end.Code
	case zkelect.CauseSkipped:
		return 0
	case zkelect.CauseResigned:
		return exitResigned
	case zkelect.CauseLost:
		return exitLost
	case zkelect.CauseFenceFailed:
		return exitFenceFailed
	case zkelect.CauseNotLeader:
		return end.conflict
	}
	switch {
	case errors.Is(end.err, zkelect.ErrCommandNotFound):
		return exitNotFound
	case errors.Is(end.err, zkelect.ErrCommandNotExecutable):
		return exitNotExecutable
	}
	return exitFailed
}

// interrupted ends a command that a signal asked to leave.
type interrupted struct{ syscall.Signal }

func (i *interrupted) Error() string { return "ended by signal: " + i.Signal.String() }

// wrongUsage is an error of the command line or of the environment.
type wrongUsage struct{ command, text string }

func (e *wrongUsage) Error() string {
	see, help := "; see", "zkelect --help"
	if strings.HasSuffix(e.text, "?") {
		see = " See"
	}
	if e.command != "" {
		help = "zkelect " + e.command + " --help"
	}
	return e.text + see + " '" + help + "'"
}

// program is zkelect with its surroundings, so that tests can put others.
type program struct {
	stdin   io.Reader
	stdout  *cmdline.Answer
	stderr  io.Writer
	getenv  func(string) string
	app     *cli.App
	command string // the one that runs
	alone   bool   // in this process, whose Go runtime is ours to set
	made    []*settings

	run    func(context.Context, zkelect.RunConfig) (zkelect.Outcome, error)
	plan   func(context.Context, zkelect.RunConfig) (*zkelect.Plan, error)
	resign func(context.Context, zkelect.ResignConfig) (*zkelect.Resigned, error)
	// resignMine is zkelect.ResignMine.
	resignMine func(context.Context, zkelect.ResignConfig, bool, func(zkelect.Drained)) error

	open func(context.Context, zkelect.Config) (inspector, error)
}

func newProgram(stdin io.Reader, stdout, stderr io.Writer, getenv func(string) string) *program {
	p := &program{
		stdin: stdin, stdout: &cmdline.Answer{To: stdout}, stderr: stderr, getenv: getenv,
		run: zkelect.Run, plan: zkelect.DryRun, resign: zkelect.Resign, resignMine: zkelect.ResignMine,
		open: func(ctx context.Context, cfg zkelect.Config) (inspector, error) {
			return zkelect.Open(ctx, cfg)
		},
	}
	p.app = &cli.App{
		Name:        "zkelect",
		Usage:       "run a command on exactly one of many hosts, elected by ZooKeeper",
		UsageText:   "zkelect run [flags] -- CMD [ARG...]\nzkelect status [flags] [PATH]\nzkelect resign [flags] [PATH]",
		Description: programHelp,
		Version:     programVersion(),
		Reader:      stdin, Writer: stdout, ErrWriter: stderr,
		// Flags are parsed by cmdline.Parse: see there. So urfave's help flags
		// and help commands would see arguments that are CMD's.
		HideHelp: true, HideVersion: true, SkipFlagParsing: true,
		// Only main exits.
		ExitErrHandler: func(*cli.Context, error) {},
		Action:         p.noCommand,
	}
	return p
}

// load makes the commands: only the one of that name, if it is one that works, since a
// start is to do nothing for the others; else all of them.
func (p *program) load(name string) {
	switch name {
	case "run":
		p.app.Commands = []*cli.Command{p.runCommand()}
	case "status":
		p.app.Commands = []*cli.Command{p.statusCommand()}
	case "resign":
		p.app.Commands = []*cli.Command{p.resignCommand()}
	default:
		p.app.Commands = []*cli.Command{p.runCommand(), p.statusCommand(), p.resignCommand(), p.helpCommand(), p.versionCommand(),
			p.completionCommand(), p.completeCommand()}
	}
	for _, c := range p.app.Commands {
		c.HideHelp, c.SkipFlagParsing = true, true
		action := c.Action
		c.Action = func(ctx *cli.Context) error {
			p.command = c.Name
			err := action(ctx)
			if errors.Is(err, cmdline.ErrHelp) {
				return p.help(c)
			}
			return err
		}
	}
}

// main runs the command line, says on standard error why it failed, and
// returns the exit code.
func (p *program) main(args []string) int {
	name := ""
	if len(args) > 1 {
		name = args[1]
	}
	p.load(name)
	err := p.app.Run(args)
	if p.stdout.Err != nil && (err == nil || errors.Is(err, errNo)) {
		err = fmt.Errorf("write to standard output: %w", p.stdout.Err)
	}
	var end *runEnd
	switch {
	case err == nil, errors.Is(err, errNo): // the answer has said it
	case errors.As(err, &end): // its last log line has said it
	default:
		fmt.Fprintln(p.stderr, "zkelect:", cmdline.Printable(errorText(err)))
	}
	return exitCode(p.command, err)
}

// errorText leaves out the sentinel where what follows says it all.
func errorText(err error) string {
	return strings.TrimPrefix(err.Error(), zkelect.ErrConfig.Error()+": ")
}

// parse reads the flags of a command and returns its arguments.
func (p *program) parse(s *settings, args []string, permute bool) ([]string, error) {
	args, err := cmdline.Parse(s.options, args, permute, p.getenv)
	if err != nil && !errors.Is(err, cmdline.ErrHelp) {
		err = p.usage("%s", errorText(err))
	}
	return args, err
}

func (p *program) usage(format string, args ...any) error {
	return &wrongUsage{command: p.command, text: fmt.Sprintf(format, args...)}
}

// settings are the flags that run, status and resign have in common.
type settings struct {
	options        []*cmdline.Flag // with the command's own before them
	getenv         func(string) string
	servers, path  string
	recipe         zkelect.Recipe
	sessionTimeout time.Duration
	connectTimeout time.Duration
	secretFile     string // the auth file in use, absolute; "" if none can be named to a child
	tls            *cmdline.TLS
	acl            zkelect.ACLMode
	format         string
	level          slog.Level
	quiet          bool

	pathFlag, authFlag, aclFlag, levelFlag, formatFlag *cmdline.Flag
}

func (p *program) newSettings(level string) *settings {
	s := &settings{
		getenv: p.getenv, tls: cmdline.NewTLS(), servers: zkelect.DefaultServers, path: zkelect.DefaultPath,
		sessionTimeout: zkelect.DefaultSessionTimeout, connectTimeout: zkelect.DefaultConnectTimeout, format: "text",
	}
	levels := []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}
	setLevel := cmdline.OneOf(&s.level, []string{"debug", "info", "warn", "error"}, levels)
	_ = setLevel(level)
	s.pathFlag = &cmdline.Flag{Name: "path", Short: "p", Env: "ZKELECT_PATH", Arg: "PATH", Preset: zkelect.DefaultPath, Set: cmdline.Text(&s.path),
		Usage: "the election's path, such as /jobs/billing"}
	s.authFlag = &cmdline.Flag{Name: "auth-file", Env: "ZKELECT_AUTH_FILE", Arg: "FILE", Set: cmdline.Text(new(string)),
		Usage: "a file with a line digest:user:password; without it $ZKELECT_AUTH holds such a line"}
	acls := []zkelect.ACLMode{zkelect.ACLOpen, zkelect.ACLCreator, zkelect.ACLPrivate}
	s.aclFlag = &cmdline.Flag{Name: "acl", Env: "ZKELECT_ACL", Arg: "ACL", Preset: "creator with credentials, else open", Set: cmdline.OneOf(&s.acl, []string{"open", "creator", "private"}, acls),
		Usage: "who may do what with the nodes that zkelect makes: open, creator (others read), private"}
	s.levelFlag = &cmdline.Flag{Name: "log-level", Env: "ZKELECT_LOG_LEVEL", Arg: "LEVEL", Preset: level, Set: setLevel,
		Usage: "what to log on standard error: debug, info, warn, error"}
	formats := []string{"text", "json"}
	s.formatFlag = &cmdline.Flag{Name: "log-format", Env: "ZKELECT_LOG_FORMAT", Arg: "FORMAT", Preset: "text", Set: cmdline.OneOf(&s.format, formats, formats),
		Usage: "text or json"}
	setRecipe := func(name string) (err error) {
		s.recipe, err = zkelect.ParseRecipe(name)
		return err
	}
	s.options = slices.Concat([]*cmdline.Flag{
		{Name: "servers", Short: "s", Env: "ZKELECT_SERVERS", Arg: "SERVERS", Preset: zkelect.DefaultServers, Set: cmdline.Text(&s.servers),
			Usage: "ZooKeeper's connect string, host:port,host:port/chroot"},
		s.pathFlag,
		{Name: "recipe", Env: "ZKELECT_RECIPE", Arg: "RECIPE", Preset: "latch", Set: setRecipe, Words: []string{"latch", "selector", "kazoo", "plain"},
			Usage: "how the participants are named and ordered: latch (as Curator's LeaderLatch), selector (its LeaderSelector and mutex, go-zookeeper's Lock), kazoo or plain (one node for all)"},
		{Name: "session-timeout", Env: "ZKELECT_SESSION_TIMEOUT", Arg: "DURATION", Preset: "30s", Set: cmdline.Positive(&s.sessionTimeout),
			Usage: "asked of the servers, which may grant another"},
		{Name: "connect-timeout", Env: "ZKELECT_CONNECT_TIMEOUT", Arg: "DURATION", Preset: "10s", Set: cmdline.Duration(&s.connectTimeout),
			Usage: "the longest wait for a first usable connection; 0 is for ever"},
		s.authFlag, s.aclFlag,
	}, s.tls.Flags(), []*cmdline.Flag{
		s.levelFlag, s.formatFlag,
		{Name: "quiet", Short: "q", Set: cmdline.Bool(&s.quiet), Usage: "errors only"},
		{Name: "help", Short: "h", Set: func(string) error { return cmdline.ErrHelp }, Usage: "show this help"},
	})
	p.made = append(p.made, s)
	return s
}

// parsePath is parse for status and resign, whose one argument is the path.
func (p *program) parsePath(s *settings, args []string) error {
	args, err := p.parse(s, args, true)
	switch {
	case err != nil:
		return err
	case len(args) > 1:
		return p.usage("extra argument %q; give one path", args[1])
	case len(args) == 1 && args[0] == "":
		return p.usage("the path is empty")
	case len(args) == 1 && s.pathFlag.Given && !s.pathFlag.FromEnv && s.path != args[0]:
		return p.usage("two paths, %q by --path and %q; give one", s.path, args[0])
	case len(args) == 1:
		s.path, s.pathFlag.Given = args[0], true
	}
	return nil
}

// flags are the options as urfave wants them.
func (s *settings) flags() []cli.Flag {
	var flags []cli.Flag
	for _, o := range s.options {
		flags = append(flags, o)
	}
	return flags
}

func (s *settings) logger(w io.Writer) *slog.Logger {
	level := s.level
	if s.quiet {
		level = slog.LevelError
	}
	return slog.New(cmdline.NewHandler(w, s.format, level))
}

// config is the library's view of the settings. It reads the credentials and
// has events logged.
func (s *settings) config(log *slog.Logger) (zkelect.Config, error) {
	auth, err := s.auth(log)
	var secure *zkelect.TLS
	if err == nil {
		secure, err = s.secure(log)
	}
	return zkelect.Config{
		Servers: s.servers, Path: s.path, Recipe: s.recipe,
		SessionTimeout: s.sessionTimeout, ConnectTimeout: s.connectTimeout,
		Auth: auth, TLS: secure, ACL: s.acl,
		Observer: func(e zkelect.Event) {
			attrs := append(slices.Clip(e.Attrs), slog.String("path", s.path))
			log.LogAttrs(context.Background(), e.Kind.Level(), e.Kind.String(), attrs...)
		},
	}, err
}

// secure is what TLS asks of the servers and shows them, nil for none.
func (s *settings) secure(log *slog.Logger) (*zkelect.TLS, error) {
	if err := s.tls.Settle(); err != nil || !s.tls.On {
		return nil, err
	}
	t := &zkelect.TLS{CA: s.tls.CA, Cert: s.tls.Cert, Key: s.tls.Key, ServerName: s.tls.ServerName}
	if err := t.Check(); err != nil {
		return nil, err
	}
	if file, mode := s.tls.Exposed(); file != "" {
		log.Warn("others can read the TLS key file; chmod it to 600", "file", file, "mode", mode)
	}
	return t, nil
}

// nameDefault says that the path is one that others may use for something else.
func (s *settings) nameDefault(log *slog.Logger) {
	if !s.pathFlag.Given {
		log.Warn("no path given: using the default, which every zkelect without --path shares", "path", s.path)
	}
}

// auth finds the credentials: the flag's file, else the variable with the
// credential itself, else the variable's file.
func (s *settings) auth(log *slog.Logger) (*zkelect.Auth, error) {
	content, from := []byte(s.getenv("ZKELECT_AUTH")), "ZKELECT_AUTH"
	switch file := s.authFlag.Value; {
	case file != "" && (!s.authFlag.FromEnv || len(content) == 0):
		from = "auth file " + file
		secret, err := cmdline.ReadSecret(file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w; give a file with a line digest:user:password", from, err)
		}
		if secret.Exposed() {
			log.Warn("others can read the auth file; chmod it to 600", "file", file, "mode", secret.Mode.Perm())
		}
		content, s.secretFile = secret.Content, secret.Path
	case len(content) == 0:
		return nil, nil
	}
	auth, err := zkelect.ParseAuth(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %s", from, errorText(err))
	}
	return auth, nil
}
