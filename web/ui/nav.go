package ui

import "github.com/switchyard-dev/switchyard/migration"

// place is an entry of the navigation.
type place struct {
	section string // what Frame.Section names it by
	label   string
	icon    string // of static/icons.svg
	path    string
}

func places(mid string) []place {
	return []place{
		{"overview", "Overview", "layout-dashboard", URL(mid)},
		{
			migration.StepCutover,
			"Cutover",
			"route",
			StepURL(mid, migration.StepCutover, migration.Params{}),
		},
		{"queues", "Queues", "layers", URL(mid, "queues")},
		{"ledger", "Order ledger", "list-checks", URL(mid, "ledger")},
		{"flags", "Flags", "flag", URL(mid, "flags")},
		{"breaker", "Circuit breaker", "zap", URL(mid, "breaker")},
		{"outage", "Retry deadlines", "clock", URL(mid, "outage")},
		{"capacity", "Cost & capacity", "gauge", URL(mid, "capacity")},
		{"plan", "Plan", "calendar-days", URL(mid, "plan")},
		{"report", "Report", "scroll-text", URL(mid, "report")},
		{"setup", "Set-up", "plug", URL(mid, "setup")},
		{"audit", "Audit log", "scroll-text", URL(mid, "audit")},
	}
}
