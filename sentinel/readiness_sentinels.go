package sentinel

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

func (l *look) sentinels() Check {
	reachable, complete := 0, 0
	for _, s := range l.t.Sentinels {
		if s.Reachable {
			reachable++
		}
		if s.Others >= len(l.t.Sentinels)-1 {
			complete++
		}
	}
	n := len(l.t.Sentinels)
	return migration.Claim{ID: "sentinels",
		Title: "At least three sentinels, all reachable and aware of each other",
		Measured: fmt.Sprintf("%d configured, %d reachable, %d know all the others", n,
			reachable, complete), Limit: "3 or more, all of them",
		Next: "start the missing sentinels and configure the address of each; two with the same " +
			"id (a copied sentinel.conf) count as one",
	}.About("deployment", "Sentinel", n >= 3 && reachable == n && complete == n, nil)
}

func (l *look) staleSentinels() Check {
	var bad []string
	for _, v := range l.answered() {
		if extra := v.member.Others - (len(l.t.Sentinels) - 1); extra > 0 {
			bad = append(bad,
				fmt.Sprintf("%s knows %d sentinels more than the %d configured ones",
					v.member.Addr, extra, len(l.t.Sentinels)))
		}
		for _, m := range v.sentinels {
			// A reconnecting link means nothing; what counts is that nothing was
			// heard.
			if hello := time.Duration(number(m["last-hello-message"])) *
				time.Millisecond; strings.Contains(m["flags"], "s_down") || hello > maxSilence {
				bad = append(bad,
					fmt.Sprintf("%s sees %s:%s with flags %s, last heard %s ago",
						v.member.Addr, m["ip"], m["port"], m["flags"], migration.Words(hello)))
			}
		}
	}
	return verdict("stale-sentinels", "No sentinel is known that does not exist",
		"every known sentinel is configured and answers",
		"start it, configure its address, or forget it: SENTINEL RESET on one sentinel after "+
			"the other, 30 s apart. The majority is of all known ones, including dead ones",
		fmt.Sprintf("each knows the %d others, all up", len(l.t.Sentinels)-1), bad)
}

func (l *look) quorum() Check {
	n := len(l.t.Sentinels)
	var bad []string
	for _, v := range l.answered() {
		if q := number(v.master["quorum"]); q < 2 || q > n {
			bad = append(bad, fmt.Sprintf("%s has quorum %d of %d", v.member.Addr, q, n))
		}
	}
	return verdict("quorum", "The quorum is more than one and no more than exist",
		fmt.Sprintf("between 2 and %d, best %d", n, n/2+1),
		fmt.Sprintf("SENTINEL SET %s quorum %d on every sentinel: with 1 a single confused "+
			"sentinel starts a failover, with too many none ever does", l.t.Name, n/2+1),
		fmt.Sprintf("quorum %d of %d", l.t.Quorum, n), bad)
}

func (l *look) ckquorum() Check {
	var bad []string
	for _, s := range l.t.Sentinels {
		if !s.QuorumOK {
			bad = append(bad, s.Addr+": "+strings.TrimSpace(s.CKQuorum+" "+s.Error))
		}
	}
	return verdict("ckquorum", "Quorum and majority are currently reachable",
		"SENTINEL CKQUORUM is OK on every sentinel",
		"bring back the unreachable sentinels; forget those that are gone for good with "+
			"SENTINEL RESET, one sentinel after the other", "OK on every sentinel", bad)
}

func (l *look) agreement() Check {
	var bad []string
	for _, s := range l.t.Sentinels {
		if s.Master != l.t.Master {
			bad = append(bad, fmt.Sprintf("%s says %s, the majority %s", s.Addr,
				orUnknown(s.Master), l.t.Master))
		}
	}
	return verdict("agreement", "All sentinels name the same master", "one address",
		"wait for a failover to end; then SENTINEL REMOVE and MONITOR on the sentinel that "+
			"differs", "all say "+l.t.Master, bad)
}

func (l *look) settings() Check {
	var bad []string
	views := l.answered()
	for _, key := range []string{"quorum", "down-after-milliseconds", "failover-timeout",
		"parallel-syncs"} {
		values := map[string]bool{}
		var said []string
		for _, v := range views {
			values[v.master[key]] = true
			said = append(said, v.member.Addr+" "+v.master[key])
		}
		if len(values) > 1 {
			bad = append(bad, key+": "+strings.Join(said, ", "))
		}
	}
	return verdict("settings", "All sentinels have the same settings",
		"quorum, down-after, failover-timeout and parallel-syncs are equal",
		"SENTINEL SET on the sentinel that differs: which one acts in a failure is random",
		"equal on all", bad)
}

func (l *look) downAfter() Check {
	var bad []string
	down := time.Duration(l.t.DownAfterMS) * time.Millisecond
	if down < minDown || down > maxDown {
		bad = append(bad, "down-after-milliseconds "+strconv.FormatInt(l.t.DownAfterMS, 10))
	}
	return verdict("down-after", "Failures are detected quickly, but not at the first hiccup",
		fmt.Sprintf("%d to %d ms", minDown.Milliseconds(), maxDown.Milliseconds()),
		"SENTINEL SET "+l.t.Name+" down-after-milliseconds 2000 on every sentinel: the "+
			"election follows 0.4 to 2.5 s later, and writes must work again within 30 s",
		"down-after-milliseconds "+strconv.FormatInt(l.t.DownAfterMS, 10), bad)
}

func (l *look) parallelSyncs() Check {
	var bad []string
	for _, v := range l.answered() {
		if n := number(v.master["parallel-syncs"]); n != 1 {
			bad = append(bad, fmt.Sprintf("%s has parallel-syncs %d", v.member.Addr, n))
		}
	}
	return verdict("parallel-syncs", "Replicas resync from a new master one after the other",
		"parallel-syncs 1",
		"SENTINEL SET "+l.t.Name+" parallel-syncs 1 on every sentinel: otherwise all "+
			"replicas load at once, and the new master has none meanwhile",
		"parallel-syncs 1", bad)
}

func (l *look) tilt() Check {
	var bad []string
	for _, v := range l.views {
		if v.info["sentinel_tilt"] == "1" {
			bad = append(bad, fmt.Sprintf("%s is in TILT since %s s", v.member.Addr,
				orUnknown(v.info["sentinel_tilt_since_seconds"])))
		}
	}
	return verdict("tilt", "No sentinel distrusts its clock",
		"sentinel_tilt:0 on every sentinel",
		"it ends 30 s after the clock runs evenly again; look for a stopped process, a "+
			"paused or migrated machine, a clock change, or too little CPU. A sentinel in "+
			"TILT starts no failover",
		"no sentinel is in TILT", bad)
}
