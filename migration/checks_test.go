package migration

import (
	"encoding/json"
	"strings"
	"testing"
)

// judged is one row: facts, and what they amount to. Unknown stands for an error of the judge.
type judged struct {
	rule, facts string
	want        Verdict
	says        string
}

var judgements = map[string][]judged{
	CheckPolicy: {
		{"noeviction everywhere", `{"nodes":[{"node":"a:1","policy":"noeviction"},{"node":"b:1","policy":"noeviction"}]}`, Met, "a:1, b:1"},
		{"one node of many evicts", `{"nodes":[{"node":"a:1","policy":"noeviction"},{"node":"b:1","policy":"volatile-lru","evicted_keys":3}]}`, Unmet, "b:1 is volatile-lru (3 keys"},
		{"a policy that could not be read does not hold", `{"nodes":[{"node":"a:1"}]}`, Unmet, "not readable"},
		{"no server", `{"nodes":[]}`, Unknown, "no server"},
		{"nothing evicted since the first look", `{"nodes":[{"node":"a:1","policy":"noeviction","evicted_keys":40,"evicted_before":40}]}`, Met, "a:1"},
		{"evicted since the first look", `{"nodes":[{"node":"a:1","policy":"noeviction","evicted_keys":43,"evicted_before":40}]}`, Unmet, "evicted 3 keys since"},
	},
	CheckAudit: {
		{"no grave problem", `{"nodes":[{"node":"a:1","findings":[{"id":"x","severity":"critical","state":"ok"},{"id":"y","severity":"medium","state":"problem"}]}]}`, Met, "1 nodes"},
		{"a grave problem", `{"nodes":[{"node":"a:1","findings":[{"id":"x","title":"Persistence","severity":"critical","state":"problem","measured":"none"}]}]}`, Unmet, "Persistence on a:1: none"},
		{"something grave is not known", `{"nodes":[{"node":"a:1","findings":[{"id":"x","title":"Persistence","severity":"critical","state":"unknown"}]}]}`, Unknown, "Persistence on a:1"},
		{"no server", `{"nodes":[]}`, Unknown, "no server"},
	},
	CheckReadiness: {
		{"every check passes", `{"master":"a:1","checks":[{"id":"x","title":"Quorum","ok":true}]}`, Met, "master a:1"},
		{"one check fails", `{"checks":[{"ok":true},{"title":"Quorum","ok":false,"measured":"1 sentinel","limit":"2"}]}`, Unmet, "Quorum: 1 sentinel (want 2)"},
		{"no check ran", `{"master":"a:1","checks":[]}`, Unknown, "no readiness check"},
	},
	CheckFailover: {
		{"noticed by itself, within the limit", `{"kind":"automatic","old_master":"a","new_master":"b","election_ms":2100,"first_write_ms":2900,"first_add_ms":3000,"acknowledged":40}`, Met, "writes resumed in 2.9 s"},
		{"exactly at the limit", `{"kind":"automatic","old_master":"a","new_master":"b","first_write_ms":30000,"first_add_ms":30000,"acknowledged":1}`, Met, "30.0 s"},
		{"writes too late", `{"kind":"automatic","old_master":"a","new_master":"b","first_write_ms":30001,"acknowledged":1}`, Unmet, "limit 30 s"},
		{"adds too late", `{"kind":"automatic","old_master":"a","new_master":"b","first_write_ms":1,"first_add_ms":30001,"acknowledged":1}`, Unmet, "limit 30 s"},
		{"an acknowledged write was lost", `{"kind":"automatic","old_master":"a","new_master":"b","acknowledged":40,"lost_acknowledged":1}`, Unmet, "1 of 40 acknowledged writes were lost"},
		{"no new master", `{"kind":"automatic","old_master":"a","new_master":"a","acknowledged":40}`, Unmet, "no new master"},
		{"a planned failover shows nothing", `{"kind":"planned","old_master":"a","new_master":"b","acknowledged":40}`, Unknown, "planned failover"},
		{"no write was acknowledged", `{"kind":"automatic","old_master":"a","new_master":"b"}`, Unknown, "acknowledged no write"},
	},
	CheckTargetPlan: {
		{"fixed, without eviction, with TLS, active", `{"provider":"upstash","name":"orders","region":"us-east-1","fixed_1gb":true,"tls":true,"state":"active"}`, Met, "Fixed 1 GB"},
		{"pay as you go", `{"name":"orders","tls":true,"state":"active","plan_note":"type payg"}`, Unmet, "not Fixed 1 GB (type payg)"},
		{"evicts", `{"fixed_1gb":true,"eviction":true,"tls":true,"state":"active"}`, Unmet, "eviction is on"},
		{"without TLS", `{"fixed_1gb":true,"state":"active"}`, Unmet, "TLS is off"},
		{"not active", `{"fixed_1gb":true,"tls":true,"state":"suspended"}`, Unmet, "state is suspended"},
		{"upgrades by itself", `{"fixed_1gb":true,"tls":true,"state":"active","auto_upgrade":true}`, Unmet, "automatic upgrades are on"},
		{"another one of its name", `{"fixed_1gb":true,"tls":true,"state":"active","same_name":["id-2"]}`, Unmet, "billed too: id-2"},
		{"every mistake is named", `{"eviction":true,"state":"x"}`, Unmet, "eviction is on, TLS is off, state is x"},
	},
	CheckTargetConn: {
		{"verified and answering", `{"address":"a:1","tls_verified":true,"answered":["EVALSHA"],"latency_us":1234}`, Met, "round trip 1.2 ms"},
		{"with the latency of many", `{"address":"a:1","tls_verified":true,"answered":["EVALSHA"],"latency_us":1234,"latency_p99_us":5678,"pings":20}`, Met, "median of 20, the slowest in a hundred 5.6 ms"},
		{"certificate not verified", `{"address":"a:1","answered":["EVALSHA"]}`, Unmet, "was not verified"},
		{"a needed command is refused", `{"tls_verified":true,"answered":["GET"],"refused":["EVALSHA"]}`, Unmet, "refused: EVALSHA"},
		{"no command tried", `{"tls_verified":true}`, Unknown, "no command"},
	},
	CheckAttestation: {
		{"off, with a timeout, and it starts while Redis is down", `{"producers":[{"instance":"i","queue":"q","endpoint":"sentinel","enable_offline_queue":false,"command_timeout_ms":2000,"skip_waiting_for_ready":true}]}`, Met, "skipWaitingForReady: 1"},
		{"one of two queues offline", `{"producers":[{"enable_offline_queue":false,"command_timeout_ms":1,"skip_waiting_for_ready":true},{"instance":"i2","queue":"q","enable_offline_queue":true,"command_timeout_ms":1}]}`, Unmet, "enableOfflineQueue on"},
		{"no timeout", `{"producers":[{"enable_offline_queue":false}]}`, Unmet, "no commandTimeout"},
		{"does not say", `{"producers":[{"command_timeout_ms":2000}]}`, Unknown, "does not say"},
		{"says null", `{"producers":[{"enable_offline_queue":null,"command_timeout_ms":2000}]}`, Unknown, "does not say"},
		{"waits for Redis when it starts", `{"producers":[{"enable_offline_queue":false,"command_timeout_ms":2000,"skip_waiting_for_ready":false}]}`, Unmet, "hangs when the app starts"},
		{"does not say what it does when it starts", `{"producers":[{"enable_offline_queue":false,"command_timeout_ms":2000}]}`, Unknown, "skipWaitingForReady"},
		{"nobody attests", `{"producers":[]}`, Unknown, "no live worker"},
		{"a queue that the drill does not know", `{"producers":[{"queue":"reports","enable_offline_queue":false,"command_timeout_ms":2000,"skip_waiting_for_ready":true}],"undrilled":["reports"]}`, Unmet, "the last drill did not try (reports)"},
		{"a queue of the source that nobody attests", `{"producers":[{"enable_offline_queue":false,"command_timeout_ms":2000,"skip_waiting_for_ready":true}],"unattested":["mail"]}`, Unmet, "producers that no app attests (mail)"},
		{"a queue of commands that end", `{"producers":[{"enable_offline_queue":false,"command_timeout_ms":2000,"skip_waiting_for_ready":true}],"scan_only":["reports"]}`, Met, "neither attested nor drilled, by the configuration: reports"},
	},
	CheckIntake: {
		{"every instance keeps orders on disk", `{"instances":[{"instance":"i","durable":true,"backlog":7,"bytes":2097152,"max_bytes":268435456},{"instance":"j","durable":true,"max_bytes":268435456}]}`, Met, "7 wait there, 2 MiB of 512 MiB"},
		{"one of two does not", `{"instances":[{"instance":"i","durable":true,"max_bytes":9},{"instance":"j"}]}`, Unmet, "j acknowledges an order only once it is in Redis"},
		{"orders were refused", `{"instances":[{"instance":"i","durable":true,"max_bytes":9,"refused":3}]}`, Unmet, "refused 3 orders"},
		{"kept orders are damaged", `{"instances":[{"instance":"i","durable":true,"max_bytes":9,"damaged":2}]}`, Unmet, "2 kept orders of i cannot be read"},
		{"it does not say how much it may hold", `{"instances":[{"instance":"i","durable":true}]}`, Unknown, "does not say"},
		{"nobody attests", `{"instances":[]}`, Unknown, "no live app"},
	},
	CheckScan: {
		{"every place passes", `{"source":"shop","files":3,"findings":[{"id":"a","role":"queue","verdict":"PASS","at":"q.ts:3","expression":"new Queue()"}]}`, Met, "1 places in shop"},
		{"one fails", `{"source":"shop","files":3,"findings":[{"id":"r","verdict":"REVIEW","at":"a.ts:1"},{"id":"a","verdict":"FAIL","at":"q.ts:3","reasons":["enableOfflineQueue: not set"]}]}`, Unmet, "q.ts:3: FAIL enableOfflineQueue"},
		{"one is to be reviewed", `{"source":"shop","files":3,"findings":[{"id":"a","verdict":"REVIEW","at":"q.ts:3","reasons":["not known"]}]}`, Unmet, "q.ts:3: REVIEW not known"},
		{"one was decided on", `{"source":"shop","files":3,"findings":[{"id":"a","verdict":"REVIEW","at":"q.ts:3","decided_by":"ada","decided_until":"2027-01-01T00:00:00Z"}]}`, Met, "1 by somebody's decision"},
		{"a failure cannot be decided on", `{"source":"shop","files":3,"findings":[{"id":"a","verdict":"FAIL","at":"q.ts:3","decided_by":"ada"}]}`, Unmet, "FAIL"},
		{"a verdict of nobody", `{"source":"shop","files":3,"findings":[{"id":"a","verdict":"FINE","at":"q.ts:3"}]}`, Unmet, "FINE"},
		{"nothing found proves nothing", `{"source":"shop","files":3,"findings":[]}`, Unknown, "proves nothing"},
	},
	CheckDrill: {
		{"503 in time for every fault", `{"cases":[{"fault":"cut","status":503,"ms":20,"limit_ms":5000},{"fault":"freeze","status":503,"ms":2100,"limit_ms":5000}],"recovered":true,"bench":[{"queue":"q","title":"Reply lost","status":200,"enqueued":true,"ms":30,"limit_ms":5000}],"attested":["q"]}`, Met, "3 faults answered with 503, the slowest after 2100 ms"},
		{"200 while Redis is down", `{"cases":[{"fault":"cut","status":200,"ms":20,"limit_ms":5000}],"recovered":true}`, Unmet, "cut: status 200"},
		{"503 too late", `{"cases":[{"fault":"freeze","status":503,"ms":5001,"limit_ms":5000}],"recovered":true}`, Unmet, "after 5001 ms"},
		{"no answer", `{"cases":[{"fault":"freeze","ms":20,"limit_ms":5000}],"recovered":true}`, Unmet, "status 0"},
		{"not accepting afterwards", `{"cases":[{"fault":"cut","status":503,"ms":20,"limit_ms":5000}]}`, Unmet, "did not accept jobs again"},
		{"the drill's own server was not tried", `{"cases":[{"fault":"cut","status":503,"ms":20,"limit_ms":5000}],"recovered":true,"bench":[]}`, Unmet, "not tried"},
		{"a hang there", `{"cases":[{"fault":"cut","status":503,"ms":20,"limit_ms":5000}],"recovered":true,"bench":[{"queue":"q","title":"Cold start","hung":true,"ms":12000,"limit_ms":5000}]}`, Unmet, "q, Cold start: no answer within 12000 ms"},
		{"200 without a job", `{"cases":[{"fault":"cut","status":503,"ms":20,"limit_ms":5000}],"recovered":true,"bench":[{"queue":"q","title":"Frozen","status":200,"ms":2,"limit_ms":5000}]}`, Unmet, "the order is lost"},
		{"an error that is no 503", `{"cases":[{"fault":"cut","status":503,"ms":20,"limit_ms":5000}],"recovered":true,"bench":[{"queue":"q","title":"Full","status":500,"ms":2,"limit_ms":5000}]}`, Unmet, "status 500 (want 503)"},
		{"503 too late there", `{"cases":[{"fault":"cut","status":503,"ms":20,"limit_ms":5000}],"recovered":true,"bench":[{"queue":"q","title":"Frozen","status":503,"ms":6000,"limit_ms":5000}]}`, Unmet, "status 503 after 6000 ms"},
		{"never again", `{"cases":[{"fault":"cut","status":503,"ms":20,"limit_ms":5000}],"recovered":true,"bench":[{"queue":"q","title":"Frozen","status":503,"ms":6,"limit_ms":5000,"recovered_ms":-1}]}`, Unmet, "no job was accepted again"},
		{"no fault", `{"cases":[],"recovered":true}`, Unknown, "no fault"},
		{"a producer whose queue was not tried", `{"cases":[{"fault":"cut","status":503,"ms":20,"limit_ms":5000}],"recovered":true,"bench":[{"queue":"q","title":"Frozen","status":503,"ms":6,"limit_ms":5000}],"attested":["q","reports"]}`, Unmet, "not tried, though the app attests a producer: reports"},
		{"an older drill did not look for other producers", `{"cases":[{"fault":"cut","status":503,"ms":20,"limit_ms":5000}],"recovered":true,"bench":[{"queue":"q","title":"Frozen","status":503,"ms":6,"limit_ms":5000}]}`, Unmet, "older version, run it again"},
		{"the app refuses a queue", `{"cases":[{"fault":"cut","status":503,"ms":20,"limit_ms":5000}],"recovered":true,"bench":[{"queue":"q","title":"Frozen","status":503,"ms":6,"limit_ms":5000},{"queue":"reports","refused":"queue reports is none of q"}],"attested":["q","reports"]}`, Unmet, "reports: not tried, the app refuses it: queue reports is none of q"},
		{"a job under an id that nobody gave", `{"cases":[{"fault":"cut","status":503,"ms":20,"limit_ms":5000}],"recovered":true,"bench":[{"queue":"q","title":"Frozen","status":503,"enqueued":true,"strays":1,"ms":6,"limit_ms":5000}],"attested":["q"]}`, Unmet, "applied twice"},
		{"from disk at once, and delivered", `{"cases":[{"fault":"cut","status":503,"ms":20,"limit_ms":5000}],"recovered":true,"bench":[{"queue":"q","title":"Frozen","status":503,"ms":6,"limit_ms":5000},{"queue":"q","title":"Frozen","intake":true,"status":200,"enqueued":true,"ms":6,"limit_ms":5000}],"attested":["q"]}`, Met, "2 faults answered with 503, the slowest after 20 ms; accepted again afterwards; 1 more acknowledged from disk and delivered once"},
		{"an intake that refuses", `{"cases":[{"fault":"cut","status":503,"ms":20,"limit_ms":5000}],"recovered":true,"bench":[{"queue":"q","title":"Frozen","intake":true,"status":503,"enqueued":true,"ms":6,"limit_ms":5000}],"attested":["q"]}`, Unmet, "q, Frozen, durable intake: status 503 (want 200"},
		{"an intake that answers late", `{"cases":[{"fault":"cut","status":503,"ms":20,"limit_ms":5000}],"recovered":true,"bench":[{"queue":"q","title":"Frozen","intake":true,"status":200,"enqueued":true,"ms":6000,"limit_ms":5000}],"attested":["q"]}`, Unmet, "status 200 after 6000 ms"},
		{"an intake that does not deliver", `{"cases":[{"fault":"cut","status":503,"ms":20,"limit_ms":5000}],"recovered":true,"bench":[{"queue":"q","title":"Frozen","intake":true,"status":200,"left":2,"recovered_ms":-1,"note":"down","ms":6,"limit_ms":5000}],"attested":["q"]}`, Unmet, "events still on disk after the fault: 2 (down)"},
		{"an intake that loses", `{"cases":[{"fault":"cut","status":503,"ms":20,"limit_ms":5000}],"recovered":true,"bench":[{"queue":"q","title":"Frozen","intake":true,"status":200,"ms":6,"limit_ms":5000}],"attested":["q"]}`, Unmet, "the order is lost"},
		{"an intake that doubles", `{"cases":[{"fault":"cut","status":503,"ms":20,"limit_ms":5000}],"recovered":true,"bench":[{"queue":"q","title":"Frozen","intake":true,"status":200,"enqueued":true,"strays":1,"ms":6,"limit_ms":5000}],"attested":["q"]}`, Unmet, "applied twice"},
		{"an intake that hangs", `{"cases":[{"fault":"cut","status":503,"ms":20,"limit_ms":5000}],"recovered":true,"bench":[{"queue":"q","title":"Frozen","intake":true,"hung":true,"ms":12000,"limit_ms":5000}],"attested":["q"]}`, Unmet, "no answer within 12000 ms"},
	},
	CheckRetries: {
		{"all back and applied once", `{"refused":3,"recovered":3,"applied_once":3,"longest_ms":4200,"providers":[{"provider":"Stripe","refused":3,"recovered":3,"applied_once":3,"longest_ms":4200,"window_seconds":259200,"proof":"documented"}]}`, Met, "applied once: Stripe 3 (slowest after 4.2 s; 72 h documented). First retries were observed, no window was"},
		{"a window that others tell is not documented", `{"refused":1,"recovered":1,"applied_once":1,"providers":[{"provider":"ClickFunnels 2.0","refused":1,"window_seconds":4875,"proof":"community"}]}`, Met, "(slowest after 0.0 s; window not documented, community: 81 min)"},
		{"a window that nobody states", `{"refused":2,"recovered":2,"applied_once":2,"providers":[{"provider":"COPE","refused":1,"proof":"observed"},{"provider":"Stripe","refused":1,"window_seconds":259200,"proof":"documented"}]}`, Met, "COPE 1 (slowest after 0.0 s; window not documented), Stripe 1 (slowest after 0.0 s; 72 h documented)"},
		{"a provider none of whose orders was refused", `{"refused":1,"recovered":1,"applied_once":1,"providers":[{"provider":"Stripe","refused":1},{"provider":"Shopify"},{"provider":"COPE"}]}`, Met, "NOT TRIED: Shopify, COPE"},
		{"whose orders they were is not told", `{"refused":1,"recovered":1,"applied_once":1}`, Unknown, "run it again"},
		{"the provider says so too", `{"refused":3,"recovered":3,"applied_once":3,"providers":[{"provider":"Stripe","refused":3}],"live":{"provider":"Stripe","undelivered":0}}`, Met, "Stripe itself says"},
		{"the provider says otherwise", `{"refused":3,"recovered":3,"applied_once":3,"live":{"provider":"Stripe","undelivered":1,"events":["evt_1"]}}`, Unmet, "evt_1"},
		{"one did not come back", `{"refused":3,"recovered":2,"applied_once":3}`, Unmet, "2 of 3 refused orders came back"},
		{"one was not applied", `{"refused":3,"recovered":3,"applied_once":2}`, Unmet, "2 were applied"},
		{"one applied twice", `{"refused":3,"recovered":3,"applied_once":3,"applied_twice":1}`, Unmet, "1 orders were applied twice"},
		{"kept by the durable intake", `{"kept":5,"kept_applied":5,"kept_ms":3100,"providers":[{"provider":"Stripe","kept":5}]}`, Met, "5 orders acknowledged from the durable intake while none could be enqueued, all enqueued within 3.1 s and applied once: Stripe 5"},
		{"some kept, some refused", `{"refused":1,"recovered":1,"applied_once":1,"kept":1,"kept_applied":1,"providers":[{"provider":"Stripe","refused":1},{"provider":"COPE","kept":1}]}`, Met, "applied once: COPE 1"},
		{"one that was kept was not applied", `{"kept":5,"kept_applied":4,"providers":[{"provider":"Stripe","kept":5}]}`, Unmet, "4 of 5 orders that the durable intake kept"},
		{"nothing refused", `{"refused":0}`, Unknown, "no order was refused"},
	},
	CheckDualWrite: {
		{"every order on both sides", `{"orders":100,"min_orders":100,"copied":100,"compared":100,"window_seconds":60}`, Met, "0 differ"},
		{"a result differs", `{"orders":100,"min_orders":100,"copied":100,"compared":100,"mismatches":1}`, Unmet, "1 results differ"},
		{"a difference counts before there are enough orders", `{"orders":1,"min_orders":100,"copied":1,"compared":1,"mismatches":1}`, Unmet, "1 results differ"},
		{"an order was lost", `{"orders":100,"min_orders":100,"copied":100,"compared":100,"lost":1}`, Unmet, "1 orders lost"},
		{"an order was applied twice", `{"orders":100,"min_orders":100,"copied":100,"compared":100,"duplicated":1}`, Unmet, "1 applied twice"},
		{"a copy is missing", `{"orders":100,"min_orders":100,"copied":99,"compared":99}`, Unmet, "99 were copied"},
		{"a comparison is missing", `{"orders":100,"min_orders":100,"copied":100,"compared":99}`, Unmet, "99 compared"},
		{"too few orders", `{"orders":99,"min_orders":100,"copied":99,"compared":99}`, Unknown, "only 99 orders"},
		{"no order at all", `{}`, Unknown, "only 0 orders"},
	},
	CheckRollback: {
		{"followed by every worker", `{"from":"shadow","to":"dualwrite","rollback_ms":640,"workers":1}`, Met, "0.6 s"},
		{"no worker", `{"from":"shadow","to":"dualwrite"}`, Unknown, "no live worker"},
	},
	CheckResidue: {
		{"nothing left", `{"queues":[{"queue":"q","moved":4},{"queue":"r","moved":1}]}`, Met, "jobs moved: 5"},
		{"a job left", `{"queues":[{"queue":"q"},{"queue":"r","pending":1}]}`, Unmet, "1 jobs are left in r"},
		{"no queue", `{"queues":[]}`, Unknown, "no queue"},
	},
	CheckLedger: {
		{"every order once", `{"orders":9,"acknowledged":9,"fulfilled":8,"pending":1}`, Met, "1 under way on the target"},
		{"one lost", `{"acknowledged":9,"fulfilled":8,"lost":1,"examples":["ord_1"]}`, Unmet, "1 orders lost, 0 applied twice: ord_1"},
		{"one twice", `{"acknowledged":9,"fulfilled":9,"duplicated":1,"examples":["ord_2"]}`, Unmet, "1 applied twice: ord_2"},
		{"one still on the source", `{"acknowledged":9,"fulfilled":8,"pending":1,"pending_source":1}`, Unknown, "still under way"},
		{"some wait in the durable intake", `{"orders":9,"acknowledged":9,"fulfilled":7,"pending":2,"held":2}`, Met, "2 of them in the app's durable intake"},
		{"some wait there for too long", `{"orders":9,"acknowledged":9,"fulfilled":7,"pending":2,"held":2,"held_late":1}`, Unknown, "1 acknowledged orders wait in the app's durable intake"},
		{"no order", `{}`, Unknown, "no order was acknowledged"},
	},
	CheckQuiet: {
		{"a whole window", `{"nodes":[{"address":"h:1"}],"window_seconds":60,"over":true}`, Met, "nobody used 1 servers for 1 min"},
		{"not over", `{"nodes":[{"address":"h:1"}],"window_seconds":60,"since":"2026-11-23T14:00:00Z","seen_at":"2026-11-23T14:00:20Z"}`, Unmet, "for 20 s of 1 min"},
		{"a finding", `{"nodes":[{"address":"h:1"}],"window_seconds":60,"over":true,"findings":[{"title":"Queues","measured":"1 job"}]}`, Unmet, "Queues: 1 job"},
		{"no server", `{"nodes":[]}`, Unknown, "no server"},
	},
	CheckFence: {
		{"a whole window", `{"nodes":[{"address":"h:1","fenced":true}],"window_seconds":60,"over":true,"knocks":[{"addr":"c:1"}]}`, Met, "before that 1 clients did"},
		{"one takes writes", `{"nodes":[{"address":"h:1"}],"window_seconds":60,"over":true}`, Unmet, "h:1 takes writes"},
		{"no server", `{}`, Unknown, "no server"},
	},
	CheckBackup: {
		{"equal when read back", `{"file":"a.gz","keys":12,"sha256":"ab","verified":true}`, Met, "12 keys"},
		{"restored", `{"file":"a.rdb","method":"replication","keys":12,"sha256":"ab","verified":true,"restored":true}`, Met, "restored into a scratch server"},
		{"only read back", `{"file":"a.dump","keys":12,"sha256":"ab","verified":true,"not_restored":"no redis-server"}`, Met, "not restored into a server: no redis-server"},
		{"differs and names a key", `{"file":"a.rdb","keys":12,"sha256":"ab","verified":true,"restored":true,"differences":1,"examples":["value: bull:q:1"]}`, Unmet, "value: bull:q:1"},
		{"not read back", `{"file":"a.gz","keys":12,"sha256":"ab"}`, Unmet, "differs"},
		{"differs", `{"file":"a.gz","keys":12,"sha256":"ab","verified":true,"differences":2}`, Unmet, "in 2 keys"},
		{"not written", `{"verified":true}`, Unknown, "no backup"},
	},
	CheckOff: {
		{"deleted and offline", `{"servers":[{"label":"a","status":"deleted"},{"label":"b","status":"offline"}]}`, Met, "2 old machines"},
		{"still running", `{"servers":[{"label":"a","status":"running"}]}`, Unmet, "a is running"},
		{"still answers", `{"servers":[{"label":"a","address":"h:1","status":"offline","reachable":true}]}`, Unmet, "a (h:1) still answers"},
		{"no server", `{"servers":[]}`, Unknown, "no server"},
	},
}

