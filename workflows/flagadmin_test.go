package workflows

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/fleet"
	"github.com/switchyard-dev/switchyard/migration"
)

const plainFlag = `{"state":"ENABLED","variants":{"on":true,"off":false},"defaultVariant":"off"}`

// openFlags is a Control whose migration has its routing flags, and accounts to act with.
func openFlags(t *testing.T) *bench {
	t.Helper()
	b := openBench(t, settings(t.TempDir()), planOf(false))
	_, err := b.env.Routing.Set(t.Context(), mid, migration.Routing{Stage: migration.StageOff, Source: migration.SourceStandalone}, "test", "start", "")
	ok(t, err)
	ok(t, b.store.CreateUser(t.Context(), ada.Name, ada.Role, "x", b.now()))
	return b
}

func edit(key, definition string) migration.FlagEdit {
	return migration.FlagEdit{Flags: map[string]json.RawMessage{key: json.RawMessage(definition)}, Reason: "because"}
}

func TestOnlyStepsChangeManagedFlags(t *testing.T) {
	t.Parallel()
	b := openFlags(t)
	_, err := b.EditFlags(t.Context(), ada, mid, "", edit("order-ingestion-stage", "null"))
	wantKind(t, err, migration.Forbidden, "cutover")
	_, err = b.EditFlags(t.Context(), ada, mid, "", edit("mine", `{"state":"ENABLED","variants":{"a":1},"defaultVariant":"a","metadata":{"managedBy":"cutover"}}`))
	wantKind(t, err, migration.Invalid, "managedBy")
	// A whole document leaves them as they are, whatever it says.
	_, err = b.EditFlags(t.Context(), ada, mid, "", migration.FlagEdit{Document: json.RawMessage(`{"flags":{"mine":` + plainFlag + `}}`), Reason: "import"})
	ok(t, err)
	v, err := b.FlagSet(t.Context(), mid, "")
	ok(t, err)
	if len(v.Flags) != 5 {
		t.Errorf("%d flags, want mine and the four managed ones", len(v.Flags))
	}
	r, err := b.env.Routing.Read(t.Context(), mid)
	ok(t, err)
	if r.Stage != migration.StageOff || r.Revision != 2 {
		t.Errorf("routing %+v", r)
	}
}

func TestAChangeMadeFromAnOlderRevisionIsRefusedAndNamesWhoWasFaster(t *testing.T) {
	t.Parallel()
	b := openFlags(t)
	_, err := b.EditFlags(t.Context(), bob, mid, "", edit("a", plainFlag))
	ok(t, err)
	late := edit("b", plainFlag)
	late.Base = 1
	_, err = b.EditFlags(t.Context(), ada, mid, "", late)
	wantKind(t, err, migration.Conflict, "bob")
}

func TestAMigrationFlagMovesForwardOnlyOnceEveryReaderHoldsTheRevision(t *testing.T) {
	t.Parallel()
	b := openFlags(t)
	at := func(stage string) string {
		return `{"state":"ENABLED","variants":{"off":"off","dualwrite":"dualwrite","shadow":"shadow","live":"live","rampdown":"rampdown","complete":"complete"},"defaultVariant":"` + stage + `","metadata":{"type":"migration"}}`
	}
	_, err := b.EditFlags(t.Context(), ada, mid, "", edit("sink", at("off")))
	ok(t, err)
	b.time.advance(time.Minute) // warm
	say := func(revision int64) {
		ok(t, b.readers.Fleet.Attest(fleet.Attestation{Service: "s", Instance: "web.1", Revision: revision}, fleet.Who{Set: mid}))
	}
	say(1)
	_, err = b.EditFlags(t.Context(), ada, mid, "", edit("sink", at("dualwrite")))
	wantKind(t, err, migration.Blocked, "web.1 (on flag revision 1)")
	check, err := b.CheckFlags(t.Context(), mid, "", edit("sink", at("dualwrite")))
	ok(t, err)
	if len(check.Gates) != 1 || check.Gates[0].OK {
		t.Errorf("gates %+v", check.Gates)
	}
	say(2)
	_, err = b.EditFlags(t.Context(), ada, mid, "", edit("sink", at("dualwrite")))
	ok(t, err)
	_, err = b.EditFlags(t.Context(), ada, mid, "", edit("sink", at("live")))
	if err == nil {
		t.Error("a stage was skipped")
	}
	_, err = b.EditFlags(t.Context(), ada, mid, "", edit("sink", at("off"))) // back needs nobody
	ok(t, err)
}

