package js

import (
	"slices"
	"strings"

	"github.com/dop251/goja/ast"
)

// changes finds what is changed after it was built, wherever in the program that
// happens.
func (p *Program) changes() {
	for _, u := range p.Units {
		for _, c := range u.classOf {
			if c.Node.SuperClass == nil {
				continue
			}
			if s := p.Eval(u, c.Node.SuperClass, nil); s.Kind == ClassValue {
				p.subs[s.Class] = append(p.subs[s.Class], c)
			}
		}
	}
	for _, u := range p.Units {
		for _, w := range u.writes {
			if !w.member {
				continue
			}
			if w.name != "" && w.call == nil {
				p.written[w.name] = true
			}
			if c, name := u.own(w); c != nil {
				if w.call == nil {
					c.fields[name] = append(c.fields[name], nil)
				} else {
					c.touched[name] = append(c.touched[name], touch{u, w})
				}
				continue
			}
			b := p.root(u, w.target, 0)
			switch {
			case b == nil:
			case w.call != nil:
				b.touched = append(b.touched, touch{u, w})
			default:
				at := u.At(w.target)
				b.changed = &at
				for _, s := range b.sources {
					if l, ok := s.expr.(*ast.ClassLiteral); ok {
						b.unit.classOf[l].changed = true
					}
				}
			}
		}
	}
	// what was remembered so far did not take changes into account
	for _, u := range p.Units {
		u.forget()
	}
}

// isChanged examines the functions that a variable is passed to, the first time it
// matters.
func (p *Program) isChanged(b *binding) {
	list := b.touched
	b.touched = nil
	for _, t := range list {
		if b.changed == nil && p.mayChange(t.unit, t.write) {
			at := t.unit.At(t.target)
			b.changed = &at
		}
	}
}

// settle does the same for the field of a class.
func (p *Program) settle(c *Class, name string) {
	for _, n := range []string{name, unknownKey} {
		list := c.touched[n]
		delete(c.touched, n)
		for _, t := range list {
			if p.mayChange(t.unit, t.write) {
				c.fields[n] = append(c.fields[n], nil)
				break
			}
		}
	}
}

// own returns the field of a class that a write inside the class changes:
// this.field.x = 1, this[name] = x.
func (u *Unit) own(w write) (*Class, string) {
	name := w.name
	for e := w.target; ; {
		switch t := e.(type) {
		case *ast.DotExpression:
			e, name = t.Left, string(t.Identifier.Name)
		case *ast.PrivateDotExpression:
			e, name = t.Left, "#"+string(t.Identifier.Name)
		case *ast.BracketExpression:
			e, name = t.Left, keyName(t.Member, true)
		case *ast.ThisExpression:
			return u.classes[t], name
		default:
			return nil, ""
		}
	}
}

func (u *Unit) forget() {
	for _, s := range u.names {
		for ; s != nil; s = s.parent {
			for _, b := range s.names {
				b.memo = nil
			}
		}
	}
}

// root returns the variable at the root of an expression.
func (p *Program) root(u *Unit, e ast.Expression, depth int) *binding {
	if depth > 20 {
		return nil
	}
	switch e := e.(type) {
	case *ast.Identifier:
		b := u.names[e].find(string(e.Name))
		if b == nil || b.param != nil || len(b.sources) != 1 || len(b.sources[0].path) > 0 {
			return b
		}
		switch s := b.sources[0].expr.(type) {
		case *ast.Identifier, *ast.DotExpression:
			if r := p.root(b.unit, s, depth+1); r != nil {
				return r
			}
		}
		return b
	case *ast.DotExpression:
		if !u.foreign(e.Left) {
			return p.root(u, e.Left, depth+1)
		}
		if m := p.Eval(u, e.Left, nil); m.Kind == Module {
			if x, ok := m.Unit.exports[string(e.Identifier.Name)]; ok {
				return p.root(m.Unit, x.expr, depth+1)
			}
			if len(m.Unit.whole) == 1 {
				return p.root(m.Unit, m.Unit.whole[0], depth+1)
			}
			for _, s := range m.Unit.stars {
				if t := p.Eval(m.Unit, s, nil); t.Kind == Module {
					if x, ok := t.Unit.exports[string(e.Identifier.Name)]; ok {
						return p.root(t.Unit, x.expr, depth+1)
					}
				}
			}
			return nil
		}
		return p.root(u, e.Left, depth+1)
	case *ast.BracketExpression:
		return p.root(u, e.Left, depth+1)
	}
	return nil
}

