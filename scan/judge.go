package scan

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Limits of the options. Shopify gives a webhook five seconds in all (docs, 2026), so a
// refusal must come before; BullMQ's own strategy waits up to 20 s between attempts,
// and was measured to refuse 18 s after Redis was back.
const (
	maxCommandTimeout = 4500 // ms
	maxConnectTimeout = 5000 // ms
	maxRetries        = 1
	maxRetryDelay     = 2000 // ms; ioredis' own default
)

// A state of an option.
type state string

const (
	good    state = "ok"
	missing state = "missing"
	wrong   state = "wrong"
	unsure  state = "unknown"
)

// Check is one option of one construction.
type Check struct {
	Option string `json:"option"`
	Place  string `json:"place"` // connection or queue
	State  state  `json:"state"`
	Seen   string `json:"seen"`
	Needs  string `json:"needs"`
	Why    string `json:"why"` // what happens without it
}

// An option is what a construction is held to.
type option struct {
	name, place, needs, why, snippet string
	test                             func(p *program, v *value, client string) (state, string)
}

// The reasons were measured with bullmq 5.81.5 and 6.7.0 on real servers.
var producerOptions = []option{
	{"enableOfflineQueue", "connection", "false",
		"while Redis is gone, add() waits in memory instead of failing",
		"enableOfflineQueue: false", isBool(false)},
	{"commandTimeout", "connection", "1 to 4500 ms",
		"on a frozen or unreachable Redis, add() hangs", "commandTimeout: 2000",
		within(1, maxCommandTimeout)},
	{"maxRetriesPerRequest", "connection", "0 or 1",
		"an add() whose reply is lost is sent again and again, and may be two jobs",
		"maxRetriesPerRequest: 1", within(0, maxRetries)},
	{"connectTimeout", "connection", "1 to 5000 ms",
		"after an outage each attempt at an unreachable address takes 10 s",
		"connectTimeout: 2000", within(1, maxConnectTimeout)},
	{"retryStrategy", "connection", "at most 2000 ms between attempts, for ever", "BullMQ waits up to 20 s between attempts: it goes on refusing long after Redis is back",
		"retryStrategy: (n) => Math.min(n * 200, 1000)", retries},
	{"autoResendUnfulfilledCommands", "connection", "not false",
		"an add() that was under way when the connection broke never ends",
		"autoResendUnfulfilledCommands: true", notFalse},
	{"skipWaitingForReady", "queue", "true",
		"a process that starts while Redis is down hangs in its first add()",
		"skipWaitingForReady: true", isBool(true)},
	{"skipVersionCheck", "queue", "true", "with skipWaitingForReady alone, a process that " +
		"started while Redis was down refuses for ever, also after Redis is back",
		"skipVersionCheck: true", isBool(true)},
}

func isBool(want bool) func(*program, *value, string) (state, string) {
	return func(_ *program, v *value, _ string) (state, string) {
		switch v.kind {
		case undefined:
			return missing, "not set"
		case boolean:
			if v.opaque {
				return unsure, v.String()
			}
			if v.bool == want {
				return good, strconv.FormatBool(v.bool)
			}
			return wrong, strconv.FormatBool(v.bool)
		case unknown:
			return unsure, v.why
		case null, number, object, array, function:
			return wrong, v.String()
		case text:
			if !v.opaque {
				return wrong, v.String()
			}
		}
		return unsure, v.String()
	}
}

func within(least, most float64) func(*program, *value, string) (state, string) {
	return func(_ *program, v *value, _ string) (state, string) {
		switch v.kind {
		case undefined:
			return missing, "not set"
		case number:
			if v.number >= least && v.number <= most {
				return good, v.String()
			}
			return wrong, v.String()
		case unknown:
			return unsure, v.why
		case null, boolean, object, array, function:
			return wrong, v.String()
		}
		return unsure, v.String()
	}
}

func notFalse(_ *program, v *value, _ string) (state, string) {
	switch v.kind {
	case undefined:
		return good, "not set"
	case boolean:
		if v.opaque {
			return unsure, v.String()
		}
		if v.bool {
			return good, "true"
		}
		return wrong, "false"
	case unknown:
		return unsure, v.why
	}
	return unsure, v.String()
}

