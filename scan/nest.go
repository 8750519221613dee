package scan

import (
	"slices"

	"github.com/dop251/goja/ast"
)

// A registration is one queue or flow producer that a Nest module asks for.
type registration struct {
	unit *unit
	call *ast.CallExpression
	item *value
	flow bool
	old  bool
}

func isNest(v *value) bool {
	return v.kind == symbol && (slices.Contains(nest, v.pkg) || v.pkg == "@nestjs/bull")
}

// nest judges the registrations of Nest modules. A queue gets what forRoot says, under
// what its registration says.
func (p *program) nest() []Finding {
	var regs []registration
	type root struct{ key, opts *value }
	var roots []root
	type use struct {
		unit *unit
		call *ast.CallExpression
		args []*value
	}
	var injects, processors []use
	for _, u := range p.sorted {
		for _, c := range u.calls {
			x := &evaluator{p: p}
			if last := lastName(callee(c)); last == "InjectQueue" || last == "Processor" {
				f := p.eval(u, callee(c), nil)
				if !isNest(f) {
					continue
				}
				args, _ := x.list(u, c.ArgumentList, nil)
				if f.name == "InjectQueue" {
					injects = append(injects, use{u, c, args})
				} else if f.pkg != "@nestjs/bull" {
					processors = append(processors, use{u, c, args})
				}
				continue
			}
			d, ok := callee(c).(*ast.DotExpression)
			if !ok {
				continue
			}
			name := string(d.Identifier.Name)
			if !slices.Contains([]string{"forRoot", "forRootAsync", "registerQueue",
				"registerQueueAsync", "registerFlowProducer",
				"registerFlowProducerAsync"}, name) {
				continue
			}
			m := p.eval(u, d.Left, nil)
			if !isNest(m) || m.name != "BullModule" {
				continue
			}
			args, more := x.list(u, c.ArgumentList, nil)
			if more {
				args = append(args, not("arguments that are spread"))
			}
			switch name {
			case "forRoot", "forRootAsync":
				if len(args) == 0 {
					continue
				}
				key, opts := undef, args[0]
				if len(args) > 1 {
					key, opts = args[0], args[1]
				}
				if name == "forRootAsync" {
					opts = x.async(opts, "createSharedConfiguration")
				}
				roots = append(roots, root{key, opts})
			default:
				for _, a := range args {
					items := []*value{a}
					if a.kind == array {
						items = a.items
					}
					for _, it := range items {
						if name == "registerQueueAsync" || name == "registerFlowProducerAsync" {
							it = spread(x.async(it, "createRegisterQueueOptions"),
								record(map[string]*value{"name": x.member2(it, "name"),
									"configKey": x.member2(it, "configKey")}))
						}
						regs = append(regs,
							registration{u, c, it, name == "registerFlowProducer" ||
								name == "registerFlowProducerAsync", m.pkg == "@nestjs/bull"})
					}
				}
			}
		}
	}
	x := &evaluator{p: p}
	var out []Finding
	effective := map[string]*value{}
	unnamed := false
	for _, r := range regs {
		f := Finding{Role: RoleNestQueue, At: r.unit.at(r.call), Expr: r.unit.text(r.call)}
		if r.flow {
			f.Role = RoleNestFlow
		}
		name := x.member2(r.item, "name")
		switch {
		case name.kind == text && !name.opaque:
			f.Queue, f.key = name.text, "nest "+name.text
		case name.kind == undefined:
			f.Queue, f.key = "default", "nest default"
		default:
			f.key, unnamed = "nest "+name.String(), true
		}
		if r.old {
			f.Role, f.Verdict = RoleOld, Review
			f.Reasons = []string{"this is bull, not bullmq: its client is set up otherwise, " +
				"and Switchyard moves BullMQ queues only"}
			f.Fix = "Move the queue to @nestjs/bullmq, or decide with a date until when it " +
				"stays as it is."
			effective[f.Queue] = undef
			out = append(out, f)
			continue
		}
		key := x.member2(r.item, "configKey")
		var shared []*value
		for _, ro := range roots {
			if ro.key.kind == undefined && key.kind == undefined || ro.key.kind == text &&
				key.kind == text && !key.opaque && !ro.key.opaque && ro.key.text == key.text {
				shared = append(shared, ro.opts)
			} else if ro.key.kind != text && ro.key.kind != undefined ||
				key.kind != text && key.kind != undefined {
				shared = append(shared, not("which forRoot it belongs to"))
			}
		}
		base := record(map[string]*value{})
		if len(shared) == 0 {
			if x.member2(r.item, "connection").kind == undefined {
				base = spread(base, not("no BullModule.forRoot for it is found"))
			}
		} else {
			base = spread(base, oneOf(shared...))
		}
		opts := spread(base, r.item)
		effective[f.Queue] = opts
		f.producer(p, opts)
		out = append(out, f)
	}
	for _, i := range injects {
		name := undef
		if len(i.args) > 0 {
			name = i.args[0]
		}
		if name.kind == text && !name.opaque && effective[name.text] == nil && !unnamed ||
			name.kind == undefined && effective["default"] == nil && !unnamed {
			out = append(out,
				Finding{Role: RoleNestQueue, Verdict: Review, At: i.unit.at(i.call),
					Expr: i.unit.text(i.call), Queue: name.text, key: "inject " + name.text,
					Reasons: []string{"no registration of this queue is found in the folder"},
					Fix:     "Scan the folder that registers it too, or decide."})
		}
	}
	for _, w := range processors {
		name, opts := undef, undef
		if len(w.args) > 0 {
			name = w.args[0]
			if name.kind == object {
				opts, name = name, name.prop("name")
			}
		}
		if len(w.args) > 1 {
			opts = w.args[1]
		}
		conn := x.member2(opts, "connection")
		if conn.kind == undefined && name.kind == text && effective[name.text] != nil {
			conn = x.member2(effective[name.text], "connection")
		}
		f := Finding{
			At:    w.unit.at(w.call),
			Expr:  w.unit.text(w.call),
			Queue: name.text,
			key:   "processor " + name.text,
		}
		if conn.kind == undefined {
			continue
		}
		if f = p.worker(f, conn); f.Verdict != "" {
			f.Reasons = append(f.Reasons, "@nestjs/bullmq gives the processor the connection "+
				"of the queue, unless @Processor has one")
			f.Fix = "@Processor(name, { connection: { ...connection, maxRetriesPerRequest: " +
				"null } }), without commandTimeout and enableOfflineQueue."
			out = append(out, f)
		}
	}
	return out
}

// async is what a factory of an asynchronous registration gives.
func (x *evaluator) async(o *value, method string) *value {
	factory := x.member2(o, "useFactory")
	if factory.kind == function {
		return x.objects(x.invoke(factory, nil, true))
	}
	for _, how := range []string{"useClass", "useExisting"} {
		if c := x.member2(o, how); c.kind == classValue {
			f := x.field(c.class, method, &value{kind: self, class: c.class}, nil)
			if f.kind == function {
				return x.objects(x.invoke(f, nil, true))
			}
			return x.objects(not(cmpOr(f.why, method)))
		} else if c.kind != undefined {
			return x.objects(not(how + " is not followed"))
		}
	}
	if factory.kind == undefined {
		return x.objects(o)
	}
	return x.objects(not("useFactory is not followed"))
}

func (x *evaluator) objects(v *value) *value { return spread(record(map[string]*value{}), v) }
