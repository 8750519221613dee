package scan

import (
	"reflect"
	"strings"
	"sync"

	"github.com/dop251/goja/ast"
	"github.com/dop251/goja/token"
)

// A scope holds the names that are declared in one function or block.
type scope struct {
	parent   *scope
	function bool
	names    map[string]*binding
}

func (s *scope) find(name string) *binding {
	for ; s != nil; s = s.parent {
		if b := s.names[name]; b != nil {
			return b
		}
	}
	return nil
}

// A binding is one declared name.
type binding struct {
	unit    *unit
	name    string
	sources []source
	param   ast.Node // the function whose parameter it is
	index   int
	top     bool // declared in the module itself
	touched []touch
	changed *Position // where what it holds is changed after it was built
	why     string
	memo    *value
	busy    bool
}

// A source is a value that a name gets, or the part of it that path says.
type source struct {
	expr ast.Expression
	path []string
	dflt ast.Expression
}

// restOf in a path is what a pattern leaves over.
const restOf = "..."

// A touch is a place in which something is given to a function that may change it.
type touch struct {
	unit *unit
	write
}

type class struct {
	unit *unit
	node *ast.ClassLiteral
	// initializers and assignments to this.NAME; nil where it is not known
	fields  map[string][]ast.Expression
	methods map[string]*ast.MethodDefinition
	static  map[string]ast.Expression
	ctor    *ast.FunctionLiteral
	supers  []*ast.CallExpression
	touched map[string][]touch // fields that are given to functions
	changed bool               // something static is changed from outside
}

type place struct {
	scope *scope
	class *class
	fn    ast.Node
}

func (u *unit) bind() {
	u.names = map[*ast.Identifier]*scope{}
	u.classes = map[*ast.ThisExpression]*class{}
	u.classOf = map[*ast.ClassLiteral]*class{}
	u.callees = map[ast.Node]*ast.CallExpression{}
	u.exports = map[string]export{}
	u.silent = map[ast.Expression]bool{}
	u.within = map[*ast.NewExpression]ast.Node{}
	u.module = &scope{function: true, names: map[string]*binding{}}
	at := place{scope: u.module}
	for _, s := range u.program.Body {
		u.walk(s, at)
	}
	for _, w := range u.writes {
		if id, ok := w.target.(*ast.Identifier); ok && !w.member &&
			!decorates(w.value, string(id.Name)) {
			if b := u.names[id].find(string(id.Name)); b != nil {
				b.sources = append(b.sources, source{expr: w.value})
			}
		}
	}
}

// decorates says whether a value is the class of that name with its decorators, as
// esbuild writes it: C = __decorateClass([...], C).
func decorates(value ast.Expression, name string) bool {
	c, ok := value.(*ast.CallExpression)
	return ok && isName(c.Callee, "__decorateClass") && len(c.ArgumentList) == 2 &&
		isName(c.ArgumentList[1], name)
}

func inner(at place) place {
	at.scope = &scope{parent: at.scope, names: map[string]*binding{}}
	return at
}

func (u *unit) declare(s *scope, name string) *binding {
	b := s.names[name]
	if b == nil {
		b = &binding{unit: u, name: name, top: s == u.module}
		s.names[name] = b
	}
	return b
}

// pattern declares what a target binds, with the value it gets.
func (u *unit) pattern(
	t ast.Expression, src source, at place, in *scope, param ast.Node, index int,
) {
	switch t := t.(type) {
	case *ast.Identifier:
		b := u.declare(in, string(t.Name))
		if param != nil {
			b.param, b.index = param, index
			b.sources = append(b.sources, src)
		} else if src.expr != nil {
			b.sources = append(b.sources, src)
		}
		u.names[t] = in
	case *ast.Binding:
		if t.Initializer != nil {
			u.walk(t.Initializer, at)
			src.dflt = t.Initializer
		}
		u.pattern(t.Target, src, at, in, param, index)
	case *ast.AssignExpression: // a default inside a pattern
		u.walk(t.Right, at)
		src.dflt = t.Right
		u.pattern(t.Left, src, at, in, param, index)
	case *ast.ObjectPattern:
		for _, p := range t.Properties {
			switch p := p.(type) {
			case *ast.PropertyShort:
				s := deeper(src, string(p.Name.Name))
				if p.Initializer != nil {
					u.walk(p.Initializer, at)
					s.dflt = p.Initializer
				}
				u.pattern(&p.Name, s, at, in, param, index)
			case *ast.PropertyKeyed:
				u.pattern(p.Value, deeper(src, keyName(p.Key, p.Computed)), at, in,
					param, index)
				if p.Computed {
					u.walk(p.Key, at)
				}
			}
		}
		if t.Rest != nil {
			u.pattern(t.Rest, deeper(src, restOf), at, in, param, index)
		}
	case *ast.ArrayPattern:
		for i, e := range t.Elements {
			if e != nil {
				u.pattern(e, deeper(src, indexName(i)), at, in, param, index)
			}
		}
		if t.Rest != nil {
			u.pattern(t.Rest, deeper(src, restOf), at, in, param, index)
		}
	}
}

