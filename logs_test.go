package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// logSource is what the source says of the log: the keys of each event, and what
// they hold, by the names of the constructors of slog.
type logSource struct {
	keys  map[string]map[string]string // by kind or message
	texts map[string][2]string         // message and level by kind
}

// attrsOf are the keys that an expression makes, and those of the functions and
// variables of the same file that it names.
func attrsOf(e ast.Node, in *ast.FuncDecl, all map[string]*ast.FuncDecl, seen map[ast.Node]bool, keys map[string]string) {
	if e == nil || seen[e] {
		return
	}
	seen[e] = true
	ast.Inspect(e, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			// A variable that was put together before.
			if id, ok := n.(*ast.Ident); ok && in != nil && (id.Name == "attrs" || id.Name == "closed") {
				ast.Inspect(in.Body, func(n ast.Node) bool {
					if a, ok := n.(*ast.AssignStmt); ok && fmt.Sprint(a.Lhs[0]) == id.Name {
						for _, right := range a.Rhs {
							attrsOf(right, in, all, seen, keys)
						}
					}
					return true
				})
			}
			return true
		}
		switch f := call.Fun.(type) {
		case *ast.SelectorExpr:
			if pkg, ok := f.X.(*ast.Ident); ok && pkg.Name == "slog" && len(call.Args) == 2 {
				if key, ok := call.Args[0].(*ast.BasicLit); ok {
					name, _ := strconv.Unquote(key.Value)
					keys[name] = f.Sel.Name
				}
			} else if made := all[f.Sel.Name]; made != nil {
				attrsOf(made.Body, made, all, seen, keys)
			}
		case *ast.Ident:
			if made := all[f.Name]; made != nil {
				attrsOf(made.Body, made, all, seen, keys)
			}
		}
		return true
	})
}

// readLogSource reads what is emitted and logged.
func readLogSource(t *testing.T) logSource {
	t.Helper()
	s := logSource{map[string]map[string]string{}, map[string][2]string{}}
	for _, dir := range []string{"zkelect", "zkelect/notify", "."} {
		files, err := filepath.Glob(dir + "/*.go")
		if err != nil {
			t.Fatal(err)
		}
		var parsed []*ast.File
		makers := map[string]*ast.FuncDecl{} // functions that return attributes
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			parsed = append(parsed, f)
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Type.Results != nil {
					for _, r := range fn.Type.Results.List {
						if a, ok := r.Type.(*ast.ArrayType); ok && fmt.Sprint(a.Elt) == "&{slog Attr}" {
							makers[fn.Name.Name] = fn
						}
					}
				}
			}
		}
		for _, f := range parsed {
			for _, d := range f.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if !ok {
					s.readKinds(d)
					continue
				}
				ast.Inspect(fn, func(n ast.Node) bool {
					call, ok := n.(*ast.CallExpr)
					if !ok {
						return true
					}
					f, ok := call.Fun.(*ast.SelectorExpr)
					if !ok {
						return true
					}
					switch {
					case f.Sel.Name == "emit" && len(call.Args) > 0:
						s.add(fmt.Sprint(call.Args[0]), call.Args[1:], fn, makers)
					case slices.Contains([]string{"Info", "Warn", "Error"}, f.Sel.Name) && strings.HasSuffix(strings.TrimSuffix(fmt.Sprint(f.X), "}"), "log"):
						if text, ok := call.Args[0].(*ast.BasicLit); ok {
							s.plain(text, f.Sel.Name, call.Args[1:])
						}
					}
					return true
				})
			}
		}
	}
	return s
}

func (s logSource) add(kind string, args []ast.Expr, in *ast.FuncDecl, makers map[string]*ast.FuncDecl) {
	if s.keys[kind] == nil {
		s.keys[kind] = map[string]string{}
	}
	for _, arg := range args {
		attrsOf(arg, in, makers, map[ast.Node]bool{}, s.keys[kind])
	}
}

// plain is a line that is logged without an event.
func (s logSource) plain(text *ast.BasicLit, level string, args []ast.Expr) {
	message, _ := strconv.Unquote(text.Value)
	s.texts[message] = [2]string{message, strings.ToLower(level)}
	s.keys[message] = map[string]string{}
	for i := 0; i < len(args); i += 2 {
		if key, ok := args[i].(*ast.BasicLit); ok {
			name, _ := strconv.Unquote(key.Value)
			s.keys[message][name] = "Any"
		}
	}
}

