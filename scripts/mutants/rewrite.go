package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/printer"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
)

// rewriter puts mutants into one file: a condition c becomes mutantsIf(n, c), and a list x
// that is ranged over mutantsRange(n, x).
type rewriter struct {
	next  int
	found []*mutant
	fset  *token.FileSet
	name  string
	in    string // the function
}

// Modes of a condition, and of a loop, in the order of their ids.
var (
	ofCondition = []string{"flip", "true", "false"}
	ofLoop      = []string{"first-only", "skip-one"}
)

func (r *rewriter) file(path string) (pkg string, text []byte, err error) {
	r.fset, r.name = token.NewFileSet(), filepath.Base(path)
	f, err := parser.ParseFile(r.fset, path, nil, parser.SkipObjectResolution)
	if err != nil {
		return "", nil, err
	}
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Body == nil {
			continue
		}
		r.in = fn.Name.Name
		r.block(fn.Body)
	}
	var out bytes.Buffer
	if err := format.Node(&out, r.fset, f); err != nil {
		return "", nil, err
	}
	return f.Name.Name, out.Bytes(), nil
}

// block wraps what is in a function's body, function literals included.
func (r *rewriter) block(n ast.Node) {
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.IfStmt:
			n.Cond = r.condition(n.Cond)
		case *ast.RangeStmt:
			n.X = r.list(n.X)
		case *ast.KeyValueExpr:
			if isCondition(n.Value) {
				n.Value = r.condition(n.Value)
			}
		case *ast.CallExpr:
			if id, ok := n.Fun.(*ast.Ident); ok && strings.HasPrefix(id.Name, "mutants") {
				break
			}
			for i, e := range n.Args {
				if isCondition(e) {
					n.Args[i] = r.condition(e)
				}
			}
		case *ast.SwitchStmt:
			if n.Tag == nil { // else the cases are values
				for _, c := range n.Body.List {
					clause, _ := c.(*ast.CaseClause)
					for i, e := range clause.List {
						clause.List[i] = r.condition(e)
					}
				}
			}
		case *ast.ReturnStmt:
			for i, e := range n.Results {
				if isCondition(e) {
					n.Results[i] = r.condition(e)
				}
			}
		case *ast.AssignStmt:
			for i, e := range n.Rhs {
				if isCondition(e) {
					n.Rhs[i] = r.condition(e)
				}
			}
		}
		return true
	})
}

// isCondition reports whether an expression is a condition by its form.
func isCondition(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.BinaryExpr:
		switch e.Op {
		case token.EQL, token.NEQ, token.LSS, token.LEQ, token.GTR, token.GEQ, token.LAND,
			token.LOR:
			return true
		}
	case *ast.UnaryExpr:
		return e.Op == token.NOT
	case *ast.ParenExpr:
		return isCondition(e.X)
	}
	return false
}

// condition wraps a condition, or each side of an and, or an or.
func (r *rewriter) condition(e ast.Expr) ast.Expr {
	switch e := e.(type) {
	case *ast.BinaryExpr:
		if e.Op == token.LAND || e.Op == token.LOR {
			e.X, e.Y = r.condition(e.X), r.condition(e.Y)
			return e
		}
	case *ast.ParenExpr:
		e.X = r.condition(e.X)
		return e
	case *ast.CallExpr:
		if id, ok := e.Fun.(*ast.Ident); ok && id.Name == "mutantsIf" {
			return e // of a part that was seen already
		}
	}
	return r.wrap("mutantsIf", e, ofCondition)
}

func (r *rewriter) list(e ast.Expr) ast.Expr {
	switch e.(type) {
	case *ast.BasicLit, *ast.FuncLit:
		return e
	}
	return r.wrap("mutantsRange", e, ofLoop)
}

