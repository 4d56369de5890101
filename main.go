// Command zkelect runs a command on exactly one of many hosts: on the one that
// leads an Apache ZooKeeper election.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/urfave/cli/v2"
	"github.com/xrash/smetrics"

	"zkelect/zkelect"
)

// version is set by the linker: -X main.version=v1.2.3.
var version string

func main() {
	p := newProgram(os.Stdin, os.Stdout, os.Stderr, os.Getenv)
	os.Exit(p.main(os.Args))
}

// The exit codes that are zkelect's own; run's other codes are its child's,
// or 128 + the number of the signal that killed the child.
const (
	exitNo            = 1   // status: there is no leader, or what was asked does not hold; resign: no such leader
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
	stdout  *answer
	stderr  io.Writer
	getenv  func(string) string
	app     *cli.App
	command string // the one that runs

	run    func(context.Context, zkelect.RunConfig) (zkelect.Outcome, error)
	resign func(context.Context, zkelect.ResignConfig) (*zkelect.Resigned, error)
	open   func(context.Context, zkelect.Config) (inspector, error)
}

// answer is standard output. It remembers a failure, so that an answer that was
// lost on a full disk is no success.
type answer struct {
	to  io.Writer
	err error
}

func (a *answer) Write(b []byte) (int, error) {
	n, err := a.to.Write(b)
	a.err = cmp.Or(a.err, err)
	return n, err
}

func newProgram(stdin io.Reader, stdout, stderr io.Writer, getenv func(string) string) *program {
	p := &program{
		stdin: stdin, stdout: &answer{to: stdout}, stderr: stderr, getenv: getenv,
		run: zkelect.Run, resign: zkelect.Resign,
		open: func(ctx context.Context, cfg zkelect.Config) (inspector, error) {
			return zkelect.Open(ctx, cfg)
		},
	}
	p.app = &cli.App{
		Name:        "zkelect",
		Usage:       "run a command on exactly one of many hosts, elected by ZooKeeper",
		UsageText:   "zkelect run [flags] -- CMD [ARG...]\nzkelect status [flags] [PATH]\nzkelect resign [flags] [PATH]",
		Description: "Flags stand after the command's name. 'zkelect COMMAND --help' shows them.",
		Version:     programVersion(),
		Reader:      stdin, Writer: stdout, ErrWriter: stderr,
		// Flags are parsed by parseFlags: see there. So urfave's help flags
		// and help commands would see arguments that are CMD's.
		HideHelp: true, HideVersion: true, SkipFlagParsing: true,
		// Only main exits.
		ExitErrHandler: func(*cli.Context, error) {},
		Action:         p.noCommand,
		Commands:       []*cli.Command{p.runCommand(), p.statusCommand(), p.resignCommand(), p.helpCommand(), p.versionCommand()},
	}
	for _, c := range p.app.Commands {
		c.HideHelp, c.SkipFlagParsing = true, true
		action := c.Action
		c.Action = func(ctx *cli.Context) error {
			p.command = c.Name
			return action(ctx)
		}
	}
	return p
}

// main runs the command line, says on standard error why it failed, and
// returns the exit code.
func (p *program) main(args []string) int {
	err := p.app.Run(args)
	if p.stdout.err != nil && (err == nil || errors.Is(err, errNo)) {
		err = fmt.Errorf("write to standard output: %w", p.stdout.err)
	}
	var end *runEnd
	switch {
	case err == nil, errors.Is(err, errNo): // the answer has said it
	case errors.As(err, &end): // its last log line has said it
	default:
		fmt.Fprintln(p.stderr, "zkelect:", printable(errorText(err)))
	}
	return exitCode(p.command, err)
}

// errorText leaves out the sentinel where what follows says it all.
func errorText(err error) string {
	return strings.TrimPrefix(err.Error(), zkelect.ErrConfig.Error()+": ")
}

func (p *program) usage(format string, args ...any) error {
	return &wrongUsage{command: p.command, text: fmt.Sprintf(format, args...)}
}

// noCommand answers where the first argument is no command.
func (p *program) noCommand(ctx *cli.Context) error {
	first := ctx.Args().First()
	switch {
	case !ctx.Args().Present():
		return p.usage("no command; give run, status or resign")
	case first == "--help" || first == "-h":
		return p.help(nil)
	case first == "--version" || first == "-v" || first == "-V":
		p.printVersion()
		return nil
	case strings.HasPrefix(first, "-"):
		name, _, _ := strings.Cut(first, "=")
		return p.usage("the flag %s stands before any command; give the command first, as in 'zkelect run %s ...'", name, name)
	}
	var names []string
	for _, c := range p.app.Commands {
		names = append(names, c.Name)
	}
	return p.usage("unknown command %q%s", first, didYouMean(first, names, ""))
}

