package scan

import (
	"slices"
	"strings"

	"github.com/dop251/goja/ast"
)

// Role is what a finding is about.
type Role string

// Roles.
const (
	RoleQueue     Role = "queue"
	RoleFlow      Role = "flow-producer"
	RoleSubclass  Role = "subclass"
	RoleNestQueue Role = "nest-queue"
	RoleNestFlow  Role = "nest-flow-producer"
	RoleProducer  Role = "producer" // of @switchyard/bullmq
	RoleWorker    Role = "worker"   // told only when it is broken by a producer's options
	RoleOld       Role = "bull"
	RoleClass     Role = "class"
	RoleFile      Role = "file"
)

const helper = "@switchyard/bullmq"

var bullmq = []string{"bullmq", "@taskforcesh/bullmq-pro"}

var nest = []string{"@nestjs/bullmq", "@taskforcesh/nestjs-bullmq-pro"}

// notQueues are packages whose Queue has nothing to do with Redis.
var notQueues = []string{"aws-cdk-lib", "@aws-cdk/", "@pulumi/", "@cdktf/", "p-queue", "queue",
	"yocto-queue", "typescript-collections", "@datastructures-js/", "async", "better-queue",
	"sst", "denque", "tinyqueue", "fastq", "@aws-sdk/", "@google-cloud/", "@azure/",
	"faktory-worker", "js-sdsl", "buckets-js", "@cloudflare/", "cloudflare:workers"}

func roleOf(pkg, name string) Role {
	switch {
	case slices.Contains(bullmq, pkg):
		switch name {
		case "Queue", "QueuePro", "QueueBase", "QueueGetters":
			return RoleQueue
		case "FlowProducer", "FlowProducerPro":
			return RoleFlow
		case "Worker", "WorkerPro":
			return RoleWorker
		}
	case pkg == "bull" && (name == "" || name == "default" || name == "Queue"):
		return RoleOld
	case pkg == helper && name == "Producer":
		return RoleProducer
	}
	return ""
}

var queueNames = []string{"Queue", "FlowProducer", "QueuePro", "FlowProducerPro", "Bull",
	"BullQueue"}

// super goes one class up: the class that is extended, and what its constructor gets.
func (p *program) super(c *class, args []*value) (base *value, up []*value, why string) {
	if c.node.SuperClass == nil {
		return undef, nil, "it extends nothing"
	}
	base = p.eval(c.unit, c.node.SuperClass, nil)
	if base.kind != symbol && base.kind != classValue {
		return base, nil, cmpOr(base.why, "what it extends is not followed")
	}
	if c.ctor == nil {
		return base, args, ""
	}
	if len(c.supers) != 1 {
		return base, nil, "its constructor does not call super exactly once"
	}
	x := &evaluator{p: p}
	en := &env{fn: c.ctor, args: args, rest: args == nil}
	up, more := x.list(c.unit, c.supers[0].ArgumentList, en)
	if more {
		why = "arguments are spread into super"
	}
	return base, up, why
}

// based is what a class of the source descends from.
func (p *program) based(c *class) *value {
	v := &value{kind: classValue, class: c}
	for range 20 {
		if v.kind != classValue {
			return v
		}
		if v.class.node.SuperClass == nil {
			return undef
		}
		v = p.eval(v.class.unit, v.class.node.SuperClass, nil)
	}
	return not("its ancestors do not end")
}

// roleOfClass is the role of a value that can be constructed.
func (p *program) roleOfClass(v *value) Role {
	if v.kind == classValue {
		v = p.based(v.class)
	}
	if v.kind == symbol {
		return roleOf(v.pkg, v.name)
	}
	return ""
}

// A site is one construction.
type site struct {
	Finding
	opts    *value
	workers bool
}

