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
}

// Parts are all of them, in the order in which they are asked.
func Parts() []Part {
	const self, source, target, app = "Switchyard", "Old Redis", "Managed Redis", "App"
	return []Part{
		{"data", self, "Data folder", examiner.dataDir},
		{"database", self, "Database", examiner.database},
		{"listeners", self, "Addresses", examiner.addresses},
		{"redis-server", self, "Redis for drills", examiner.redisServer},
		{"standalone", source, "Single server", examiner.standalone},
		{"sentinel", source, "Sentinel deployment", examiner.sentinel},
		{"machines", source, "Machines", examiner.machines},
		{"target", target, "Target", examiner.target},
		{"variables", app, "Variables", examiner.vars},
		{"app", app, "Journals", examiner.app},
	}
}

// Ask asks for one part, and takes three times patience at most.
func (p Part) Ask(ctx context.Context, c config.Config) []Finding {
	ctx, cancel := context.WithTimeout(ctx, 3*patience)
	defer cancel()
	return p.ask(examiner{Config: c, http: &http.Client{Timeout: patience}}, ctx)
}
