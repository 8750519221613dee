package environment

import (
	"testing"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
)

// A queue that was added to the configuration in the middle of a cutover starts at off: no move
// back, and no other source, takes it along without its gates.
func TestAMoveBackTakesNoQueueForward(t *testing.T) {
	t.Parallel()
	r := openRig(t, config.Config{Queues: []string{"orders"}})
	ok(t, r.store.CreateFlagSet(t.Context(), migration.FlagSet{ID: mid, MigrationID: mid,
		CreatedBy: "test", CreatedAt: r.clk.now()}))
	set := func(stage migration.Stage, ramp int, source migration.SourceEndpoint) {
		t.Helper()
		_, err := r.Routing.Set(t.Context(), mid,
			migration.Routing{Stage: stage, Ramp: ramp, Source: source}, "test", "test", "")
		ok(t, err)
	}
	want := func(what string, stages ...string) {
		t.Helper()
		all, err := r.Routing.Queues(t.Context(), mid)
		ok(t, err)
		for i, q := range all {
			if q.Routing.String() != stages[i] {
				t.Errorf("%s: %s is at %s, want %s", what, q.Queue, q.Routing, stages[i])
			}
		}
	}
	set(migration.StageLive, 50, migration.SourceStandalone)
	r.Routing.queues = append(r.Routing.queues, "refunds")
	want("a queue without flags", "live at 50 %", "off")
	set(migration.StageLive, 50, migration.SourceSentinel)
	want("another source", "live at 50 %", "off")
	set(migration.StageLive, 10, migration.SourceSentinel)
	want("a smaller share", "live at 10 %", "off")
	set(migration.StageShadow, 0, migration.SourceSentinel)
	want("back to shadow", "shadow", "off")
	set(migration.StageOff, 0, migration.SourceSentinel)
	want("back to off", "off", "off")
	set(migration.StageDualWrite, 0, migration.SourceSentinel)
	want("and forward together", "dual write", "dual write")
	set(migration.StageOff, 0, migration.SourceSentinel)
	want("and back together", "off", "off")
}