// foreign reports whether an expression begins with something imported.
func (u *Unit) foreign(e ast.Expression) bool {
	for {
		switch t := e.(type) {
		case *ast.DotExpression:
			e = t.Left
		case *ast.SequenceExpression:
			e = t.Sequence[len(t.Sequence)-1]
		case *ast.CallExpression:
			return isName(t.Callee, "require") || isName(t.Callee, "__toESM")
		case *ast.AwaitExpression:
			return true
		case *ast.Identifier:
			b := u.names[t].find(string(t.Name))
			if b == nil || b.param != nil || len(b.sources) != 1 {
				return false
			}
			switch s := b.sources[0].expr.(type) {
			case *ast.CallExpression, *ast.AwaitExpression:
				return true
			case *ast.Identifier, *ast.DotExpression:
				return s != e && b.unit.foreign(s)
			}
			return false
		default:
			return false
		}
	}
}

// harmless functions do not change their arguments.
var harmless = []string{"JSON.stringify", "Object.keys", "Object.entries", "Object.values",
	"Object.freeze", "Object.seal", "structuredClone", "String", "Boolean", "Number"}

// mayChange reports whether a call may change what it is passed. Classes of
// packages receive options and do not write to them.
func (p *Program) mayChange(u *Unit, w write) bool {
	name := u.Text(w.call.Callee)
	if slices.Contains(harmless, name) || strings.HasPrefix(name, "console.") ||
		strings.Contains(strings.ToLower(name), "log") {
		return false
	}
	if name == "Object.assign" || name == "Object.defineProperty" {
		return len(w.call.ArgumentList) > 0 && w.call.ArgumentList[0] == w.target
	}
	if _, ok := Callee(w.call).(*ast.SuperExpression); ok {
		return false
	}
	f := p.Eval(u, Callee(w.call), nil)
	if f.Kind == Import {
		return f.Pkg == "lodash" || strings.HasPrefix(f.Pkg, "lodash") ||
			f.Pkg == "deepmerge" || f.Pkg == "defu"
	}
	if f.Kind != Function {
		// A method of something unknown: registries and loggers leave options
		// alone; functions that write have names that say so.
		lower := strings.ToLower(name)
		for _, verb := range []string{"merge", "assign", "extend", "default", "patch", "harden",
			"set", "override", "mutate", "apply"} {
			if strings.Contains(lower, verb) {
				return true
			}
		}
		_, plain := Callee(w.call).(*ast.Identifier)
		return plain && !strings.HasPrefix(name, "require")
	}
	i := slices.Index(w.call.ArgumentList, w.target)
	for _, inside := range f.Unit.writes {
		if !inside.member {
			continue
		}
		if b := p.root(f.Unit, inside.target, 0); b != nil && b.param == f.Node &&
			b.index == i {
			if inside.call == nil || inside.call != w.call && p.mayChangeOnce(f.Unit, inside) {
				return true
			}
		}
	}
	return false
}

// mayChangeOnce is mayChange, but does not look into functions called by functions.
func (p *Program) mayChangeOnce(u *Unit, w write) bool {
	f := p.Eval(u, Callee(w.call), nil)
	return f.Kind == Function || strings.HasPrefix(u.Text(w.call.Callee), "Object.assign")
}

func (p *Program) overridden(c *Class, name string) bool {
	for _, s := range p.subs[c] {
		if _, ok := s.fields[name]; ok {
			return true
		}
		if _, ok := s.methods[name]; ok {
			return true
		}
		if s != c && p.overridden(s, name) {
			return true
		}
	}
	return false
}
