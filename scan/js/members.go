package js

import (
	"fmt"

	"github.com/dop251/goja/ast"
)

// member evaluates v.name.
func (x *Evaluator) member(v *Value, name string) *Value {
	switch v.Kind {
	case Either:
		return v.Map(func(v *Value) *Value { return x.member(v, name) })
	case Unknown:
		return v
	case Object:
		return v.Prop(name)
	case Array:
		for i, it := range v.Items {
			if indexName(i) == name {
				return it
			}
		}
	case Import:
		return x.of(v, name)
	case Module:
		return x.p.exported(x, v.Unit, name)
	case This:
		return x.field(v.Class, name, v, v.env)
	case Instance:
		if v.Of.Kind == ClassValue {
			en := &Env{this: v}
			if v.Of.Class.Ctor != nil {
				en.fn, en.args = v.Of.Class.Ctor, v.Args
			}
			return x.field(v.Of.Class, name, v, en)
		}
	case ClassValue:
		if s := v.Class.static[name]; s != nil && !v.Class.changed {
			return x.eval(v.Class.Unit, s, nil)
		}
	case Undefined, Null:
		return NotKnown("a member of " + map[bool]string{true: "undefined",
			false: "null"}[v.Kind == Undefined] + ": " + name)
	}
	return NotKnown("the member " + name + " is not known")
}

// of evaluates a member of what a package exports.
func (x *Evaluator) of(v *Value, name string) *Value {
	if v.Name == "" {
		return &Value{Kind: Import, Pkg: v.Pkg, Name: name}
	}
	if v.Name == "default" { // a default export that is a namespace too
		return &Value{Kind: Import, Pkg: v.Pkg, Name: name}
	}
	if name == "default" {
		return v
	}
	return NotKnown(fmt.Sprintf("%s of %s", name, v.Pkg))
}

func (x *Evaluator) field(c *Class, name string, this *Value, en *Env) *Value {
	if m := c.methods[name]; m != nil {
		f := &Value{
			Kind: Function,
			Unit: c.Unit,
			Node: m.Body,
			env:  &Env{parent: en, this: this},
		}
		if m.Kind == ast.PropertyKindGet {
			return x.Invoke(f, nil, false)
		}
		if m.Kind == ast.PropertyKindSet {
			return NotKnown("a setter")
		}
		return f
	}
	if x.p.overridden(c, name) {
		return NotKnown("this." + name + " differs in a subclass")
	}
	x.p.settle(c, name)
	if x.p.written[name] {
		return NotKnown("this." + name +
			" may be changed: a member of this name is assigned elsewhere")
	}
	if len(c.fields[unknownKey]) > 0 {
		return NotKnown("this." + name +
			" may be changed: a member is assigned by a computed name")
	}
	list, ok := c.fields[name]
	if !ok {
		if c.Node.SuperClass != nil {
			if s := x.eval(c.Unit, c.Node.SuperClass, nil); s.Kind == ClassValue &&
				s.Class != c {
				return x.field(s.Class, name, this, nil)
			}
		}
		return NotKnown("this." + name + " gets no value here")
	}
	var vs []*Value
	for _, e := range list {
		if e == nil {
			return NotKnown("this." + name + " is changed")
		}
		vs = append(vs, x.eval(c.Unit, e, en))
	}
	return OneOf(vs...)
}

// Option reads an option of v: what is not an object has none.
func (x *Evaluator) Option(v *Value, name string) *Value {
	return v.Map(func(v *Value) *Value {
		switch v.Kind {
		case Undefined, Null:
			return Undef
		case Object, Unknown:
			return x.member(v, name)
		case Module:
			if len(v.Unit.whole) == 1 {
				return x.Option(x.eval(v.Unit, v.Unit.whole[0], nil), name)
			}
		}
		return NotKnown("the options are " + v.String())
	})
}

// requirer names the function that createRequire gives.
const requirer = "createRequire()"

func isProcessEnv(e ast.Expression) bool {
	d, ok := e.(*ast.DotExpression)
	if !ok || d.Identifier.Name != "env" {
		return false
	}
	if isName(d.Left, "process") || isName(d.Left, "Bun") || isName(d.Left, "import_meta") {
		return true
	}
	return false
}

func isEnv(e *ast.DotExpression) bool { return isProcessEnv(e.Left) }

// Method returns a method of a class, or what a field of that name holds.
func (x *Evaluator) Method(c *Class, name string) *Value {
	return x.field(c, name, &Value{Kind: This, Class: c}, nil)
}
