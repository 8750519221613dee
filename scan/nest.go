package scan

import (
	"cmp"
	"slices"

	"github.com/dop251/goja/ast"

	"github.com/switchyard-dev/switchyard/scan/js"
)

// registration is one queue or flow producer that a Nest module registers.
type registration struct {
	unit *js.Unit
	call *ast.CallExpression
	item *js.Value
	flow bool
	old  bool
}

func isNest(v *js.Value) bool {
	return v.Kind == js.Import && (slices.Contains(nest, v.Pkg) || v.Pkg == "@nestjs/bull")
}

// nest judges the registrations of Nest modules. A queue's options are those of
// forRoot, overridden by those of its registration.
func (sc *scanner) nest() []Finding {
	var regs []registration
	type root struct{ key, opts *js.Value }
	var roots []root
	type use struct {
		unit *js.Unit
		call *ast.CallExpression
		args []*js.Value
	}
	var injects, processors []use
	for _, u := range sc.Units {
		for _, c := range u.Calls {
			x := sc.Evaluator()
			if last := lastName(js.Callee(c)); last == "InjectQueue" || last == "Processor" {
				f := sc.Eval(u, js.Callee(c), nil)
				if !isNest(f) {
					continue
				}
				args, _ := x.List(u, c.ArgumentList, nil)
				if f.Name == "InjectQueue" {
					injects = append(injects, use{u, c, args})
				} else if f.Pkg != "@nestjs/bull" {
					processors = append(processors, use{u, c, args})
				}
				continue
			}
			d, ok := js.Callee(c).(*ast.DotExpression)
			if !ok {
				continue
			}
			name := string(d.Identifier.Name)
			if !slices.Contains([]string{"forRoot", "forRootAsync", "registerQueue",
				"registerQueueAsync", "registerFlowProducer",
				"registerFlowProducerAsync"}, name) {
				continue
			}
			m := sc.Eval(u, d.Left, nil)
			if !isNest(m) || m.Name != "BullModule" {
				continue
			}
			args, more := x.List(u, c.ArgumentList, nil)
			if more {
				args = append(args, js.NotKnown("arguments that are spread"))
			}
			switch name {
			case "forRoot", "forRootAsync":
				if len(args) == 0 {
					continue
				}
				key, opts := js.Undef, args[0]
				if len(args) > 1 {
					key, opts = args[0], args[1]
				}
				if name == "forRootAsync" {
					opts = async(x, opts, "createSharedConfiguration")
				}
				roots = append(roots, root{key, opts})
			default:
				for _, a := range args {
					items := []*js.Value{a}
					if a.Kind == js.Array {
						items = a.Items
					}
					for _, it := range items {
						if name == "registerQueueAsync" || name == "registerFlowProducerAsync" {
							it = js.Spread(async(x, it, "createRegisterQueueOptions"),
								js.Record(map[string]*js.Value{"name": x.Option(it, "name"),
									"configKey": x.Option(it, "configKey")}))
						}
						regs = append(regs,
							registration{u, c, it, name == "registerFlowProducer" ||
								name == "registerFlowProducerAsync", m.Pkg == "@nestjs/bull"})
					}
				}
			}
		}
	}
	x := sc.Evaluator()
	var out []Finding
	effective := map[string]*js.Value{}
	unnamed := false
	for _, r := range regs {
		f := Finding{Role: RoleNestQueue, At: r.unit.At(r.call), Expr: r.unit.Text(r.call)}
		if r.flow {
			f.Role = RoleNestFlow
		}
		name := x.Option(r.item, "name")
		switch {
		case name.Kind == js.Text && !name.Opaque:
			f.Queue, f.key = name.Text, "nest "+name.Text
		case name.Kind == js.Undefined:
			f.Queue, f.key = "default", "nest default"
		default:
			f.key, unnamed = "nest "+name.String(), true
		}
		if r.old {
			f.Role, f.Verdict = RoleOld, Review
			f.Reasons = []string{"this is bull, not bullmq: its client is configured " +
				"differently, and Switchyard only moves BullMQ queues"}
			f.Fix = "Move the queue to @nestjs/bullmq, or accept it until a given date."
			effective[f.Queue] = js.Undef
			out = append(out, f)
			continue
		}
		key := x.Option(r.item, "configKey")
		var shared []*js.Value
		for _, ro := range roots {
			if ro.key.Kind == js.Undefined && key.Kind == js.Undefined ||
				ro.key.Kind == js.Text &&
					key.Kind == js.Text && !key.Opaque && !ro.key.Opaque &&
					ro.key.Text == key.Text {
				shared = append(shared, ro.opts)
			} else if ro.key.Kind != js.Text && ro.key.Kind != js.Undefined ||
				key.Kind != js.Text && key.Kind != js.Undefined {
				shared = append(shared, js.NotKnown("which forRoot it belongs to"))
			}
		}
		base := js.Record(map[string]*js.Value{})
		if len(shared) == 0 {
			if x.Option(r.item, "connection").Kind == js.Undefined {
				base = js.Spread(base, js.NotKnown("no BullModule.forRoot for it is found"))
			}
		} else {
			base = js.Spread(base, js.OneOf(shared...))
		}
		opts := js.Spread(base, r.item)
		effective[f.Queue] = opts
		f.producer(sc, opts)
		out = append(out, f)
	}
	for _, i := range injects {
		name := js.Undef
		if len(i.args) > 0 {
			name = i.args[0]
		}
		if name.Kind == js.Text && !name.Opaque && effective[name.Text] == nil && !unnamed ||
			name.Kind == js.Undefined && effective["default"] == nil && !unnamed {
			out = append(out,
				Finding{Role: RoleNestQueue, Verdict: Review, At: i.unit.At(i.call),
					Expr: i.unit.Text(i.call), Queue: name.Text, key: "inject " + name.Text,
					Reasons: []string{"no registration of this queue was found in the folder"},
					Fix:     "Also scan the folder that registers it, or record a decision."})
		}
	}
	for _, w := range processors {
		name, opts := js.Undef, js.Undef
		if len(w.args) > 0 {
			name = w.args[0]
			if name.Kind == js.Object {
				opts, name = name, name.Prop("name")
			}
		}
		if len(w.args) > 1 {
			opts = w.args[1]
		}
		conn := x.Option(opts, "connection")
		if conn.Kind == js.Undefined && name.Kind == js.Text && effective[name.Text] != nil {
			conn = x.Option(effective[name.Text], "connection")
		}
		f := Finding{
			At:    w.unit.At(w.call),
			Expr:  w.unit.Text(w.call),
			Queue: name.Text,
			key:   "processor " + name.Text,
		}
		if conn.Kind == js.Undefined {
			continue
		}
		if f = sc.worker(f, conn); f.Verdict != "" {
			f.Reasons = append(f.Reasons, "@nestjs/bullmq gives the processor the connection "+
				"of the queue, unless @Processor has one")
			f.Fix = "@Processor(name, { connection: { ...connection, maxRetriesPerRequest: " +
				"null } }), without commandTimeout and enableOfflineQueue."
			out = append(out, f)
		}
	}
	return out
}

// async evaluates the factory of an asynchronous registration.
func async(x *js.Evaluator, o *js.Value, method string) *js.Value {
	factory := x.Option(o, "useFactory")
	if factory.Kind == js.Function {
		return objects(x.Invoke(factory, nil, true))
	}
	for _, how := range []string{"useClass", "useExisting"} {
		if c := x.Option(o, how); c.Kind == js.ClassValue {
			f := x.Method(c.Class, method)
			if f.Kind == js.Function {
				return objects(x.Invoke(f, nil, true))
			}
			return objects(js.NotKnown(cmp.Or(f.Why, method)))
		} else if c.Kind != js.Undefined {
			return objects(js.NotKnown(how + " is not followed"))
		}
	}
	if factory.Kind == js.Undefined {
		return objects(o)
	}
	return objects(js.NotKnown("useFactory is not followed"))
}

func objects(v *js.Value) *js.Value { return js.Spread(js.Record(map[string]*js.Value{}), v) }
