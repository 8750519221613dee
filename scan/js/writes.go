package js

import (
	"strings"

	"github.com/dop251/goja/ast"
	"github.com/dop251/goja/token"
)

func (u *Unit) assignment(n *ast.AssignExpression, at place) {
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

func (u *Unit) patternWrites(t ast.Expression, at place) {
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

// assigned records a write. A write to a member changes what the variable at its
// root holds.
func (u *Unit) assigned(target, value ast.Expression) {
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

// exported recognises what a CommonJS module exports.
func (u *Unit) exported(left *ast.DotExpression, right ast.Expression, at place) bool {
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
		// TypeScript's output begins with exports.a = exports.b = void 0.
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

func (u *Unit) call(n *ast.CallExpression, at place) {
	u.Calls = append(u.Calls, n)
	u.walk(n.Callee, at)
	helper := false // one of esbuild's, for decorators and the like
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

// give records an expression whose value goes where it is not followed.
func (u *Unit) give(e ast.Expression) {
	switch e.(type) {
	case *ast.Identifier, *ast.DotExpression:
		if !u.silent[e] {
			u.Passed = append(u.Passed, e)
		}
	}
}

// quiet keeps what a module exports from counting as given away: imports of it are
// followed.
func (u *Unit) quiet(e ast.Expression) {
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
