package migrationpages

import (
	"strconv"

	"github.com/switchyard-dev/switchyard/migration"
)

func startCLI(step string, p migration.Params) string {
	cmd := "switchyard step start " + step
	if p.To != "" {
		cmd += " --to " + string(p.To)
	}
	if p.Ramp != 0 {
		cmd += " --ramp " + strconv.Itoa(p.Ramp)
	}
	return cmd
}

func runCLI(verb, id string) string { return "switchyard run " + verb + " " + id }

func approveCLI(v Run) string {
	cmd := runCLI("approve", v.Run.ID)
	if a, ok := v.Run.Waiting(); ok {
		cmd += " --action " + a.ID
	}
	if v.Run.Needs() == migration.ApprovalTwo {
		cmd += " --confirm-name " + strconv.Quote(v.MigrationName)
	}
	return cmd
}

func nextCLI(n migration.NextStep) string {
	switch n.Verb {
	case "approve":
		return runCLI("approve", n.RunID)
	case "watch":
		return runCLI("show", n.RunID)
	case "scan":
		return "switchyard scan DIR --submit"
	}
	return startCLI(n.Step, n.Params)
}

// exportCLI prints the same as the link.
const exportCLI = "switchyard export terraform"
