package js

import (
	"github.com/dop251/goja/ast"
	"github.com/dop251/goja/token"
)

// Env gives parameters their values while a call is evaluated.
type Env struct {
	parent *Env
	names  map[*binding]*Value
	fn     ast.Node
	args   []*Value
	rest   bool // more arguments than args may follow
	this   *Value
}

func (e *Env) find(b *binding) *Value {
	for ; e != nil; e = e.parent {
		if v, ok := e.names[b]; ok {
			return v
		}
	}
	return nil
}

// of returns the call that gives the parameters of fn their values.
func (e *Env) of(fn ast.Node) *Env {
	for ; e != nil; e = e.parent {
		if e.fn == fn {
			return e
		}
	}
	return nil
}

const (
	deepest  = 60     // nesting of expressions, through calls and names
	patience = 20_000 // expressions for one question
)

// Evaluator evaluates the expressions of one question, within limits.
type Evaluator struct {
	p     *Program
	depth int
	steps int
	tired bool // a limit was reached: the result is not worth keeping
}

// Evaluator returns an evaluator for one question.
func (p *Program) Evaluator() *Evaluator { return &Evaluator{p: p} }

// Eval evaluates an expression of a file; en, if not nil, gives parameters their values.
func (p *Program) Eval(u *Unit, e ast.Expression, en *Env) *Value {
	return p.Evaluator().eval(u, e, en)
}

// Arguments is an Env for a call of fn; more means that further arguments, which are not
// known, may follow.
func Arguments(fn ast.Node, args []*Value, more bool) *Env {
	return &Env{fn: fn, args: args, rest: more}
}

func (x *Evaluator) eval(u *Unit, e ast.Expression, en *Env) *Value {
	x.steps++
	if x.depth++; x.depth > deepest || x.steps > patience {
		x.depth--
		x.tired = true
		return NotKnown("it is too deep to follow")
	}
	defer func() { x.depth-- }()
	switch e := e.(type) {
	case nil:
		return Undef
	case *ast.BooleanLiteral:
		return Truth(e.Value)
	case *ast.NullLiteral:
		return Nulled
	case *ast.StringLiteral:
		return Str(string(e.Value))
	case *ast.NumberLiteral:
		switch n := e.Value.(type) {
		case int64:
			return Num(float64(n))
		case float64:
			return Num(n)
		}
		return NotKnown("an unknown number")
	case *ast.TemplateLiteral:
		if e.Tag != nil {
			return NotKnown("a tagged template")
		}
		if len(e.Expressions) == 0 && len(e.Elements) == 1 {
			return Str(string(e.Elements[0].Parsed))
		}
		return &Value{Kind: Text, Opaque: true}
	case *ast.Identifier:
		return x.name(u, e, en)
	case *ast.ThisExpression:
		for a := en; a != nil; a = a.parent {
			if a.this != nil {
				return a.this
			}
		}
		if c := u.classes[e]; c != nil {
			return &Value{Kind: This, Class: c, env: en}
		}
		return NotKnown("this")
	case *ast.ObjectLiteral:
		return x.object(u, e, en)
	case *ast.ArrayLiteral:
		items, more := x.List(u, e.Value, en)
		if more {
			return NotKnown("a list that is only partly known")
		}
		return &Value{Kind: Array, Items: items}
	case *ast.FunctionLiteral:
		return &Value{Kind: Function, Unit: u, Node: e, env: en}
	case *ast.ArrowFunctionLiteral:
		return &Value{Kind: Function, Unit: u, Node: e, env: en}
	case *ast.ClassLiteral:
		return &Value{Kind: ClassValue, Unit: u, Class: u.classOf[e]}
	case *ast.SequenceExpression:
		return x.eval(u, e.Sequence[len(e.Sequence)-1], en)
	case *ast.AwaitExpression:
		return x.eval(u, e.Argument, en)
	case *ast.OptionalChain:
		return x.eval(u, e.Expression, en)
	case *ast.Optional:
		return x.eval(u, e.Expression, en)
	case *ast.AssignExpression:
		if e.Operator == token.ASSIGN {
			return x.eval(u, e.Right, en)
		}
	case *ast.ConditionalExpression:
		t := x.eval(u, e.Test, en).truthy()
		switch {
		case t == nil:
			return OneOf(x.eval(u, e.Consequent, en), x.eval(u, e.Alternate, en))
		case *t:
			return x.eval(u, e.Consequent, en)
		}
		return x.eval(u, e.Alternate, en)
	case *ast.UnaryExpression:
		return x.unary(u, e, en)
	case *ast.BinaryExpression:
		return x.binary(u, e, en)
	case *ast.DotExpression:
		if isEnv(e) {
			return &Value{Kind: Text, Opaque: true}
		}
		return x.member(x.eval(u, e.Left, en), string(e.Identifier.Name))
	case *ast.PrivateDotExpression:
		return x.member(x.eval(u, e.Left, en), "#"+string(e.Identifier.Name))
	case *ast.BracketExpression:
		if isProcessEnv(e.Left) {
			return &Value{Kind: Text, Opaque: true}
		}
		key := x.eval(u, e.Member, en)
		left := x.eval(u, e.Left, en)
		switch {
		case key.Kind == Text && !key.Opaque:
			return x.member(left, key.Text)
		case key.Kind == Number:
			return x.member(left, indexName(int(key.Number)))
		}
		return NotKnown("a member whose name is computed: " + u.Text(e))
	case *ast.NewExpression:
		return x.construct(u, e.Callee, e.ArgumentList, en)
	case *ast.CallExpression:
		return x.call(u, e, en)
	}
	return NotKnown("not followed: " + u.Text(e))
}