func TestAScheduledChangeHappensOnceWhenItIsDue(t *testing.T) {
	t.Parallel()
	b := openFlags(t)
	e := edit("a", plainFlag)
	s, err := b.ScheduleFlags(t.Context(), ada, mid, migration.FlagSchedule{At: b.now().Add(time.Hour), Edit: &e})
	ok(t, err)
	_, err = b.ScheduleFlags(t.Context(), ada, mid, migration.FlagSchedule{At: b.now().Add(-time.Hour), Edit: &e})
	wantKind(t, err, migration.Invalid, "at:")
	if wait := b.dueSchedules(t.Context()); wait <= 0 {
		t.Errorf("waits %s", wait)
	}
	b.time.advance(time.Hour + time.Second)
	b.dueSchedules(t.Context())
	b.dueSchedules(t.Context())
	all, err := b.FlagSchedules(t.Context(), mid, "")
	ok(t, err)
	if len(all) != 1 || all[0].State != migration.ScheduleDone || all[0].Result != "revision 2" {
		t.Errorf("schedules %+v", all)
	}
	v, err := b.FlagSet(t.Context(), mid, "")
	ok(t, err)
	if v.Revision != 2 {
		t.Errorf("revision %d", v.Revision)
	}
	wantKind(t, b.CancelFlagSchedule(t.Context(), ada, mid, s.ID), migration.Conflict)
}

func TestAScheduledChangeThatWasMissedIsNotMadeUpFor(t *testing.T) {
	t.Parallel()
	b := openFlags(t)
	e := edit("a", plainFlag)
	_, err := b.ScheduleFlags(t.Context(), ada, mid, migration.FlagSchedule{At: b.now().Add(time.Hour), Edit: &e})
	ok(t, err)
	b.time.advance(2 * time.Hour)
	b.dueSchedules(t.Context())
	all, err := b.FlagSchedules(t.Context(), mid, "")
	ok(t, err)
	if all[0].State != migration.ScheduleFailed || !strings.Contains(all[0].Result, "missed") {
		t.Errorf("schedules %+v", all)
	}
}

func TestAScheduledMoveWhoseGatesDoNotHoldMovesNothing(t *testing.T) {
	t.Parallel()
	b := openFlags(t)
	_, err := b.ScheduleFlags(t.Context(), ada, mid, migration.FlagSchedule{At: b.now().Add(time.Minute), Move: &migration.StageMove{To: migration.StageLive, Ramp: 25}})
	ok(t, err)
	b.time.advance(2 * time.Minute)
	b.dueSchedules(t.Context())
	all, err := b.FlagSchedules(t.Context(), mid, "")
	ok(t, err)
	if all[0].State != migration.ScheduleFailed || all[0].Result == "" {
		t.Errorf("schedules %+v", all)
	}
	r, err := b.env.Routing.Read(t.Context(), mid)
	ok(t, err)
	if r.Stage != migration.StageOff {
		t.Errorf("routing %+v", r)
	}
}

func TestViewersChangeNoFlagAndTheAttemptIsInTheAuditLog(t *testing.T) {
	t.Parallel()
	b := openFlags(t)
	lee := migration.Actor{Name: "lee", Role: migration.RoleViewer}
	_, err := b.EditFlags(t.Context(), lee, mid, "", edit("a", plainFlag))
	wantKind(t, err, migration.Forbidden)
	_, _, err = b.CreateAPIKey(t.Context(), lee, mid, "", "k", 0)
	wantKind(t, err, migration.Forbidden)
	log, err := b.Audit(t.Context(), AuditFilter{Limit: 10})
	ok(t, err)
	if len(log) != 2 || log[1].Action != "flags-edit" || log[1].Result != "refused" || log[1].Actor != "lee" {
		t.Errorf("audit %+v", log)
	}
}

func TestAScheduledChangeOverwritesNothingThatWasChangedMeanwhile(t *testing.T) {
	t.Parallel()
	b := openFlags(t)
	whole, err := b.RollbackEdit(t.Context(), mid, "", 1)
	ok(t, err)
	_, err = b.EditFlags(t.Context(), ada, mid, "", edit("a", plainFlag))
	ok(t, err)
	whole.Base, whole.Reason = 2, "back"
	_, err = b.ScheduleFlags(t.Context(), ada, mid, migration.FlagSchedule{At: b.now().Add(time.Hour), Edit: &whole})
	ok(t, err)
	other := edit("b", plainFlag)
	other.Base = 2
	_, err = b.ScheduleFlags(t.Context(), ada, mid, migration.FlagSchedule{At: b.now().Add(time.Hour), Edit: &other})
	ok(t, err)
	_, err = b.EditFlags(t.Context(), bob, mid, "", edit("theirs", plainFlag))
	ok(t, err)
	b.time.advance(time.Hour + time.Second)
	b.dueSchedules(t.Context())
	all, err := b.FlagSchedules(t.Context(), mid, "")
	ok(t, err)
	for _, s := range all {
		want := migration.ScheduleDone // it touches another flag
		if len(s.Edit.Document) > 0 {
			want = migration.ScheduleFailed
		}
		if s.State != want {
			t.Errorf("schedule of %v: %s (%s), want %s", s.Edit.Flags, s.State, s.Result, want)
		}
	}
	v, err := b.FlagSet(t.Context(), mid, "")
	ok(t, err)
	if len(v.Flags) != 4+3 {
		t.Errorf("%d flags, want the managed ones, a, b and theirs", len(v.Flags))
	}
}
