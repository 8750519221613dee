package doctor

import (
	"context"
	"net/http"

	"github.com/switchyard-dev/switchyard/config"
)

// Part is what can be asked alone.
type Part struct {
	ID    string
	Group string // what it belongs to, for people
	Title string
	ask   func(examiner, context.Context) []Finding
	// named says of a server whether the configuration names it; nil: it is none.
	named func(config.Config) bool
}

// Parts are all of them, in the order in which they are asked.
func Parts() []Part {
	const (
		self, source, target, app = "Switchyard", "Old Redis", "Managed Redis", "App"
		payment, notifications    = "Payment providers", "Notifications"
	)
	return []Part{
		{"data", self, "Data folder", examiner.dataDir, nil},
		{"database", self, "Database", examiner.database, nil},
		{"listeners", self, "Addresses", examiner.addresses, nil},
		{"redis-server", self, "Redis for drills", examiner.redisServer, nil},
		{"standalone", source, "Single server", examiner.standalone,
			func(c config.Config) bool { return !c.Source.Standalone.URL.IsZero() }},
		{"sentinel", source, "Sentinel deployment", examiner.sentinel,
			func(c config.Config) bool { return len(c.Source.Sentinel.Addrs) > 0 }},
		{"machines", source, "Machines", examiner.machines, nil},
		{"target", target, "Target", examiner.target,
			func(c config.Config) bool { return !c.Target.URL.IsZero() }},
		{"variables", app, "Variables", examiner.vars, nil},
		{"app", app, "Journals", examiner.app,
			func(c config.Config) bool { return c.Ingestion.URL != "" }},
		{"stripe", payment, "Stripe", examiner.stripe, nil},
		{"shopify", payment, "Shopify", examiner.shopify, nil},
		{"clickfunnels", payment, "ClickFunnels", examiner.clickFunnels, nil},
		{"notifications", notifications, "Channels", examiner.channels, nil},
	}
}

// Ask asks for one part, and takes three times patience at most.
func (p Part) Ask(ctx context.Context, c config.Config) []Finding {
	ctx, cancel := context.WithTimeout(ctx, 3*patience)
	defer cancel()
	return p.ask(examiner{Config: c, http: &http.Client{Timeout: patience}}, ctx)
}
