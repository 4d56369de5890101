package main

import (
	"strings"

	"github.com/urfave/cli/v2"

	"zkelect/zkelect/cmdline"
)

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
	for _, c := range p.app.VisibleCommands() {
		names = append(names, c.Name)
	}
	return p.usage("unknown command %q%s", first, cmdline.DidYouMean(first, names, ""))
}
