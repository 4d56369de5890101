package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// docs/curator.md says of each public method of Curator's where it is in zkelect.
// These tests hold it against Curator's own classes, and against the library.

const curatorJar = "/usr/share/java/curator-recipes.jar"

// curatorClasses are the headings on the page, each with the class's name.
var curatorClasses = []string{
	"LeaderLatch", "LeaderLatchListener", "LeaderLatch.CloseMode", "LeaderLatch.State",
	"LeaderSelector", "LeaderSelectorListener", "LeaderSelectorListenerAdapter", "Participant", "CancelLeadershipException",
}

var (
	qualifier = regexp.MustCompile(`\b(?:[a-z]\w*\.)+([A-Z])`)
	member    = regexp.MustCompile(`([\w.]+\([^)]*\)|\w+)(?: throws [^;]*)?;$`)
)

// publicMembers is what javap says of a class: its constructors, methods and
// constants, without packages.
func publicMembers(t *testing.T, class string) []string {
	t.Helper()
	for _, needed := range []string{"javap", curatorJar} {
		_, err := exec.LookPath(needed)
		if strings.HasPrefix(needed, "/") {
			_, err = os.Stat(needed)
		}
		if err != nil {
			t.Fatalf("%v; install it: apt-get install --no-install-recommends default-jdk-headless libcurator-recipes-java", err)
		}
	}
	name := "org.apache.curator.framework.recipes.leader." + strings.ReplaceAll(class, ".", "$")
	out, err := exec.Command("javap", "-public", "-cp", curatorJar, name).CombinedOutput()
	if err != nil {
		t.Fatalf("javap %s: %v\n%s", name, err, out)
	}
	var members []string
	for line := range strings.Lines(string(out)) {
		line = qualifier.ReplaceAllString(strings.TrimSpace(strings.ReplaceAll(line, "$", ".")), "$1")
		if m := member.FindStringSubmatch(line); m != nil {
			members = append(members, m[1])
		}
	}
	if len(members) == 0 {
		t.Fatalf("javap tells no member of %s:\n%s", name, out)
	}
	return members
}

// tableRows are the rows of the tables below a heading, cell by cell.
func tableRows(t *testing.T, page, heading string) (rows [][]string) {
	t.Helper()
	_, section, found := strings.Cut(page, "# "+heading+"\n")
	if !found {
		t.Fatalf("no heading %q", heading)
	}
	section, _, _ = strings.Cut(section, "\n#")
	for line := range strings.Lines(section) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| ---") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for n := range cells {
			cells[n] = strings.TrimSpace(cells[n])
		}
		rows = append(rows, cells)
	}
	if len(rows) < 2 {
		t.Fatalf("no table below %q", heading)
	}
	return rows[1:]
}

func TestCuratorPageHasEveryMethod(t *testing.T) {
	page := pages(t)["docs/curator.md"]
	for _, class := range curatorClasses {
		have := map[string]bool{}
		for _, row := range tableRows(t, page, class) {
			for _, m := range quoted.FindAllStringSubmatch(row[0], -1) {
				have[m[1]] = true
			}
		}
		for _, m := range publicMembers(t, class) {
			if !have[m] {
				t.Errorf("docs/curator.md says nothing of %s's %s", class, m)
			}
			delete(have, m)
		}
		for m := range have {
			t.Errorf("docs/curator.md: %s has no %s", class, m)
		}
	}
}

// declared are the names that the library and its tests declare: Type, Func,
// Type.Method, Type.Field.
func declared(t *testing.T) map[string]bool {
	t.Helper()
	files, err := filepath.Glob("zkelect/*.go")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			declares(names, d)
		}
	}
	return names
}

func declares(names map[string]bool, d ast.Decl) {
	if f, ok := d.(*ast.FuncDecl); ok {
		name := f.Name.Name
		if f.Recv != nil {
			receiver := f.Recv.List[0].Type
			if star, ok := receiver.(*ast.StarExpr); ok {
				receiver = star.X
			}
			if id, ok := receiver.(*ast.Ident); ok {
				name = id.Name + "." + name
			}
		}
		names[name] = true
		return
	}
	for _, spec := range d.(*ast.GenDecl).Specs {
		switch s := spec.(type) {
		case *ast.ValueSpec:
			for _, n := range s.Names {
				names[n.Name] = true
			}
		case *ast.TypeSpec:
			names[s.Name.Name] = true
			if str, ok := s.Type.(*ast.StructType); ok {
				for _, f := range str.Fields.List {
					for _, n := range f.Names {
						names[s.Name.Name+"."+n.Name] = true
					}
				}
			}
		}
	}
}

var goName = regexp.MustCompile(`^[A-Z]\w*(\.[A-Z]\w*)?$`)

// Each row names something of the library, or says that there is none.
func TestCuratorPageNamesGoThatExists(t *testing.T) {
	page, names := pages(t)["docs/curator.md"], declared(t)
	check := func(cell string) (n int) {
		for _, m := range quoted.FindAllStringSubmatch(cell, -1) {
			if !goName.MatchString(m[1]) || strings.HasPrefix(m[1], "ZKELECT_") {
				continue
			}
			if n++; !names[m[1]] {
				t.Errorf("docs/curator.md: the library has no %s", m[1])
			}
		}
		return n
	}
	for _, heading := range append([]string{"The classic program"}, curatorClasses...) {
		for _, row := range tableRows(t, page, heading) {
			if len(row) != 3 {
				t.Errorf("docs/curator.md: want three cells: %q", row)
				continue
			}
			if check(row[1]) == 0 && !strings.HasPrefix(row[1], "none") && !strings.HasPrefix(row[1], "part of") {
				t.Errorf("docs/curator.md: no place in zkelect, and no reason: %q", row)
			}
		}
	}
	for _, row := range tableRows(t, page, "LeaderLatch's behaviour, point by point") {
		check(row[2])
		if len(row) != 4 || check(row[3]) == 0 {
			t.Errorf("docs/curator.md: no test: %q", row)
		}
	}
	intro, _, _ := strings.Cut(page, "\n## LeaderLatch\n")
	for _, m := range quoted.FindAllStringSubmatch(intro, -1) {
		if goName.MatchString(m[1]) && !names[m[1]] && !strings.HasPrefix(m[1], "Leader") {
			t.Errorf("docs/curator.md: the library has no %s", m[1])
		}
	}
}
