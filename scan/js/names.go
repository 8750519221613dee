package js

import (
	"fmt"
	"slices"

	"github.com/dop251/goja/ast"
)

func (x *Evaluator) name(u *Unit, id *ast.Identifier, en *Env) *Value {
	name := string(id.Name)
	b := u.names[id].find(name)
	if b == nil {
		if name == "undefined" {
			return Undef
		}
		return NotKnown(name + " is not declared here")
	}
	return x.binding(b, en)
}

func (x *Evaluator) binding(b *binding, en *Env) *Value {
	if v := en.find(b); v != nil {
		return v
	}
	if b.param != nil {
		return x.parameter(b, en)
	}
	if b.top {
		en = nil
	}
	local := en != nil // inside a call, what a name holds may depend on the arguments
	if b.memo != nil && !local {
		return b.memo
	}
	if b.busy {
		return NotKnown(b.name + " depends on itself")
	}
	b.busy = true
	v := x.sources(b, en)
	b.busy = false
	if !local && !x.tired {
		b.memo = v
	}
	return v
}

func (x *Evaluator) sources(b *binding, en *Env) *Value {
	if b.why != "" {
		return NotKnown(b.name + ": " + b.why)
	}
	var vs []*Value
	for _, s := range b.sources {
		if s.expr == nil {
			return NotKnown(b.name + " is assigned in a way that cannot be resolved")
		}
		vs = append(vs, x.source(b.unit, s, x.eval(b.unit, s.expr, en), en))
	}
	if len(vs) == 0 {
		return NotKnown(b.name + " gets no value here")
	}
	v := OneOf(vs...)
	if !slices.ContainsFunc(v.Each(), func(v *Value) bool {
		return v.Kind == Object || v.Kind == Instance || v.Kind == Array
	}) {
		return v
	}
	x.p.isChanged(b)
	if b.changed == nil {
		return v
	}
	why := NotKnown(fmt.Sprintf("%s is changed after it was built, at %s", b.name, b.changed))
	return v.Map(func(v *Value) *Value {
		switch v.Kind {
		case ClassValue, Function, Import, Module, Number, Boolean, Text:
			return v
		case Object:
			return &Value{Kind: Object, other: why}
		case Instance:
			if v.Of.Kind == Import {
				return &Value{
					Kind: Instance,
					Of:   v.Of,
					Args: v.Args,
					Over: &Value{Kind: Object, other: why},
				}
			}
		}
		return why
	})
}

// source takes from a value the part that a pattern takes.
func (x *Evaluator) source(u *Unit, s source, v *Value, en *Env) *Value {
	for _, step := range s.path {
		if step == restOf || step == unknownKey {
			return NotKnown("the rest of a pattern")
		}
		v = x.member(v, step)
	}
	if s.dflt == nil {
		return v
	}
	return v.Map(func(v *Value) *Value {
		switch v.Kind {
		case Undefined:
			return x.eval(u, s.dflt, en)
		case Unknown:
			return OneOf(v, x.eval(u, s.dflt, en))
		}
		return v
	})
}

func (x *Evaluator) parameter(b *binding, en *Env) *Value {
	var src source
	if len(b.sources) > 0 {
		src = b.sources[0]
	}
	if len(b.sources) > 1 {
		return NotKnown("the parameter " + b.name + " is reassigned")
	}
	arg := NotKnown("the parameter " + b.name + ": the caller decides")
	if c := en.of(b.param); c != nil {
		switch {
		case b.index < len(c.args):
			arg = c.args[b.index]
		case !c.rest:
			arg = Undef
		}
	} else if call := b.unit.callees[b.param]; call != nil && b.index == 0 {
		// promise.then(x => ...)
		if d, ok := call.Callee.(*ast.DotExpression); ok && d.Identifier.Name == "then" &&
			len(call.ArgumentList) > 0 && call.ArgumentList[0] == b.param {
			arg = x.eval(b.unit, d.Left, nil)
		}
	}
	v := x.source(b.unit, src, arg, en)
	x.p.isChanged(b)
	if b.changed != nil && (v.Kind == Object || v.Kind == Either || v.Kind == Instance) {
		return NotKnown(fmt.Sprintf("%s is changed at %s", b.name, b.changed))
	}
	return v
}
