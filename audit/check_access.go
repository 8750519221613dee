package audit

import (
	"fmt"
	"strings"

	"github.com/switchyard-dev/switchyard/migration"
)

var checkDefaultUser = Check{
	ID:       "default-user",
	Title:    "Access without a password",
	Severity: Critical,
	Limit:    "refused",
	Why: "Whoever reaches the port can read every order, delete the queues, and run Lua " +
		"on the server.",
	Remedy: "Give the apps the password first, then set it: ACL SETUSER default >... or " +
		"requirepass, and masterauth on replicas. Then CONFIG REWRITE or ACL SAVE.",
	Commands: []string{"ACL GETUSER default", "PING on a fresh connection"},
	Denied:   "PING on an unauthenticated connection",
	judge:    judgeDefaultUser,
}

func judgeDefaultUser(f *facts) outcome {
	switch {
	case f.openErr != "":
		return unknown("%s", f.openErr)
	case !f.openDefault:
		return ok("refused")
	case f.listens() == "loopback":
		return problem(
			"accepted; it listens only on loopback, so any program on the machine gets in").
			as(Medium)
	}
	return problem("accepted")
}

var checkUsers = Check{
	ID:       "users",
	Title:    "Other users without a password",
	Severity: Critical,
	Limit:    "none",
	Why:      "Whoever knows or guesses the name has that user's rights.",
	Remedy:   "ACL SETUSER name resetpass >..., or off; then ACL SAVE or CONFIG REWRITE.",
	Commands: []string{"ACL LIST"},
	Denied:   "not known",
	judge:    judgeUsers,
}

func judgeUsers(f *facts) outcome {
	switch {
	case f.usersErr != "":
		return unknown("%s", f.usersErr)
	case len(f.openUsers) > 0:
		return problem("%s", strings.Join(f.openUsers, ", "))
	}
	return ok(
		"every user has a password or is off: %s (the default user is a separate check)",
		migration.Count(f.users, "user"))
}

var checkExposure = Check{
	ID:       "exposure",
	Title:    "Where it listens",
	Severity: Critical,
	Limit:    "loopback or private addresses; protected-mode if there is no password",
	Why: "A Redis on a public address is found within minutes. Without a password it is " +
		"taken over; with one it is exposed to guessing and to every pre-authentication " +
		"vulnerability.",
	Remedy: "bind to the addresses that apps use, and let only the apps through the " +
		"firewall. Before 6.2, bind needs redis.conf and a restart.",
	Commands: []string{"CONFIG GET bind protected-mode"},
	Denied:   "unknown, except for the address it is reached at",
	judge:    judgeExposure,
}

func judgeExposure(f *facts) outcome {
	where := f.listens()
	if where == "" {
		if ip := f.address; ip != "" && !loopback(ip) {
			return unknown("where it listens is unknown: %s. It is reached at %s: make sure "+
				"that only the apps can reach it", f.configErr, ip)
		}
		return unknown("where it listens is unknown: %s", f.configErr)
	}
	bind := f.config["bind"]
	if bind == "" {
		bind = "every address"
	}
	switch {
	case where == "loopback":
		return ok("loopback only (%s)", bind)
	case f.openErr != "" && f.config["protected-mode"] != "yes":
		return unknown(
			"listens on %s without protected-mode; whether it requires a password is unknown",
			bind)
	case f.openDefault && f.config["protected-mode"] != "yes":
		return problem("listens on %s without protected-mode and without a password: whoever "+
			"reaches it owns it", bind)
	case f.openDefault:
		return ok("listens on %s, but protected-mode refuses remote clients while there is "+
			"no password", bind)
	case where == "private":
		return ok("private addresses (%s), password required", bind)
	case f.config["port"] == "0":
		return problem("listens on every address (%s) with TLS and a password: only a "+
			"firewall keeps strangers away", bind).as(Low)
	}
	return problem(
		"listens on every address (%s) with a password: only a firewall keeps strangers away",
		bind).as(Medium)
}

var checkDangerousCommands = Check{
	ID:       "dangerous-commands",
	Title:    "Dangerous commands used",
	Severity: High,
	Limit:    "no FLUSHALL, FLUSHDB, KEYS since the server started",
	Why: "FLUSHALL and FLUSHDB delete every queue; KEYS blocks the server while it walks all " +
		"keys (RedisInsight and old admin panels use it).",
	Remedy: "Find out who uses them (CLIENT LIST, ACL LOG) and revoke the permission: ACL " +
		"SETUSER app -@dangerous. CONFIG RESETSTAT sets the counters to 0.",
	Commands: []string{"INFO commandstats"},
	Denied:   "INFO commandstats",
	judge:    judgeDangerousCommands,
}

func judgeDangerousCommands(f *facts) outcome {
	if !f.hasPrefix("cmdstat_") {
		return noInfo("which commands were used")
	}
	var used []string
	worst := Medium
	for _, name := range []string{"flushall", "flushdb", "keys"} {
		if n := infoField(f.info["cmdstat_"+name], "calls"); n > 0 {
			used = append(used, fmt.Sprintf("%s %d times", strings.ToUpper(name), n))
			if name != "keys" {
				worst = High
			}
		}
	}
	if len(used) > 0 {
		return problem("%s %s", strings.Join(used, ", "), f.upFor()).as(worst)
	}
	return ok("none of these %s", f.upFor())
}
