package steps_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/steps"
	"github.com/switchyard-dev/switchyard/workflows/steps/stepstest"
)

// recorded is a run that succeeded, with outputs as they are stored.
func recorded(step string, p migration.Params, outputs ...string) migration.Run {
	r := migration.Run{ID: "r", Step: step, Params: p, State: migration.RunSucceeded}
	at := time.Date(2026, 8, 24, 12, 0, 0, 0, time.UTC)
	for i := 0; i < len(outputs); i += 2 {
		begun, over := at, at.Add(2*time.Second)
		at = over
		r.Actions = append(r.Actions, migration.RunAction{
			ActionPlan: migration.ActionPlan{ID: outputs[i]}, State: migration.ActionDone,
			Output: json.RawMessage(outputs[i+1]), StartedAt: &begun, FinishedAt: &over})
	}
	return r
}

// each figure as "label: measured (promised) verdict", each row as its cells.
func written(r migration.RunResult) string {
	l := []string{r.Said, "lacks: " + r.Lacks()}
	for _, f := range r.Figures {
		l = append(l, strings.TrimSpace(fmt.Sprintf("%s: %s (%s) %s",
			f.Label, f.Measured, f.Promised, f.Verdict)))
	}
	for _, list := range r.Lists {
		for _, row := range list.Rows {
			l = append(l, strings.TrimSpace(strings.Join(row.Cells, " | ")+" "+string(row.Verdict)))
		}
	}
	return strings.Join(l, "\n")
}

const (
	failoverHead = `"old_master":"a:1","new_master":"b:1","election_ms":1164,"acknowledged":2002,
		"first_write_ms":1210,"blocked_ms":900,"recovered_ms":9000`
	live = `{"stage":"shadow","source":"sentinel"}`
)

