package audit

import (
	"slices"
	"strings"
	"testing"
)

func TestVersionsAreJudgedByTheirSeries(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		state    State
		severity Severity
		says     string
	}{
		"redis_version:4.0.14": {Problem, "", "BullMQ refuses"},
		"redis_version:5.0.14": {Problem, High,
			"below BullMQ's minimum"},
		"redis_version:6.2.19":                      {Problem, High, "lacks the fix"},
		"redis_version:6.2.20":                      {OK, "", "has the fix"},
		"redis_version:7.0.15":                      {Problem, High, "is end of life"},
		"redis_version:7.2.10":                      {Problem, High, "lacks the fix"},
		"redis_version:7.4.6":                       {OK, "", "has the fix"},
		"redis_version:8.2.1":                       {Problem, High, "lacks the fix"},
		"redis_version:8.6.3":                       {OK, "", "newer than the fix"},
		"redis_version:7.2.4\nvalkey_version:8.0.5": {Problem, High, "Valkey 8.0.5 lacks"},
		"redis_version:7.2.4\nvalkey_version:8.1.4": {OK, "", "Valkey 8.1.4 has"},
		"redis_version:7.2.4\nvalkey_version:9.0.1": {OK, "", "Valkey 9.0.1"},
		"redis_version:unstable":                    {Unknown, "", "version"},
	} {
		if o := judgeVersion(&facts{info: parseInfo(text)}); o.state != want.state ||
			o.severity != want.severity || !strings.Contains(o.measured, want.says) {
			t.Errorf("%q: %+v", text, o)
		}
	}
}

// States that a test cannot bring about are judged by what servers report in them.
func TestJudgesReadWhatServersSay(t *testing.T) {
	t.Parallel()
	for rule, c := range map[string]struct {
		check, info string
		state       State
		severity    Severity
		says        string
	}{
		"a long fork": {"fork", "latest_fork_usec:720000", Problem,
			"", "720 ms"},
		"swapped out": {"swap",
			"used_memory:1000000000\nused_memory_rss:600000000", Problem, High, "swapped out"},
		"fragmented": {"swap",
			"used_memory:1000000000\nused_memory_rss:1800000000", Problem, "",
			"fragmentation 1.80"},
		"small and fragmented": {"swap",
			"used_memory:1000000\nused_memory_rss:8000000", OK, "", ""},
		"loading": {"role",
			"role:master\nloading:1\nloading_loaded_perc:40.00", Problem, "", "40.00 % done"},
		"a replica that is behind":          {"replication", "role:master\nconnected_slaves:1\nslave0:ip=10.0.0.5,port=6379,state=online,offset=1,lag=40", Problem, "", "10.0.0.5:6379 is 40 s behind"},
		"a replica that is being copied to": {"replication", "role:master\nconnected_slaves:1\nslave0:ip=10.0.0.5,port=6379,state=send_bulk,offset=1,lag=0", Problem, "", "send_bulk"},
		"a failed write of the file":        {"persistence-status", "rdb_last_bgsave_status:ok\naof_enabled:1\naof_last_write_status:err\nerrorstat_MISCONF:count=7", Problem, "", "7 writes were refused"},
		"a failed rewrite":                  {"persistence-status", "rdb_last_bgsave_status:ok\naof_enabled:1\naof_last_write_status:ok\naof_last_bgrewrite_status:err", Problem, "", "rewrite"},
		"without a limit, and most of it used": {"maxmemory",
			"maxmemory:0\nused_memory:6000000000\ntotal_system_memory:8000000000", Problem, "",
			"of the machine's"},
		"a limit near the machine's": {"maxmemory",
			"maxmemory:7000000000\nused_memory:1\ntotal_system_memory:8000000000", Problem,
			Medium, "87 %"},
		"clients that were cut off": {"output-buffers", "client_output_buffer_limit_disconnections:3\nevicted_clients:0\nuptime_in_seconds:300000", Problem, "", "3 clients disconnected by their output limit, 0 evicted for memory, since it started 3 days ago"},
		"scripts that were refused": {"errors",
			"errorstat_BUSY:count=2\nerrorstat_NOSCRIPT:count=900", Problem, "",
			"BUSY 2 times"},
		"NOSCRIPT is how BullMQ works": {"errors", "errorstat_NOSCRIPT:count=900",
			OK, "", ""},
		"a peak that nearly filled it": {"memory-headroom",
			"maxmemory:100\nused_memory:50\nused_memory_peak:97", Problem, Medium,
			"97 % at its peak"},
	} {
		check := catalogue[slices.IndexFunc(catalogue, func(k Check) bool { return k.ID == c.check })]
		if o := check.judge(&facts{info: parseInfo(c.info),
			config: map[string]string{}}); o.state != c.state || o.severity != c.severity ||
			!strings.Contains(o.measured, c.says) {
			t.Errorf("%s: %+v", rule, o)
		}
	}
}

// Nothing that INFO leaves out counts as OK: every check is run on a server that
// reports nothing.
func TestASilentServerIsUnknownThroughout(t *testing.T) {
	t.Parallel()
	f := &facts{info: map[string]string{}, config: map[string]string{}, configErr: "denied",
		slowErr: "denied", spikesErr: "denied", openErr: "denied", tlsErr: "denied",
		usersErr: "denied"}
	for _, got := range judge(f) {
		if got.State != Unknown && got.ID != "other-databases" || got.Measured == "" {
			t.Errorf("%s: %s, %s", got.ID, got.State, got.Measured)
		}
	}
}
