package audit

import (
	"fmt"
	"maps"
	"slices"

	"github.com/switchyard-dev/switchyard/audit"
	"github.com/switchyard-dev/switchyard/migration"
)

// result says what the audit found. That it was carried out is not that all is well.
func result(run migration.Run) migration.RunResult {
	reports, ok := migration.OutputOf[[]audit.Report](run, Inspect)
	if !ok || len(reports) == 0 {
		return migration.RunResult{Said: "No server was audited."}
	}
	by, unknown, fine := map[audit.Severity]int{}, 0, 0
	l := migration.ResultList{Title: "Critical and high findings",
		Columns: []string{"Finding", "Server", "Severity", "Found"}}
	for _, r := range reports {
		unknown, fine = unknown+r.Count(audit.Unknown), fine+r.Count(audit.OK)
		for _, f := range r.Problems(audit.Info) {
			by[f.Severity]++
			if f.Severity.AtLeast(audit.High) {
				l.Rows = append(l.Rows, migration.ResultRow{Verdict: migration.Unmet,
					Cells: []string{f.Title, r.Address, string(f.Severity), f.Measured}})
			}
		}
	}
	out := migration.RunResult{Said: fmt.Sprintf("%s audited: %d critical, %d high, %d lesser "+
		"problems, %d unknown.", migration.Count(len(reports), "server"), by[audit.Critical],
		by[audit.High], by[audit.Medium]+by[audit.Low]+by[audit.Info], unknown)}
	switch {
	case by[audit.Critical] > 0:
		out.Short = migration.Count(by[audit.Critical], "critical finding")
	case by[audit.High] > 0:
		out.Short = migration.Count(by[audit.High], "high finding")
	}
	out.None("Critical findings", by[audit.Critical])
	out.None("High findings", by[audit.High])
	out.Tell("Medium and low findings", "%d", by[audit.Medium]+by[audit.Low]+by[audit.Info])
	out.Tell("Unknown", "%d", unknown)
	out.Tell("Checks that pass", "%d", fine)
	if len(l.Rows) > 0 {
		out.Lists = append(out.Lists, l)
	}
	return out
}

// settingsResult says what was set. Every setting was read back before its action was done.
func settingsResult(run migration.Run) migration.RunResult {
	former, ok := migration.OutputOf[formerSettings](run, "set-noeviction")
	if !ok {
		return migration.RunResult{Said: "No setting was changed."}
	}
	asked := map[[2]string]migration.SettingChange{}
	for _, s := range run.Plan.Settings {
		asked[[2]string{s.Node, s.Name}] = s
	}
	l := migration.ResultList{Title: "Settings",
		Columns: []string{"Setting", "Server", "Before", "Now", "After a restart"}}
	for _, node := range slices.Sorted(maps.Keys(former)) {
		for _, name := range slices.Sorted(maps.Keys(former[node])) {
			to, kept := "noeviction", "not observed"
			if s, planned := asked[[2]string{node, name}]; planned {
				to, kept = s.To, "lost: no configuration file"
				if s.Survives {
					kept = "kept"
				}
			}
			l.Rows = append(l.Rows, migration.ResultRow{
				Cells: []string{name, node, former[node][name], to, kept}})
		}
	}
	out := migration.RunResult{
		Said: fmt.Sprintf("%s set and read back on %s.",
			migration.Count(len(l.Rows), "setting"), migration.Count(len(former), "server")),
		Lists: []migration.ResultList{l},
	}
	out.Tell("Settings read back", "%d", len(l.Rows))
	return out
}
