package js

import (
	"cmp"

	"github.com/dop251/goja/ast"
)

func (x *Evaluator) construct(
	u *Unit, callee ast.Expression, args []ast.Expression, en *Env,
) *Value {
	c := x.eval(u, callee, en)
	vs, more := x.List(u, args, en)
	if more {
		vs = append(vs, NotKnown("arguments that are spread"))
	}
	return c.Map(func(c *Value) *Value {
		switch c.Kind {
		case Import, ClassValue:
			return &Value{Kind: Instance, Of: c, Args: vs}
		}
		return NotKnown("new " + u.Text(callee) + ": " + cmp.Or(c.Why,
			"not a class that is known"))
	})
}

func (x *Evaluator) call(u *Unit, e *ast.CallExpression, en *Env) *Value {
	if v, ok := x.p.required(u, e); ok {
		return v
	}
	switch {
	case isName(e.Callee, "__toESM") || isName(e.Callee, "__toCommonJS") ||
		isName(e.Callee, "__importDefault") || isName(e.Callee, "__importStar") ||
		isName(e.Callee, "__commonJS"):
		if len(e.ArgumentList) > 0 {
			return x.eval(u, e.ArgumentList[0], en)
		}
	case isName(e.Callee, "Number"):
		if len(e.ArgumentList) == 1 {
			if v := x.eval(u, e.ArgumentList[0], en); v.Kind == Number {
				return v
			}
		}
	case isName(e.Callee, "structuredClone") && len(e.ArgumentList) == 1:
		return x.eval(u, e.ArgumentList[0], en)
	case isName(e.Callee, "String"):
		return &Value{Kind: Text, Opaque: true}
	}
	if d, ok := Callee(e).(*ast.DotExpression); ok {
		if v := x.method(u, e, d, en); v != nil {
			return v
		}
	}
	f := x.eval(u, Callee(e), en)
	args, more := x.List(u, e.ArgumentList, en)
	return f.Map(func(f *Value) *Value {
		switch f.Kind {
		case Function:
			return x.Invoke(f, args, more)
		case Import:
			if (f.Pkg == "module" || f.Pkg == "node:module") && f.Name == "createRequire" {
				return &Value{Kind: Import, Pkg: f.Pkg, Name: requirer}
			}
			if f.Name == requirer && len(args) == 1 && args[0].Kind == Text && !args[0].Opaque {
				return x.p.find(u, args[0].Text)
			}
			return x.p.packages.Call(f, args)
		}
		return NotKnown(u.Text(e) + cmp.Or(prefixed(f.Why), ": what it returns is unknown"))
	})
}

func prefixed(why string) string {
	if why == "" {
		return ""
	}
	return ": " + why
}

// Callee returns what is called, without optional chaining.
func Callee(e *ast.CallExpression) ast.Expression {
	c := e.Callee
	for {
		switch o := c.(type) {
		case *ast.Optional:
			c = o.Expression
		case *ast.OptionalChain:
			c = o.Expression
		default:
			return c
		}
	}
}

// method evaluates a few methods of the language and of clients; nil for any other.
func (x *Evaluator) method(
	u *Unit, e *ast.CallExpression, d *ast.DotExpression, en *Env,
) *Value {
	name := string(d.Identifier.Name)
	if id, ok := d.Left.(*ast.Identifier); ok && u.names[id].find(string(id.Name)) == nil {
		switch string(id.Name) + "." + name {
		case "Object.assign":
			o := Record(map[string]*Value{})
			args, more := x.List(u, e.ArgumentList, en)
			for i, a := range args {
				if i == 0 && a.Kind != Object {
					return NotKnown("Object.assign to something that cannot be resolved")
				}
				o = Spread(o, a)
			}
			if more {
				o = Spread(o, NotKnown("arguments that are spread"))
			}
			return o
		case "Object.freeze", "Object.seal", "Promise.resolve":
			if len(e.ArgumentList) == 0 {
				return Undef
			}
			return x.eval(u, e.ArgumentList[0], en)
		}
	}
	switch name {
	case "then":
		if len(e.ArgumentList) >= 1 {
			if f := x.eval(u, e.ArgumentList[0], en); f.Kind == Function {
				return x.Invoke(f, []*Value{x.eval(u, d.Left, en)}, false)
			}
		}
	case "duplicate":
		v := x.eval(u, d.Left, en)
		if v.Kind != Instance || v.Of.Kind != Import {
			return nil
		}
		over := Record(map[string]*Value{})
		if v.Over != nil {
			over = v.Over
		}
		if len(e.ArgumentList) > 0 {
			over = Spread(over, x.eval(u, e.ArgumentList[0], en))
		}
		return &Value{Kind: Instance, Of: v.Of, Args: v.Args, Over: over}
	case "on", "once", "setMaxListeners":
		if v := x.eval(u, d.Left, en); v.Kind == Instance && v.Of.Kind == Import {
			return v
		}
	case "map":
		list := x.eval(u, d.Left, en)
		if list.Kind != Array || len(e.ArgumentList) == 0 {
			return nil
		}
		f := x.eval(u, e.ArgumentList[0], en)
		if f.Kind != Function {
			return nil
		}
		out := &Value{Kind: Array}
		for i, it := range list.Items {
			out.Items = append(out.Items, x.Invoke(f, []*Value{it, Num(float64(i))}, false))
		}
		return out
	}
	return nil
}