func (p *program) sites() []Finding {
	var out []Finding
	built := map[*class]bool{}
	for _, u := range p.sorted {
		for _, n := range u.news {
			out = append(out, p.construction(u, n, built)...)
		}
	}
	for _, u := range p.sorted {
		for _, c := range sortedClasses(u) {
			role := p.roleOfClass(&value{kind: classValue, class: c})
			if role != RoleQueue && role != RoleFlow || built[c] ||
				len(p.subs[c]) > 0 && c.ctor == nil {
				continue
			}
			out = append(out, p.subclass(c, role))
		}
	}
	for _, u := range p.sorted {
		out = append(out, p.handedOn(u)...)
	}
	out = append(out, p.nest()...)
	return out
}

func sortedClasses(u *unit) []*class {
	var cs []*class
	for _, c := range u.classOf {
		cs = append(cs, c)
	}
	slices.SortFunc(cs, func(a, b *class) int { return int(a.node.Class) - int(b.node.Class) })
	return cs
}

func lastName(e ast.Expression) string {
	switch e := e.(type) {
	case *ast.Identifier:
		return string(e.Name)
	case *ast.DotExpression:
		return string(e.Identifier.Name)
	case *ast.SequenceExpression:
		return lastName(e.Sequence[len(e.Sequence)-1])
	}
	return ""
}

// construction judges one new expression, if it makes something that enqueues.
func (p *program) construction(u *unit, n *ast.NewExpression, built map[*class]bool) []Finding {
	c := p.eval(u, n.Callee, nil)
	var role Role
	for _, one := range c.each() {
		if r := p.roleOfClass(one); r != "" {
			role = r
		}
		if one.kind == classValue {
			built[one.class] = true
			for up := range 20 {
				_ = up
				s := p.eval(one.class.unit, cmpNode(one.class.node.SuperClass), nil)
				if s.kind != classValue {
					break
				}
				built[s.class], one = true, s
			}
		}
	}
	f := Finding{Role: role, At: u.at(n), Expr: u.text(n)}
	if role == "" {
		return p.maybe(u, n, c, f)
	}
	if c.kind == either {
		f.Verdict, f.Reasons = Review, []string{"the class is one of several"}
		return []Finding{f}
	}
	f = p.judged(u, n, c, role, nil)
	if f.Verdict == "" {
		return nil
	}
	if f.Verdict == Review && f.caller && u.within[n] != nil {
		f = p.byCallers(u, n, c, role, f)
	}
	return []Finding{f}
}

func cmpNode(e ast.Expression) ast.Expression {
	if e == nil {
		return &ast.NullLiteral{}
	}
	return e
}

// maybe tells of a construction that looks like a queue's but whose class is not known.
func (p *program) maybe(u *unit, n *ast.NewExpression, c *value, f Finding) []Finding {
	name := lastName(n.Callee)
	for _, one := range c.each() {
		switch one.kind {
		case unknown:
			if !slices.Contains(queueNames, name) && !p.likeQueue(u, n) {
				continue
			}
			name = cmpOr(name, u.text(n.Callee))
			f.Reasons = append(f.Reasons, "it is not known which "+name+" this is: "+one.why)
		case symbol:
			if !slices.Contains(queueNames, one.name) && !p.likeQueue(u, n) ||
				slices.Contains(bullmq, one.pkg) ||
				slices.ContainsFunc(notQueues, func(s string) bool {
					return one.pkg == s ||
						strings.HasSuffix(s, "/") && strings.HasPrefix(one.pkg, s)
				}) {
				continue
			}
			f.Reasons = append(f.Reasons,
				"whether "+one.name+" of "+one.pkg+" is a BullMQ queue is not known")
		case classValue:
			if b := p.based(one.class); b.kind == unknown &&
				slices.Contains(queueNames, lastName(one.class.node.SuperClass)) {
				f.Reasons = append(f.Reasons, "it is not known what its class extends: "+b.why)
			}
		}
	}
	if len(f.Reasons) == 0 {
		return nil
	}
	f.Role, f.Verdict = RoleQueue, Review
	f.Queue, f.key = p.queueName(u, n.ArgumentList, 0, nil)
	return []Finding{f}
}

