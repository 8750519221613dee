package sentineltest

import (
	"fmt"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// result says what each failover came to, the planned and the unplanned one by itself.
func result(run migration.Run) migration.RunResult {
	out := migration.RunResult{Said: "No failover was measured."}
	names := map[string]string{"planned": "Planned", "automatic": "Unplanned"}
	for _, id := range []string{"planned", "automatic"} {
		a, ok := migration.OutputOf[attempt](run, id)
		if !ok {
			continue
		}
		if !a.measured() {
			out.Compare(names[id]+": new primary", "elected", "not observed", migration.Unknown)
			out.Short = "failover not measured"
			continue
		}
		out.Said = fmt.Sprintf("The primary is %s.", a.NewMaster)
		failover(&out, names[id], a.FailoverFacts)
	}
	return out
}

func failover(out *migration.RunResult, name string, f evidence.FailoverFacts) {
	if f.Kind != "planned" {
		out.Tell(name+": detected after", "%s", migration.Millis(f.DetectMS))
	}
	out.Tell(name+": new primary after", "%s", migration.Millis(f.ElectionMS))
	out.Within(name+": first write", f.FirstWriteMS, evidence.FailoverLimitMS, migration.Millis)
	out.Within(name+": first BullMQ add", f.FirstAddMS, evidence.FailoverLimitMS, migration.Millis)
	if n, was := f.FirstAddMS.Value(); was && n == 0 {
		out.Figures[len(out.Figures)-1].Measured = "adds were never interrupted"
	}
	out.Compare(name+": acknowledged writes lost", "0",
		fmt.Sprintf("%d of %d", f.LostAcknowledged, f.Acknowledged),
		migration.Truth(f.LostAcknowledged == 0))
	if f.Adds == 0 {
		out.Compare(name+": jobs accepted meanwhile", "each runs", "not observed", migration.Unknown)
		return
	}
	out.Compare(name+": jobs accepted meanwhile", "each runs",
		fmt.Sprintf("%d, %d never ran, %d ran again", f.Adds, f.LostAdds, f.RunAgain),
		migration.Truth(f.LostAdds == 0))
}