func deeper(s source, name string) source {
	return source{expr: s.expr, path: append(append([]string(nil), s.path...), name), dflt: nil}
}

func (u *unit) function(node ast.Node, params *ast.ParameterList, at place) place {
	at = inner(at)
	at.scope.function = true
	at.fn = node
	if params == nil {
		return at
	}
	for i, p := range params.List {
		u.pattern(p, source{}, at, at.scope, node, i)
	}
	if params.Rest != nil {
		u.pattern(params.Rest, source{path: []string{restOf}}, at, at.scope, node,
			len(params.List))
	}
	return at
}

func (u *unit) walk(n ast.Node, at place) {
	switch n := n.(type) {
	case *ast.Identifier:
		u.names[n] = at.scope
	case *ast.ThisExpression:
		if at.class != nil {
			u.classes[n] = at.class
		}
	case *ast.FunctionLiteral:
		at.class = nil
		u.functionLiteral(n, at, true)
	case *ast.ArrowFunctionLiteral:
		in := u.function(n, n.ParameterList, at)
		if body, ok := n.Body.(*ast.BlockStatement); ok {
			u.statements(body.List, in)
		} else if body, ok := n.Body.(*ast.ExpressionBody); ok {
			u.give(body.Expression)
			u.walk(body.Expression, in)
		}
	case *ast.FunctionDeclaration:
		if n.Function.Name != nil {
			b := u.declare(at.scope, string(n.Function.Name.Name))
			b.sources = append(b.sources, source{expr: n.Function})
		}
		at.class = nil
		u.functionLiteral(n.Function, at, false)
	case *ast.ClassDeclaration:
		if n.Class.Name != nil {
			b := u.declare(at.scope, string(n.Class.Name.Name))
			b.sources = append(b.sources, source{expr: n.Class})
		}
		u.class(n.Class, at)
	case *ast.ClassLiteral:
		if n.Name != nil {
			at = inner(at)
			u.declare(at.scope, string(n.Name.Name)).sources = []source{{expr: n}}
		}
		u.class(n, at)
	case *ast.BlockStatement:
		u.statements(n.List, inner(at))
	case *ast.ForStatement, *ast.ForInStatement, *ast.ForOfStatement, *ast.SwitchStatement:
		u.children(n, inner(at))
	case *ast.ForIntoVar:
		u.pattern(n.Binding.Target, source{path: []string{restOf}, expr: nil}, at,
			functionScope(at.scope), nil, 0)
		u.unknown(n.Binding.Target, at)
	case *ast.ForDeclaration:
		u.pattern(n.Target, source{}, at, at.scope, nil, 0)
		u.unknown(n.Target, at)
	case *ast.ForIntoExpression:
		u.patternWrites(n.Expression, at)
		u.walk(n.Expression, at)
	case *ast.ForLoopInitializerVarDeclList:
		u.declarations(n.List, at, functionScope(at.scope))
	case *ast.ForLoopInitializerLexicalDecl:
		u.declarations(n.LexicalDeclaration.List, at, at.scope)
	case *ast.CatchStatement:
		at = inner(at)
		if n.Parameter != nil {
			u.pattern(n.Parameter, source{}, at, at.scope, nil, 0)
			u.unknown(n.Parameter, at)
		}
		u.statements(n.Body.List, at)
	case *ast.VariableStatement:
		u.declarations(n.List, at, functionScope(at.scope))
	case *ast.LexicalDeclaration:
		u.declarations(n.List, at, at.scope)
	case *ast.DotExpression:
		u.walk(n.Left, at)
	case *ast.PrivateDotExpression:
		u.walk(n.Left, at)
	case *ast.PropertyKeyed:
		if n.Computed {
			u.walk(n.Key, at)
		}
		u.give(n.Value)
		u.walk(n.Value, at)
	case *ast.PropertyShort:
		u.give(&n.Name)
		u.walk(&n.Name, at)
	case *ast.ReturnStatement:
		if n.Argument != nil {
			u.give(n.Argument)
			u.walk(n.Argument, at)
		}
	case *ast.ArrayLiteral:
		for _, e := range n.Value {
			if e != nil {
				u.give(e)
				u.walk(e, at)
			}
		}
	case *ast.UnaryExpression:
		if n.Operator == token.DELETE || n.Operator == token.INCREMENT ||
			n.Operator == token.DECREMENT {
			u.assigned(n.Operand, nil)
		}
		u.walk(n.Operand, at)
	case *ast.AssignExpression:
		u.assignment(n, at)
	case *ast.NewExpression:
		u.news = append(u.news, n)
		u.within[n] = at.fn
		u.walk(n.Callee, at)
		for _, a := range n.ArgumentList {
			u.give(a)
			u.walk(a, at)
		}
	case *ast.CallExpression:
		u.call(n, at)
	case *ast.MetaProperty, *ast.BranchStatement:
	case *ast.LabelledStatement:
		u.walk(n.Statement, at)
	default:
		u.children(n, at)
	}
}

