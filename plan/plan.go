// Package plan reads migration plans from YAML. The initiative that Switchyard was built
// for is embedded as the default.
package plan

import (
	_ "embed"
	"fmt"
	"os"

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

// Initiative returns the text of the embedded plan, for export and as an example to start from.
func Initiative() []byte { return initiative }