func TestJudges(t *testing.T) {
	t.Parallel()
	for id, rows := range judgements {
		check, ok := CheckOf(id)
		if !ok {
			t.Fatalf("no check %q", id)
		}
		for _, row := range rows {
			t.Run(id+": "+row.rule, func(t *testing.T) {
				t.Parallel()
				met, says, err := check.Judge(json.RawMessage(row.facts))
				got := Unmet
				switch {
				case err != nil:
					got, says = Unknown, err.Error()
					if met {
						t.Fatal("met together with an error")
					}
				case met:
					got = Met
				}
				if got != row.want || !strings.Contains(says, row.says) {
					t.Fatalf("%s: %s (%v), want %s: %s", got, says, err, row.want, row.says)
				}
			})
		}
	}
}

func TestEveryCheckSaysWhatItWantsAndHasRowsOfEachVerdict(t *testing.T) {
	t.Parallel()
	for _, id := range CheckIDs() {
		c, _ := CheckOf(id)
		if c.Title == "" || c.Limit == "" || c.Next == "" {
			t.Errorf("%s lacks a title, a limit or a next action", id)
		}
		found := map[Verdict]bool{}
		for _, row := range judgements[id] {
			found[row.want] = true
		}
		if !found[Met] || !found[Unmet] && id != CheckRollback || !found[Unknown] && id != CheckTargetPlan {
			t.Errorf("%s: rows for %v only", id, found)
		}
	}
}

