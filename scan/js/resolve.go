package js

import (
	"path"
	"strings"

	"github.com/dop251/goja/ast"
)

// required returns the result of a call of require.
func (p *Program) required(u *Unit, e *ast.CallExpression) (*Value, bool) {
	id, ok := e.Callee.(*ast.Identifier)
	if !ok {
		return nil, false
	}
	b := u.names[id].find(string(id.Name))
	switch {
	case (id.Name == "require" || id.Name == "__outside") && b == nil:
		if len(e.ArgumentList) != 1 {
			return NotKnown("require"), true
		}
		s, ok := e.ArgumentList[0].(*ast.StringLiteral)
		if !ok {
			return NotKnown("require of a name that is computed"), true
		}
		return p.find(u, string(s.Value)), true
	case id.Name == "__toESM" && len(e.ArgumentList) > 0:
		if c, ok := e.ArgumentList[0].(*ast.CallExpression); ok {
			return p.required(u, c)
		}
	case strings.HasPrefix(string(id.Name), "require_") && b != nil && len(b.sources) == 1:
		// The stand-in of an import, see awaiting.
		if spec, ok := standIn(b.sources[0].expr); ok {
			return p.find(u, spec), true
		}
	}
	return nil, false
}

func standIn(e ast.Expression) (string, bool) {
	c, ok := e.(*ast.CallExpression)
	if !ok || !isName(c.Callee, "__commonJS") || len(c.ArgumentList) != 1 {
		return "", false
	}
	o, ok := c.ArgumentList[0].(*ast.ObjectLiteral)
	if !ok || len(o.Value) != 1 {
		return "", false
	}
	k, ok := o.Value[0].(*ast.PropertyKeyed)
	if !ok {
		return "", false
	}
	f, ok := k.Value.(*ast.FunctionLiteral)
	if !ok {
		return "", false
	}
	for _, s := range f.Body.List {
		es, ok := s.(*ast.ExpressionStatement)
		if !ok {
			continue
		}
		a, ok := es.Expression.(*ast.AssignExpression)
		if !ok {
			continue
		}
		if call, ok := a.Right.(*ast.CallExpression); ok && isName(call.Callee, "__outside") &&
			len(call.ArgumentList) == 1 {
			if lit, ok := call.ArgumentList[0].(*ast.StringLiteral); ok {
				return string(lit.Value), true
			}
		}
	}
	return "", false
}

// find resolves an import: to a file of the folder, or a package.
func (p *Program) find(u *Unit, spec string) *Value {
	if strings.HasPrefix(spec, ".") {
		return p.file(path.Join(path.Dir(u.path), spec), spec)
	}
	if strings.HasPrefix(spec, "/") {
		return NotKnown("import of " + spec + " is not in the folder")
	}
	for dir := path.Dir(u.path); ; dir = path.Dir(dir) {
		if t, ok := p.paths[dir]; ok {
			if v := p.aliased(t, spec); v != nil {
				return v
			}
			break
		}
		if dir == "." {
			break
		}
	}
	pkg, sub := packageOf(spec)
	if dir, ok := p.works[pkg]; ok {
		for _, at := range []string{path.Join(dir, sub), path.Join(dir, "src", sub),
			path.Join(dir, "lib", sub)} {
			if v := p.file(at, spec); v.Kind != Unknown {
				return v
			}
		}
		return NotKnown("the package " + pkg + " of this folder: its entry point was not found")
	}
	if strings.HasPrefix(spec, "@/") || strings.HasPrefix(spec, "~") ||
		strings.HasPrefix(spec, "#") {
		return NotKnown("import of " + spec + ": no path alias in a tsconfig.json resolves it")
	}
	return &Value{Kind: Import, Pkg: pkg}
}

func packageOf(spec string) (pkg, sub string) {
	spec = strings.TrimPrefix(spec, "npm:")
	parts := strings.SplitN(spec, "/", 3)
	n := 1
	if strings.HasPrefix(spec, "@") && len(parts) > 1 {
		n = 2
	}
	return strings.Join(parts[:n], "/"), strings.Join(parts[n:], "/")
}

