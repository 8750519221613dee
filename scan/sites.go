package scan

import (
	"cmp"
	"slices"
	"strings"

	"github.com/dop251/goja/ast"

	"github.com/switchyard-dev/switchyard/scan/js"
)

func (sc *scanner) sites() []Finding {
	var out []Finding
	built := map[*js.Class]bool{}
	for _, u := range sc.Units {
		for _, n := range u.News {
			out = append(out, sc.construction(u, n, built)...)
		}
	}
	for _, u := range sc.Units {
		for _, c := range u.Classes() {
			role := sc.roleOfClass(&js.Value{Kind: js.ClassValue, Class: c})
			if role != RoleQueue && role != RoleFlow || built[c] ||
				sc.Extended(c) && c.Ctor == nil {
				continue
			}
			out = append(out, sc.subclass(c, role))
		}
	}
	for _, u := range sc.Units {
		out = append(out, sc.handedOn(u)...)
	}
	out = append(out, sc.nest()...)
	return out
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
func (sc *scanner) construction(
	u *js.Unit, n *ast.NewExpression, built map[*js.Class]bool,
) []Finding {
	c := sc.Eval(u, n.Callee, nil)
	var role Role
	for _, one := range c.Each() {
		if r := sc.roleOfClass(one); r != "" {
			role = r
		}
		if one.Kind == js.ClassValue {
			built[one.Class] = true
			for up := range 20 {
				_ = up
				s := sc.Parent(one.Class)
				if s.Kind != js.ClassValue {
					break
				}
				built[s.Class], one = true, s
			}
		}
	}
	f := Finding{Role: role, At: u.At(n), Expr: u.Text(n)}
	if role == "" {
		return sc.maybe(u, n, c, f)
	}
	if c.Kind == js.Either {
		f.Verdict, f.Reasons = Review, []string{"the class is one of several"}
		return []Finding{f}
	}
	f = sc.judged(u, n, c, role, nil)
	if f.Verdict == "" {
		return nil
	}
	if f.Verdict == Review && f.caller && u.Within[n] != nil {
		f = sc.byCallers(u, n, c, role, f)
	}
	return []Finding{f}
}

// maybe reports a construction that looks like a queue's but whose class is
// unknown.
func (sc *scanner) maybe(u *js.Unit, n *ast.NewExpression, c *js.Value, f Finding) []Finding {
	name := lastName(n.Callee)
	for _, one := range c.Each() {
		switch one.Kind {
		case js.Unknown:
			if !slices.Contains(queueNames, name) && !sc.likeQueue(u, n) {
				continue
			}
			name = cmp.Or(name, u.Text(n.Callee))
			f.Reasons = append(f.Reasons, "it is not known which "+name+" this is: "+one.Why)
		case js.Import:
			if !slices.Contains(queueNames, one.Name) && !sc.likeQueue(u, n) ||
				slices.Contains(bullmq, one.Pkg) ||
				slices.ContainsFunc(notQueues, func(s string) bool {
					return one.Pkg == s ||
						strings.HasSuffix(s, "/") && strings.HasPrefix(one.Pkg, s)
				}) {
				continue
			}
			f.Reasons = append(f.Reasons,
				"whether "+one.Name+" of "+one.Pkg+" is a BullMQ queue is unknown")
		case js.ClassValue:
			if b := sc.Base(one.Class); b.Kind == js.Unknown &&
				slices.Contains(queueNames, lastName(one.Class.Node.SuperClass)) {
				f.Reasons = append(f.Reasons, "it is unknown what its class extends: "+b.Why)
			}
		}
	}
	if len(f.Reasons) == 0 {
		return nil
	}
	f.Role, f.Verdict = RoleQueue, Review
	f.Queue, f.key = sc.queueName(u, n.ArgumentList, 0, nil)
	return []Finding{f}
}

// likeQueue reports whether something is constructed with the arguments of a Queue:
// a name, and options with a connection.
func (sc *scanner) likeQueue(u *js.Unit, n *ast.NewExpression) bool {
	if len(n.ArgumentList) != 2 {
		return false
	}
	for _, o := range sc.Eval(u, n.ArgumentList[1], nil).Each() {
		if o.Kind == js.Object &&
			(o.Props["connection"] != nil || o.Props["defaultJobOptions"] != nil) {
			return true
		}
	}
	return false
}

func (sc *scanner) queueName(
	u *js.Unit, args []ast.Expression, i int, en *js.Env,
) (name, key string) {
	if i >= len(args) {
		return "", ""
	}
	if v := sc.Eval(u, args[i], en); v.Kind == js.Text && !v.Opaque {
		return v.Text, v.Text
	}
	return "", u.Text(args[i])
}

// judged checks a construction against what its role requires. en gives parameters
// their values.
func (sc *scanner) judged(
	u *js.Unit, n *ast.NewExpression, c *js.Value, role Role, en *js.Env,
) Finding {
	f := Finding{Role: role, At: u.At(n), Expr: u.Text(n)}
	x := sc.Evaluator()
	args, more := x.List(u, n.ArgumentList, en)
	if more {
		args = append(args, js.NotKnown("arguments that are spread"),
			js.NotKnown("arguments that are spread"),
			js.NotKnown("arguments that are spread"))
	}
	own := args
	for of := c; of.Kind == js.ClassValue; {
		base, up, why := sc.Super(of.Class, args)
		if why != "" {
			f.Verdict, f.Reasons = Review, []string{why}
			f.Queue, f.key = sc.queueName(u, n.ArgumentList, 0, en)
			return f
		}
		of, args = base, up
	}
	if role != RoleProducer && role != RolePipeline && role != RoleFlow {
		f.Queue, f.key = sc.queueName(u, n.ArgumentList, 0, en)
		if len(args) > 0 && args[0].Kind == js.Text && !args[0].Opaque {
			f.Queue = args[0].Text
			if len(own) == 0 || own[0] != args[0] {
				f.key = f.Queue
			}
		}
	}
	arg := func(i int) *js.Value {
		if i < len(args) {
			return args[i]
		}
		return js.Undef
	}
	switch role {
	case RoleOld:
		f.Verdict = Review
		f.Reasons = []string{"this is bull, not bullmq: its client is configured " +
			"differently, and Switchyard only moves BullMQ queues"}
		f.Fix = "Move the queue to bullmq, or accept it until a given date."
	case RoleWorker:
		return sc.worker(f, x.Option(arg(2), "connection"))
	case RoleProducer:
		sc.ours(&f, arg(0))
	case RolePipeline:
		sc.pipeline(&f, arg(0))
	case RoleFlow:
		f.producer(sc, arg(0))
	default:
		f.producer(sc, arg(1))
	}
	return f
}

func (f *Finding) producer(p *scanner, opts *js.Value) {
	f.client, _ = p.client(p.Evaluator().Option(opts, "connection"))
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

// ours judges a Producer of clients/node: it waits for the connection and bounds
// each add, so only the client's options matter.
func (sc *scanner) ours(f *Finding, cfg *js.Value) {
	x := sc.Evaluator()
	if q := x.Option(cfg, "queue"); q.Kind == js.Text && !q.Opaque {
		f.Queue, f.key = q.Text, q.Text
	}
	conn := x.Option(cfg, "connection").Map(func(v *js.Value) *js.Value {
		if v.Kind == js.Object { // it makes an ioredis client of them
			return &js.Value{
				Kind: js.Instance,
				Of:   &js.Value{Kind: js.Import, Pkg: "ioredis", Name: "Redis"},
				Args: []*js.Value{v},
			}
		}
		return v
	})
	yes := js.Truth(true)
	for _, c := range sc.checkProducer(js.Record(map[string]*js.Value{
		"connection":          conn,
		"skipWaitingForReady": yes,
		"skipVersionCheck":    yes,
	})) {
		if c.Place == "connection" {
			f.Checks = append(f.Checks, c)
		}
	}
	safe := x.Option(cfg, "safe").Map(func(v *js.Value) *js.Value {
		if v.Kind == js.Undefined {
			return yes
		}
		return v
	})
	var states []state
	for _, one := range safe.Each() {
		s, _ := isBool(true)(sc.Program, one, "")
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

// pipeline judges a Pipeline of clients/node: its producers are safe unless the app makes them.
func (sc *scanner) pipeline(f *Finding, cfg *js.Value) {
	x := sc.Evaluator()
	if q := x.Option(cfg, "queue"); q.Kind == js.Text && !q.Opaque {
		f.Queue, f.key = q.Text, q.Text
	}
	made := x.Option(cfg, "producer")
	var states []state
	for _, one := range made.Each() {
		if one.Kind == js.Undefined {
			states = append(states, good)
		} else {
			states = append(states, unsure)
		}
	}
	f.Checks = []Check{{
		Option: "producer",
		Place:  "queue",
		State:  together(states),
		Seen:   made.String(),
		Needs:  "not set",
		Why:    "what the app makes of its own is tried by the breaker drill alone",
	}}
	f.settle()
}

// worker reports a Worker only if it has options that break it.
func (sc *scanner) worker(f Finding, conn *js.Value) Finding {
	x := sc.Evaluator()
	timeout, offline := true, true
	for _, c := range conn.Each() {
		kind, from := sc.client(c)
		if kind != plain && kind != ioredis {
			return Finding{}
		}
		timeout = timeout && x.Option(from, "commandTimeout").Kind == js.Number
		v := x.Option(from, "enableOfflineQueue")
		offline = offline && v.Kind == js.Boolean && !v.Bool
	}
	if timeout {
		f.Reasons = append(f.Reasons,
			"commandTimeout on a worker's connection interrupts its blocking read")
	}
	if offline {
		f.Reasons = append(f.Reasons, "enableOfflineQueue: false on a worker's connection "+
			"makes it fail when it should wait")
	}
	if len(f.Reasons) == 0 {
		return Finding{}
	}
	f.Role, f.Verdict = RoleWorker, Fail
	f.Fix = "Give workers their own connection: { ...connection, maxRetriesPerRequest: " +
		"null }, without commandTimeout and enableOfflineQueue."
	return f
}

// subclass judges a class that nobody constructs by name, by what its constructor
// passes to super.
func (sc *scanner) subclass(c *js.Class, role Role) Finding {
	f := Finding{
		Role: RoleSubclass,
		At:   c.Unit.At(c.Node),
		Expr: "class " + c.Name(),
		key:  "class " + c.Name(),
	}
	args := []*js.Value{js.NotKnown("the caller decides"), js.NotKnown("the caller decides"),
		js.NotKnown("the caller decides")}
	of := &js.Value{Kind: js.ClassValue, Class: c}
	for of.Kind == js.ClassValue {
		base, up, why := sc.Super(of.Class, args)
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
	if len(args) > 0 && args[0].Kind == js.Text && role == RoleQueue {
		f.Queue = args[0].Text
	}
	opts := js.Undef
	if i < len(args) {
		opts = args[i]
	}
	f.producer(sc, opts)
	return f
}

// handedOn reports classes passed to places where they may be constructed unseen.
func (sc *scanner) handedOn(u *js.Unit) []Finding {
	var out []Finding
	for _, e := range u.Passed {
		if !sc.MayBeClass(u, e, 0) {
			continue
		}
		v := sc.Eval(u, e, nil)
		if role := sc.roleOfClass(v); role == RoleQueue || role == RoleFlow || role == RoleOld {
			out = append(out, Finding{Role: RoleClass, Verdict: Review, At: u.At(e),
				Expr: u.Text(e), key: u.Text(e),
				Reasons: []string{"the class is passed on: what is constructed with it " +
					"cannot be seen"}})
		}
	}
	return out
}
