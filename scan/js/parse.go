package js

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/dop251/goja/ast"
	"github.com/dop251/goja/file"
	"github.com/dop251/goja/parser"
	"github.com/go-sourcemap/sourcemap"
)

// maxDepth bounds how deep a source may nest: parsers are recursive, and a stack
// overflow ends the process.
const maxDepth = 2000

// Unit is one parsed file.
type Unit struct {
	path    string // relative to the scanned folder, with slashes
	js      string
	program *ast.Program
	raw     []byte // the source map; decoded when a position is asked for
	lines   *sourcemap.Consumer
	module  *scope
	names   map[*ast.Identifier]*scope // where each identifier is used
	classes map[*ast.ThisExpression]*Class
	classOf map[*ast.ClassLiteral]*Class
	// functions written as an argument, with the call they are passed to
	callees map[ast.Node]*ast.CallExpression
	exports map[string]export
	stars   []ast.Expression // export * from: values of modules
	whole   []ast.Expression // module.exports = ...
	News    []*ast.NewExpression
	Calls   []*ast.CallExpression
	writes  []write
	Passed  []ast.Expression // values passed to where they are not followed
	silent  map[ast.Expression]bool
	Within  map[*ast.NewExpression]ast.Node // the surrounding function
}

type export struct {
	expr ast.Expression
	many bool
}

// write changes a variable (member is false) or something that a variable holds.
type write struct {
	target ast.Expression
	value  ast.Expression // nil: unknown
	member bool
	name   string              // of the assigned member
	call   *ast.CallExpression // the target is passed to a function, which may change it
}

// At returns the position of a node in the original file.
func (u *Unit) At(n ast.Node) Position {
	if c, ok := n.(*ast.CallExpression); ok {
		// An imported function is called as (0, x.f)(): in the original file it
		// begins at x.f.
		if s, ok := c.Callee.(*ast.SequenceExpression); ok {
			n = s.Sequence[len(s.Sequence)-1]
		}
	}
	return u.position(n.Idx0())
}

func (u *Unit) position(i file.Idx) Position {
	off := min(max(int(i)-1, 0), len(u.js))
	before := u.js[:off]
	line, col := strings.Count(before, "\n")+1, off-strings.LastIndexByte(before, '\n')-1
	if u.lines == nil {
		m, err := sourcemap.Parse("", u.raw)
		if err != nil {
			return Position{File: u.path, Line: 1, Column: 1}
		}
		u.lines, u.raw = m, nil
	}
	if _, _, l, c, ok := u.lines.Source(line, col); ok {
		return Position{File: u.path, Line: l, Column: c + 1}
	}
	return Position{File: u.path, Line: 1, Column: 1}
}

// imported matches names as esbuild writes them.
var imported = regexp.MustCompile(`\(0, import_\w+\.(\w+)\)|import_\w+\.(\w+)`)

// Text returns a node as it was understood, on one line and abbreviated.
func (u *Unit) Text(n ast.Node) string {
	from, to := int(n.Idx0())-1, int(n.Idx1())-1
	if from < 0 || to > len(u.js) || from >= to {
		return ""
	}
	s := strings.Join(strings.Fields(u.js[from:min(to, from+400)]), " ")
	if strings.Contains(s, "import_") {
		s = imported.ReplaceAllString(s, "$1$2")
	}
	if r := []rune(s); len(r) > 80 {
		s = string(r[:79]) + "…"
	}
	return s
}

// parse reads a file with esbuild, which knows TypeScript, JSX and decorators, and
// parses the result into an AST.
func parse(name string, source []byte) (u *Unit, err error) {
	defer func() {
		if r := recover(); r != nil {
			u, err = nil, fmt.Errorf("the parser gave up: %v", r)
		}
	}()
	if nested(source) {
		return nil, fmt.Errorf("it nests deeper than %d levels", maxDepth)
	}
	js, sourceMap, err := toJS(name, source)
	if err != nil {
		return nil, err
	}
	program, err := parser.ParseFile(nil, name, js, parser.IgnoreRegExpErrors,
		parser.WithDisableSourceMaps)
	if err != nil {
		return nil, err
	}
	u = &Unit{path: name, js: js, program: program, raw: sourceMap}
	u.bind()
	return u, nil
}

// nested reports a source that would overflow the stack: brackets, or operators
// before an operand. Strings count as code, which errs on the safe side.
func nested(source []byte) bool {
	depth, run := 0, 0
	for _, c := range source {
		switch c {
		case '(', '[', '{', '<':
			depth++
		case ')', ']', '}', '>':
			depth = max(depth-1, 0)
		case '\n':
			// A comparison is not a bracket: what is left of it ends with its line,
			// unless the lines themselves nest.
		}
		switch c {
		case '!', '~', '+', '-', ' ', '\t', '\n':
			if c != ' ' && c != '\t' && c != '\n' {
				run++
			}
		default:
			run = 0
		}
		if depth > maxDepth || run > maxDepth {
			return true
		}
	}
	return false
}

// Position is a place in a file; Line and Column count from 1.
type Position struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
}

func (p Position) String() string { return fmt.Sprintf("%s:%d", p.File, p.Line) }