func (p *Program) aliased(t tsPaths, spec string) *Value {
	best, rest := "", ""
	for pattern := range t.alias {
		before, after, star := strings.Cut(pattern, "*")
		if !star && pattern == spec {
			best, rest = pattern, ""
			break
		}
		if star && strings.HasPrefix(spec, before) && strings.HasSuffix(spec, after) &&
			len(spec) >= len(before)+len(after) && len(before) >= len(best)-1 {
			best, rest = pattern, spec[len(before):len(spec)-len(after)]
		}
	}
	if best != "" {
		for _, target := range t.alias[best] {
			if v := p.file(path.Join(t.base, strings.Replace(target, "*", rest, 1)),
				spec); v.Kind != Unknown {
				return v
			}
		}
		return NotKnown("import of " + spec + ": the path alias leads to no file in the folder")
	}
	if t.plain {
		if v := p.file(path.Join(t.base, spec), spec); v.Kind != Unknown {
			return v
		}
	}
	return nil
}

var extensions = []string{".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs"}

// file finds a module the way TypeScript does: "./a.js" may exist as a.ts.
func (p *Program) file(at, spec string) *Value {
	var tries []string
	if strings.HasPrefix(at, "..") {
		return NotKnown("import of " + spec + " leaves the folder")
	}
	ext := path.Ext(at)
	if loaders[ext] != 0 {
		stem := strings.TrimSuffix(at, ext)
		tries = append(tries, at)
		switch ext {
		case ".js", ".jsx":
			tries = append(tries, stem+".ts", stem+".tsx")
		case ".mjs":
			tries = append(tries, stem+".mts")
		case ".cjs":
			tries = append(tries, stem+".cts")
		}
	}
	for _, e := range extensions {
		tries = append(tries, at+e)
	}
	for _, e := range extensions {
		tries = append(tries, path.Join(at, "index"+e))
	}
	for _, t := range tries {
		if u := p.byPath[t]; u != nil {
			return &Value{Kind: Module, Unit: u}
		}
		if why, ok := p.Broken[t]; ok {
			return NotKnown(t + " could not be read: " + why)
		}
	}
	return NotKnown("import of " + spec + ": no such file among those that were read")
}

// exported returns what a file exports under a name.
func (p *Program) exported(x *Evaluator, u *Unit, name string) *Value {
	if e, ok := u.exports[name]; ok {
		if e.many {
			return NotKnown(u.path + " exports " + name + " more than once")
		}
		return x.eval(u, e.expr, nil)
	}
	if len(u.whole) == 1 {
		v := x.eval(u, u.whole[0], nil)
		if name == "default" {
			if v.Kind == Object && v.Props["default"] != nil {
				return v.Props["default"]
			}
			return v
		}
		return x.member(v, name)
	}
	if name != "default" {
		var pkg *Value
		for _, s := range u.stars {
			switch m := x.eval(u, s, nil); m.Kind {
			case Module:
				if m.Unit.gives(p, x, name, 0) {
					return x.member(m, name)
				}
			case Import:
				pkg = m
			}
		}
		if pkg != nil {
			return x.member(pkg, name)
		}
	}
	return NotKnown(u.path + " exports no " + name + " that is found")
}

func (u *Unit) gives(p *Program, x *Evaluator, name string, depth int) bool {
	if _, ok := u.exports[name]; ok || len(u.whole) == 1 {
		return true
	}
	if depth > 20 {
		return false
	}
	for _, s := range u.stars {
		switch m := x.eval(u, s, nil); m.Kind {
		case Module:
			if m.Unit.gives(p, x, name, depth+1) {
				return true
			}
		case Import:
			if p.packages.Exports(m.Pkg, name) {
				return true
			}
		}
	}
	return false
}
