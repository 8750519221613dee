package evidence

import (
	"encoding/json"
	"slices"
	"testing"
)

// Whom a claim covers is docs/guarantees.md's table; here each is named, with what it answered.
func TestACheckCoversEverybodyItsFactsName(t *testing.T) {
	t.Parallel()
	asked := `"asked":{"of":"worker","found":"polls","members":[
		{"key":"worker:a","verdict":"met"},{"key":"worker:b"}]}`
	for _, tc := range []struct {
		check, facts string
		want         []string
	}{
		{Policy, `{"nodes":[{"node":"a:1","policy":"noeviction"},{"node":"b:1",
			"policy":"noeviction","evicted_keys":3,"evicted_before":1},{"node":"c:1"},
			{"node":"d:1","policy":"allkeys-lru"}]}`,
			[]string{"server:a:1 met", "server:b:1 unmet", "server:c:1 unknown",
				"server:d:1 unmet"}},
		{Audit, `{"nodes":[
			{"node":"a:1","findings":[{"severity":"critical","state":"ok"},
				{"severity":"medium","state":"problem"},{"severity":"low","state":"unknown"}]},
			{"node":"b:1","findings":[]},
			{"node":"c:1","findings":[{"severity":"high","state":"problem"},
				{"severity":"critical","state":"unknown"}]},
			{"node":"d:1","findings":[{"severity":"critical","state":"unknown"},
				{"severity":"high","state":"problem"}]},
			{"node":"e:1","findings":[{"severity":"high","state":"unknown"},
				{"severity":"critical","state":"ok"}]},
			{"node":"f:1","findings":[{"severity":"high","state":"ok"},
				{"severity":"critical","state":"unknown"}]}]}`,
			[]string{"server:a:1 met", "server:b:1 unknown", "server:c:1 unmet",
				"server:d:1 unmet", "server:e:1 unknown", "server:f:1 unknown"}},
		{Readiness, `{"checks":[{"id":"x","ok":true},{"id":"y"},{"id":"z","ok":true}]}`,
			[]string{"readiness check:x met", "readiness check:y unmet",
				"readiness check:z met"}},
		{Failover, failover(`{}`), []string{"server:a met"}},
		{Failover, failover(`{"old_master":""}`), nil},
		{TargetPlan, `{"database_id":"db1","name":"orders"}`, []string{"database:db1 met"}},
		{TargetPlan, `{"name":"orders"}`, []string{"database:orders met"}},
		{TargetPlan, `{}`, nil},
		{TargetConn, `{"address":"h:1"}`, []string{"server:h:1 met"}},
		{TargetConn, `{}`, nil},
		{Scan, `{"source":"shop","findings":[{"id":"a","verdict":"PASS"},
			{"id":"b","verdict":"FAIL"},
			{"id":"c","verdict":"REVIEW","decided_by":"ada","confirmed_by":"ada"},
			{"id":"d","verdict":"REVIEW","confirmed_by":"ada"}]}`,
			[]string{"place:shop/a met", "place:shop/b unmet", "place:shop/c met",
				"place:shop/d unmet"}},
		{Scan, `{"source":"shop","routed":["orders","refunds"],"findings":[{"id":"a",
			"queue":"mail","verdict":"PASS"}]}`,
			[]string{"place:shop/a met", "scanned:orders unknown", "scanned:refunds unknown"}},
		{Attestation, `{"producers":[{"instance":"i","queue":"q","side":"source"},
			{"instance":"i","queue":"q","side":"target"}],"unattested":["mail","sms"],` +
			asked + `}`,
			[]string{"worker:a met", "worker:b unknown", "producer:i/q/source met",
				"producer:i/q/target met", "producer:scan/mail unknown",
				"producer:scan/sms unknown"}},
		{Drill, `{"cases":[{"queue":"q","fault":"cut"},{"queue":"q","fault":"freeze"}],
			"bench":[{"queue":"q","fault":"oom","status":503,"recovered_ms":4},{"queue":"q","fault":"frozen"}],
			"attested":["q","mail","sms"]}`,
			[]string{"fault:q/cut met", "fault:q/freeze met", "fault:q/oom met",
				"fault:q/frozen unmet", "fault:mail unknown", "fault:sms unknown"}},
		{Intake, `{"instances":[{"instance":"i","durable":true},{"instance":"j"}],` + asked + `}`,
			[]string{"worker:a met", "worker:b unknown", "instance:i met", "instance:j unmet"}},
		{Retries, `{"providers":[{"provider":"Stripe","refused":1},{"provider":"Shopify"},
			{"provider":"COPE","kept":1}]}`,
			[]string{"sender:Stripe met", "sender:Shopify unknown", "sender:COPE met"}},
		{DualWrite, `{"orders":1,"window_seconds":60}`, []string{"window:1 min met"}},
		{DualWrite, `{"window_seconds":60}`, []string{"window:1 min unmet"}},
		{Rollback, `{"from":"shadow","to":"dualwrite","workers":1}`,
			[]string{"move:shadow to dualwrite met"}},
		{Rollback, `{"from":"shadow","to":"dualwrite"}`,
			[]string{"move:shadow to dualwrite unmet"}},
		{Residue, `{"queues":[{"queue":"q"},{"queue":"r","pending":1}],
			"unknown":[{"member":"db1/bull:mail"},{"member":"db0/other keys"}]}`,
			[]string{"queue:source/q met", "queue:source/r unmet",
				"residue:source/db1/bull:mail unknown", "residue:source/db0/other keys unknown"}},
		{Ledger, `{"acknowledged":1}`, []string{"journal:the ingestion app met"}},
		{Ledger, `{}`, []string{"journal:the ingestion app unmet"}},
		{Quiet, `{"nodes":[{"address":"h:1"},{"address":"h:2"}],
			"findings":[{"id":"queues","ok":true},{"id":"events"}]}`,
			[]string{"finding:queues met", "finding:events unmet", "server:h:1 met",
				"server:h:2 met"}},
		{Fence, `{"nodes":[{"address":"h:1"}]}`, []string{"server:h:1 met"}},
		{Backup, `{"file":"a.gz","sha256":"ab","keys":1}`, []string{"backup:a.gz met"}},
		{Backup, `{"file":"a.gz","sha256":"ab"}`, []string{"backup:empty unknown"}},
		{Backup, `{"file":"a.gz"}`, []string{"backup:a.gz unmet"}},
		{Off, `{"servers":[{"label":"a"},{"label":"Redis","address":"h:1","reachable":true}]}`,
			[]string{"server:a met", "server:Redish:1 unmet"}},
	} {
		c, _ := Of(tc.check)
		var got []string
		for _, m := range c.Asked(json.RawMessage(tc.facts), nil, noon).Members {
			if m.Verdict == "" {
				m.Verdict = unknown
			}
			got = append(got, m.Key+" "+string(m.Verdict))
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: %s covers %q, want %q", tc.check, tc.facts, got, tc.want)
		}
	}
}

