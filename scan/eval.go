package scan

import (
	"fmt"
	"math"
	"slices"

	"github.com/dop251/goja/ast"
	"github.com/dop251/goja/token"
)

// An env gives parameters their values while a call is looked through.
type env struct {
	parent *env
	names  map[*binding]*value
	fn     ast.Node
	args   []*value
	rest   bool // more arguments than args may follow
	this   *value
}

func (e *env) find(b *binding) *value {
	for ; e != nil; e = e.parent {
		if v, ok := e.names[b]; ok {
			return v
		}
	}
	return nil
}

// of is the call that gives the parameters of fn their values.
func (e *env) of(fn ast.Node) *env {
	for ; e != nil; e = e.parent {
		if e.fn == fn {
			return e
		}
	}
	return nil
}

const (
	deepest  = 60     // expressions within expressions, through calls and names
	patience = 20_000 // expressions for one question
)

type evaluator struct {
	p     *program
	depth int
	steps int
	tired bool // a limit was met: what came out is not worth keeping
}

func (p *program) eval(u *unit, e ast.Expression, en *env) *value {
	return (&evaluator{p: p}).eval(u, e, en)
}

func (x *evaluator) eval(u *unit, e ast.Expression, en *env) *value {
	x.steps++
	if x.depth++; x.depth > deepest || x.steps > patience {
		x.depth--
		x.tired = true
		return not("it is too deep to follow")
	}
	defer func() { x.depth-- }()
	switch e := e.(type) {
	case nil:
		return undef
	case *ast.BooleanLiteral:
		return truth(e.Value)
	case *ast.NullLiteral:
		return nulled
	case *ast.StringLiteral:
		return str(string(e.Value))
	case *ast.NumberLiteral:
		switch n := e.Value.(type) {
		case int64:
			return num(float64(n))
		case float64:
			return num(n)
		}
		return not("a number that is not known")
	case *ast.TemplateLiteral:
		if e.Tag != nil {
			return not("a tagged template")
		}
		if len(e.Expressions) == 0 && len(e.Elements) == 1 {
			return str(string(e.Elements[0].Parsed))
		}
		return &value{kind: text, opaque: true}
	case *ast.Identifier:
		return x.name(u, e, en)
	case *ast.ThisExpression:
		for a := en; a != nil; a = a.parent {
			if a.this != nil {
				return a.this
			}
		}
		if c := u.classes[e]; c != nil {
			return &value{kind: self, class: c, env: en}
		}
		return not("this")
	case *ast.ObjectLiteral:
		return x.object(u, e, en)
	case *ast.ArrayLiteral:
		items, more := x.list(u, e.Value, en)
		if more {
			return not("a list of which not all is known")
		}
		return &value{kind: array, items: items}
	case *ast.FunctionLiteral:
		return &value{kind: function, unit: u, node: e, env: en}
	case *ast.ArrowFunctionLiteral:
		return &value{kind: function, unit: u, node: e, env: en}
	case *ast.ClassLiteral:
		return &value{kind: classValue, unit: u, class: u.classOf[e]}
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
			return oneOf(x.eval(u, e.Consequent, en), x.eval(u, e.Alternate, en))
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
			return &value{kind: text, opaque: true}
		}
		return x.member(x.eval(u, e.Left, en), string(e.Identifier.Name))
	case *ast.PrivateDotExpression:
		return x.member(x.eval(u, e.Left, en), "#"+string(e.Identifier.Name))
	case *ast.BracketExpression:
		if isProcessEnv(e.Left) {
			return &value{kind: text, opaque: true}
		}
		key := x.eval(u, e.Member, en)
		left := x.eval(u, e.Left, en)
		switch {
		case key.kind == text && !key.opaque:
			return x.member(left, key.text)
		case key.kind == number:
			return x.member(left, indexName(int(key.number)))
		}
		return not("a member whose name is computed: " + u.text(e))
	case *ast.NewExpression:
		return x.construct(u, e.Callee, e.ArgumentList, en)
	case *ast.CallExpression:
		return x.call(u, e, en)
	}
	return not("not followed: " + u.text(e))
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