func (p *program) helpCommand() *cli.Command {
	return &cli.Command{
		Name: "help", Usage: "show help, of one command too", ArgsUsage: "[COMMAND]",
		Action: func(ctx *cli.Context) error {
			args := ctx.Args().Slice()
			if len(args) == 0 || args[0] == "--help" || args[0] == "-h" {
				return p.help(nil)
			}
			c := p.app.Command(args[0])
			if c == nil || len(args) > 1 {
				p.command = ""
				return p.usage("no help on %q; give one of run, status, resign", strings.Join(args, " "))
			}
			return p.help(c)
		},
	}
}

func (p *program) versionCommand() *cli.Command {
	return &cli.Command{
		Name: "version", Usage: "show the version",
		Action: func(ctx *cli.Context) error {
			if first := ctx.Args().First(); first == "--help" || first == "-h" {
				return p.help(p.app.Command("version"))
			}
			if ctx.Args().Present() {
				return p.usage("extra argument %q", ctx.Args().First())
			}
			p.printVersion()
			return nil
		},
	}
}

// help prints the help of a command, or of zkelect, within 80 columns.
func (p *program) help(c *cli.Command) error {
	width := map[string]any{"wrapAt": func() int { return 80 }}
	if c == nil {
		cli.HelpPrinterCustom(p.stdout, cli.AppHelpTemplate, p.app, width)
		return nil
	}
	cli.HelpPrinterCustom(p.stdout, cli.CommandHelpTemplate, c, width)
	return nil
}

func (p *program) printVersion() { fmt.Fprintln(p.stdout, "zkelect", p.app.Version) }

// programVersion is the linker's, else what go build or go install recorded.
func programVersion() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	i := slices.IndexFunc(info.Settings, func(s debug.BuildSetting) bool { return s.Key == "vcs.revision" })
	if v := info.Main.Version; i < 0 || v != "" && v != "(devel)" {
		return cmp.Or(v, "unknown")
	}
	return info.Settings[i].Value
}

// settings are the flags that run, status and resign have in common.
type settings struct {
	options        []*option // with the command's own before them
	getenv         func(string) string
	servers, path  string
	recipe         zkelect.Recipe
	sessionTimeout time.Duration
	connectTimeout time.Duration
	secretFile     string // the auth file in use, absolute; "" if none can be named to a child
	acl, format    string
	level          slog.Level
	quiet          bool

	pathFlag, authFlag, aclFlag, levelFlag, formatFlag *option
}

func (p *program) newSettings(level string) *settings {
	s := &settings{
		getenv: p.getenv, servers: zkelect.DefaultServers, path: zkelect.DefaultPath,
		sessionTimeout: zkelect.DefaultSessionTimeout, connectTimeout: zkelect.DefaultConnectTimeout, format: "text",
	}
	levels := []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}
	setLevel := oneOf(&s.level, []string{"debug", "info", "warn", "error"}, levels)
	_ = setLevel(level)
	s.pathFlag = &option{name: "path", short: "p", env: "ZKELECT_PATH", arg: "PATH", preset: zkelect.DefaultPath, set: text(&s.path),
		usage: "the election's path, such as /jobs/billing"}
	s.authFlag = &option{name: "auth-file", env: "ZKELECT_AUTH_FILE", arg: "FILE", set: text(new(string)),
		usage: "a file with a line digest:user:password; without it $ZKELECT_AUTH holds such a line"}
	acls := []string{"open", "creator", "private"}
	s.aclFlag = &option{name: "acl", env: "ZKELECT_ACL", arg: "ACL", preset: "creator with credentials, else open", set: oneOf(&s.acl, acls, acls),
		usage: "who may do what with the nodes that zkelect makes: open, creator (others read), private"}
	s.levelFlag = &option{name: "log-level", env: "ZKELECT_LOG_LEVEL", arg: "LEVEL", preset: level, set: setLevel,
		usage: "what to log on standard error: debug, info, warn, error"}
	formats := []string{"text", "json"}
	s.formatFlag = &option{name: "log-format", env: "ZKELECT_LOG_FORMAT", arg: "FORMAT", preset: "text", set: oneOf(&s.format, formats, formats),
		usage: "text or json"}
	s.options = []*option{
		{name: "servers", short: "s", env: "ZKELECT_SERVERS", arg: "SERVERS", preset: zkelect.DefaultServers, set: text(&s.servers),
			usage: "ZooKeeper's connect string, host:port,host:port/chroot"},
		s.pathFlag,
		{name: "recipe", env: "ZKELECT_RECIPE", arg: "RECIPE", preset: "latch", set: s.setRecipe,
			usage: "how the participants' nodes are named: latch (Curator's LeaderLatch)"},
		{name: "session-timeout", env: "ZKELECT_SESSION_TIMEOUT", arg: "DURATION", preset: "30s", set: longer(&s.sessionTimeout),
			usage: "asked of the servers, which may grant another"},
		{name: "connect-timeout", env: "ZKELECT_CONNECT_TIMEOUT", arg: "DURATION", preset: "10s", set: duration(&s.connectTimeout),
			usage: "the longest wait for a first usable connection; 0 is for ever"},
		s.authFlag, s.aclFlag, s.levelFlag, s.formatFlag,
		{name: "quiet", short: "q", set: boolean(&s.quiet), usage: "errors only"},
		{name: "help", short: "h", set: func(string) error { return errHelp }, usage: "show this help"},
	}
	return s
}