// Whatever is stored by mistake: nothing, the wrong shape or half a document never counts as met.
func TestNoCheckIsMetByFactsThatSayNothing(t *testing.T) {
	t.Parallel()
	for _, id := range CheckIDs() {
		c, _ := CheckOf(id)
		for _, facts := range []string{``, `null`, `{}`, `[]`, `""`, `true`, `{"met":true}`, `{"nodes":null,"checks":null,"cases":null,"servers":null,"queues":null,"producers":null}`, `{`} {
			if met, _, _ := c.Judge(json.RawMessage(facts)); met {
				t.Errorf("%s is met by %q", id, facts)
			}
		}
	}
	if _, ok := CheckOf("no-such-check"); ok {
		t.Error("an unknown check exists")
	}
}

func TestWhatIsEvictedCountsFromTheFirstLook(t *testing.T) {
	t.Parallel()
	before := func(n int64) *int64 { return &n }
	last := PolicyFacts{Nodes: []NodePolicy{{Node: "a:1", Policy: "noeviction", RunID: "r1", EvictedKeys: 40, EvictedBefore: before(30)}}}
	for rule, c := range map[string]struct {
		now  NodePolicy
		last PolicyFacts
		want *int64
	}{
		"the first look begins":                 {NodePolicy{Node: "a:1", Policy: "noeviction", RunID: "r1", EvictedKeys: 40}, PolicyFacts{}, before(40)},
		"later ones go on":                      {NodePolicy{Node: "a:1", Policy: "noeviction", RunID: "r1", EvictedKeys: 50}, last, before(30)},
		"another policy goes on, too":           {NodePolicy{Node: "a:1", Policy: "allkeys-lru", RunID: "r1", EvictedKeys: 50}, last, before(30)},
		"a restarted server counts from 0":      {NodePolicy{Node: "a:1", Policy: "noeviction", RunID: "r2", EvictedKeys: 5}, last, before(0)},
		"another node begins":                   {NodePolicy{Node: "b:1", Policy: "noeviction", RunID: "r1", EvictedKeys: 7}, last, before(7)},
		"whatever the policy was then":          {NodePolicy{Node: "a:1", Policy: "noeviction", EvictedKeys: 9}, PolicyFacts{Nodes: []NodePolicy{{Node: "a:1", Policy: "allkeys-lru", EvictedBefore: before(1)}}}, before(1)},
		"facts of an older version begin":       {NodePolicy{Node: "a:1", Policy: "noeviction", EvictedKeys: 9}, PolicyFacts{Nodes: []NodePolicy{{Node: "a:1", Policy: "noeviction"}}}, before(9)},
		"a server that does not tell is let be": {NodePolicy{Node: "a:1", Policy: "noeviction", EvictedKeys: -1}, last, nil},
	} {
		got := c.now.After(c.last).EvictedBefore
		if (got == nil) != (c.want == nil) || got != nil && *got != *c.want {
			t.Errorf("%s: %v", rule, got)
		}
	}
}

func TestAlertsAreWhatWasWellOnce(t *testing.T) {
	t.Parallel()
	look := func(state string) AuditFacts {
		return AuditFacts{Nodes: []NodeAudit{{Node: "a:1", Findings: []AuditFinding{{ID: "timeout", Title: "Idle timeout", Severity: "high", State: state, Measured: "300 s"}}}}}
	}
	bad := look("problem").After(AuditFacts{})
	if len(bad.Alerts()) != 0 || bad.Problems()["high"] != 1 {
		t.Errorf("bad from the start is no alert: %+v", bad.Alerts())
	}
	good := look("ok").After(bad)
	worse := look("problem").After(good)
	if a := worse.Alerts(); len(a) != 1 || a[0] != (Alert{"a:1", "timeout", "Idle timeout", "high", "300 s"}) {
		t.Errorf("%+v", a)
	}
	if still := look("problem").After(worse); len(still.Alerts()) != 1 || !still.Same(worse) || still.Same(good) {
		t.Errorf("an alert stays while the problem does: %+v", still)
	}
	if again := look("ok").After(worse); len(again.Alerts()) != 0 {
		t.Errorf("%+v", again.Alerts())
	}
}