func (x *evaluator) name(u *unit, id *ast.Identifier, en *env) *value {
	name := string(id.Name)
	b := u.names[id].find(name)
	if b == nil {
		if name == "undefined" {
			return undef
		}
		return not(name + " is not declared here")
	}
	return x.binding(b, en)
}

func (x *evaluator) binding(b *binding, en *env) *value {
	if v := en.find(b); v != nil {
		return v
	}
	if b.param != nil {
		return x.parameter(b, en)
	}
	if b.top {
		en = nil
	}
	local := en != nil // inside a call, what a name holds may depend on its arguments
	if b.memo != nil && !local {
		return b.memo
	}
	if b.busy {
		return not(b.name + " depends on itself")
	}
	b.busy = true
	v := x.sources(b, en)
	b.busy = false
	if !local && !x.tired {
		b.memo = v
	}
	return v
}

func (x *evaluator) sources(b *binding, en *env) *value {
	if b.why != "" {
		return not(b.name + ": " + b.why)
	}
	var vs []*value
	for _, s := range b.sources {
		if s.expr == nil {
			return not(b.name + " is assigned in a way that is not followed")
		}
		vs = append(vs, x.source(b.unit, s, x.eval(b.unit, s.expr, en), en))
	}
	if len(vs) == 0 {
		return not(b.name + " gets no value here")
	}
	v := oneOf(vs...)
	if !slices.ContainsFunc(v.each(), func(v *value) bool {
		return v.kind == object || v.kind == instance || v.kind == array
	}) {
		return v
	}
	x.p.isChanged(b)
	if b.changed == nil {
		return v
	}
	why := not(fmt.Sprintf("%s is changed after it was built, at %s", b.name, b.changed))
	return v.mapped(func(v *value) *value {
		switch v.kind {
		case classValue, function, symbol, module, number, boolean, text:
			return v
		case object:
			return &value{kind: object, other: why}
		case instance:
			if v.of.kind == symbol {
				return &value{
					kind: instance,
					of:   v.of,
					args: v.args,
					over: &value{kind: object, other: why},
				}
			}
		}
		return why
	})
}

// source takes from a value what a pattern takes.
func (x *evaluator) source(u *unit, s source, v *value, en *env) *value {
	for _, step := range s.path {
		if step == restOf || step == unknownKey {
			return not("what a pattern leaves over")
		}
		v = x.member(v, step)
	}
	if s.dflt == nil {
		return v
	}
	return v.mapped(func(v *value) *value {
		switch v.kind {
		case undefined:
			return x.eval(u, s.dflt, en)
		case unknown:
			return oneOf(v, x.eval(u, s.dflt, en))
		}
		return v
	})
}

