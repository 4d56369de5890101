package chaos

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// root is the folder of the module.
const root = "../../.."

// clockedBinary is zkelect with a wall clock that a file steps: all of it, with
// the libraries that it uses and the standard library. The clock is the one of
// Go's package time, changed for this build alone, so the sources of zkelect know
// nothing of it. As with a real step, the monotonic part of a time stays right.
func clockedBinary(t testing.TB) string {
	t.Helper()
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	std := filepath.Join(strings.TrimSpace(string(goroot)), "src/time")
	source, err := os.ReadFile(filepath.Join(std, "time.go"))
	if err != nil {
		t.Fatal(err)
	}
	const before, step = "\tsec, nsec, mono := runtimeNow()\n", "\tsec += ChaosStep.Load()\n"
	if strings.Count(string(source), before) != 1 {
		t.Fatalf("%s reads the clock in another way than is known here; look for what Now does and mend this test", std)
	}
	patched := filepath.Join(baseDir(t), "time.go")
	if err := os.WriteFile(patched, []byte(strings.Replace(string(source), before, before+step, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	abs := func(name string) string {
		file, err := filepath.Abs(name)
		if err != nil {
			t.Fatal(err)
		}
		return file
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {
		filepath.Join(std, "time.go"):       patched,
		filepath.Join(std, "chaos_step.go"): abs("testdata/step.go.txt"),
		abs(root + "/chaos_stepper.go"):     abs("testdata/stepper.go.txt"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(baseDir(t), "overlay.json")
	if err := os.WriteFile(file, overlay, 0o644); err != nil {
		t.Fatal(err)
	}
	return compile(t, "zkelect-clocked", "zkelect", "-overlay", file)
}

// wallClockAllowed are the functions that may read Go's clock, which is the wall's as
// well as a monotonic one, and why. No lease is among them.
var wallClockAllowed = map[string]string{
	"clock_other.go started":             "the clock of leases where there is no CLOCK_BOOTTIME: a difference, so monotonic",
	"clock_other.go bootTime":            "the same",
	"takeover.go tellTakeover":           "a time of day in the log, for people",
	"plan.go plan":                       "whether a hold looks over, in a plan, by which nothing is started",
	"resign.go Resign":                   "how long a resignation took: a difference, so monotonic",
	"internal/zkconn/link.go Dial":       "the pace of reconnections: a difference, so monotonic",
	"internal/zkconn/link.go negotiated": "the same",
	"serve/board.go now":                 "how long a wait and a stop took: a difference, so monotonic",
	"serve/server.go date":               "the Date of an answer over HTTP",
	"tlsfault.go refusal":                "whether a certificate has expired, in the words of an error",
	"tlsfault.go validity":               "the same",
	"internal/child/tend_linux.go tend":  "the pace of looking for processes: a difference, so monotonic",
}

// TestNoWallClock: leases are computed on CLOCK_BOOTTIME. Every other look at a
// clock in the library is in the list above, by function, so that a new one is
// thought about.
func TestNoWallClock(t *testing.T) {
	var seen []string
	for name, decl := range lookers(t) {
		t.Logf("%s reads the clock: %s", name, decl)
		seen = append(seen, name)
		if wallClockAllowed[name] == "" {
			t.Errorf("%s reads Go's clock (%s): compute leases with bootTime, or add it to wallClockAllowed with the reason", name, decl)
		}
	}
	for name := range wallClockAllowed {
		if !slices.Contains(seen, name) {
			t.Errorf("%s does not read the clock any more: take it off wallClockAllowed", name)
		}
	}
}

// lookers are the declarations of the program that read a clock, with what they
// call for it.
func lookers(t *testing.T) map[string]string {
	found := map[string]string{}
	library := filepath.Join(root, "zkelect")
	err := filepath.WalkDir(library, func(file string, entry fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(library, file)
		switch {
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains([]string{"zktest", "cmdline", "internal/chaos"}, filepath.ToSlash(rel)):
			return filepath.SkipDir
		case !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go"):
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			return err
		}
		for _, decl := range parsed.Decls {
			ast.Inspect(decl, func(n ast.Node) bool {
				if setsDeadline(n) {
					return false
				}
				sel, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				pkg, ok := sel.X.(*ast.Ident)
				if ok && readsWall(pkg.Name, sel.Sel.Name) {
					found[filepath.ToSlash(rel)+" "+declName(decl)] = pkg.Name + "." + sel.Sel.Name
				}
				return true
			})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// setsDeadline tells whether it is a call such as SetDeadline(time.Now().Add(d)):
// the runtime keeps the difference, by the monotonic clock.
func setsDeadline(n ast.Node) bool {
	call, ok := n.(*ast.CallExpr)
	if !ok {
		return false
	}
	sel, ok := call.Fun.(*ast.SelectorExpr)
	return ok && slices.Contains([]string{"SetDeadline", "SetReadDeadline", "SetWriteDeadline"}, sel.Sel.Name)
}

func readsWall(pkg, name string) bool {
	switch pkg {
	case "time":
		return name == "Now" || name == "Since" || name == "Until"
	case "unix", "syscall":
		return name == "CLOCK_REALTIME" || name == "CLOCK_REALTIME_COARSE" || name == "CLOCK_TAI" || name == "Gettimeofday" || name == "Time"
	}
	return false
}

func declName(decl ast.Decl) string {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		return d.Name.Name
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			if v, ok := spec.(*ast.ValueSpec); ok {
				return v.Names[0].Name
			}
		}
	}
	return "?"
}