// What is said is the whole of it: nothing of an exception, a copy or a delay that was not there.
func TestAJudgeSaysWhatWasMeasuredAndNoMore(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ check, facts, want string }{
		{Attestation, attestationRows[0].facts, "producer connections that attest " +
			"enableOfflineQueue: false with a commandTimeout, and skipWaitingForReady: 1"},
		{Backup, backupRows[0].facts,
			"12 keys backed up to a.gz and compared with the source, 0 differences"},
		{Backup, `{"file":"a.rdb","sha256":"ab","verified":true,"differences":1,
			"no_snapshot":"no host takes one"}`, "the backup differs from the source in 1 keys"},
		{Drill, drilled(func(*DrillFacts) {}),
			"10 faults returned 503, the slowest in 2100 ms; accepting again afterwards"},
		{Ledger, ledgerRows[0].facts, "9 orders acknowledged, 8 processed, 1 in flight on the " +
			"target, 0 lost, 0 processed twice"},
		{Retries, `{"refused":1,"recovered":1,"applied_once":1,"providers":[
			{"provider":"Stripe","refused":1}]}`, "1 order rejected with 503, all redelivered " +
			"and applied once: Stripe 1 (slowest after 0.0 s; window not documented). First " +
			"retries observed; full retry windows not tested"},
		{Retries, `{"kept":1,"kept_applied":1,"providers":[{"provider":"Stripe","kept":1}]}`,
			"1 order acknowledged from the durable intake while none could be enqueued, all " +
				"enqueued within 0.0 s and applied once: Stripe 1"},
		{Scan, scanRows[0].facts,
			"1 places in shop make a producer, and each fails when Redis does"},
		{Scan, `{"source":"shop","findings":[{"verdict":"PASS","at":"a.ts:1"},
			{"verdict":"REVIEW","at":"b.ts:1","decided_by":"ada","confirmed_by":"ada"}]}`,
			"2 places in shop make a producer, and each fails when Redis does (accepted " +
				"exceptions: 1)"},
		{Scan, `{"findings":[{"verdict":"FAIL","at":"a.ts:1","decided_by":"ada"}]}`,
			"a.ts:1: FAIL "},
		{Scan, `{"findings":[{"verdict":"REVIEW","at":"a.ts:1"}]}`, "a.ts:1: REVIEW "},
		{TargetConn, `{"address":"a:1","tls_verified":true,"answered":["EVALSHA"],
			"latency_us":1234,"latency_p99_us":1234,"pings":1}`,
			"a:1 responds over verified TLS, 1 of 1 commands work, round trip 1.2 ms"},
	} {
		c, _ := Of(tc.check)
		if _, got, err := c.Judge(json.RawMessage(tc.facts)); got != tc.want {
			t.Errorf("%s says %q (%v), want %q", tc.check, got, err, tc.want)
		}
	}
}