func (x *evaluator) parameter(b *binding, en *env) *value {
	var src source
	if len(b.sources) > 0 {
		src = b.sources[0]
	}
	if len(b.sources) > 1 {
		return not("the parameter " + b.name + " is assigned anew")
	}
	arg := not("the parameter " + b.name + ": the caller decides")
	if c := en.of(b.param); c != nil {
		switch {
		case b.index < len(c.args):
			arg = c.args[b.index]
		case !c.rest:
			arg = undef
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
	if b.changed != nil && (v.kind == object || v.kind == either || v.kind == instance) {
		return not(fmt.Sprintf("%s is changed at %s", b.name, b.changed))
	}
	return v
}

func (x *evaluator) object(u *unit, e *ast.ObjectLiteral, en *env) *value {
	o := record(map[string]*value{})
	for _, p := range e.Value {
		switch p := p.(type) {
		case *ast.SpreadElement:
			o = spread(o, x.eval(u, p.Expression, en))
		case *ast.PropertyShort:
			o.props[string(p.Name.Name)] = x.name(u, &p.Name, en)
		case *ast.PropertyKeyed:
			v := not("a getter or setter")
			switch p.Kind {
			case ast.PropertyKindValue, ast.PropertyKindMethod:
				v = x.eval(u, p.Value, en)
			case ast.PropertyKindGet:
				if f, ok := p.Value.(*ast.FunctionLiteral); ok {
					v = x.invoke(&value{kind: function, unit: u, node: f, env: en}, nil, false)
				}
			}
			key := keyName(p.Key, p.Computed)
			if p.Computed {
				if k := x.eval(u, p.Key, en); k.kind == text && !k.opaque {
					key = k.text
				} else {
					key = unknownKey
				}
			}
			if key == unknownKey {
				o = spread(o, not("a computed key"))
			} else {
				o.props[key] = v
			}
		}
	}
	return o
}

// list evaluates elements or arguments; more says that some are not known.
func (x *evaluator) list(u *unit, es []ast.Expression, en *env) (vs []*value, more bool) {
	for _, e := range es {
		if s, ok := e.(*ast.SpreadElement); ok {
			a := x.eval(u, s.Expression, en)
			if a.kind != array {
				return vs, true
			}
			vs = append(vs, a.items...)
			continue
		}
		vs = append(vs, x.eval(u, e, en))
	}
	return vs, false
}

func (x *evaluator) unary(u *unit, e *ast.UnaryExpression, en *env) *value {
	switch e.Operator {
	case token.VOID:
		return undef
	case token.TYPEOF:
		return &value{kind: text, opaque: true}
	}
	v := x.eval(u, e.Operand, en)
	switch {
	case e.Operator == token.NOT:
		if t := v.truthy(); t != nil {
			return truth(!*t)
		}
		return &value{kind: boolean, opaque: true, why: "it is computed: " + u.text(e)}
	case e.Operator == token.MINUS && v.kind == number:
		return num(-v.number)
	case e.Operator == token.PLUS && v.kind == number:
		return v
	}
	return not("it is computed: " + u.text(e))
}

func (x *evaluator) binary(u *unit, e *ast.BinaryExpression, en *env) *value {
	if e.Comparison || e.Operator == token.IN || e.Operator == token.INSTANCEOF {
		return &value{kind: boolean, opaque: true, why: "it is computed: " + u.text(e)}
	}
	l := x.eval(u, e.Left, en)
	switch e.Operator {
	case token.COALESCE:
		switch l.kind {
		case undefined, null:
			return x.eval(u, e.Right, en)
		case unknown, either, text:
			return oneOf(l, x.eval(u, e.Right, en))
		}
		return l
	case token.LOGICAL_OR, token.LOGICAL_AND:
		t := l.truthy()
		// what is left of it then is false, or like it
		if t == nil && e.Operator == token.LOGICAL_AND {
			return oneOf(&value{
				kind:   boolean,
				opaque: true,
				why:    "it depends on " + u.text(e.Left),
			}, x.eval(u, e.Right, en))
		}
		if t == nil {
			return oneOf(l, x.eval(u, e.Right, en))
		}
		if *t == (e.Operator == token.LOGICAL_OR) {
			return l
		}
		return x.eval(u, e.Right, en)
	}
	r := x.eval(u, e.Right, en)
	if l.kind == number && r.kind == number {
		switch e.Operator {
		case token.PLUS:
			return num(l.number + r.number)
		case token.MINUS:
			return num(l.number - r.number)
		case token.MULTIPLY:
			return num(l.number * r.number)
		case token.SLASH:
			return num(l.number / r.number)
		}
	}
	if e.Operator == token.PLUS && (l.kind == text || r.kind == text) {
		if l.kind == text && r.kind == text && !l.opaque && !r.opaque {
			return str(l.text + r.text)
		}
		return &value{kind: text, opaque: true}
	}
	return not("it is computed: " + u.text(e))
}

// member is v.name.
func (x *evaluator) member(v *value, name string) *value {
	switch v.kind {
	case either:
		return v.mapped(func(v *value) *value { return x.member(v, name) })
	case unknown:
		return v
	case object:
		return v.prop(name)
	case array:
		for i, it := range v.items {
			if indexName(i) == name {
				return it
			}
		}
	case symbol:
		return x.of(v, name)
	case module:
		return x.p.exported(x, v.unit, name)
	case self:
		return x.field(v.class, name, v, v.env)
	case instance:
		if v.of.kind == classValue {
			en := &env{this: v}
			if v.of.class.ctor != nil {
				en.fn, en.args = v.of.class.ctor, v.args
			}
			return x.field(v.of.class, name, v, en)
		}
	case classValue:
		if s := v.class.static[name]; s != nil && !v.class.changed {
			return x.eval(v.class.unit, s, nil)
		}
	case undefined, null:
		return not("a member of " + map[bool]string{true: "undefined",
			false: "null"}[v.kind == undefined] + ": " + name)
	}
	return not("the member " + name + " is not known")
}

// of is a member of what a package exports.
func (x *evaluator) of(v *value, name string) *value {
	if v.name == "" {
		return &value{kind: symbol, pkg: v.pkg, name: name}
	}
	if v.name == "default" { // a default export that is a namespace too
		return &value{kind: symbol, pkg: v.pkg, name: name}
	}
	if name == "default" {
		return v
	}
	return not(fmt.Sprintf("%s of %s", name, v.pkg))
}

func (x *evaluator) field(c *class, name string, this *value, en *env) *value {
	if m := c.methods[name]; m != nil {
		f := &value{
			kind: function,
			unit: c.unit,
			node: m.Body,
			env:  &env{parent: en, this: this},
		}
		if m.Kind == ast.PropertyKindGet {
			return x.invoke(f, nil, false)
		}
		if m.Kind == ast.PropertyKindSet {
			return not("a setter")
		}
		return f
	}
	if x.p.overridden(c, name) {
		return not("this." + name + " differs in a subclass")
	}
	x.p.settle(c, name)
	if x.p.written[name] {
		return not("this." + name +
			" may be changed: a member of this name is assigned elsewhere")
	}
	if len(c.fields[unknownKey]) > 0 {
		return not("this." + name + " may be changed: a member is assigned by a computed name")
	}
	list, ok := c.fields[name]
	if !ok {
		if c.node.SuperClass != nil {
			if s := x.eval(c.unit, c.node.SuperClass, nil); s.kind == classValue &&
				s.class != c {
				return x.field(s.class, name, this, nil)
			}
		}
		return not("this." + name + " gets no value here")
	}
	var vs []*value
	for _, e := range list {
		if e == nil {
			return not("this." + name + " is changed")
		}
		vs = append(vs, x.eval(c.unit, e, en))
	}
	return oneOf(vs...)
}

func (x *evaluator) construct(
	u *unit, callee ast.Expression, args []ast.Expression, en *env,
) *value {
	c := x.eval(u, callee, en)
	vs, more := x.list(u, args, en)
	if more {
		vs = append(vs, not("arguments that are spread"))
	}
	return c.mapped(func(c *value) *value {
		switch c.kind {
		case symbol, classValue:
			return &value{kind: instance, of: c, args: vs}
		}
		return not("new " + u.text(callee) + ": " + cmpOr(c.why, "not a class that is known"))
	})
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func (x *evaluator) call(u *unit, e *ast.CallExpression, en *env) *value {
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
			if v := x.eval(u, e.ArgumentList[0], en); v.kind == number {
				return v
			}
		}
	case isName(e.Callee, "structuredClone") && len(e.ArgumentList) == 1:
		return x.eval(u, e.ArgumentList[0], en)
	case isName(e.Callee, "String"):
		return &value{kind: text, opaque: true}
	}
	if d, ok := callee(e).(*ast.DotExpression); ok {
		if v := x.method(u, e, d, en); v != nil {
			return v
		}
	}
	f := x.eval(u, callee(e), en)
	args, more := x.list(u, e.ArgumentList, en)
	return f.mapped(func(f *value) *value {
		switch f.kind {
		case function:
			return x.invoke(f, args, more)
		case symbol:
			if (f.pkg == "module" || f.pkg == "node:module") && f.name == "createRequire" {
				return &value{kind: symbol, pkg: f.pkg, name: requirer}
			}
			if f.name == requirer && len(args) == 1 && args[0].kind == text && !args[0].opaque {
				return x.p.find(u, args[0].text)
			}
			return x.builtin(f, args)
		}
		return not(u.text(e) + cmpOr(prefixed(f.why), ": what it gives is not known"))
	})
}

func prefixed(why string) string {
	if why == "" {
		return ""
	}
	return ": " + why
}

func callee(e *ast.CallExpression) ast.Expression {
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

// method knows a few methods of the language and of clients; nil: another one.
func (x *evaluator) method(
	u *unit, e *ast.CallExpression, d *ast.DotExpression, en *env,
) *value {
	name := string(d.Identifier.Name)
	if id, ok := d.Left.(*ast.Identifier); ok && u.names[id].find(string(id.Name)) == nil {
		switch string(id.Name) + "." + name {
		case "Object.assign":
			o := record(map[string]*value{})
			args, more := x.list(u, e.ArgumentList, en)
			for i, a := range args {
				if i == 0 && a.kind != object {
					return not("Object.assign onto something that is not followed")
				}
				o = spread(o, a)
			}
			if more {
				o = spread(o, not("arguments that are spread"))
			}
			return o
		case "Object.freeze", "Object.seal", "Promise.resolve":
			if len(e.ArgumentList) == 0 {
				return undef
			}
			return x.eval(u, e.ArgumentList[0], en)
		}
	}
	switch name {
	case "then":
		if len(e.ArgumentList) >= 1 {
			if f := x.eval(u, e.ArgumentList[0], en); f.kind == function {
				return x.invoke(f, []*value{x.eval(u, d.Left, en)}, false)
			}
		}
	case "duplicate":
		v := x.eval(u, d.Left, en)
		if v.kind != instance || v.of.kind != symbol {
			return nil
		}
		over := record(map[string]*value{})
		if v.over != nil {
			over = v.over
		}
		if len(e.ArgumentList) > 0 {
			over = spread(over, x.eval(u, e.ArgumentList[0], en))
		}
		return &value{kind: instance, of: v.of, args: v.args, over: over}
	case "on", "once", "setMaxListeners":
		if v := x.eval(u, d.Left, en); v.kind == instance && v.of.kind == symbol {
			return v
		}
	case "map":
		list := x.eval(u, d.Left, en)
		if list.kind != array || len(e.ArgumentList) == 0 {
			return nil
		}
		f := x.eval(u, e.ArgumentList[0], en)
		if f.kind != function {
			return nil
		}
		out := &value{kind: array}
		for i, it := range list.items {
			out.items = append(out.items, x.invoke(f, []*value{it, num(float64(i))}, false))
		}
		return out
	}
	return nil
}

// invoke gives what a function returns.
func (x *evaluator) invoke(f *value, args []*value, more bool) *value {
	if x.depth++; x.depth > deepest || x.steps > patience {
		x.depth--
		x.tired = true
		return not("it is too deep to follow")
	}
	defer func() { x.depth-- }()
	for a := f.env; a != nil; a = a.parent {
		if a.fn == f.node {
			return not("a function that calls itself")
		}
	}
	en := &env{parent: f.env, fn: f.node, args: args, rest: more}
	switch fn := f.node.(type) {
	case *ast.FunctionLiteral:
		if fn.Generator {
			return not("a generator")
		}
		return x.returned(f.unit, fn.Body.List, en)
	case *ast.ArrowFunctionLiteral:
		switch body := fn.Body.(type) {
		case *ast.ExpressionBody:
			return x.eval(f.unit, body.Expression, en)
		case *ast.BlockStatement:
			return x.returned(f.unit, body.List, en)
		}
	}
	return not("a function that is not followed")
}

func (x *evaluator) returned(u *unit, body []ast.Statement, en *env) *value {
	vs, ends := x.returns(u, body, en)
	if !ends {
		vs = append(vs, undef)
	}
	return oneOf(vs...)
}

// returns collects what the return statements give; ends says that every path has one,
// or throws.
func (x *evaluator) returns(u *unit, body []ast.Statement, en *env) (vs []*value, ends bool) {
	for _, s := range body {
		var more []*value
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
			var b []*value
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

// longest is the largest number that a function of a number can give; +Inf when it is
// not bounded, NaN when that is not known. never says that it can give something that
// is no number: then a client gives up.
func (x *evaluator) longest(f *value) (most float64, never bool) {
	var results []ast.Expression
	ends := true
	switch fn := f.node.(type) {
	case *ast.FunctionLiteral:
		results, ends = returnExprs(fn.Body.List)
	case *ast.ArrowFunctionLiteral:
		switch body := fn.Body.(type) {
		case *ast.ExpressionBody:
			results = []ast.Expression{body.Expression}
		case *ast.BlockStatement:
			results, ends = returnExprs(body.List)
		}
	}
	en := &env{parent: f.env, fn: f.node, rest: true}
	never = !ends || len(results) == 0
	most = math.Inf(-1)
	for len(results) > 0 {
		r := results[0]
		results = results[1:]
		if c, ok := r.(*ast.ConditionalExpression); ok {
			results = append(results, c.Consequent, c.Alternate)
			continue
		}
		switch x.eval(f.unit, r, en).kind {
		case null, undefined, boolean, text, object:
			never = true
		default:
			most = maxOf(most, x.upper(f.unit, r, en))
		}
	}
	return most, never
}

func maxOf(a, b float64) float64 {
	if math.IsNaN(a) || math.IsNaN(b) {
		return math.NaN()
	}
	return max(a, b)
}

func (x *evaluator) upper(u *unit, e ast.Expression, en *env) float64 {
	if c, ok := e.(*ast.CallExpression); ok {
		d, ok := c.Callee.(*ast.DotExpression)
		if ok && isName(d.Left, "Math") && len(c.ArgumentList) > 0 {
			var bounds []float64
			for _, a := range c.ArgumentList {
				bounds = append(bounds, x.upper(u, a, en))
			}
			switch d.Identifier.Name {
			case "min":
				least := math.NaN()
				for _, b := range bounds {
					if math.IsNaN(least) || b < least {
						least = b
					}
				}
				return least
			case "max":
				most := math.Inf(-1)
				for _, b := range bounds {
					most = maxOf(most, b)
				}
				return most
			case "round", "floor", "ceil", "trunc":
				return bounds[0]
			}
		}
	}
	if v := x.eval(u, e, en); v.kind == number {
		return v.number
	}
	return math.NaN()
}

func returnExprs(body []ast.Statement) (es []ast.Expression, ends bool) {
	for _, s := range body {
		var more []ast.Expression
		var done bool
		switch s := s.(type) {
		case *ast.ReturnStatement:
			if s.Argument == nil {
				return append(es, &ast.NullLiteral{}), true
			}
			return append(es, s.Argument), true
		case *ast.ThrowStatement:
			return es, true
		case *ast.BlockStatement:
			more, done = returnExprs(s.List)
		case *ast.IfStatement:
			more, done = returnExprs([]ast.Statement{s.Consequent})
			if s.Alternate == nil {
				done = false
				break
			}
			b, doneB := returnExprs([]ast.Statement{s.Alternate})
			more, done = append(more, b...), done && doneB
		}
		es = append(es, more...)
		if done {
			return es, true
		}
	}
	return es, false
}
