package main

import (
	"cmp"
	"fmt"
	"runtime/debug"
	"slices"

	"github.com/urfave/cli/v2"

	"zkelect/zkelect/cmdline"
)

// version is set by the linker: -X main.version=v1.2.3.
var version string

func (p *program) versionCommand() *cli.Command {
	return &cli.Command{
		Name: "version", Usage: "show the version", UsageText: "zkelect version",
		Action: func(ctx *cli.Context) error {
			if first := ctx.Args().First(); first == "--help" || first == "-h" {
				return cmdline.ErrHelp
			}
			if ctx.Args().Present() {
				return p.usage("extra argument %q", ctx.Args().First())
			}
			p.printVersion()
			return nil
		},
	}
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
