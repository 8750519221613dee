package audit

import (
	"fmt"
)

var checkVersion = Check{
	ID:       "version",
	Title:    "Version",
	Severity: Critical,
	Limit: "6.2 or later, a series that receives security fixes, with the fix for " +
		"CVE-2025-49844",
	Why: "BullMQ refuses below 5.0 and warns below 6.2. CVE-2025-49844 lets anyone who may " +
		"run Lua, which includes every BullMQ client, run code on the server. Redis 7.0 has " +
		"had no fixes since July 2024, nor have older series except 6.2. A distribution may " +
		"have backported fixes without changing the version number.",
	Remedy: "Upgrade: at least 6.2.20, 7.2.11, 7.4.6, 8.0.4 or 8.2.2 (Valkey 7.2.11, " +
		"8.0.6, 8.1.4). Or check your distribution's security notes for the installed package.",
	Commands: []string{"INFO server"},
	Denied:   "INFO server: redis_version",
	judge:    judgeVersion,
}

func judgeVersion(f *facts) outcome {
	text, name, fixes := f.info["redis_version"], "Redis", patched
	if v := f.info["valkey_version"]; v != "" {
		text, name, fixes = v, "Valkey", patchedValkey
	}
	var major, minor, patch int
	if n, _ := fmt.Sscanf(text, "%d.%d.%d", &major, &minor, &patch); n < 2 {
		return noInfo("its version")
	}
	series := fmt.Sprintf("%d.%d", major, minor)
	at := func(a, b int) bool { return major > a || major == a && minor >= b }
	fix, known := fixes[series]
	switch {
	case name == "Redis" && !at(5, 0):
		return problem("Redis %s: BullMQ refuses to start", text)
	case name == "Redis" && !at(6, 2):
		return problem(
			"Redis %s: below BullMQ's minimum recommended version, and without security fixes",
			text).as(High)
	case known && patch < fix:
		return problem("%s %s lacks the fix for CVE-2025-49844, which is in %s.%d", name, text,
			series, fix).as(High)
	case !known && name == "Redis" && !at(7, 2):
		return problem("Redis %s: the series is end of life (7.0: since July 2024) and lacks "+
			"the fix for CVE-2025-49844", text).as(High)
	}
	if !known { // newer than the fix
		return ok(
			"%s %s, newer than the fix for CVE-2025-49844; later advisories are not checked",
			name, text)
	}
	return ok("%s %s has the fix for CVE-2025-49844; later advisories are not checked", name,
		text)
}

// patched is the first version of each series with the fix for CVE-2025-49844:
// redis/docker-library-redis#478 and docker-library/official-images#20011.
var patched = map[string]int{"6.2": 20, "7.2": 11, "7.4": 6, "8.0": 4, "8.2": 2}

// patchedValkey is the same for Valkey, from its release notes of October 2025.
var patchedValkey = map[string]int{"7.2": 11, "8.0": 6, "8.1": 4}
