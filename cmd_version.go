package main

import (
	_ "embed" // for release
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"zkelect/zkelect/cmdline"
)

// version is set by the linker, to what .ci/version prints: -X main.version=1.2.3.
var version string

// release is the one place that says which version this is, or is going to be.
//
//go:embed packaging/VERSION
var release string

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

// programVersion is the linker's, else the same from what go build recorded.
func programVersion() string {
	if version != "" {
		return version
	}
	release := strings.TrimSpace(release)
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return release + "-dev"
	}
	if info.Main.Version == "v"+release {
		return release
	}
	return developmentVersion(release, info.Settings)
}

// developmentVersion is what .ci/version prints for a commit that is not a release:
// before it in the order of versions, and by the time of the commit.
func developmentVersion(release string, settings []debug.BuildSetting) string {
	recorded := map[string]string{}
	for _, s := range settings {
		recorded[s.Key] = s.Value
	}
	made, err := time.Parse(time.RFC3339, recorded["vcs.time"])
	commit := recorded["vcs.revision"]
	if err != nil || len(commit) < 12 {
		return release + "-dev"
	}
	v := release + "-dev." + made.UTC().Format("20060102150405") + "+" + commit[:12]
	if recorded["vcs.modified"] == "true" {
		v += ".dirty"
	}
	return v
}