// likeQueue says whether something is given what a Queue is given: a name, and options
// with a connection.
func (p *program) likeQueue(u *unit, n *ast.NewExpression) bool {
	if len(n.ArgumentList) != 2 {
		return false
	}
	for _, o := range p.eval(u, n.ArgumentList[1], nil).each() {
		if o.kind == object &&
			(o.props["connection"] != nil || o.props["defaultJobOptions"] != nil) {
			return true
		}
	}
	return false
}

func (p *program) queueName(u *unit, args []ast.Expression, i int, en *env) (name, key string) {
	if i >= len(args) {
		return "", ""
	}
	if v := p.eval(u, args[i], en); v.kind == text && !v.opaque {
		return v.text, v.text
	}
	return "", u.text(args[i])
}

// judged holds what is constructed to what its role needs. en gives parameters their
// values.
func (p *program) judged(u *unit, n *ast.NewExpression, c *value, role Role, en *env) Finding {
	f := Finding{Role: role, At: u.at(n), Expr: u.text(n)}
	x := &evaluator{p: p}
	args, more := x.list(u, n.ArgumentList, en)
	if more {
		args = append(args, not("arguments that are spread"), not("arguments that are spread"),
			not("arguments that are spread"))
	}
	own := args
	for of := c; of.kind == classValue; {
		base, up, why := p.super(of.class, args)
		if why != "" {
			f.Verdict, f.Reasons = Review, []string{why}
			f.Queue, f.key = p.queueName(u, n.ArgumentList, 0, en)
			return f
		}
		of, args = base, up
	}
	if role != RoleProducer && role != RoleFlow {
		f.Queue, f.key = p.queueName(u, n.ArgumentList, 0, en)
		if len(args) > 0 && args[0].kind == text && !args[0].opaque {
			f.Queue = args[0].text
			if len(own) == 0 || own[0] != args[0] {
				f.key = f.Queue
			}
		}
	}
	arg := func(i int) *value {
		if i < len(args) {
			return args[i]
		}
		return undef
	}
	switch role {
	case RoleOld:
		f.Verdict = Review
		f.Reasons = []string{"this is bull, not bullmq: its client is set up otherwise, and " +
			"Switchyard moves BullMQ queues only"}
		f.Fix = "Move the queue to bullmq, or decide with a date until when it stays as it is."
	case RoleWorker:
		return p.worker(f, x.member2(arg(2), "connection"))
	case RoleProducer:
		p.ours(&f, arg(0))
	case RoleFlow:
		f.producer(p, arg(0))
	default:
		f.producer(p, arg(1))
	}
	return f
}

func (f *Finding) producer(p *program, opts *value) {
	f.client, _ = p.client((&evaluator{p: p}).member2(opts, "connection"))
	f.Checks = p.checkProducer(opts)
	f.settle()
}

func (f *Finding) settle() {
	f.Verdict = verdictOf(f.Checks)
	for _, c := range f.Checks {
		if c.State == unsure {
			r := c.Option + ": " + c.Seen
			f.caller = f.caller || strings.Contains(c.Seen, "the caller decides")
			f.Reasons = append(f.Reasons, r)
		}
	}
	f.Fix = f.fix()
}

// ours judges a Producer of clients/node: it waits for the connection and bounds each
// add, so only the client's options matter.
func (p *program) ours(f *Finding, cfg *value) {
	x := &evaluator{p: p}
	if q := x.member2(cfg, "queue"); q.kind == text && !q.opaque {
		f.Queue, f.key = q.text, q.text
	}
	conn := x.member2(cfg, "connection").mapped(func(v *value) *value {
		if v.kind == object { // it makes an ioredis client of them
			return &value{
				kind: instance,
				of:   &value{kind: symbol, pkg: "ioredis", name: "Redis"},
				args: []*value{v},
			}
		}
		return v
	})
	yes := truth(true)
	for _, c := range p.checkProducer(record(map[string]*value{
		"connection":          conn,
		"skipWaitingForReady": yes,
		"skipVersionCheck":    yes,
	})) {
		if c.Place == "connection" {
			f.Checks = append(f.Checks, c)
		}
	}
	safe := x.member2(cfg, "safe").mapped(func(v *value) *value {
		if v.kind == undefined {
			return yes
		}
		return v
	})
	var states []state
	for _, one := range safe.each() {
		s, _ := isBool(true)(p, one, "")
		states = append(states, s)
	}
	f.Checks = append(f.Checks, Check{
		Option: "safe",
		Place:  "queue",
		State:  together(states),
		Seen:   safe.String(),
		Needs:  "true",
		Why:    "without the gate and the deadline an add can hang",
	})
	f.settle()
}