// Invoke returns what a function returns.
func (x *Evaluator) Invoke(f *Value, args []*Value, more bool) *Value {
	if x.depth++; x.depth > deepest || x.steps > patience {
		x.depth--
		x.tired = true
		return NotKnown("it is too deep to follow")
	}
	defer func() { x.depth-- }()
	for a := f.env; a != nil; a = a.parent {
		if a.fn == f.Node {
			return NotKnown("a function that calls itself")
		}
	}
	en := &Env{parent: f.env, fn: f.Node, args: args, rest: more}
	switch fn := f.Node.(type) {
	case *ast.FunctionLiteral:
		if fn.Generator {
			return NotKnown("a generator")
		}
		return x.returned(f.Unit, fn.Body.List, en)
	case *ast.ArrowFunctionLiteral:
		switch body := fn.Body.(type) {
		case *ast.ExpressionBody:
			return x.eval(f.Unit, body.Expression, en)
		case *ast.BlockStatement:
			return x.returned(f.Unit, body.List, en)
		}
	}
	return NotKnown("a function that cannot be resolved")
}

func (x *Evaluator) returned(u *Unit, body []ast.Statement, en *Env) *Value {
	vs, ends := x.returns(u, body, en)
	if !ends {
		vs = append(vs, Undef)
	}
	return OneOf(vs...)
}

// returns collects the results of return statements; ends reports that every path
// has one, or throws.
func (x *Evaluator) returns(u *Unit, body []ast.Statement, en *Env) (vs []*Value, ends bool) {
	for _, s := range body {
		var more []*Value
		var done bool
		switch s := s.(type) {
		case *ast.ReturnStatement:
			return append(vs, x.eval(u, s.Argument, en)), true
		case *ast.ThrowStatement:
			return vs, true
		case *ast.BlockStatement:
			more, done = x.returns(u, s.List, en)
		case *ast.IfStatement:
			a, doneA := x.returns(u, []ast.Statement{s.Consequent}, en)
			var b []*Value
			doneB := false
			if s.Alternate != nil {
				b, doneB = x.returns(u, []ast.Statement{s.Alternate}, en)
			}
			switch t := x.eval(u, s.Test, en).truthy(); {
			case t == nil:
				more, done = append(a, b...), doneA && doneB
			case *t:
				more, done = a, doneA
			default:
				more, done = b, doneB
			}
		case *ast.TryStatement:
			a, doneA := x.returns(u, s.Body.List, en)
			more = a
			done = doneA
			if s.Catch != nil {
				b, doneB := x.returns(u, s.Catch.Body.List, en)
				more, done = append(more, b...), doneA && doneB
			}
			if s.Finally != nil {
				c, doneC := x.returns(u, s.Finally.List, en)
				more, done = append(more, c...), done || doneC
			}
		case *ast.SwitchStatement:
			for _, c := range s.Body {
				a, _ := x.returns(u, c.Consequent, en)
				more = append(more, a...)
			}
			done = s.Default >= 0 && len(s.Body) > 0 && func() bool {
				_, d := x.returns(u, s.Body[len(s.Body)-1].Consequent, en)
				return d
			}()
		case *ast.ForStatement:
			more, _ = x.returns(u, []ast.Statement{s.Body}, en)
		case *ast.ForInStatement:
			more, _ = x.returns(u, []ast.Statement{s.Body}, en)
		case *ast.ForOfStatement:
			more, _ = x.returns(u, []ast.Statement{s.Body}, en)
		case *ast.WhileStatement:
			more, _ = x.returns(u, []ast.Statement{s.Body}, en)
		case *ast.DoWhileStatement:
			more, _ = x.returns(u, []ast.Statement{s.Body}, en)
		case *ast.LabelledStatement:
			more, done = x.returns(u, []ast.Statement{s.Statement}, en)
		}
		vs = append(vs, more...)
		if done {
			return vs, true
		}
	}
	return vs, false
}