func (r *rewriter) wrap(with string, e ast.Expr, modes []string) ast.Expr {
	var words bytes.Buffer
	_ = printer.Fprint(&words, r.fset, e) // what does not print is named by its place
	text := strings.Join(strings.Fields(words.String()), " ")
	at := fmt.Sprintf("%s:%d", r.name, r.fset.Position(e.Pos()).Line)
	first := r.next + 1
	for _, mode := range modes {
		r.next++
		r.found = append(r.found, &mutant{id: r.next, at: at,
			key: strings.Join([]string{r.name, r.in, mode, text}, " ")})
	}
	return &ast.CallExpr{Fun: ast.NewIdent(with), Args: []ast.Expr{
		&ast.BasicLit{Kind: token.INT, Value: strconv.Itoa(first)}, e,
	}}
}

// aidSource is what the mutated package is given: it holds the mutant that the environment
// names, and writes down which were reached.
const aidSource = `
import (
	"fmt"
	"os"
	"reflect"
	"strconv"
	"sync"
)

var (
	mutantsNow, _   = strconv.Atoi(os.Getenv("MUTANT"))
	mutantsFile     = os.Getenv("MUTANTS_REACHED")
	mutantsSeen     sync.Map
	mutantsWriting  sync.Mutex
)

func mutantsReached(first, n int) {
	if mutantsFile == "" {
		return
	}
	if _, seen := mutantsSeen.LoadOrStore(first, true); seen {
		return
	}
	mutantsWriting.Lock()
	defer mutantsWriting.Unlock()
	f, err := os.OpenFile(mutantsFile, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	for i := range n {
		fmt.Fprintln(f, first+i)
	}
	if err := f.Close(); err != nil {
		panic(err)
	}
}

func mutantsIf(first int, c bool) bool {
	mutantsReached(first, 3)
	switch mutantsNow {
	case first:
		return !c
	case first + 1:
		return true
	case first + 2:
		return false
	}
	return c
}

func mutantsRange[T any](first int, x T) T {
	v := reflect.ValueOf(x)
	switch {
	case v.Kind() == reflect.Map && v.Len() > 1:
		return mutantsMap(first, v).Interface().(T)
	case v.Kind() == reflect.Array && v.Len() > 1:
		return mutantsArray(first, v).Interface().(T)
	case v.Kind() == reflect.Slice && v.Len() > 1, v.CanInt() && v.Int() > 1:
	case v.Kind() != reflect.Map && v.Kind() != reflect.Slice && !v.CanInt():
		mutantsReached(-first, 1) // nothing is left out of a string, a channel, a function
		return x
	default:
		return x
	}
	mutantsReached(first, 2)
	if mutantsNow != first && mutantsNow != first+1 {
		return x
	}
	if v.CanInt() {
		n := reflect.New(v.Type()).Elem()
		if n.SetInt(1); mutantsNow == first+1 {
			n.SetInt(v.Int() - 1)
		}
		return n.Interface().(T)
	}
	if mutantsNow == first {
		return v.Slice(0, 1).Interface().(T)
	}
	return v.Slice(1, v.Len()).Interface().(T)
}

// mutantsArray empties what is left out of an array.
func mutantsArray(first int, v reflect.Value) reflect.Value {
	mutantsReached(first, 2)
	if mutantsNow != first && mutantsNow != first+1 {
		return v
	}
	out := reflect.New(v.Type()).Elem()
	for i := range v.Len() {
		if (i == 0) == (mutantsNow == first) {
			out.Index(i).Set(v.Index(i))
		}
	}
	return out
}

// mutantsMap does the same to a map, whose first key is the least by its text.
func mutantsMap(first int, v reflect.Value) reflect.Value {
	mutantsReached(first, 2)
	if mutantsNow != first && mutantsNow != first+1 {
		return v
	}
	least := v.MapKeys()[0]
	for _, k := range v.MapKeys() {
		if fmt.Sprint(k) < fmt.Sprint(least) {
			least = k
		}
	}
	out := reflect.MakeMap(v.Type())
	for _, k := range v.MapKeys() {
		if (k.Interface() == least.Interface()) == (mutantsNow == first) {
			out.SetMapIndex(k, v.MapIndex(k))
		}
	}
	return out
}
`