// worker tells of a Worker only when it has what breaks it.
func (p *program) worker(f Finding, conn *value) Finding {
	x := &evaluator{p: p}
	timeout, offline := true, true
	for _, c := range conn.each() {
		kind, from := p.client(c)
		if kind != plain && kind != ioredis {
			return Finding{}
		}
		timeout = timeout && x.member2(from, "commandTimeout").kind == number
		v := x.member2(from, "enableOfflineQueue")
		offline = offline && v.kind == boolean && !v.bool
	}
	if timeout {
		f.Reasons = append(f.Reasons,
			"commandTimeout on a worker's connection cuts its blocking read")
	}
	if offline {
		f.Reasons = append(f.Reasons, "enableOfflineQueue: false on a worker's connection "+
			"makes it fail where it should wait")
	}
	if len(f.Reasons) == 0 {
		return Finding{}
	}
	f.Role, f.Verdict = RoleWorker, Fail
	f.Fix = "Give workers a connection of their own: { ...connection, maxRetriesPerRequest: " +
		"null }, without commandTimeout and enableOfflineQueue."
	return f
}

// byCallers judges a construction inside a function for every call of it, when all are
// seen.
func (p *program) byCallers(
	u *unit, n *ast.NewExpression, c *value, role Role, f Finding,
) Finding {
	fn := u.within[n]
	var found []Finding
	see := func(cu *unit, at ast.Node, args []*value, more bool) {
		g := p.judged(u, n, c, role, &env{fn: fn, args: args, rest: more})
		g.caller = false
		for i, r := range g.Reasons {
			g.Reasons[i] = r + " (called at " + cu.at(at).String() + ")"
		}
		for i := range g.Checks {
			if g.Checks[i].State != good {
				g.Checks[i].Seen += " (called at " + cu.at(at).String() + ")"
			}
		}
		found = append(found, g)
	}
	uses := p.usesOf(fn)
	if uses.passed { // it is handed on: there may be callers that nobody sees
		return f
	}
	for _, c := range uses.calls {
		args, more := (&evaluator{p: p}).list(c.unit, c.args, nil)
		see(c.unit, c.node, args, more)
	}
	if len(found) == 0 {
		return f
	}
	worst := found[0]
	for _, g := range found[1:] {
		if rank(g.Verdict) > rank(worst.Verdict) {
			worst = g
		}
	}
	if slices.ContainsFunc(found, func(g Finding) bool { return g.Queue != worst.Queue }) {
		worst.Queue = ""
	}
	worst.key = f.key
	return worst
}

// uses are where a function is used.
type uses struct {
	passed bool // as a value
	calls  []called
}

type called struct {
	unit *unit
	node ast.Node
	args []ast.Expression
}

// usesOf looks through the program once, and remembers every function.
func (p *program) usesOf(fn ast.Node) uses {
	if p.uses != nil {
		return p.uses[fn]
	}
	p.uses = map[ast.Node]uses{}
	of := func(v *value) ast.Node {
		switch {
		case v.kind == classValue && v.class.ctor != nil:
			return v.class.ctor
		case v.kind == function:
			return v.node
		}
		return nil
	}
	note := func(u *unit, callee ast.Expression, node ast.Node, args []ast.Expression) {
		for _, v := range p.eval(u, callee, nil).each() {
			if n := of(v); n != nil {
				use := p.uses[n]
				use.calls = append(use.calls, called{u, node, args})
				p.uses[n] = use
			}
		}
	}
	for _, u := range p.sorted {
		for _, e := range u.passed {
			for _, v := range p.eval(u, e, nil).each() {
				if n := of(v); n != nil {
					use := p.uses[n]
					use.passed = true
					p.uses[n] = use
				}
			}
		}
		for _, c := range u.calls {
			if _, ok := callee(c).(*ast.SuperExpression); !ok {
				note(u, callee(c), c, c.ArgumentList)
			}
		}
		for _, n := range u.news {
			note(u, n.Callee, n, n.ArgumentList)
		}
	}
	return p.uses[fn]
}

