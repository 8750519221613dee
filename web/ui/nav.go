package ui

import "github.com/switchyard-dev/switchyard/migration"

// Place is a page that can be gone to from everywhere.
type Place struct {
	Section string // what Frame.Section names it by
	Label   string
	Icon    string // of static/icons.svg
	Path    string
	Key     string // after g; "": none
}

// group is a part of the navigation.
type group struct {
	title  string
	places []Place
}

func groups(mid string) []group {
	cutover := StepURL(mid, migration.StepCutover, migration.Params{})
	return []group{
		{"Migration", []Place{
			{"overview", "Overview", "layout-dashboard", URL(mid), "o"},
			{migration.StepCutover, "Cutover", "route", cutover, "c"},
			{"runs", "Runs", "history", URL(mid, "runs"), "r"},
			{"plan", "Plan", "calendar-days", URL(mid, "plan"), "p"},
			{"report", "Report", "scroll-text", URL(mid, "report"), "t"},
		}},
		{"Evidence", []Place{
			{"ledger", "Order ledger", "list-checks", URL(mid, "ledger"), "l"},
			{"breaker", "Circuit breaker", "zap", URL(mid, "breaker"), "b"},
			{"outage", "Retry deadlines", "clock", URL(mid, "outage"), "d"},
		}},
		{"Operations", []Place{
			{"queues", "Queues", "layers", URL(mid, "queues"), "q"},
			{"flags", "Flags", "flag", URL(mid, "flags"), "f"},
			{"alerts", "Alerts", "bell", URL(mid, "alerts"), "a"},
			{"capacity", "Cost & capacity", "gauge", URL(mid, "capacity"), "m"},
		}},
		{"Administration", []Place{
			{"setup", "Set-up", "plug", URL(mid, "setup"), "s"},
			{"people", "People and keys", "users", URL(mid, "people"), "e"},
			{"audit", "Audit log", "scroll-text", URL(mid, "audit"), "u"},
		}},
	}
}

// Places are all pages of a migration that are about no single thing: those of the navigation,
// and those that other pages lead to.
func Places(mid string) (all []Place) {
	for _, g := range groups(mid) {
		all = append(all, g.places...)
	}
	return append(all,
		Place{"search", "Search", "search", URL(mid, "search"), ""},
		Place{"queues", "Find a job", "layers", URL(mid, "jobs"), ""},
		Place{"overview", "Cutover readiness report", "route", URL(mid, "cutover-report"), ""},
		Place{"overview", "Redis audit", "list-checks", URL(mid, "redis-audit"), ""},
		Place{"flags", "Flag history", "flag", URL(mid, "flags", "history"), ""},
		Place{"flags", "Scheduled flag changes", "flag", URL(mid, "flags", "schedules"), ""},
		Place{"flags", "Flag workers", "flag", URL(mid, "flags", "workers"), ""},
		Place{"flags", "Flag keys (API keys)", "flag", URL(mid, "flags", "keys"), ""},
		Place{"audit", "Notifications", "bell", URL(mid, "notifications"), ""},
		Place{"plan", "Runbooks", "calendar-days", URL(mid, "runbooks"), ""},
		Place{"settings", "Settings: theme, density, times, shortcuts", "sliders-horizontal",
			URL(mid, "settings"), ""},
	)
}