func TestWhatARunCameToIsReadFromItsRecordedOutputs(t *testing.T) {
	t.Parallel()
	all := stepstest.Open(t, stepstest.Settings(t.TempDir()), wholeCatalogue).Steps
	to := func(s migration.Stage, ramp int) migration.Params {
		return migration.Params{To: s, Ramp: ramp}
	}
	for _, tc := range []struct {
		rule  string
		run   migration.Run
		says  []string
		lacks string
	}{
		{"an add that never came was not observed", recorded(migration.StepSentinelTest,
			migration.Params{}, "planned", `{"kind":"planned",`+failoverHead+`,"first_add_ms":{"at_least":30000},"adds":9}`),
			[]string{"Planned: first BullMQ add: at least 30 s (within 30 s) unmet",
				"Planned: first write: 1.2 s (within 30 s) met"}, "not as promised"},
		{"an add that nobody saw is not within the limit", recorded(migration.StepSentinelTest,
			migration.Params{}, "automatic", `{"kind":"automatic",`+failoverHead+`,"adds":9}`),
			[]string{"Unplanned: first BullMQ add: not observed (within 30 s) unknown",
				"Unplanned: jobs accepted meanwhile: 9, 0 never ran, 0 ran again (each runs) met"},
			"not all observed"},
		{"planned and unplanned are told apart", recorded(migration.StepSentinelTest,
			migration.Params{}, "planned", `{"kind":"planned",`+failoverHead+`,"first_add_ms":0,"adds":9}`,
			"automatic", `{"kind":"automatic",`+failoverHead+`,"first_add_ms":4380,"adds":210,"run_again":1}`),
			[]string{"The primary is b:1.", "Planned: first BullMQ add: adds were never interrupted",
				"Unplanned: first BullMQ add: 4.4 s (within 30 s) met",
				"210, 0 never ran, 1 ran again"}, ""},
		{"a failover that was cut off was not measured", recorded(migration.StepSentinelTest,
			migration.Params{}, "planned", `{"kind":"planned","old_master":"a:1"}`),
			[]string{"Planned: new primary: not observed"}, "failover not measured"},
		{"the swap's freeze", recorded(migration.StepSentinelMove, migration.Params{},
			"suspend-sentinels", `{"master":"b:1"}`, "pause-queues", `{"worked":[{"name":"q"}],"jobs":12}`,
			"switch", `{"freeze_ms":42,"offset":9,"keys":4100}`, "resume-queues", `null`),
			[]string{"primary b:1", "Writes blocked: 42 ms (within 1 s) met",
				"Workers paused: 6 s (a few seconds)", "Keys on the new primary: 4100",
				"Jobs that waited at the swap: 12"}, ""},
		{"a swap that had happened before was not measured", recorded(migration.StepSentinelMove,
			migration.Params{}, "switch", `{"freeze_ms":null,"offset":9}`),
			[]string{"Writes blocked: not observed (within 1 s) unknown"}, "not all observed"},
		{"a swap that froze for long", recorded(migration.StepSentinelMove, migration.Params{},
			"switch", `{"freeze_ms":1400}`),
			[]string{"Writes blocked: 1.4 s (within 1 s) unmet"}, "not as promised"},
		{"each rejected order", recorded(migration.StepWebhookRetry, migration.Params{}, "follow",
			`{"refused":2,"recovered":1,"applied_once":1,"longest_ms":1800,"providers":[{"provider":
			"Stripe","refused":2},{"provider":"PayPal"}],"orders":[{"order":"o1","provider":"Stripe",
			"rejected_at":"2026-08-24T12:00:00Z","retry_ms":1800,"accepted_ms":1800,"applied":1},
			{"order":"o2","provider":"Stripe","rejected_at":"2026-08-24T12:00:01Z","retry_ms":null,
			"accepted_ms":null,"applied":0}]}`),
			[]string{"o1 | Stripe | 12:00:00 UTC | 1.8 s | 1.8 s | 1 time met",
				"o2 | Stripe | 12:00:01 UTC | not observed | not observed | 0 times unmet",
				"PayPal: not observed: none of its orders came (at least 1 order) unknown"},
			"not as promised"},
		{"orders that were compared", recorded(migration.StepDualWrite, migration.Params{},
			"compare", `{"orders":200,"min_orders":200,"copied":200,"compared":200,"of_data":40,
			"window_seconds":44}`),
			[]string{"200 orders compared on both sides in 44 s, 0 mismatches.",
				"Orders compared: 200 of 200 (at least 200) met", "data alone compared: 40"}, ""},
		{"the faults of each queue", recorded(migration.StepBreakerDrill, migration.Params{},
			"drill", `{"recovered":true,"cases":[{"queue":"q","fault":"a","status":503,"ms":2,
			"limit_ms":9},{"queue":"q","fault":"b","status":200,"ms":2,"limit_ms":9}],"bench":[{"queue":
			"q","fault":"x","status":503,"ms":3,"limit_ms":9,"recovered_ms":4},{"queue":"mail",
			"fault":"x","status":503,"ms":3,"limit_ms":9,"recovered_ms":-1}]}`),
			[]string{"2 of 4 faults passed on 2 queues.", "q | 1 of 1 | 1 of 2 unmet",
				"mail | 0 of 1 | not routed, not tried unmet"}, "not as promised"},
		{"what is there and what it costs", recorded(migration.StepProvision, migration.Params{},
			"database", `{"database_id":"d1","plan":{"name":"orders","database_id":"d1","wanted":
			"Fixed 1 GB","plan_fits":true,"plan_note":"fixed_1gb"},"price":"$20.00 a month (docs)"}`,
			"probe", `{"answered":["GET","SET"],"tls_verified":true,"pings":9,"latency_us":900}`),
			[]string{"orders (d1) is in use as target", "Price: $20.00 a month (docs)",
				"2 answered, 0 refused (all answered) met"}, ""},
		{"a price that nobody recorded", recorded(migration.StepProvision, migration.Params{},
			"database", `{"database_id":"d1"}`), []string{"Price: unknown"}, ""},
		{"the share asked for and the one that came", recorded(migration.StepCutover,
			to(migration.StageLive, 10), "set-flags", live, "await-workers", `{"workers":3,"ms":412}`,
			"soak", `{"orders":61,"routed":60,"on_target":7,"done":6,"watched_ms":30000}`),
			[]string{"Processed with the target as primary: 6", "from shadow to live at 10 %",
				"Orders with the target as primary: 11.7 % (7 of 60 orders) (10 %)",
				"Orders under the stage: 61 in 30 s", "Workers switched: 412 ms"}, ""},
		{"no order came", recorded(migration.StepCutover, to(migration.StageDualWrite, 0),
			"set-flags", `{"stage":"off"}`, "soak", `{"orders":0,"watched_ms":3000}`),
			[]string{"(0 %) unknown", "not observed: no order came"}, "no order seen"},
		{"a move back is not soaked", recorded(migration.StepCutover, to(migration.StageOff, 0),
			"set-flags", `{"stage":"dualwrite"}`, "await-workers", `{"workers":2,"ms":null}`),
			[]string{"from dual write to off", "Workers switched back: not observed (about 1 s)"}, ""},
		{"queues that moved", recorded(migration.StepMoveQueues, migration.Params{}, "move-queues",
			`[]`, "sweep", `[{"run":"x","queues":[{"name":"emails"}],"done":true,"swept":2,"report":
			{"freeze_ms":74,"predicted_ms":80,"keys":118,"jobs":{"emails wait":9}}},{"run":"y",
			"queues":[{"name":"invoices"}]}]`),
			[]string{"1 of 2 groups of queues moved", "74 ms | 80 ms | 118 | 9 | 2 met"},
			"1 of 2 moved"},
		{"what is left", recorded(migration.StepMoveResidue, migration.Params{}, "move", `{"q":7}`,
			"verify", `{"queues":[{"queue":"q","moved":7}],"databases":[0]}`),
			[]string{"7 jobs were moved to the target, 0 left", "q | 7 | 0 met"}, ""},
		{"3 of 4 snapshots are not all", recorded(migration.StepDecommission, migration.Params{},
			"snapshot", `{"taken":["a","b","c"],"without":["d: no backup service"]}`,
			"delete", `{"servers":[{"label":"a","status":"deleted"}]}`),
			[]string{"Snapshots: 3 of 4 taken (4) unmet", "d: no backup service unmet",
				"Nothing answers at 1 of 1 old server or address."}, "3 of 4 snapshots taken"},
		{"a critical finding", recorded(migration.StepAudit, migration.Params{}, "inspect",
			`[{"address":"a:1","findings":[{"id":"p","title":"Eviction","severity":"critical",
			"state":"problem","measured":"allkeys-lru"},{"id":"u","severity":"high","state":"unknown"}]}]`),
			[]string{"1 critical, 0 high", "Eviction | a:1 | critical | allkeys-lru unmet"},
			"1 critical finding"},
		{"a setting", recorded(migration.StepFixPolicy, migration.Params{}, "set-noeviction",
			`{"a:1":{"maxmemory-policy":"allkeys-lru"}}`),
			[]string{"maxmemory-policy | a:1 | allkeys-lru | noeviction | not observed"}, ""},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			got := all[tc.run.Step].Result(tc.run)
			for _, says := range tc.says {
				if !strings.Contains(written(got), says) {
					t.Errorf("%q is missing in:\n%s", says, written(got))
				}
			}
			if got.Lacks() != tc.lacks {
				t.Errorf("lacks %q, want %q", got.Lacks(), tc.lacks)
			}
		})
	}
	for _, id := range steps.IDs() {
		// nothing recorded says so and promises nothing
		got := all[id].Result(recorded(id, migration.Params{}))
		if got.Said == "" || slices.ContainsFunc(got.Figures, func(f migration.ResultFigure) bool {
			return f.Verdict == migration.Met
		}) {
			t.Errorf("%s without outputs: %s", id, written(got))
		}
	}
}