// readKinds reads the table of event.go.
func (s logSource) readKinds(d ast.Decl) {
	ast.Inspect(d, func(n ast.Node) bool {
		kv, ok := n.(*ast.KeyValueExpr)
		if !ok || !strings.HasPrefix(fmt.Sprint(kv.Key), "Event") {
			return true
		}
		if c, ok := kv.Value.(*ast.CompositeLit); ok && len(c.Elts) == 2 {
			text, _ := strconv.Unquote(c.Elts[0].(*ast.BasicLit).Value)
			level := c.Elts[1].(*ast.SelectorExpr).Sel.Name
			s.texts[fmt.Sprint(kv.Key)] = [2]string{text, strings.ToLower(strings.TrimPrefix(level, "Level"))}
		}
		return true
	})
}

var logRow = regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (\\w+) \\|([^|]*)\\|[^|]*\\|$")

// TestLogsPage: docs/logs.md has a row for each message, with its level and its keys,
// and each key is told of once, with what it holds.
func TestLogsPage(t *testing.T) {
	page, err := os.ReadFile("docs/logs.md")
	if err != nil {
		t.Fatal(err)
	}
	holds := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (text|number|duration|time|list|yes or no) \\|").FindAllStringSubmatch(string(page), -1) {
		holds[m[1]] = m[2]
	}
	rows := map[string][2]string{}
	for _, m := range logRow.FindAllStringSubmatch(string(page), -1) {
		rows[m[1]] = [2]string{m[2], m[3]}
	}
	source := readLogSource(t)
	if len(source.keys) < 40 || source.keys["EventLeading"]["token"] != "Int64" || source.keys["EventFencing"]["pid"] != "Int" || source.keys["EventReleased"]["cause"] != "String" {
		t.Fatalf("the source was not read: %v", source.keys)
	}
	types := map[string]string{"String": "text", "Int": "number", "Int64": "number", "Duration": "duration", "Time": "time", "Bool": "yes or no"}
	used := map[string]bool{}
	for kind, text := range source.texts {
		row, ok := rows[text[0]]
		if !ok {
			t.Errorf("%s: no row for `%s`", kind, text[0])
			continue
		}
		delete(rows, text[0])
		keys := source.keys[kind]
		var want []string
		for key := range keys {
			if key != "path" || !strings.HasPrefix(kind, "Event") {
				want = append(want, key)
			}
		}
		var got []string
		for _, m := range regexp.MustCompile("`(\\w+)`").FindAllStringSubmatch(row[1], -1) {
			got = append(got, m[1])
		}
		slices.Sort(want)
		slices.Sort(got)
		if row[0] != text[1] || !slices.Equal(got, want) {
			t.Errorf("`%s`: %s %v; the source has %s %v", text[0], row[0], got, text[1], want)
		}
		for key, made := range keys {
			used[key] = true
			if holds[key] == "" {
				t.Errorf("the key %s is not told of", key)
			} else if types[made] != "" && types[made] != holds[key] {
				t.Errorf("the key %s holds a %s; %s has %s", key, holds[key], kind, made)
			}
		}
	}
	// The last line is put together by logEnd.
	if row, ok := rows["done"]; !ok {
		t.Error("no row for `done`")
	} else {
		fn := funcOf(t, "cmd_run.go", "logEnd")
		keys := map[string]string{}
		attrsOf(fn.Body, fn, nil, map[ast.Node]bool{}, keys)
		for key := range keys {
			used[key] = true
			if key != "path" && !strings.Contains(row[1], "`"+key+"`") || holds[key] == "" {
				t.Errorf("`done` lacks the key %s", key)
			}
		}
	}
	delete(rows, "done")
	for _, text := range slices.Sorted(maps.Keys(rows)) {
		t.Errorf("a row for `%s`, which nothing logs", text)
	}
	for key := range holds {
		if !used[key] {
			t.Errorf("the key %s is in no line", key)
		}
	}
}

func funcOf(t *testing.T, file, name string) *ast.FuncDecl {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Name.Name == name {
			return fn
		}
	}
	t.Fatalf("%s has no %s", file, name)
	return nil
}
