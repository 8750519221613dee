package scan

import (
	"context"
	"io/fs"
	"path"
	"runtime"
	"slices"
	"strings"

	"github.com/dop251/goja/ast"
	"golang.org/x/sync/errgroup"
)

// A program is every file of a folder, and how they refer to each other.
type program struct {
	units   map[string]*unit
	sorted  []*unit
	broken  map[string]string // files that could not be read as source, and why
	paths   map[string]tsPaths
	works   map[string]string // names of packages in the folder, and where they are
	subs    map[*class][]*class
	written map[string]bool // names of members that are assigned other than through this
	uses    map[ast.Node]uses
	refused []Finding
}

// tsPaths are the path aliases of a folder with a tsconfig.json.
type tsPaths struct {
	base  string // where targets begin, relative to the folder scanned
	alias map[string][]string
	plain bool // baseUrl is set: bare names may be files
}

func (p *program) load(ctx context.Context, files fs.FS, names []string) error {
	units := make([]*unit, len(names))
	errs := make([]string, len(names))
	g, going := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, name := range names {
		g.Go(func() error {
			if err := going.Err(); err != nil {
				return err
			}
			b, err := fs.ReadFile(files, name)
			if err == nil {
				units[i], err = parse(name, b)
			}
			if err != nil {
				errs[i] = err.Error()
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for i, name := range names {
		if units[i] == nil {
			p.broken[name] = errs[i]
			continue
		}
		p.units[name] = units[i]
		p.sorted = append(p.sorted, units[i])
	}
	p.changes()
	return ctx.Err()
}

// changes finds what is changed after it was built, wherever in the program that happens.
func (p *program) changes() {
	for _, u := range p.sorted {
		for _, c := range u.classOf {
			if c.node.SuperClass == nil {
				continue
			}
			if s := p.eval(u, c.node.SuperClass, nil); s.kind == classValue {
				p.subs[s.class] = append(p.subs[s.class], c)
			}
		}
	}
	for _, u := range p.sorted {
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
				at := u.at(w.target)
				b.changed = &at
				for _, s := range b.sources {
					if l, ok := s.expr.(*ast.ClassLiteral); ok {
						b.unit.classOf[l].changed = true
					}
				}
			}
		}
	}
	for _, u := range p.sorted { // what was held until now did not know of changes
		u.forget()
	}
}

// isChanged looks at the functions that a variable is given to, the first time that it
// matters.
func (p *program) isChanged(b *binding) {
	list := b.touched
	b.touched = nil
	for _, t := range list {
		if b.changed == nil && p.mayChange(t.unit, t.write) {
			at := t.unit.at(t.target)
			b.changed = &at
		}
	}
}

// settle does the same for the field of a class.
func (p *program) settle(c *class, name string) {
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

// own is the field of a class that a write inside of it changes: this.field.x = 1,
// this[name] = x.
func (u *unit) own(w write) (*class, string) {
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

func (u *unit) forget() {
	for _, s := range u.names {
		for ; s != nil; s = s.parent {
			for _, b := range s.names {
				b.memo = nil
			}
		}
	}
}

// root is the variable that holds what an expression is about.
func (p *program) root(u *unit, e ast.Expression, depth int) *binding {
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
		if m := p.eval(u, e.Left, nil); m.kind == module {
			if x, ok := m.unit.exports[string(e.Identifier.Name)]; ok {
				return p.root(m.unit, x.expr, depth+1)
			}
			if len(m.unit.whole) == 1 {
				return p.root(m.unit, m.unit.whole[0], depth+1)
			}
			for _, s := range m.unit.stars {
				if t := p.eval(m.unit, s, nil); t.kind == module {
					if x, ok := t.unit.exports[string(e.Identifier.Name)]; ok {
						return p.root(t.unit, x.expr, depth+1)
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

// foreign says whether an expression begins with something imported.
func (u *unit) foreign(e ast.Expression) bool {
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

// harmless functions do not change what they are given.
var harmless = []string{"JSON.stringify", "Object.keys", "Object.entries", "Object.values",
	"Object.freeze", "Object.seal", "structuredClone", "String", "Boolean", "Number"}

// mayChange says whether a call may change what it is given. Classes of packages get
// options, they do not write them.
func (p *program) mayChange(u *unit, w write) bool {
	name := u.text(w.call.Callee)
	if slices.Contains(harmless, name) || strings.HasPrefix(name, "console.") ||
		strings.Contains(strings.ToLower(name), "log") {
		return false
	}
	if name == "Object.assign" || name == "Object.defineProperty" {
		return len(w.call.ArgumentList) > 0 && w.call.ArgumentList[0] == w.target
	}
	if _, ok := callee(w.call).(*ast.SuperExpression); ok {
		return false
	}
	f := p.eval(u, callee(w.call), nil)
	if f.kind == symbol {
		return f.pkg == "lodash" || strings.HasPrefix(f.pkg, "lodash") ||
			f.pkg == "deepmerge" || f.pkg == "defu"
	}
	if f.kind != function {
		// A method of something unknown: registries and loggers take options as they
		// are; those that write are named so.
		lower := strings.ToLower(name)
		for _, verb := range []string{"merge", "assign", "extend", "default", "patch", "harden",
			"set", "override", "mutate", "apply"} {
			if strings.Contains(lower, verb) {
				return true
			}
		}
		_, plain := callee(w.call).(*ast.Identifier)
		return plain && !strings.HasPrefix(name, "require")
	}
	i := slices.Index(w.call.ArgumentList, w.target)
	for _, inside := range f.unit.writes {
		if !inside.member {
			continue
		}
		if b := p.root(f.unit, inside.target, 0); b != nil && b.param == f.node &&
			b.index == i {
			if inside.call == nil || inside.call != w.call && p.mayChangeOnce(f.unit, inside) {
				return true
			}
		}
	}
	return false
}

// mayChangeOnce does not go on into functions of functions.
func (p *program) mayChangeOnce(u *unit, w write) bool {
	f := p.eval(u, callee(w.call), nil)
	return f.kind == function || strings.HasPrefix(u.text(w.call.Callee), "Object.assign")
}

func (p *program) overridden(c *class, name string) bool {
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

// required is what a call of require gives.
func (p *program) required(u *unit, e *ast.CallExpression) (*value, bool) {
	id, ok := e.Callee.(*ast.Identifier)
	if !ok {
		return nil, false
	}
	b := u.names[id].find(string(id.Name))
	switch {
	case (id.Name == "require" || id.Name == "__outside") && b == nil:
		if len(e.ArgumentList) != 1 {
			return not("require"), true
		}
		s, ok := e.ArgumentList[0].(*ast.StringLiteral)
		if !ok {
			return not("require of a name that is computed"), true
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

// find resolves what an import names: a file of the folder, or a package.
func (p *program) find(u *unit, spec string) *value {
	if strings.HasPrefix(spec, ".") {
		return p.file(path.Join(path.Dir(u.path), spec), spec)
	}
	if strings.HasPrefix(spec, "/") {
		return not("import of " + spec + " is not in the folder")
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
			if v := p.file(at, spec); v.kind != unknown {
				return v
			}
		}
		return not("the package " + pkg + " of this folder: its entry is not found")
	}
	if strings.HasPrefix(spec, "@/") || strings.HasPrefix(spec, "~") ||
		strings.HasPrefix(spec, "#") {
		return not("import of " + spec + ": no path alias of a tsconfig.json leads to it")
	}
	return &value{kind: symbol, pkg: pkg}
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

func (p *program) aliased(t tsPaths, spec string) *value {
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
				spec); v.kind != unknown {
				return v
			}
		}
		return not("import of " + spec + ": the path alias leads to no file of the folder")
	}
	if t.plain {
		if v := p.file(path.Join(t.base, spec), spec); v.kind != unknown {
			return v
		}
	}
	return nil
}

var extensions = []string{".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs"}

// file finds a module as TypeScript does: "./a.js" may be written as a.ts.
func (p *program) file(at, spec string) *value {
	var tries []string
	if strings.HasPrefix(at, "..") {
		return not("import of " + spec + " leaves the folder")
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
		if u := p.units[t]; u != nil {
			return &value{kind: module, unit: u}
		}
		if why, ok := p.broken[t]; ok {
			return not(t + " could not be read: " + why)
		}
	}
	return not("import of " + spec + ": no such file among those that were read")
}

// exported is what a file exports under a name.
func (p *program) exported(x *evaluator, u *unit, name string) *value {
	if e, ok := u.exports[name]; ok {
		if e.many {
			return not(u.path + " exports " + name + " more than once")
		}
		return x.eval(u, e.expr, nil)
	}
	if len(u.whole) == 1 {
		v := x.eval(u, u.whole[0], nil)
		if name == "default" {
			if v.kind == object && v.props["default"] != nil {
				return v.props["default"]
			}
			return v
		}
		return x.member(v, name)
	}
	if name != "default" {
		var pkg *value
		for _, s := range u.stars {
			switch m := x.eval(u, s, nil); m.kind {
			case module:
				if m.unit.gives(p, x, name, 0) {
					return x.member(m, name)
				}
			case symbol:
				pkg = m
			}
		}
		if pkg != nil {
			return x.member(pkg, name)
		}
	}
	return not(u.path + " exports no " + name + " that is found")
}

func (u *unit) gives(p *program, x *evaluator, name string, depth int) bool {
	if _, ok := u.exports[name]; ok || len(u.whole) == 1 {
		return true
	}
	if depth > 20 {
		return false
	}
	for _, s := range u.stars {
		switch m := x.eval(u, s, nil); m.kind {
		case module:
			if m.unit.gives(p, x, name, depth+1) {
				return true
			}
		case symbol:
			if roleOf(m.pkg, name) != "" {
				return true
			}
		}
	}
	return false
}