func rank(v Verdict) int { return slices.Index([]Verdict{Pass, Review, Fail}, v) }

// subclass judges a class that nobody constructs by name: what its constructor hands up.
func (p *program) subclass(c *class, role Role) Finding {
	f := Finding{
		Role: RoleSubclass,
		At:   c.unit.at(c.node),
		Expr: "class " + className(c),
		key:  "class " + className(c),
	}
	args := []*value{not("the caller decides"), not("the caller decides"),
		not("the caller decides")}
	of := &value{kind: classValue, class: c}
	for of.kind == classValue {
		base, up, why := p.super(of.class, args)
		if why != "" {
			f.Verdict, f.Reasons = Review, []string{why}
			return f
		}
		of, args = base, up
	}
	i := 1
	if role == RoleFlow {
		i = 0
	}
	if len(args) > 0 && args[0].kind == text && role == RoleQueue {
		f.Queue = args[0].text
	}
	opts := undef
	if i < len(args) {
		opts = args[i]
	}
	f.producer(p, opts)
	return f
}

func className(c *class) string {
	if c.node.Name != nil {
		return string(c.node.Name.Name)
	}
	return "without a name"
}

// handedOn tells where a class goes to a place from which it may be constructed unseen.
func (p *program) handedOn(u *unit) []Finding {
	var out []Finding
	for _, e := range u.passed {
		if !p.mayBeClass(u, e, 0) {
			continue
		}
		v := p.eval(u, e, nil)
		if role := p.roleOfClass(v); role == RoleQueue || role == RoleFlow || role == RoleOld {
			out = append(out, Finding{Role: RoleClass, Verdict: Review, At: u.at(e),
				Expr: u.text(e), key: u.text(e),
				Reasons: []string{"the class is handed on: what is constructed with it is " +
					"not seen"}})
		}
	}
	return out
}

// mayBeClass tells cheaply what cannot be a class.
func (p *program) mayBeClass(u *unit, e ast.Expression, depth int) bool {
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
				if p.mayBeClass(b.unit, src, depth+1) {
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

// builtin is what some functions of packages give.
func (x *evaluator) builtin(f *value, args []*value) *value {
	switch f.pkg {
	case helper:
		switch f.name {
		case "producerOptions":
			return record(map[string]*value{
				"enableOfflineQueue": truth(false), "maxRetriesPerRequest": num(1),
				"commandTimeout": num(2000), "connectTimeout": num(2000),
				"retryStrategy": x.p.safeRetry(),
			})
		case "unsafeProducerOptions":
			return record(map[string]*value{})
		case "workerOptions":
			return record(map[string]*value{
				"enableOfflineQueue":   truth(true),
				"maxRetriesPerRequest": nulled,
				"connectTimeout":       num(5000),
				"retryStrategy":        x.p.safeRetry(),
			})
		}
	case "redis", "@redis/client":
		if f.name == "createClient" {
			return &value{kind: instance, of: f, args: args}
		}
	}
	return not("what " + cmpOr(f.name, "a function") + " of " + f.pkg + " gives is not known")
}

// safeRetry stands for the strategy of clients/node.
func (p *program) safeRetry() *value {
	return &value{kind: function, node: &ast.ArrowFunctionLiteral{Body: &ast.ExpressionBody{Expression: &ast.NumberLiteral{Value: int64(1000)}}}}
}