func (s *settings) setRecipe(name string) (err error) {
	if s.recipe, err = zkelect.ParseRecipe(name); err == nil && s.recipe != zkelect.RecipeLatch {
		err = fmt.Errorf("recipe %s is not built yet; use latch", name)
	}
	return err
}

// flags are the options as urfave wants them.
func (s *settings) flags() []cli.Flag {
	var flags []cli.Flag
	for _, o := range s.options {
		flags = append(flags, o)
	}
	return flags
}

func (s *settings) handler(w io.Writer, level slog.Level) slog.Handler {
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Value.Kind() == slog.KindDuration { // else JSON has nanoseconds
			a.Value = slog.StringValue(a.Value.Duration().Round(time.Millisecond).String())
		}
		return a
	}}
	if s.format == "json" {
		return slog.NewJSONHandler(w, options)
	}
	return slog.NewTextHandler(w, options)
}

func (s *settings) logger(w io.Writer) *slog.Logger {
	level := s.level
	if s.quiet {
		level = slog.LevelError
	}
	return slog.New(s.handler(w, level))
}

// config is the library's view of the settings. It reads the credentials and
// has events logged.
func (s *settings) config(log *slog.Logger) (zkelect.Config, error) {
	auth, err := s.auth(log)
	acl := map[string]zkelect.ACLMode{"open": zkelect.ACLOpen, "creator": zkelect.ACLCreator, "private": zkelect.ACLPrivate}[s.acl]
	return zkelect.Config{
		Servers: s.servers, Path: s.path, Recipe: s.recipe,
		SessionTimeout: s.sessionTimeout, ConnectTimeout: s.connectTimeout,
		Auth: auth, ACL: acl,
		Observer: func(e zkelect.Event) {
			attrs := append(slices.Clip(e.Attrs), slog.String("path", s.path))
			log.LogAttrs(context.Background(), e.Kind.Level(), e.Kind.String(), attrs...)
		},
	}, err
}

// nameDefault says that the path is one that others may use for something else.
func (s *settings) nameDefault(log *slog.Logger) {
	if !s.pathFlag.given {
		log.Warn("no path given: using the default, which every zkelect without --path shares", "path", s.path)
	}
}

// auth finds the credentials: the flag's file, else the variable with the
// credential itself, else the variable's file.
func (s *settings) auth(log *slog.Logger) (*zkelect.Auth, error) {
	content, from := []byte(s.getenv("ZKELECT_AUTH")), "ZKELECT_AUTH"
	if s.authFlag.value != "" && (!s.authFlag.fromEnv || len(content) == 0) {
		var err error
		from = "auth file " + s.authFlag.value
		if content, err = s.readAuthFile(s.authFlag.value, log); err != nil {
			return nil, fmt.Errorf("%s: %w; give a file with a line digest:user:password", from, err)
		}
	} else if len(content) == 0 {
		return nil, nil
	}
	auth, err := zkelect.ParseAuth(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %s", from, errorText(err))
	}
	return auth, nil
}

// maxAuthFile is far more than a line of credentials.
const maxAuthFile = 64 << 10

func (s *settings) readAuthFile(name string, log *slog.Logger) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, errors.Unwrap(err) // without the name, which the caller gives
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, errors.Unwrap(err)
	case info.IsDir():
		return nil, errors.New("is a directory")
	case info.Mode().IsRegular():
		// A pipe, as in --auth-file <(...), can be read once and is not for a child.
		if s.secretFile, err = filepath.Abs(name); err != nil {
			return nil, err
		}
		if info.Mode().Perm()&0o044 != 0 {
			log.Warn("others can read the auth file; chmod it to 600", "file", name, "mode", info.Mode().Perm())
		}
	}
	content, err := io.ReadAll(io.LimitReader(f, maxAuthFile+1))
	if err == nil && len(content) > maxAuthFile {
		err = fmt.Errorf("larger than %d bytes", maxAuthFile)
	}
	return content, err
}