func retries(p *program, v *value, client string) (state, string) {
	switch v.kind {
	case undefined:
		if client == ioredis {
			return good, "not set: ioredis waits at most 2000 ms"
		}
		return missing, "not set"
	case function:
		most, never := (&evaluator{p: p}).longest(v)
		switch {
		case never:
			return wrong, "it can give no number: then the client never connects again"
		case math.IsNaN(most) || math.IsInf(most, 0):
			return unsure, "how long it waits is not known"
		case most > maxRetryDelay:
			return wrong, fmt.Sprintf("waits up to %.0f ms", most)
		}
		return good, fmt.Sprintf("waits at most %.0f ms", most)
	case unknown:
		return unsure, v.why
	}
	return wrong, v.String()
}

// String shows a value in a report.
func (v *value) String() string {
	switch v.kind {
	case unknown:
		return "not known: " + v.why
	case undefined:
		return "not set"
	case null:
		return "null"
	case boolean:
		if v.opaque {
			return cmpOr(v.why, "true or false, known only at run time")
		}
		return strconv.FormatBool(v.bool)
	case number:
		return strconv.FormatFloat(v.number, 'f', -1, 64)
	case text:
		if v.opaque {
			return "a string that is known only at run time"
		}
		return strconv.Quote(v.text)
	case object:
		return "an object"
	case array:
		return "a list"
	case function:
		return "a function"
	case either:
		var s []string
		for _, o := range v.any {
			if t := o.String(); !slices.Contains(s, t) {
				s = append(s, t)
			}
		}
		return strings.Join(s, ", or ")
	case instance:
		if v.of.kind == symbol {
			return "new " + v.of.name + " of " + v.of.pkg
		}
	}
	return "something that is not followed"
}

// Clients that a connection can be.
const (
	plain     = "plain"
	ioredis   = "ioredis"
	cluster   = "cluster"
	nodeRedis = "node-redis"
	noClient  = "none"
	anyClient = "unknown"
)

// client says what a connection is, and the options it has.
func (p *program) client(v *value) (kind string, opts *value) {
	switch v.kind {
	case object:
		return plain, v
	case undefined, null:
		return noClient, undef
	case unknown:
		return anyClient, v
	case instance:
		of, args := v.of, v.args
		for of.kind == classValue {
			base, up, why := p.super(of.class, args)
			if why != "" {
				return anyClient, not(why)
			}
			of, args = base, up
		}
		if of.kind != symbol {
			break
		}
		switch {
		case of.pkg == "ioredis" && of.name == "Cluster":
			o := undef
			if len(args) > 1 {
				o = args[1]
			}
			return cluster, o
		case of.pkg == "ioredis" && slices.Contains([]string{"", "default", "Redis"}, of.name):
			return ioredis, redisOptions(args, v.over)
		case (of.pkg == "redis" || of.pkg == "@redis/client") && of.name == "createClient":
			return nodeRedis, undef
		}
	}
	return anyClient, not(cmpOr(v.why, "the connection is "+v.String()))
}

// redisOptions are the options of new Redis(...): of several, ioredis takes the first
// that says something.
func redisOptions(args []*value, over *value) *value {
	o := record(map[string]*value{})
	for i, a := range args {
		address := a.kind != either || len(a.any) > 0
		for _, one := range a.each() {
			if one.kind != text && one.kind != number && one.kind != undefined &&
				one.kind != null {
				address = false
			}
		}
		// a port, a host, a URL: before the options only those are allowed
		if address || a.kind == unknown && i < len(args)-1 {
			continue
		}
		o = spread(spread(record(map[string]*value{}), a), o)
	}
	if over != nil {
		o = spread(o, over)
	}
	return o
}