func (u *unit) statements(list []ast.Statement, at place) {
	for _, s := range list {
		u.walk(s, at)
	}
}

func functionScope(s *scope) *scope {
	for !s.function {
		s = s.parent
	}
	return s
}

// give notes an expression whose value goes where this scan does not follow it.
func (u *unit) give(e ast.Expression) {
	switch e.(type) {
	case *ast.Identifier, *ast.DotExpression:
		if !u.silent[e] {
			u.passed = append(u.passed, e)
		}
	}
}

// quiet keeps what a module exports from counting as given away: imports of it are
// followed.
func (u *unit) quiet(e ast.Expression) {
	u.silent[e] = true
	o, ok := e.(*ast.ObjectLiteral)
	if !ok {
		return
	}
	for _, p := range o.Value {
		switch p := p.(type) {
		case *ast.PropertyShort:
			u.silent[&p.Name] = true
		case *ast.PropertyKeyed:
			u.silent[p.Value] = true
		}
	}
}

func (u *unit) declarations(list []*ast.Binding, at place, in *scope) {
	for _, d := range list {
		u.pattern(d.Target, source{expr: d.Initializer}, at, in, nil, 0)
		if d.Initializer != nil {
			u.walk(d.Initializer, at)
		}
	}
}

// unknown gives what a target binds a value that nobody knows.
func (u *unit) unknown(t ast.Expression, at place) {
	switch t := t.(type) {
	case *ast.Identifier:
		if b := at.scope.find(string(t.Name)); b != nil {
			b.why = "it differs from turn to turn"
		}
	case *ast.Binding:
		u.unknown(t.Target, at)
	case *ast.AssignExpression:
		u.unknown(t.Left, at)
	case *ast.ObjectPattern:
		for _, p := range t.Properties {
			switch p := p.(type) {
			case *ast.PropertyShort:
				u.unknown(&p.Name, at)
			case *ast.PropertyKeyed:
				u.unknown(p.Value, at)
			}
		}
		if t.Rest != nil {
			u.unknown(t.Rest, at)
		}
	case *ast.ArrayPattern:
		for _, e := range t.Elements {
			if e != nil {
				u.unknown(e, at)
			}
		}
		if t.Rest != nil {
			u.unknown(t.Rest, at)
		}
	}
}

func (u *unit) functionLiteral(n *ast.FunctionLiteral, at place, expression bool) {
	if expression && n.Name != nil {
		at = inner(at)
		u.declare(at.scope, string(n.Name.Name)).sources = []source{{expr: n}}
	}
	in := u.function(n, n.ParameterList, at)
	u.statements(n.Body.List, in)
}

func (u *unit) class(n *ast.ClassLiteral, at place) {
	c := &class{
		unit:    u,
		node:    n,
		fields:  map[string][]ast.Expression{},
		methods: map[string]*ast.MethodDefinition{},
		static:  map[string]ast.Expression{},
		touched: map[string][]touch{},
	}
	u.classOf[n] = c
	if n.SuperClass != nil {
		u.walk(n.SuperClass, at)
	}
	within, shared := at, at
	within.class, shared.class = c, nil // what "this" is in a static member, nobody follows
	for _, e := range n.Body {
		switch e := e.(type) {
		case *ast.FieldDefinition:
			name := keyName(e.Key, e.Computed)
			if e.Computed {
				u.walk(e.Key, at)
			}
			switch {
			case e.Initializer == nil:
			case e.Static:
				u.walk(e.Initializer, shared)
				c.static[name] = e.Initializer
			default:
				u.walk(e.Initializer, within)
				c.fields[name] = append(c.fields[name], e.Initializer)
			}
		case *ast.MethodDefinition:
			name := keyName(e.Key, e.Computed)
			if e.Computed {
				u.walk(e.Key, at)
			}
			switch {
			case name == "constructor" && !e.Static:
				c.ctor = e.Body
			case e.Static && e.Kind == ast.PropertyKindMethod:
				c.static[name] = e.Body
			case !e.Static:
				c.methods[name] = e
			}
			if e.Static {
				u.functionLiteral(e.Body, shared, false)
			} else {
				u.functionLiteral(e.Body, within, false)
			}
		case *ast.ClassStaticBlock:
			u.statements(e.Block.List, inner(shared))
		}
	}
}