func (x *Evaluator) object(u *Unit, e *ast.ObjectLiteral, en *Env) *Value {
	o := Record(map[string]*Value{})
	for _, p := range e.Value {
		switch p := p.(type) {
		case *ast.SpreadElement:
			o = Spread(o, x.eval(u, p.Expression, en))
		case *ast.PropertyShort:
			o.Props[string(p.Name.Name)] = x.name(u, &p.Name, en)
		case *ast.PropertyKeyed:
			v := NotKnown("a getter or setter")
			switch p.Kind {
			case ast.PropertyKindValue, ast.PropertyKindMethod:
				v = x.eval(u, p.Value, en)
			case ast.PropertyKindGet:
				if f, ok := p.Value.(*ast.FunctionLiteral); ok {
					v = x.Invoke(&Value{Kind: Function, Unit: u, Node: f, env: en}, nil, false)
				}
			}
			key := keyName(p.Key, p.Computed)
			if p.Computed {
				if k := x.eval(u, p.Key, en); k.Kind == Text && !k.Opaque {
					key = k.Text
				} else {
					key = unknownKey
				}
			}
			if key == unknownKey {
				o = Spread(o, NotKnown("a computed key"))
			} else {
				o.Props[key] = v
			}
		}
	}
	return o
}

// List evaluates elements or arguments; more reports that some are unknown.
func (x *Evaluator) List(u *Unit, es []ast.Expression, en *Env) (vs []*Value, more bool) {
	for _, e := range es {
		if s, ok := e.(*ast.SpreadElement); ok {
			a := x.eval(u, s.Expression, en)
			if a.Kind != Array {
				return vs, true
			}
			vs = append(vs, a.Items...)
			continue
		}
		vs = append(vs, x.eval(u, e, en))
	}
	return vs, false
}

func (x *Evaluator) unary(u *Unit, e *ast.UnaryExpression, en *Env) *Value {
	switch e.Operator {
	case token.VOID:
		return Undef
	case token.TYPEOF:
		return &Value{Kind: Text, Opaque: true}
	}
	v := x.eval(u, e.Operand, en)
	switch {
	case e.Operator == token.NOT:
		if t := v.truthy(); t != nil {
			return Truth(!*t)
		}
		return &Value{Kind: Boolean, Opaque: true, Why: "it is computed: " + u.Text(e)}
	case e.Operator == token.MINUS && v.Kind == Number:
		return Num(-v.Number)
	case e.Operator == token.PLUS && v.Kind == Number:
		return v
	}
	return NotKnown("it is computed: " + u.Text(e))
}

func (x *Evaluator) binary(u *Unit, e *ast.BinaryExpression, en *Env) *Value {
	if e.Comparison || e.Operator == token.IN || e.Operator == token.INSTANCEOF {
		return &Value{Kind: Boolean, Opaque: true, Why: "it is computed: " + u.Text(e)}
	}
	l := x.eval(u, e.Left, en)
	switch e.Operator {
	case token.COALESCE:
		switch l.Kind {
		case Undefined, Null:
			return x.eval(u, e.Right, en)
		case Unknown, Either, Text:
			return OneOf(l, x.eval(u, e.Right, en))
		}
		return l
	case token.LOGICAL_OR, token.LOGICAL_AND:
		t := l.truthy()
		// then the left side is false, or falsy
		if t == nil && e.Operator == token.LOGICAL_AND {
			return OneOf(&Value{
				Kind:   Boolean,
				Opaque: true,
				Why:    "it depends on " + u.Text(e.Left),
			}, x.eval(u, e.Right, en))
		}
		if t == nil {
			return OneOf(l, x.eval(u, e.Right, en))
		}
		if *t == (e.Operator == token.LOGICAL_OR) {
			return l
		}
		return x.eval(u, e.Right, en)
	}
	r := x.eval(u, e.Right, en)
	if l.Kind == Number && r.Kind == Number {
		switch e.Operator {
		case token.PLUS:
			return Num(l.Number + r.Number)
		case token.MINUS:
			return Num(l.Number - r.Number)
		case token.MULTIPLY:
			return Num(l.Number * r.Number)
		case token.SLASH:
			return Num(l.Number / r.Number)
		}
	}
	if e.Operator == token.PLUS && (l.Kind == Text || r.Kind == Text) {
		if l.Kind == Text && r.Kind == Text && !l.Opaque && !r.Opaque {
			return Str(l.Text + r.Text)
		}
		return &Value{Kind: Text, Opaque: true}
	}
	return NotKnown("it is computed: " + u.Text(e))
}