// checkProducer holds the options of a Queue or FlowProducer to what a breaker needs.
func (p *program) checkProducer(opts *value) []Check {
	conn := (&evaluator{p: p}).member2(opts, "connection")
	var out []Check
	for _, o := range producerOptions {
		var states []state
		var seen []string
		note := func(s state, what string) {
			states = append(states, s)
			if !slices.Contains(seen, what) {
				seen = append(seen, what)
			}
		}
		for _, c := range conn.each() {
			kind, from := p.client(c)
			if o.place == "queue" {
				v := (&evaluator{p: p}).member2(opts, o.name)
				// BullMQ looks for it in the connection too
				if o.name == "skipVersionCheck" && kind != cluster && v.kind == undefined {
					v = (&evaluator{p: p}).member2(from, o.name)
				}
				if kind == noClient || kind == anyClient {
					v = (&evaluator{p: p}).member2(opts, o.name)
				}
				for _, one := range v.each() {
					note(o.test(p, one, kind))
				}
				continue
			}
			switch kind {
			case noClient:
				note(missing, "no connection is given")
				continue
			case cluster:
				if o.name != "enableOfflineQueue" {
					note(unsure, "a Cluster: what its options do was not measured")
					continue
				}
			case nodeRedis:
				note(unsure, "a node-redis client: what its options do was not measured")
				continue
			}
			for _, one := range (&evaluator{p: p}).member2(from, o.name).each() {
				note(o.test(p, one, kind))
			}
		}
		out = append(out, Check{
			Option: o.name,
			Place:  o.place,
			State:  together(states),
			Seen:   strings.Join(seen, ", or "),
			Needs:  o.needs,
			Why:    o.why,
		})
	}
	return out
}

// member2 reads an option: what is no object has none.
func (x *evaluator) member2(v *value, name string) *value {
	return v.mapped(func(v *value) *value {
		switch v.kind {
		case undefined, null:
			return undef
		case object, unknown:
			return x.member(v, name)
		case module:
			if len(v.unit.whole) == 1 {
				return x.member2(x.eval(v.unit, v.unit.whole[0], nil), name)
			}
		}
		return not("the options are " + v.String())
	})
}

// together is bad only when it is so in every case, and ok only when it is so in every
// case.
func together(states []state) state {
	first := states[0]
	for _, s := range states[1:] {
		switch {
		case s == first:
		case first == missing && s == wrong || first == wrong && s == missing:
			first = wrong
		default:
			return unsure
		}
	}
	return first
}

func verdictOf(checks []Check) Verdict {
	v := Pass
	for _, c := range checks {
		switch c.State {
		case missing, wrong:
			return Fail
		case unsure:
			v = Review
		}
	}
	return v
}

// fix says what to write, with nothing that is there already.
func (f Finding) fix() string {
	var conn, queue []string
	for _, c := range f.Checks {
		if c.State == good {
			continue
		}
		for _, o := range producerOptions {
			switch {
			case o.name != c.Option:
			case o.place == "connection":
				conn = append(conn, o.snippet)
			default:
				queue = append(queue, o.snippet)
			}
		}
	}
	if f.Role == RoleProducer {
		if f.Verdict == Pass {
			return ""
		}
		return "new Producer({ queue, connection: producerOptions(endpoint, purpose) }), " +
			"without safe: false."
	}
	if len(conn)+len(queue) == 0 {
		return ""
	}
	name := "name"
	if f.Queue != "" {
		name = strconv.Quote(f.Queue)
	}
	var parts []string
	switch list := strings.Join(conn, ", "); {
	case len(conn) == 0:
		parts = append(parts, "connection")
	case f.client == ioredis:
		parts = append(parts, "connection: connection.duplicate({ "+list+" })")
	default:
		parts = append(parts, "connection: { ...connection, "+list+" }")
	}
	list := strings.Join(append(parts, queue...), ", ")
	const workers = " Workers keep a connection of their own, without these."
	switch f.Role {
	case RoleFlow:
		return "new FlowProducer({ " + list + " })." + workers
	case RoleNestQueue:
		return "BullModule.registerQueue({ name: " + name + ", " + list + " }), not in forRoot; and @Processor(name, { connection }) with a connection of its own: " +
			"else it takes the queue's, and a command timeout cuts its blocking read."
	case RoleNestFlow:
		return "BullModule.registerFlowProducer({ name: " + name + ", " + list +
			" }), not in forRoot: processors take theirs from there."
	case RoleSubclass:
		return "super(name, { ...options, " + list + " })." + workers
	}
	return "new Queue(" + name + ", { " + list + " })." + workers
}
