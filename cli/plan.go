package cli

import (
	"github.com/switchyard-dev/switchyard/plan"
	"github.com/switchyard-dev/switchyard/workflows"
)

type planCmd struct {
	Check planCheckCmd `cmd:"" help:"Check a plan file and name every mistake in it."`
	Show  planShowCmd  `cmd:"" help:"Print the embedded plan, to start your own from."`
}

type planCheckCmd struct {
	File string `arg:"" help:"Plan file (YAML)." type:"path"`
}

// Run checks a plan.
func (c planCheckCmd) Run(s *shell) error {
	p, err := plan.Read(c.File, workflows.StepIDs())
	if err != nil {
		return err
	}
	return printed(s, false, nil, func(t table) {
		t.row("%s: %d criteria, %s, %s: no mistake found", p.Name, len(p.Criteria),
			count(len(p.Steps), "step"), count(len(p.Milestones), "milestone"))
	})
}

type planShowCmd struct{}

// Run prints the embedded plan.
func (planShowCmd) Run(s *shell) error {
	_, err := s.stdout.Write(plan.Initiative())
	return err
}
