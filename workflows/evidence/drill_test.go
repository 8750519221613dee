package evidence

import (
	"encoding/json"

	"github.com/switchyard-dev/switchyard/migration"
)

// drilled gives the facts of a whole and good drill of one queue, with a change.
func drilled(change func(*DrillFacts)) string {
	f := DrillFacts{Recovered: true, Attested: []string{"q"}, Routed: []string{"q"}}
	for _, fault := range SourceFaults {
		f.Cases = append(f.Cases, DrillCase{Fault: fault, Queue: "q", Status: 503, MS: 2100,
			LimitMS: 5000})
	}
	for _, fault := range BenchFaults {
		f.Bench = append(f.Bench, BenchCase{Queue: "q", Fault: fault, Status: 503, MS: 30,
			LimitMS: 5000, RecoveredMS: migration.Measured(40)})
	}
	change(&f)
	raw, _ := json.Marshal(f)
	return string(raw)
}

var drillRows = []row{
	{
		rule:  "503 in time for every fault",
		facts: drilled(func(*DrillFacts) {}),
		want:  migration.Met,
		says:  "10 faults returned 503, the slowest in 2100 ms",
	},
	{
		rule: "an event that was accepted once after a lost reply got no 503",
		facts: drilled(func(f *DrillFacts) {
			f.Bench[0].Status, f.Bench[0].Enqueued = 200, true
		}),
		want: migration.Met,
		says: "9 faults returned 503, the slowest in 2100 ms; accepting again afterwards; " +
			"after 1 lost reply the event was accepted once",
	},
	{
		rule:  "one fault of the source was tried",
		facts: drilled(func(f *DrillFacts) { f.Cases = f.Cases[:1] }),
		want:  migration.Unknown,
		says:  `"server rejects writes" of the source was not tried`,
	},
	{
		rule:  "the source's faults were tried on one of two routed queues",
		facts: drilled(func(f *DrillFacts) { f.Routed = append(f.Routed, "r") }),
		want:  migration.Unknown,
		says:  `"connections cut and not restored" of the source was not tried on r`,
	},
	{
		rule: "on the second routed queue an order would have waited",
		facts: drilled(func(f *DrillFacts) {
			f.Routed = append(f.Routed, "r")
			for _, fault := range SourceFaults {
				f.Cases = append(f.Cases, DrillCase{Fault: fault, Queue: "r", Status: 503, MS: 5001,
					LimitMS: 5000})
			}
		}),
		want: migration.Unmet,
		says: "r, connections cut and not restored: status 503 after 5001 ms",
	},
	{
		rule:  "a drill of a version that tried the first queue alone",
		facts: drilled(func(f *DrillFacts) { f.Routed = nil }),
		want:  migration.Unmet,
		says:  "tried on the first routed queue alone",
	},
	{
		rule:  "one fault of the other server was left out",
		facts: drilled(func(f *DrillFacts) { f.Bench = f.Bench[1:] }),
		want:  migration.Unknown,
		says:  "refused was not tried on q",
	},
	{
		rule: "another queue was tried with one fault",
		facts: drilled(func(f *DrillFacts) {
			f.Bench = append(f.Bench, BenchCase{Queue: "r", Fault: "oom", Status: 503,
				LimitMS: 5000, RecoveredMS: migration.Measured(40)})
		}),
		want: migration.Unknown,
		says: "refused was not tried on r",
	},
	{
		rule: "another queue was, whatever its name",
		facts: drilled(func(f *DrillFacts) {
			f.Bench = append(f.Bench, BenchCase{Queue: "a", Fault: "oom", Status: 503,
				LimitMS: 5000, RecoveredMS: migration.Measured(40)})
		}),
		want: migration.Unknown,
		says: "refused was not tried on a",
	},
	{
		rule: "the durable intake was tried with one fault",
		facts: drilled(func(f *DrillFacts) {
			f.Bench = append(f.Bench, BenchCase{Queue: "q", Fault: "oom", Intake: true,
				Status: 200, Enqueued: true, LimitMS: 5000, RecoveredMS: migration.Measured(40)})
		}),
		want: migration.Unknown,
		says: "not tried on q, durable intake",
	},
	{
		rule:  "a limit that no provider has",
		facts: drilled(func(f *DrillFacts) { f.Cases[0].LimitMS = 3_600_000 }),
		want:  migration.Unknown,
		says:  "no provider's deadline",
	},
	{
		rule: "no limit",
		facts: drilled(func(f *DrillFacts) {
			f.Bench[0].MS, f.Bench[0].LimitMS = 0, 0
		}),
		want: migration.Unknown,
		says: "no provider's deadline",
	},
	{
		rule: "200 while Redis is down",
		facts: `{"cases":[{"fault":"cut","status":200,"ms":20,"limit_ms":5000}],
			"recovered":true}`,
		want: migration.Unmet,
		says: "cut: status 200",
	},
	{
		rule: "503 too late",
		facts: `{"cases":[{"fault":"freeze","status":503,"ms":5001,"limit_ms":5000}],
			"recovered":true}`,
		want: migration.Unmet,
		says: "after 5001 ms",
	},
	{
		rule:  "no answer",
		facts: `{"cases":[{"fault":"freeze","ms":20,"limit_ms":5000}],"recovered":true}`,
		want:  migration.Unmet,
		says:  "status 0",
	},
	{
		rule:  "not accepting afterwards",
		facts: `{"cases":[{"fault":"cut","status":503,"ms":20,"limit_ms":5000}]}`,
		want:  migration.Unmet,
		says:  "did not accept jobs again",
	},
	{
		rule: "the drill's own server was not tried",
		facts: `{"cases":[{"fault":"cut","status":503,"ms":20,"limit_ms":5000}],
			"recovered":true,"bench":[]}`,
		want: migration.Unmet,
		says: "not tried",
	},
	{
		rule: "a hang there",
		facts: `{"cases":[{"fault":"cut","status":503,"ms":20,"limit_ms":5000}],
			"recovered":true,"bench":[{"queue":"q","title":"Cold start","hung":true,"ms":12000,
			"limit_ms":5000}]}`,
		want: migration.Unmet,
		says: "q, Cold start: no response within 12000 ms",
	},
	{
		rule: "200 without a job",
		facts: `{"cases":[{"fault":"cut","status":503,"ms":20,"limit_ms":5000}],
			"recovered":true,"bench":[{"queue":"q","title":"Frozen","status":200,"ms":2,
			"limit_ms":5000}]}`,
		want: migration.Unmet,
		says: "the order is lost",
	},
	{
		rule: "an error that is no 503",
		facts: `{"cases":[{"fault":"cut","status":503,"ms":20,"limit_ms":5000}],
			"recovered":true,"bench":[{"queue":"q","title":"Full","status":500,"ms":2,
			"limit_ms":5000}]}`,
		want: migration.Unmet,
		says: "status 500 (expected 503)",
	},
	{
		rule: "503 too late there",
		facts: `{"cases":[{"fault":"cut","status":503,"ms":20,"limit_ms":5000}],
			"recovered":true,"bench":[{"queue":"q","title":"Frozen","status":503,"recovered_ms":9,"ms":6000,
			"limit_ms":5000}]}`,
		want: migration.Unmet,
		says: "status 503 after 6000 ms",
	},
	{
		rule: "nobody saw it accept again",
		facts: `{"cases":[{"fault":"cut","status":503,"ms":20,"limit_ms":5000}],
			"recovered":true,"bench":[{"queue":"q","title":"Frozen","status":503,"ms":6,
			"limit_ms":5000,"recovered_ms":null}]}`,
		want: migration.Unmet,
		says: "no job accepted after",
	},
	{
		rule: "never again",
		facts: `{"cases":[{"fault":"cut","status":503,"ms":20,"limit_ms":5000}],
			"recovered":true,"bench":[{"queue":"q","title":"Frozen","status":503,"ms":6,
			"limit_ms":5000,"recovered_ms":-1}]}`,
		want: migration.Unmet,
		says: "no job accepted after",
	},
	{
		rule:  "no fault",
		facts: `{"cases":[],"recovered":true}`,
		want:  migration.Unknown,
		says:  "no fault",
	},
	{
		rule: "a producer whose queue was not tried",
		facts: `{"cases":[{"fault":"cut","status":503,"ms":20,"limit_ms":5000}],
			"recovered":true,"bench":[{"queue":"q","title":"Frozen","status":503,"recovered_ms":9,"ms":6,
			"limit_ms":5000}],"attested":["q","reports"],"routed":["q"]}`,
		want: migration.Unmet,
		says: "not tested, although the app reports a producer: reports",
	},
	{
		rule: "an older drill did not look for other producers",
		facts: `{"cases":[{"fault":"cut","status":503,"ms":20,"limit_ms":5000}],
			"recovered":true,"bench":[{"queue":"q","title":"Frozen","status":503,"recovered_ms":9,"ms":6,
			"limit_ms":5000}]}`,
		want: migration.Unmet,
		says: "older version, run it again",
	},
	{
		rule: "the app refuses a queue",
		facts: `{"cases":[{"fault":"cut","status":503,"ms":20,"limit_ms":5000}],
			"recovered":true,"bench":[{"queue":"q","title":"Frozen","status":503,"recovered_ms":9,"ms":6,
			"limit_ms":5000},{"queue":"reports","refused":"queue reports is none of q"}],
			"attested":["q","reports"]}`,
		want: migration.Unmet,
		says: "reports: not tested, the app does not allow it: queue reports is none of q",
	},
	{
		rule: "a job under an id that nobody gave",
		facts: `{"cases":[{"fault":"cut","status":503,"ms":20,"limit_ms":5000}],
			"recovered":true,"bench":[{"queue":"q","title":"Frozen","status":503,"recovered_ms":9,
			"enqueued":true,"strays":1,"ms":6,"limit_ms":5000}],"attested":["q"]}`,
		want: migration.Unmet,
		says: "applied twice",
	},
	{
		rule: "from disk at once, and delivered",
		facts: drilled(func(f *DrillFacts) {
			for _, c := range f.Bench {
				c.Intake, c.Status, c.Enqueued = true, 200, true
				f.Bench = append(f.Bench, c)
			}
		}),
		want: migration.Met,
		says: "7 more acknowledged from disk and delivered once",
	},
	{
		rule: "an intake that refuses",
		facts: `{"cases":[{"fault":"cut","status":503,"ms":20,"limit_ms":5000}],
			"recovered":true,"bench":[{"queue":"q","title":"Frozen","intake":true,"status":503,
			"enqueued":true,"ms":6,"limit_ms":5000}],"attested":["q"]}`,
		want: migration.Unmet,
		says: "q, Frozen, durable intake: status 503 (expected 200",
	},
	{
		rule: "an intake that answers late",
		facts: `{"cases":[{"fault":"cut","status":503,"ms":20,"limit_ms":5000}],
			"recovered":true,"bench":[{"queue":"q","title":"Frozen","intake":true,"status":200,
			"enqueued":true,"ms":6000,"limit_ms":5000}],"attested":["q"]}`,
		want: migration.Unmet,
		says: "status 200 after 6000 ms",
	},
	{
		rule: "an intake that does not deliver",
		facts: `{"cases":[{"fault":"cut","status":503,"ms":20,"limit_ms":5000}],
			"recovered":true,"bench":[{"queue":"q","title":"Frozen","intake":true,"status":200,
			"left":2,"recovered_ms":-1,"note":"down","ms":6,"limit_ms":5000}],"attested":["q"]}`,
		want: migration.Unmet,
		says: "events still on disk after the fault: 2 (down)",
	},
	{
		rule: "an intake that loses",
		facts: `{"cases":[{"fault":"cut","status":503,"ms":20,"limit_ms":5000}],
			"recovered":true,"bench":[{"queue":"q","title":"Frozen","intake":true,"status":200,
			"ms":6,"limit_ms":5000}],"attested":["q"]}`,
		want: migration.Unmet,
		says: "the order is lost",
	},
	{
		rule: "an intake that doubles",
		facts: `{"cases":[{"fault":"cut","status":503,"ms":20,"limit_ms":5000}],
			"recovered":true,"bench":[{"queue":"q","title":"Frozen","intake":true,"status":200,
			"enqueued":true,"strays":1,"ms":6,"limit_ms":5000}],"attested":["q"]}`,
		want: migration.Unmet,
		says: "applied twice",
	},
	{
		rule: "an intake that hangs",
		facts: `{"cases":[{"fault":"cut","status":503,"ms":20,"limit_ms":5000}],
			"recovered":true,"bench":[{"queue":"q","title":"Frozen","intake":true,"hung":true,
			"ms":12000,"limit_ms":5000}],"attested":["q"]}`,
		want: migration.Unmet,
		says: "no response within 12000 ms",
	},
	{
		rule:  "the last of the source's faults got a 200",
		facts: drilled(func(f *DrillFacts) { f.Cases[2].Status = 200 }),
		want:  migration.Unmet,
		says:  "server frozen: status 200",
	},
	{
		rule:  "the first of them did",
		facts: drilled(func(f *DrillFacts) { f.Cases[0].Status = 200 }),
		want:  migration.Unmet,
		says:  "connections cut and not restored: status 200",
	},
	{
		rule:  "the first of the other server's faults got a 500",
		facts: drilled(func(f *DrillFacts) { f.Bench[0].Status = 500 }),
		want:  migration.Unmet,
		says:  "q: status 500 (expected 503)",
	},
	{
		rule:  "the source's first fault was left out",
		facts: drilled(func(f *DrillFacts) { f.Cases = f.Cases[1:] }),
		want:  migration.Unknown,
		says:  "connections cut and not restored",
	},
	{
		rule:  "the last fault of the other server was left out",
		facts: drilled(func(f *DrillFacts) { f.Bench = f.Bench[:6] }),
		want:  migration.Unknown,
		says:  "reply-lost was not tried on q",
	},
	{
		rule:  "the last fault of the source had no limit",
		facts: drilled(func(f *DrillFacts) { f.Cases[2].LimitMS = 3_600_000 }),
		want:  migration.Unknown,
		says:  "no provider's deadline",
	},
	{
		rule:  "the last fault of the other server had none",
		facts: drilled(func(f *DrillFacts) { f.Bench[6].LimitMS = 3_600_000 }),
		want:  migration.Unknown,
		says:  "no provider's deadline",
	},
	{
		rule:  "the first of two producers was not tried",
		facts: drilled(func(f *DrillFacts) { f.Attested = []string{"mail", "q"} }),
		want:  migration.Unmet,
		says:  "reports a producer: mail",
	},
}
