package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/mod/modfile"
)

// source reads from the module's Go files what reflection does not tell: the doc comments of types
// and fields, and the constants of a type.
type source struct {
	dir, module string // the module's folder and path
	packages    map[string]map[string]*declared
}

// newSource reads the module that the working folder is in.
func newSource() (*source, error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("find the module: %w", err)
	}
	for ; ; dir = filepath.Dir(dir) {
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil {
			return &source{dir, modfile.ModulePath(mod), map[string]map[string]*declared{}}, nil
		}
		if dir == filepath.Dir(dir) {
			return nil, errors.New("find the module: no folder above has a go.mod")
		}
	}
}

// declared is a type as its package declares it.
type declared struct {
	doc       string
	fields    map[string]string // comments by Go name
	constants []constant        // of this type, in the order of the source
}

type constant struct{ name, value, doc string }

// lookup finds the declaration of a named type; nil for types of other modules and unnamed ones.
func (s *source) lookup(t reflect.Type) (*declared, error) {
	sub, ours := strings.CutPrefix(t.PkgPath(), s.module+"/")
	if !ours || t.Name() == "" {
		return nil, nil //nolint:nilnil // there is none, which is no error
	}
	if s.packages[sub] == nil {
		types, err := parse(filepath.Join(s.dir, filepath.FromSlash(sub)))
		if err != nil {
			return nil, err
		}
		s.packages[sub] = types
	}
	d := s.packages[sub][t.Name()]
	if d == nil {
		return nil, fmt.Errorf("package %s does not declare %s", sub, t.Name())
	}
	return d, nil
}

// parse reads the declarations of the package in a folder. Build tags are ignored: no type of the API
// depends on them.
func parse(dir string) (map[string]*declared, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read the source: %w", err)
	}
	types := map[string]*declared{}
	var constants []*ast.GenDecl // of types that may be declared in a later file
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		path := filepath.Join(dir, e.Name())
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			return nil, fmt.Errorf("read the source: %w", err)
		}
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			switch {
			case ok && g.Tok == token.TYPE:
				addTypes(types, g)
			case ok && g.Tok == token.CONST:
				constants = append(constants, g)
			}
		}
	}
	for _, g := range constants {
		addConstants(types, g)
	}
	return types, nil
}

func addTypes(types map[string]*declared, g *ast.GenDecl) {
	for _, spec := range g.Specs {
		ts, ok := spec.(*ast.TypeSpec)
		if !ok {
			continue
		}
		d := &declared{doc: ts.Doc.Text(), fields: map[string]string{}}
		if d.doc == "" && !g.Lparen.IsValid() {
			d.doc = g.Doc.Text()
		}
		if st, ok := ts.Type.(*ast.StructType); ok {
			for _, f := range st.Fields.List {
				for _, name := range f.Names {
					d.fields[name.Name] = strings.TrimSpace(f.Doc.Text() + f.Comment.Text())
				}
			}
		}
		types[ts.Name.Name] = d
	}
}

// addConstants adds constants of the form Name Type = "literal".
func addConstants(types map[string]*declared, g *ast.GenDecl) {
	for _, spec := range g.Specs {
		vs, ok := spec.(*ast.ValueSpec)
		if !ok {
			continue
		}
		of, ok := vs.Type.(*ast.Ident)
		if !ok || types[of.Name] == nil {
			continue
		}
		for i, v := range vs.Values {
			lit, ok := v.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				continue
			}
			if text, err := strconv.Unquote(lit.Value); err == nil {
				c := constant{vs.Names[i].Name, text, vs.Doc.Text() + vs.Comment.Text()}
				types[of.Name].constants = append(types[of.Name].constants, c)
			}
		}
	}
}

// firstParagraph gives the part of a doc comment that is for readers of the document, on one line.
// What follows an empty line is for readers of the code.
func firstParagraph(comment string) string {
	text, _, _ := strings.Cut(comment, "\n\n")
	return strings.Join(strings.Fields(text), " ")
}

// describe makes a description of the comment of a type or field: without its Go name at the
// beginning, and with the names of JSON in place of those of Go. names gives the JSON name of each
// field that the comment may speak of; omitted says that a field is absent where Go has nil.
func describe(comment, name string, names map[string]string, omitted bool) string {
	text := firstParagraph(comment)
	if rest, ok := strings.CutPrefix(text, name+": "); ok {
		text = rest
	} else if rest, ok := strings.CutPrefix(text, name+" "); ok {
		verb, after, _ := strings.Cut(rest, " ")
		switch {
		case verb == "is" || verb == "are":
			text = after
		case strings.HasSuffix(verb, "s"): // counts, names, says
			text = rest
		}
	}
	return sentence(replaceWords(text, func(word string, begins bool) string {
		switch name := names[word]; {
		case word == "nil" && omitted:
			return "absent"
		case word == "nil":
			return "null"
		case name != "" && !begins:
			return name
		}
		return word
	}))
}

// replaceWords calls change for each word, and says whether it begins a sentence.
func replaceWords(text string, change func(word string, begins bool) string) string {
	inWord := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_' }
	var out strings.Builder
	begins := true
	for len(text) > 0 {
		end := strings.IndexFunc(text, func(r rune) bool { return !inWord(r) })
		if end < 0 {
			end = len(text)
		}
		if end > 0 {
			out.WriteString(change(text[:end], begins))
			text, begins = text[end:], false
			continue
		}
		r, size := utf8.DecodeRuneInString(text)
		out.WriteRune(r)
		begins = begins || r == '.'
		text = text[size:]
	}
	return out.String()
}

// sentence begins a text with a capital letter and ends it with a full stop.
func sentence(text string) string {
	if text == "" {
		return ""
	}
	first, size := utf8.DecodeRuneInString(text)
	text = string(unicode.ToUpper(first)) + text[size:]
	if !strings.ContainsAny(text[len(text)-1:], ".!?:") {
		text += "."
	}
	return text
}
