package main

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"zkelect/zkelect/cmdline"
)

const programHelp = `Flags stand after the command's name. 'zkelect COMMAND --help' shows them.

Examples:
  # on every host: one of them runs billingd, the others wait
  zkelect run -s zk1,zk2,zk3 -p /jobs/billing -- billingd
  # who leads, and who waits
  zkelect status -s zk1,zk2,zk3 /jobs/billing
  # let the next one lead
  zkelect resign -s zk1,zk2,zk3 /jobs/billing`

func (p *program) helpCommand() *cli.Command {
	return &cli.Command{
		Name: "help", Usage: "show help, of one command too", UsageText: "zkelect help [--man] [COMMAND]",
		Description: "Examples:\n  zkelect help status\n  # as a manual page\n  zkelect help --man run | man -l -",
		Action: func(ctx *cli.Context) error {
			args := ctx.Args().Slice()
			show := p.help
			if len(args) > 0 && args[0] == "--man" {
				args, show = args[1:], p.man
			}
			if len(args) == 0 || args[0] == "--help" || args[0] == "-h" {
				return show(nil)
			}
			c := p.app.Command(args[0])
			if c == nil || len(args) > 1 {
				p.command = ""
				return p.usage("no help on %q; give one of run, status, resign", strings.Join(args, " "))
			}
			return show(c)
		},
	}
}

// man prints the manual page of a command, or of zkelect.
func (p *program) man(c *cli.Command) error {
	page := cmdline.Page{
		Name: p.app.Name, Usage: p.app.Usage, Synopsis: p.app.UsageText, Description: p.app.Description, Version: p.app.Version,
	}
	pages := []string{p.app.Name}
	for _, other := range p.app.VisibleCommands() {
		page.Commands = append(page.Commands, [2]string{other.Name, other.Usage})
		if len(other.Flags) > 0 {
			pages = append(pages, p.app.Name+"-"+other.Name)
		}
	}
	if c != nil {
		page.Name, page.Usage, page.Synopsis, page.Description, page.Commands = page.Name+"-"+c.Name, c.Usage, c.UsageText, c.Description, nil
		page.Flags = flagsOf(c)
	}
	page.SeeAlso = slices.DeleteFunc(pages, func(name string) bool { return name == page.Name })
	_, err := page.WriteTo(p.stdout)
	return err
}

// flagsOf are the flags of a command as they were defined.
func flagsOf(c *cli.Command) []*cmdline.Flag {
	var flags []*cmdline.Flag
	for _, f := range c.Flags {
		flags = append(flags, f.(*cmdline.Flag))
	}
	return flags
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
