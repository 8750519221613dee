package js

import (
	"github.com/dop251/goja/ast"
	"github.com/dop251/goja/token"
)

func (u *Unit) bind() {
	u.names = map[*ast.Identifier]*scope{}
	u.classes = map[*ast.ThisExpression]*Class{}
	u.classOf = map[*ast.ClassLiteral]*Class{}
	u.callees = map[ast.Node]*ast.CallExpression{}
	u.exports = map[string]export{}
	u.silent = map[ast.Expression]bool{}
	u.Within = map[*ast.NewExpression]ast.Node{}
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

func (u *Unit) walk(n ast.Node, at place) {
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
		u.News = append(u.News, n)
		u.Within[n] = at.fn
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

func (u *Unit) statements(list []ast.Statement, at place) {
	for _, s := range list {
		u.walk(s, at)
	}
}

func (u *Unit) functionLiteral(n *ast.FunctionLiteral, at place, expression bool) {
	if expression && n.Name != nil {
		at = inner(at)
		u.declare(at.scope, string(n.Name.Name)).sources = []source{{expr: n}}
	}
	in := u.function(n, n.ParameterList, at)
	u.statements(n.Body.List, in)
}

func (u *Unit) class(n *ast.ClassLiteral, at place) {
	c := &Class{
		Unit:    u,
		Node:    n,
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
	within.class, shared.class = c, nil // nothing follows what "this" is in a static member
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
				c.Ctor = e.Body
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
