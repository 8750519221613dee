package js

import (
	"github.com/dop251/goja/ast"
)

// scope holds the names declared in one function or block.
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

// binding is one declared name.
type binding struct {
	unit    *Unit
	name    string
	sources []source
	param   ast.Node // the function it is a parameter of
	index   int
	top     bool // declared in the module itself
	touched []touch
	changed *Position // where its value is changed after it was built
	why     string
	memo    *Value
	busy    bool
}

// source is a value that a name is given, or the part of it that path selects.
type source struct {
	expr ast.Expression
	path []string
	dflt ast.Expression
}

// restOf in a path is the remainder in a pattern.
const restOf = "..."

// touch is a place where something is passed to a function that may change it.
type touch struct {
	unit *Unit
	write
}

// Class is a class in the source.
type Class struct {
	Unit *Unit
	Node *ast.ClassLiteral
	// initializers and assignments to this.NAME; nil where unknown
	fields  map[string][]ast.Expression
	methods map[string]*ast.MethodDefinition
	static  map[string]ast.Expression
	Ctor    *ast.FunctionLiteral
	supers  []*ast.CallExpression
	touched map[string][]touch // fields that are passed to functions
	changed bool               // something static is changed from outside
}

type place struct {
	scope *scope
	class *Class
	fn    ast.Node
}

// decorates reports whether a value is the class of that name with its decorators,
// as esbuild writes it: C = __decorateClass([...], C).
func decorates(value ast.Expression, name string) bool {
	c, ok := value.(*ast.CallExpression)
	return ok && isName(c.Callee, "__decorateClass") && len(c.ArgumentList) == 2 &&
		isName(c.ArgumentList[1], name)
}

func inner(at place) place {
	at.scope = &scope{parent: at.scope, names: map[string]*binding{}}
	return at
}

func (u *Unit) declare(s *scope, name string) *binding {
	b := s.names[name]
	if b == nil {
		b = &binding{unit: u, name: name, top: s == u.module}
		s.names[name] = b
	}
	return b
}

// pattern declares what a target binds, with the value it is given.
func (u *Unit) pattern(
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

func (u *Unit) function(node ast.Node, params *ast.ParameterList, at place) place {
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

func functionScope(s *scope) *scope {
	for !s.function {
		s = s.parent
	}
	return s
}

func (u *Unit) declarations(list []*ast.Binding, at place, in *scope) {
	for _, d := range list {
		u.pattern(d.Target, source{expr: d.Initializer}, at, in, nil, 0)
		if d.Initializer != nil {
			u.walk(d.Initializer, at)
		}
	}
}

// unknown gives what a target binds an unknown value.
func (u *Unit) unknown(t ast.Expression, at place) {
	switch t := t.(type) {
	case *ast.Identifier:
		if b := at.scope.find(string(t.Name)); b != nil {
			b.why = "it differs between iterations"
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
