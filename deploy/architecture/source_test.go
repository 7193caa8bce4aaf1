package architecture

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// commentWidth is how many characters a line that is nothing but a comment may have, where a tab is one. Directives, and
// code behind a tab, may have more.
const commentWidth = 122

// tree is what the rules look at: the repository.
type tree struct {
	top   []string // names in its root, without those that begin with a dot
	files []file
}

// file is one Go file.
type file struct {
	path       string // from the root, "lb/state/diff.go"
	pkg        string // name in its package clause
	documented bool   // has a package comment
	lines      int
	wide       []int // numbers of the lines that are a comment and too wide
	imports    []string
	calls      []string // of functions of other packages, "time.Sleep", except in TestMain
}

func (f file) folder() string { return path.Dir(f.path) }
func (f file) test() bool     { return strings.HasSuffix(f.path, "_test.go") }

// below says whether a folder, or an import path, is one of the parents or anywhere under one.
func below(name string, parents ...string) bool {
	return slices.ContainsFunc(parents, func(parent string) bool {
		return name == parent || strings.HasPrefix(name, parent+"/")
	})
}

// readTree reads all of a module except nested modules, testdata and what is not tracked.
func readTree(root fs.FS) (tree, error) {
	var t tree
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		if strings.HasPrefix(entry.Name(), ".") {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.Contains(name, "/") {
			t.top = append(t.top, name)
		}
		if entry.IsDir() {
			if _, err := fs.Stat(root, name+"/go.mod"); err == nil || entry.Name() == "testdata" || slices.Contains(untracked, name) {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(name) != ".go" {
			return nil
		}
		text, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		f, err := parse(name, text)
		t.files = append(t.files, f)
		return err
	})
	return t, err
}

func parse(name string, text []byte) (file, error) {
	syntax, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return file{}, err
	}
	f := file{
		path: name, pkg: syntax.Name.Name, documented: syntax.Doc.Text() != "", lines: bytes.Count(text, []byte("\n")),
	}
	number := 0
	for line := range bytes.Lines(text) {
		number++
		if bytes.HasPrefix(bytes.TrimLeft(line, "\t"), []byte("// ")) && utf8.RuneCount(bytes.TrimRight(line, "\r\n")) > commentWidth {
			f.wide = append(f.wide, number)
		}
	}
	for _, spec := range syntax.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return file{}, err
		}
		f.imports = append(f.imports, imported)
	}
	for _, declaration := range syntax.Decls {
		if function, ok := declaration.(*ast.FuncDecl); ok && function.Name.Name == "TestMain" {
			continue
		}
		ast.Inspect(declaration, func(node ast.Node) bool {
			if call, ok := node.(*ast.CallExpr); ok {
				if selector, ok := call.Fun.(*ast.SelectorExpr); ok {
					if left, ok := selector.X.(*ast.Ident); ok {
						f.calls = append(f.calls, left.Name+"."+selector.Sel.Name)
					}
				}
			}
			return true
		})
	}
	return f, nil
}

// repository is the tree that this package stands in.
func repository() (tree, error) { return readTree(os.DirFS("../..")) }
