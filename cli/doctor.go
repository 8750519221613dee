package cli

import (
	"log/slog"
	"strings"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/doctor"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/plan"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/workflows"
)

type doctorCmd struct {
	Config string `help:"Configuration (YAML)." type:"path" placeholder:"FILE"`
	JSON   bool   `name:"json" help:"Print JSON."`
}

// Help tells what is asked.
func (doctorCmd) Help() string {
	return "Asks every server and service of the configuration whether it is there and lets " +
		"Switchyard in, and says what is missing for which criterion. It changes nothing. What is " +
		"optional (payment providers, notifications) is told too. Exits 2 when the configuration " +
		"has mistakes, and 1 when something is missing or fails. Needs no Switchyard server; where " +
		"its database says that the source was disconnected on purpose, nobody misses that."
}

// examination is what --json prints.
type examination struct {
	Findings []doctor.Finding `json:"findings"`
	// Missing are the keys that are not ok, by criterion.
	Missing map[string][]string `json:"missing"`
}

// Run asks, and prints each answer as it comes.
func (c doctorCmd) Run(s *shell) error {
	cfg, err := config.Load(c.Config, s.getenv)
	if err != nil {
		return err
	}
	p, err := plan.Read(cfg.Migration.PlanFile, workflows.StepIDs())
	if err != nil {
		return err
	}
	target, price := cfg.TargetPlan()
	p = plan.For(p, target, price)
	redisconn.LogTo(slog.New(slog.DiscardHandler)) // what a server answers is told below
	// Nothing was disconnected by one who has kept nothing; who cannot be asked is a finding.
	routing, err := workflows.RoutingOf(s.ctx, cfg)
	if err != nil {
		routing = migration.Routing{Source: migration.SourceStandalone}
	}
	var out examination
	doctor.Examine(s.ctx, cfg, func(f doctor.Finding) {
		f = f.Unmissed(routing)
		out.Findings = append(out.Findings, f)
		if c.JSON {
			return
		}
		tellFinding(s, f)
	})
	if s.ctx.Err() != nil {
		return migration.Errorf(migration.Conflict, "interrupted: not everything was asked")
	}
	out.Missing = doctor.Missing(p, out.Findings)
	if err := printed(s, c.JSON, out, func(t table) {
		t.row("")
		for _, cr := range p.Criteria {
			what := "nothing is missing"
			if keys := out.Missing[cr.ID]; len(keys) > 0 {
				what = "see " + strings.Join(keys, ", ")
			}
			t.row("%s\t%s", cr.ID, what)
		}
	}); err != nil {
		return err
	}
	if n := len(out.Missing); n > 0 {
		return migration.Errorf(migration.Conflict,
			"something is missing for %d of %d criteria", n, len(p.Criteria))
	}
	for _, f := range out.Findings {
		if f.State == doctor.Fails {
			return migration.Errorf(migration.Conflict,
				"%s fails, though no criterion needs it: correct or remove it", f.Key)
		}
	}
	return nil
}

func tellFinding(s *shell, f doctor.Finding) {
	_ = printed(s, false, nil, func(t table) { // a shell that is gone reads nothing
		t.row("%-7s  %s: %s", f.State, f.Key, f.Said)
		if f.Next != "" {
			t.row("         next: %s", f.Next)
		}
	})
}
