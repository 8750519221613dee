package js

import (
	"cmp"
	"slices"

	"github.com/dop251/goja/ast"
)

// Super returns what a class extends and the arguments its constructor passes to
// it, or why that is unknown.
func (p *Program) Super(c *Class, args []*Value) (base *Value, up []*Value, why string) {
	if c.Node.SuperClass == nil {
		return Undef, nil, "it extends nothing"
	}
	base = p.Eval(c.Unit, c.Node.SuperClass, nil)
	if base.Kind != Import && base.Kind != ClassValue {
		return base, nil, cmp.Or(base.Why, "what it extends cannot be resolved")
	}
	if c.Ctor == nil {
		return base, args, ""
	}
	if len(c.supers) != 1 {
		return base, nil, "its constructor does not call super exactly once"
	}
	x := p.Evaluator()
	en := &Env{fn: c.Ctor, args: args, rest: args == nil}
	up, more := x.List(c.Unit, c.supers[0].ArgumentList, en)
	if more {
		why = "arguments are spread into super"
	}
	return base, up, why
}

// Base returns what a class ultimately descends from.
func (p *Program) Base(c *Class) *Value {
	v := &Value{Kind: ClassValue, Class: c}
	for range 20 {
		if v.Kind != ClassValue {
			return v
		}
		if v.Class.Node.SuperClass == nil {
			return Undef
		}
		v = p.Eval(v.Class.Unit, v.Class.Node.SuperClass, nil)
	}
	return NotKnown("its ancestors do not end")
}

// Classes returns the classes of a file in the order of the source.
func (u *Unit) Classes() []*Class {
	var cs []*Class
	for _, c := range u.classOf {
		cs = append(cs, c)
	}
	slices.SortFunc(cs, func(a, b *Class) int { return int(a.Node.Class) - int(b.Node.Class) })
	return cs
}

// Name is the name of the class in the source, for people.
func (c *Class) Name() string {
	if c.Node.Name != nil {
		return string(c.Node.Name.Name)
	}
	return "without a name"
}

// Uses is where a function is used.
type Uses struct {
	Passed bool // as a value
	Calls  []Call
}

// Call is one call of a function.
type Call struct {
	Unit *Unit
	Node ast.Node
	Args []ast.Expression
}

// UsesOf returns the uses of a function. It looks through the program once, and
// remembers every function.
func (p *Program) UsesOf(fn ast.Node) Uses {
	if p.uses != nil {
		return p.uses[fn]
	}
	p.uses = map[ast.Node]Uses{}
	of := func(v *Value) ast.Node {
		switch {
		case v.Kind == ClassValue && v.Class.Ctor != nil:
			return v.Class.Ctor
		case v.Kind == Function:
			return v.Node
		}
		return nil
	}
	note := func(u *Unit, callee ast.Expression, node ast.Node, args []ast.Expression) {
		for _, v := range p.Eval(u, callee, nil).Each() {
			if n := of(v); n != nil {
				use := p.uses[n]
				use.Calls = append(use.Calls, Call{u, node, args})
				p.uses[n] = use
			}
		}
	}
	for _, u := range p.Units {
		for _, e := range u.Passed {
			for _, v := range p.Eval(u, e, nil).Each() {
				if n := of(v); n != nil {
					use := p.uses[n]
					use.Passed = true
					p.uses[n] = use
				}
			}
		}
		for _, c := range u.Calls {
			if _, ok := Callee(c).(*ast.SuperExpression); !ok {
				note(u, Callee(c), c, c.ArgumentList)
			}
		}
		for _, n := range u.News {
			note(u, n.Callee, n, n.ArgumentList)
		}
	}
	return p.uses[fn]
}

// MayBeClass is a cheap test that rules out expressions that cannot be a class.
func (p *Program) MayBeClass(u *Unit, e ast.Expression, depth int) bool {
	if depth > 20 {
		return true
	}
	if id, ok := e.(*ast.Identifier); ok {
		b := u.names[id].find(string(id.Name))
		if b == nil || b.param != nil {
			return false
		}
		for _, s := range b.sources {
			switch src := s.expr.(type) {
			case *ast.ClassLiteral, *ast.ConditionalExpression, *ast.BinaryExpression:
				return true
			case *ast.Identifier, *ast.DotExpression:
				if p.MayBeClass(b.unit, src, depth+1) {
					return true
				}
			case *ast.CallExpression, *ast.AwaitExpression:
				if b.unit.foreign(src) {
					return true
				}
			}
		}
		return false
	}
	return u.foreign(e)
}

// Parent evaluates what a class extends.
func (p *Program) Parent(c *Class) *Value {
	if c.Node.SuperClass == nil {
		return Nulled
	}
	return p.Eval(c.Unit, c.Node.SuperClass, nil)
}

// Extended reports whether other classes of the program extend a class.
func (p *Program) Extended(c *Class) bool { return len(p.subs[c]) > 0 }