func (u *unit) assignment(n *ast.AssignExpression, at place) {
	value := n.Right
	if n.Operator != token.ASSIGN {
		value = nil
	}
	switch left := n.Left.(type) {
	case *ast.ObjectPattern, *ast.ArrayPattern:
		u.patternWrites(left, at)
	case *ast.DotExpression:
		if this, ok := left.Left.(*ast.ThisExpression); ok && at.class != nil {
			name := string(left.Identifier.Name)
			at.class.fields[name] = append(at.class.fields[name], value)
			u.classes[this] = at.class
			break
		}
		if u.exported(left, n.Right, at) {
			break
		}
		u.assigned(left, value)
		u.give(n.Right)
	case *ast.PrivateDotExpression:
		if _, ok := left.Left.(*ast.ThisExpression); ok && at.class != nil {
			name := "#" + string(left.Identifier.Name)
			at.class.fields[name] = append(at.class.fields[name], value)
			break
		}
		u.assigned(left, value)
	default:
		u.assigned(left, value)
	}
	u.walk(n.Left, at)
	u.walk(n.Right, at)
}

func (u *unit) patternWrites(t ast.Expression, at place) {
	switch t := t.(type) {
	case *ast.ObjectPattern:
		for _, p := range t.Properties {
			switch p := p.(type) {
			case *ast.PropertyShort:
				u.names[&p.Name] = at.scope
				u.assigned(&p.Name, nil)
			case *ast.PropertyKeyed:
				u.patternWrites(p.Value, at)
			}
		}
		if t.Rest != nil {
			u.patternWrites(t.Rest, at)
		}
	case *ast.ArrayPattern:
		for _, e := range t.Elements {
			if e != nil {
				u.patternWrites(e, at)
			}
		}
		if t.Rest != nil {
			u.patternWrites(t.Rest, at)
		}
	case *ast.Binding:
		u.patternWrites(t.Target, at)
	case *ast.AssignExpression:
		u.patternWrites(t.Left, at)
	case *ast.Identifier:
		u.names[t] = at.scope
		u.assigned(t, nil)
	default:
		u.assigned(t, nil)
	}
}

// assigned notes a write. A write to a member changes what the variable at its root
// holds.
func (u *unit) assigned(target, value ast.Expression) {
	switch t := target.(type) {
	case *ast.Identifier:
		u.writes = append(u.writes, write{target: t, value: value})
	case *ast.DotExpression:
		u.writes = append(u.writes, write{
			target: t.Left,
			value:  value,
			member: true,
			name:   string(t.Identifier.Name),
		})
	case *ast.PrivateDotExpression:
		u.writes = append(u.writes, write{
			target: t.Left,
			value:  value,
			member: true,
			name:   "#" + string(t.Identifier.Name),
		})
	case *ast.BracketExpression:
		u.writes = append(u.writes, write{
			target: t.Left,
			value:  value,
			member: true,
			name:   keyName(t.Member, true),
		})
	}
}

// exported recognises what a CommonJS module gives away.
func (u *unit) exported(left *ast.DotExpression, right ast.Expression, at place) bool {
	name := string(left.Identifier.Name)
	if at.scope.find("module") != nil || at.scope.find("exports") != nil {
		return false
	}
	if isName(left.Left, "module") && name == "exports" {
		u.quiet(right)
		if c, ok := right.(*ast.CallExpression); !ok || !isName(c.Callee, "__toCommonJS") {
			u.whole = append(u.whole, right)
		}
		return true
	}
	if d, ok := left.Left.(*ast.DotExpression); isName(left.Left, "exports") ||
		ok && isName(d.Left, "module") && d.Identifier.Name == "exports" {
		_, many := u.exports[name]
		// TypeScript's own output first says exports.a = exports.b = void 0.
		if old, had := u.exports[name]; had && isVoid(old.expr) {
			many = false
		}
		if a, ok := right.(*ast.AssignExpression); ok && isVoid(a.Right) || isVoid(right) {
			many = false
		}
		u.exports[name] = export{right, many}
		return true
	}
	return false
}