// printable is s in one line and without what a terminal would obey.
func printable(s string) string {
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], string(utf8.RuneError)):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	return b.String()
}

// option is one flag of a command: urfave's help, man pages and completions
// read its definition, parseFlags its value.
type option struct {
	name, short string
	env         string // the variable that stands in for it; empty is unset
	arg         string // what its value is called; "" for a boolean
	usage       string
	preset      string // its default, in words
	set         func(string) error
	given       bool // on the command line or by the variable
	fromEnv     bool // by the variable
	value       string
}

// An option is a cli.DocGenerationFlag and a cli.VisibleFlag.
func (o *option) Apply(*flag.FlagSet) error { return nil }
func (o *option) Names() []string {
	return cli.FlagNames(o.name, slices.DeleteFunc([]string{o.short}, isEmpty))
}
func (o *option) IsSet() bool            { return o.given }
func (o *option) IsVisible() bool        { return true }
func (o *option) TakesValue() bool       { return o.arg != "" }
func (o *option) GetUsage() string       { return o.usage }
func (o *option) GetValue() string       { return o.preset }
func (o *option) GetDefaultText() string { return o.preset }
func (o *option) GetEnvVars() []string   { return slices.DeleteFunc([]string{o.env}, isEmpty) }

// String is the flag in the help, its words below its names.
func (o *option) String() string {
	s := "--" + o.name
	if o.short != "" {
		s = "-" + o.short + ", " + s
	}
	if o.arg != "" {
		s += " " + o.arg
	}
	s += "\n" + o.usage
	if o.preset != "" {
		s += " (default: " + o.preset + ")"
	}
	if o.env != "" {
		s += " [$" + o.env + "]"
	}
	return s
}

func isEmpty(s string) bool { return s == "" }

// errHelp stops the parsing where help was asked for.
var errHelp = errors.New("help")

// parseFlags reads a command's flags, then the variables of those that were
// not given, and returns the arguments. It is getopt_long as flock and timeout
// use it (-w5, -nE0, --wait=5), where urfave's parser knows neither values
// that stick to short flags nor flags behind an argument, reads numbers with a
// leading 0 as octal and takes an empty variable for a value. With permute,
// flags may follow arguments; without, the first argument ends them.
func (p *program) parseFlags(options []*option, args []string, permute bool) ([]string, error) {
	var rest []string
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		var err error
		switch {
		case arg == "--":
			rest, args = append(rest, args...), nil
		case len(arg) < 2 || arg[0] != '-':
			rest = append(rest, arg)
			if !permute {
				rest, args = append(rest, args...), nil
			}
		case arg[1] == '-':
			args, err = p.parseLong(options, arg[2:], args)
		default:
			args, err = p.parseShort(options, arg[1:], args)
		}
		if err != nil {
			return nil, err
		}
	}
	for _, o := range options {
		if value := p.getenv(o.env); o.env != "" && !o.given && value != "" {
			o.fromEnv = true
			if err := o.take(value); err != nil {
				return nil, p.usage("%s: %v", o.env, err)
			}
		}
	}
	return rest, nil
}

func (p *program) parseLong(options []*option, arg string, args []string) ([]string, error) {
	name, value, sticks := strings.Cut(arg, "=")
	i := slices.IndexFunc(options, func(o *option) bool { return o.name == name })
	if i < 0 {
		var names []string
		for _, o := range options {
			names = append(names, o.name)
		}
		return nil, p.usage("unknown flag --%s%s", name, didYouMean(name, names, "--"))
	}
	return p.give(options[i], "--"+name, value, sticks, args)
}

func (p *program) parseShort(options []*option, arg string, args []string) ([]string, error) {
	// Go's own flags have one dash; here -path would be -p ath.
	name, _, _ := strings.Cut(arg, "=")
	if slices.ContainsFunc(options, func(o *option) bool { return o.name == name }) {
		return nil, p.usage("unknown flag -%s; did you mean --%s?", name, name)
	}
	for {
		i := slices.IndexFunc(options, func(o *option) bool { return o.short != "" && o.short == arg[:1] })
		if i < 0 {
			r, _ := utf8.DecodeRuneInString(arg)
			return nil, p.usage("unknown flag -%c", r)
		}
		o, name := options[i], "-"+arg[:1]
		arg = arg[1:]
		if o.arg != "" || strings.HasPrefix(arg, "=") {
			return p.give(o, name, strings.TrimPrefix(arg, "="), arg != "", args)
		}
		if _, err := p.give(o, name, "", false, nil); err != nil || arg == "" {
			return args, err
		}
	}
}

