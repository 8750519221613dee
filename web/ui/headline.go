package ui

import (
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/static"
)

// headlineStatus is a headline's level as a chip.
func headlineStatus(h migration.Headline) Status {
	switch h.Level {
	case migration.Calm:
		return OK("Calm")
	case migration.Incident:
		return Bad("Incident")
	case migration.Attention:
	}
	return Warn("Attention")
}

// Badge is what the title of a page begins with, so that a tab in the background tells.
func Badge(h *migration.Headline) string {
	switch {
	case h == nil:
		return ""
	case h.Level == migration.Incident:
		return "(!) "
	case h.Level == migration.Attention:
		return "(·) "
	}
	return ""
}

// favicon is the icon of a tab, with a dot while somebody has to look.
func favicon(h *migration.Headline) string {
	if h != nil && h.Level == migration.Incident {
		return static.URL("logo-incident.svg")
	}
	if h != nil && h.Level == migration.Attention {
		return static.URL("logo-attention.svg")
	}
	return static.URL("logo.svg")
}

// headlinePages is where the kinds of alerts are looked at.
var headlinePages = map[string][]string{
	"outage": {"outage"}, "intake": {"outage"}, "ledger": {"ledger"},
	"guardrails": {"steps", migration.StepCutover}, "audit": {"redis-audit"},
	"capacity": {"capacity"},
}

// headlineURL is the page to go to first; the alerts' page has everything else.
func headlineURL(mid string, h migration.Headline) string {
	_, rest, _ := strings.Cut(h.About, "/")
	kind, rest, _ := strings.Cut(rest, "/")
	if kind == "criterion" && rest != "" {
		return URL(mid, "evidence", rest)
	}
	if path, ok := headlinePages[kind]; ok {
		return URL(mid, path...)
	}
	return URL(mid, "alerts")
}

// Until says how long it is until t, or how long ago it was. The script of the page keeps it
// true; both use the same words.
func Until(now, t time.Time) string {
	d := t.Sub(now)
	if d < 0 {
		return migration.Words(-d.Truncate(time.Second)) + " ago"
	}
	return "in " + migration.Words(d.Truncate(time.Second))
}
