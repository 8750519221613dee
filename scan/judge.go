package scan

import (
	"slices"
	"strings"

	"github.com/switchyard-dev/switchyard/scan/js"
)

// checkProducer checks the options of a Queue or FlowProducer against what a
// circuit breaker needs.
func (sc *scanner) checkProducer(opts *js.Value) []Check {
	conn := sc.Evaluator().Option(opts, "connection")
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
		for _, c := range conn.Each() {
			kind, from := sc.client(c)
			if o.place == "queue" {
				v := sc.Evaluator().Option(opts, o.name)
				// BullMQ also looks for it in the connection
				if o.name == "skipVersionCheck" && kind != cluster && v.Kind == js.Undefined {
					v = sc.Evaluator().Option(from, o.name)
				}
				if kind == noClient || kind == anyClient {
					v = sc.Evaluator().Option(opts, o.name)
				}
				for _, one := range v.Each() {
					note(o.test(sc.Program, one, kind))
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
			for _, one := range sc.Evaluator().Option(from, o.name).Each() {
				note(o.test(sc.Program, one, kind))
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

// together is bad only if all cases are bad, and ok only if all cases are ok.
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