func isVoid(e ast.Expression) bool {
	if a, ok := e.(*ast.AssignExpression); ok {
		return isVoid(a.Right)
	}
	v, ok := e.(*ast.UnaryExpression)
	return ok && v.Operator == token.VOID
}

func (u *unit) call(n *ast.CallExpression, at place) {
	u.calls = append(u.calls, n)
	u.walk(n.Callee, at)
	helper := false // of esbuild: decorators and the like
	if id, ok := n.Callee.(*ast.Identifier); ok {
		helper = strings.HasPrefix(string(id.Name), "__")
	}
	if _, ok := n.Callee.(*ast.SuperExpression); ok && at.class != nil {
		at.class.supers = append(at.class.supers, n)
	}
	switch {
	case isName(n.Callee, "__export") && len(n.ArgumentList) == 2:
		if o, ok := n.ArgumentList[1].(*ast.ObjectLiteral); ok {
			for _, p := range o.Value {
				k, ok := p.(*ast.PropertyKeyed)
				if !ok {
					continue
				}
				f, ok := k.Value.(*ast.ArrowFunctionLiteral)
				if !ok {
					continue
				}
				if body, ok := f.Body.(*ast.ExpressionBody); ok {
					u.exports[keyName(k.Key, k.Computed)] = export{expr: body.Expression}
					u.walk(body.Expression, at)
				}
			}
			u.walk(n.ArgumentList[0], at)
			return
		}
	case isName(n.Callee, "__reExport") && len(n.ArgumentList) >= 2:
		u.stars = append(u.stars, n.ArgumentList[1])
	}
	for _, a := range n.ArgumentList {
		switch a := a.(type) {
		case *ast.FunctionLiteral, *ast.ArrowFunctionLiteral:
			u.callees[a] = n
		case *ast.ThisExpression:
			if d, ok := n.Callee.(*ast.DotExpression); ok && isName(d.Left, "Object") {
				u.writes = append(u.writes,
					write{target: a, member: true, name: unknownKey, call: n})
			}
		case *ast.BinaryExpression: // (Name || (Name = {})): how namespaces are filled
			if id, ok := a.Left.(*ast.Identifier); ok && a.Operator == token.LOGICAL_OR {
				u.writes = append(u.writes, write{target: id, member: true})
			}
		case *ast.Identifier, *ast.DotExpression, *ast.PrivateDotExpression:
			if !helper {
				u.give(a)
				u.writes = append(u.writes, write{target: a, member: true, call: n})
			}
		}
		u.walk(a, at)
	}
}

func isName(e ast.Expression, name string) bool {
	id, ok := e.(*ast.Identifier)
	return ok && string(id.Name) == name
}

func keyName(k ast.Expression, computed bool) string {
	switch k := k.(type) {
	case *ast.StringLiteral:
		return string(k.Value)
	case *ast.Identifier:
		if !computed {
			return string(k.Name)
		}
	case *ast.PrivateIdentifier:
		return "#" + string(k.Name)
	case *ast.NumberLiteral:
		return k.Literal
	}
	return unknownKey
}

// unknownKey stands for a computed key.
const unknownKey = "[?]"

// children walks over whatever a node consists of.
func (u *unit) children(n ast.Node, at place) {
	v := reflect.ValueOf(n)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return
	}
	u.fields(v.Elem(), at)
}

var nodeType = reflect.TypeFor[ast.Node]()

// fieldsOf are the fields of a type that can hold nodes.
var fieldsOf sync.Map

func (u *unit) fields(v reflect.Value, at place) {
	t := v.Type()
	list, ok := fieldsOf.Load(t)
	if !ok {
		var found []int
		for i := range t.NumField() {
			f := t.Field(i)
			if !f.IsExported() || f.Name == "DeclarationList" || f.Name == "File" {
				continue
			}
			switch f.Type.Kind() {
			case reflect.Interface, reflect.Pointer, reflect.Slice, reflect.Struct:
				found = append(found, i)
			}
		}
		list, _ = fieldsOf.LoadOrStore(t, found)
	}
	for _, i := range list.([]int) {
		u.part(v.Field(i), at)
	}
}

func (u *unit) part(f reflect.Value, at place) {
	switch f.Kind() {
	case reflect.Interface, reflect.Pointer:
		if f.IsNil() {
			return
		}
		if n, ok := f.Interface().(ast.Node); ok {
			u.walk(n, at)
		}
	case reflect.Slice:
		for i := range f.Len() {
			u.part(f.Index(i), at)
		}
	case reflect.Struct:
		if f.CanAddr() && f.Addr().Type().Implements(nodeType) {
			u.walk(f.Addr().Interface().(ast.Node), at)
		}
	}
}
