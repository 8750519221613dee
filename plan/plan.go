// Package plan reads migration plans from YAML. The initiative that Switchyard was built
// for is embedded as the default.
package plan

import (
	_ "embed"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

//go:embed initiative.yaml
var initiative []byte

// Parse reads a plan and validates it against the workflows and the checks there are.
// Unknown keys, unknown checks and unknown steps are Invalid, each named, with the line
// where YAML itself is wrong.
func Parse(text []byte, workflows []string) (migration.Plan, error) {
	var p migration.Plan
	if err := yaml.UnmarshalWithOptions(text, &p, yaml.DisallowUnknownField()); err != nil {
		return p, migration.Errorf(
			migration.Invalid,
			"the plan is not readable: %s",
			yaml.FormatError(err, false, true),
		)
	}
	return p, p.Validate(workflows, evidence.IDs())
}

// Read reads a plan from a file; an empty path gives the embedded initiative.
func Read(path string, workflows []string) (migration.Plan, error) {
	if path == "" {
		return Parse(initiative, workflows)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return migration.Plan{}, migration.Errorf(migration.Invalid, "plan file: %w", err)
	}
	p, err := Parse(text, workflows)
	if err != nil {
		return p, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

// For gives a plan for a target: {target} in titles and reasons is the target's plan, such as
// Fixed 1 GB, and {target_cost} what that costs a month, in dollars.
func For(p migration.Plan, target string, monthlyUSD float64) migration.Plan {
	cost := "free"
	if monthlyUSD > 0 {
		cost = "$" + strconv.FormatFloat(monthlyUSD, 'f', -1, 64) + " a month"
	}
	fill := strings.NewReplacer("{target}", target, "{target_cost}", cost).Replace
	p.Criteria, p.Steps = slices.Clone(p.Criteria), slices.Clone(p.Steps)
	for i, c := range p.Criteria {
		p.Criteria[i].Title, p.Criteria[i].Why = fill(c.Title), fill(c.Why)
	}
	for i, s := range p.Steps {
		p.Steps[i].Title, p.Steps[i].Why, p.Steps[i].Cost = fill(s.Title), fill(s.Why), fill(s.Cost)
	}
	return p
}

// Initiative returns the text of the embedded plan, for export and as an example to start from.
func Initiative() []byte { return initiative }
