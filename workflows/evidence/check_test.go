package evidence

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

// row is facts, and what they amount to. Unknown stands for an error of the judge.
type row struct {
	rule, facts string
	want        migration.Verdict
	says        string
}

// rows are the tests of each check's judge; they are next to the check's file.
var rows = map[string][]row{
	Policy:      policyRows,
	Audit:       auditRows,
	Readiness:   readinessRows,
	Failover:    failoverRows,
	TargetPlan:  targetPlanRows,
	TargetConn:  targetConnRows,
	Attestation: attestationRows,
	Intake:      intakeRows,
	Scan:        scanRows,
	Drill:       drillRows,
	Retries:     retriesRows,
	DualWrite:   dualWriteRows,
	Rollback:    rollbackRows,
	Residue:     residueRows,
	Ledger:      ledgerRows,
	Quiet:       quietRows,
	Fence:       fenceRows,
	Backup:      backupRows,
	Off:         offRows,
}

func TestJudges(t *testing.T) {
	t.Parallel()
	for _, check := range All() {
		for _, row := range rows[check.ID] {
			t.Run(check.ID+": "+row.rule, func(t *testing.T) {
				t.Parallel()
				met, says, err := check.Judge(json.RawMessage(row.facts))
				got := migration.Unmet
				switch {
				case err != nil:
					got, says = migration.Unknown, err.Error()
				case met:
					got = migration.Met
				}
				if got != row.want || !strings.Contains(says, row.says) {
					t.Errorf("%s: %s (%v), want %s: %s", got, says, err, row.want, row.says)
				}
			})
		}
	}
}

// neverSays are the verdicts that a judge has no facts for.
var neverSays = map[string]migration.Verdict{
	TargetPlan: migration.Unknown, // whatever is not known of the plan is wrong
}

func TestEveryCheckIsComplete(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, c := range All() {
		if c.ID == "" || seen[c.ID] {
			t.Errorf("id %q is missing or used twice", c.ID)
		}
		seen[c.ID] = true
		if c.Title == "" || c.Limit == "" || c.Next == "" || c.rule == nil || c.covers == nil {
			t.Errorf("%s lacks a title, a limit, a next action, a rule or whom it covers", c.ID)
			continue
		}
		found := map[migration.Verdict]bool{}
		for _, row := range rows[c.ID] {
			found[row.want] = true
		}
		for _, v := range []migration.Verdict{migration.Met, migration.Unmet, migration.Unknown} {
			if found[v] == (neverSays[c.ID] == v) {
				t.Errorf("%s: rows for %v only", c.ID, found)
			}
		}
	}
	for id := range rows {
		if !seen[id] {
			t.Errorf("rows for %q, which is not in the list of checks", id)
		}
	}
}

// Facts with a field that the type lacks, half of a document, two and none are an error, also
// where the rest would be met.
func TestEveryJudgeRejectsFactsThatItCannotRead(t *testing.T) {
	t.Parallel()
	for _, c := range All() {
		for _, row := range rows[c.ID] {
			if row.want != migration.Met {
				continue
			}
			strange := `{"trust_me":true,` + strings.TrimPrefix(row.facts, "{")
			for _, facts := range []string{
				strange, row.facts[:len(row.facts)/2], row.facts + row.facts, "null", " null ", "",
			} {
				raw := json.RawMessage(facts)
				if _, _, err := c.Judge(raw); !errors.Is(err, errForm) {
					t.Errorf("%s reads %s", c.ID, facts)
				}
				if asked := c.Asked(raw, nil, noon); len(asked.Members) > 0 {
					t.Errorf("%s covers %s by %s", c.ID, asked, facts)
				}
			}
		}
	}
}

// Whatever is stored by mistake: nothing, the wrong shape or half a document never counts
// as met.
func TestNoCheckIsMetByFactsThatSayNothing(t *testing.T) {
	t.Parallel()
	nulls := `{"nodes":null,"checks":null,"cases":null,"servers":null,"queues":null,
		"producers":null}`
	for _, c := range All() {
		for _, facts := range []string{
			``, `null`, `{}`, `[]`, `""`, `true`, `{"met":true}`, nulls, `{`,
		} {
			if met, _, _ := c.Judge(json.RawMessage(facts)); met {
				t.Errorf("%s is met by %q", c.ID, facts)
			}
		}
	}
}

func TestChecksAreFoundByTheirIDs(t *testing.T) {
	t.Parallel()
	if ids := IDs(); len(ids) != len(All()) || !slices.IsSorted(ids) {
		t.Errorf("ids %q", ids)
	}
	for _, id := range IDs() {
		if c, ok := Of(id); !ok || c.ID != id {
			t.Errorf("%s is %q", id, c.ID)
		}
	}
	if _, ok := Of("no-such-check"); ok {
		t.Error("an unknown check exists")
	}
}

// What the app says is never more than attested, also where an earlier version stored it as
// observed.
func TestTheAppsWordIsNeverObserved(t *testing.T) {
	t.Parallel()
	for _, id := range []string{Attestation, Intake, Ledger, Retries, DualWrite} {
		c, _ := Of(id)
		for _, p := range []migration.Proof{migration.Observed, migration.Attested} {
			if got := c.Basis(p); got != migration.Attested {
				t.Errorf("%s stored as %s counts as %s", id, p, got)
			}
		}
		if got := c.Basis(migration.Documented); got != migration.Documented {
			t.Errorf("%s: what is documented counts as %s", id, got)
		}
		plan := migration.Plan{Criteria: []migration.Criterion{{ID: "c",
			Requires: []migration.Requirement{{Check: id}}}}}
		found := Evaluate(plan, Basis{At: time.Now(), Latest: map[string]migration.Evidence{
			id: {Check: id, Proof: migration.Observed, Facts: json.RawMessage(`{}`)},
		}})[0].Findings[0]
		if found.Evidence.Proof != migration.Attested {
			t.Errorf("%s is shown as %s", id, found.Evidence.Proof)
		}
	}
	if c, _ := Of(Policy); c.Basis(migration.Observed) != migration.Observed {
		t.Error("what was measured is not observed")
	}
}

func TestACheckPrecedesItsStageAndAllThatFollow(t *testing.T) {
	t.Parallel()
	before, later := Check{Before: migration.StageShadow}, Check{}
	for _, s := range migration.Stages() {
		want := s.Index() >= migration.StageShadow.Index()
		if before.Precedes(s) != want || later.Precedes(s) {
			t.Errorf("%s: %v; a check of no stage: %v", s, before.Precedes(s), later.Precedes(s))
		}
	}
}

// Who can do something about it is told what; what the monitor looks at by itself needs nobody.
func TestWhatCannotBeReadSaysHowItIsShownAgain(t *testing.T) {
	t.Parallel()
	for _, c := range All() {
		for facts, want := range map[string]string{"{": c.Again(), `{"strange":1}`: c.Again()} {
			f := Find(c.ID, basis(noon, latest(seen(c.ID, facts, time.Minute)), nil))
			if f.Next != want || c.Watched != strings.HasPrefix(want, "Switchyard looks again") ||
				!c.Watched && want != c.Next {
				t.Errorf("%s: %s", c.ID, f.Next)
			}
		}
		for _, row := range rows[c.ID] {
			f := Find(c.ID, basis(noon, latest(seen(c.ID, row.facts, time.Minute)), nil))
			want := c.Next
			if f.Verdict == met {
				want = ""
			}
			if f.Next != want {
				t.Errorf("%s: %s is %s: %q", c.ID, row.rule, f.Verdict, f.Next)
			}
		}
	}
}