// give gives a flag its value: what sticks to it, else the next argument.
func (p *program) give(o *option, name, value string, sticks bool, args []string) ([]string, error) {
	switch {
	case sticks:
	case o.arg == "":
		value = "true"
	case len(args) == 0:
		return nil, p.usage("the flag %s lacks its value, %s", name, o.arg)
	default:
		value, args = args[0], args[1:]
	}
	if err := o.take(value); err == errHelp {
		return nil, err
	} else if err != nil {
		return nil, p.usage("%s: %v", name, err)
	}
	return args, nil
}

func (o *option) take(value string) error {
	o.given, o.value = true, value
	return o.set(value)
}

// didYouMean is a hint where one of names is at most two letters away.
func didYouMean(word string, names []string, prefix string) string {
	best, closest := 3, ""
	for _, name := range names {
		if d := smetrics.WagnerFischer(word, name, 1, 1, 1); d < best && d < len(name) {
			best, closest = d, name
		}
	}
	if closest == "" {
		return ""
	}
	return "; did you mean " + prefix + closest + "?"
}

// text takes any value but none: an empty one is a variable that the caller's
// script forgot to set.
func text(to *string) func(string) error {
	return func(s string) error {
		if s == "" {
			return errors.New("its value is empty")
		}
		*to = s
		return nil
	}
}

func boolean(to *bool) func(string) error {
	return func(s string) error {
		switch strings.ToLower(s) {
		case "true", "yes", "on", "1":
			*to = true
		case "false", "no", "off", "0":
			*to = false
		default:
			return fmt.Errorf("%q is neither yes nor no", s)
		}
		return nil
	}
}

// oneOf takes one of the names and stores the value at the same index.
func oneOf[T any](to *T, names []string, values []T) func(string) error {
	return func(s string) error {
		i := slices.Index(names, s)
		if i < 0 {
			return fmt.Errorf("%q is none of %s", s, strings.Join(names, ", "))
		}
		*to = values[i]
		return nil
	}
}

func duration(to *time.Duration) func(string) error {
	return func(s string) (err error) {
		*to, err = parseDuration(s)
		return err
	}
}

// longer is duration for what makes no sense as 0.
func longer(to *time.Duration) func(string) error {
	return func(s string) error {
		d, err := parseDuration(s)
		if err == nil && d == 0 {
			return fmt.Errorf("%q is no time; give at least 1ms", s)
		}
		*to = d
		return err
	}
}

var units = []struct {
	name string
	d    time.Duration
}{{"ms", time.Millisecond}, {"s", time.Second}, {"m", time.Minute}, {"h", time.Hour}, {"d", 24 * time.Hour}}

// parseDuration reads seconds (30, 0.5), as flock and timeout take them, or
// numbers with units from ms to d (1h30m). Unlike time.ParseDuration it knows
// days and refuses what is negative or shorter than its own smallest unit.
func parseDuration(s string) (time.Duration, error) {
	const accepted = "give seconds or units, such as 30, 0.5, 500ms, 90s, 5m, 1h30m, 1d"
	if strings.HasPrefix(s, "-") {
		return 0, fmt.Errorf("%q is negative; %s", s, accepted)
	}
	total := 0.0
	for rest, first := s, true; rest != "" || first; first = false {
		digits := strings.IndexFunc(rest, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
		if digits < 0 {
			digits = len(rest)
		}
		number, err := strconv.ParseFloat(rest[:digits], 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			return 0, fmt.Errorf("%q is not a duration; %s", s, accepted)
		}
		rest = rest[digits:]
		letters := strings.IndexAny(rest, ".0123456789")
		if letters < 0 {
			letters = len(rest)
		}
		unit, i := time.Second, slices.IndexFunc(units, func(u struct {
			name string
			d    time.Duration
		}) bool {
			return u.name == rest[:letters]
		})
		switch {
		case i >= 0:
			unit = units[i].d
		case rest != "" || !first: // only a lone number is seconds: 1h30 may mean either
			return 0, fmt.Errorf("%q is not a duration; %s", s, accepted)
		}
		total += number * float64(unit)
		rest = rest[letters:]
	}
	switch {
	case total >= 1<<63:
		return 0, fmt.Errorf("%q is too long; give at most 100000d", s)
	case total > 0 && total < float64(time.Millisecond):
		return 0, fmt.Errorf("%q is shorter than 1ms; %s", s, accepted)
	}
	return time.Duration(math.Round(total)), nil
}
