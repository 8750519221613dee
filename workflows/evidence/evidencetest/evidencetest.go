// Package evidencetest has facts for tests that need every check to hold.
package evidencetest

import (
	"encoding/json"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// Holding are facts that satisfy each check of the initiative, by its id.
var Holding = map[string]string{
	evidence.Policy:    `{"nodes":[{"node":"a:1","policy":"noeviction"}]}`,
	evidence.Readiness: `{"master":"a:1","checks":[{"ok":true}]}`,
	evidence.Failover: `{"kind":"automatic","old_master":"a","new_master":"b",
		"first_write_ms":2,"first_add_ms":3,"blocked_ms":2,"recovered_ms":9,"acknowledged":40,
		"adds":20}`,
	evidence.TargetPlan: `{"database_id":"d1","fixed_1gb":true,"tls":true,"state":"active"}`,
	evidence.TargetConn: `{"address":"db:6379","tls_verified":true,"answered":["EVALSHA"]}`,
	evidence.Attestation: `{"producers":[{"enable_offline_queue":false,
		"command_timeout_ms":2000,"skip_waiting_for_ready":true}]}`,
	evidence.Drill: drill(),
	evidence.Scan: `{"source":"shop","files":1,
		"findings":[{"id":"a","verdict":"PASS","at":"q.ts:1"}]}`,
	evidence.Retries: `{"refused":1,"recovered":1,"applied_once":1,
		"providers":[{"provider":"Stripe","refused":1}]}`,
	evidence.DualWrite: `{"orders":1,"min_orders":1,"copied":1,"compared":1}`,
	evidence.Rollback:  `{"from":"dualwrite","to":"off","rollback_ms":1,"workers":1}`,
	evidence.Residue:   `{"databases":[0],"queues":[{"queue":"q"}]}`,
	evidence.Ledger:    `{"acknowledged":1,"fulfilled":1}`,
	evidence.Quiet:     `{"nodes":[{"address":"h:1"}],"window_seconds":60,"over":true}`,
	evidence.Fence: `{"nodes":[{"address":"h:1","fenced":true}],"window_seconds":60,
		"over":true,"knocks":[{"addr":"c:1"}]}`,
	evidence.Backup: `{"sha256":"x","keys":1,"verified":true}`,
	evidence.Off:    `{"servers":[{"status":"deleted"}]}`,
}

// drill is a whole drill of one queue.
func drill() string {
	f := evidence.DrillFacts{Recovered: true, Attested: []string{}, Routed: []string{"q"}}
	for _, fault := range evidence.SourceFaults {
		f.Cases = append(f.Cases,
			evidence.DrillCase{Fault: fault, Queue: "q", Status: 503, MS: 1, LimitMS: 2})
	}
	for _, fault := range evidence.BenchFaults {
		f.Bench = append(f.Bench,
			evidence.BenchCase{Fault: fault, Status: 503, MS: 1, LimitMS: 2,
				RecoveredMS: migration.Measured(1)})
	}
	raw, _ := json.Marshal(f) // plain values
	return string(raw)
}
