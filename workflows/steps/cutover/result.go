package cutover

import (
	"fmt"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

// switched is how long every worker took to use the new flags.
type switched struct {
	Workers int              `json:"workers"`
	MS      migration.Figure `json:"ms"`
}

// watched is what came in while the stage settled.
type watched struct {
	Orders int `json:"orders"` // acknowledged
	// Routed of them have a job, and OnTarget of these on the target; Done of those took effect.
	Routed    int   `json:"routed"`
	OnTarget  int   `json:"on_target"`
	Done      int   `json:"done"`
	WatchedMS int64 `json:"watched_ms"`
	// Guardrails are as they were judged last.
	Guardrails []migration.Guardrail `json:"guardrails,omitempty"`
}

// result says what a move came to.
func result(run migration.Run) migration.RunResult {
	move := run.Params.Move()
	former, known := migration.OutputOf[migration.Routing](run, "set-flags")
	if !known {
		return migration.RunResult{Said: "The stage flag was not set."}
	}
	out := migration.RunResult{Said: fmt.Sprintf("The queue went from %s to %s.", former, move)}
	back := !former.Forward(move)
	took, ok := migration.OutputOf[switched](run, "await-workers")
	switch {
	case back && ok:
		out.Compare("Workers switched back", "about 1 s", took.MS.Text(migration.Millis), "")
		out.Tell("Workers", "%d", took.Workers)
	case ok && took.Workers > 0: // else it only has guardrails yet
		out.Tell("Workers switched", "%s", took.MS.Text(migration.Millis))
		out.Tell("Workers", "%d", took.Workers)
	}
	if back {
		return out
	}
	seen, ok := migration.OutputOf[watched](run, "soak")
	if !ok {
		out.Tell("Orders under the stage", "%s", migration.Figure{}.Text(nil))
		return out
	}
	share(&out, run.Params, seen)
	out.Tell("Orders under the stage", "%d in %s", seen.Orders,
		migration.Words(time.Duration(seen.WatchedMS)*time.Millisecond))
	if seen.Done > 0 { // not recorded by runs of older versions
		out.Tell("Processed with the target as primary", "%d", seen.Done)
	}
	if run.State == migration.RunSucceeded {
		kept := migration.Truth(true)
		if seen.Orders == 0 {
			kept = migration.Unknown
			out.Short = "no order seen"
		}
		out.Compare("Lost, processed twice or different", "0", "0", kept)
		if seen.Orders == 0 {
			out.Figures[len(out.Figures)-1].Measured = "not observed: no order came"
		}
	}
	return out
}

// share compares what was asked for with what came. So few orders do not hit a share exactly, so
// it is shown and not judged, but where all or none was asked for.
func share(out *migration.RunResult, p migration.Params, seen watched) {
	asked := map[migration.Stage]int{migration.StageRampDown: 100, migration.StageComplete: 100}[p.To]
	if p.To == migration.StageLive {
		asked = p.Ramp
	}
	measured, kept := "not observed: no order came", migration.Unknown
	if seen.Routed > 0 {
		measured = fmt.Sprintf("%.1f %% (%d of %s)", 100*float64(seen.OnTarget)/float64(seen.Routed),
			seen.OnTarget, migration.Count(seen.Routed, "order"))
		kept = ""
		if asked == 0 || asked == 100 {
			kept = migration.Truth(seen.OnTarget*100 == asked*seen.Routed)
		}
	}
	out.Compare("Orders with the target as primary", fmt.Sprintf("%d %%", asked), measured, kept)
}
