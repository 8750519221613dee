package plan_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/plan"
)

var workflows = []string{"audit", "fix-policy", "sentinel-move", "sentinel-test", "provision", "breaker-drill", "webhook-retry", "cutover", "dual-write-validation",
	"move-queues", "move-residue", "decommission"}

// small is a valid plan; rows below spoil one place of it.
const small = `name: Small
criteria:
  - id: noeviction
    title: No eviction
    requires:
      - { check: maxmemory-policy, max_age: 15m, until: gone }
  - id: gone
    title: Gone
    requires:
      - { check: source-off }
steps:
  - { id: audit, title: Audit, proves: [noeviction] }
  - { id: decommission, title: Decommission, needs: [audit], proves: [gone] }
milestones:
  - { title: Audited, at: -336h, step: audit }
`

func TestTheEmbeddedPlanIsValidAndHoldsTheInitiativesCriteria(t *testing.T) {
	t.Parallel()
	p, err := plan.Read("", workflows)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, c := range p.Criteria {
		ids = append(ids, c.ID)
		if c.Title == "" || c.Why == "" {
			t.Errorf("criterion %s lacks a title or a reason", c.ID)
		}
	}
	want := "noeviction sentinel-failover target-provisioned circuit-breaker parallel-validated source-decommissioned webhook-retry"
	if got := strings.Join(ids, " "); got != want {
		t.Errorf("criteria %s, want %s", got, want)
	}
	used := map[string]bool{}
	for _, s := range p.Steps {
		used[s.ID] = true
		if s.Title == "" || s.Why == "" {
			t.Errorf("step %s lacks a title or a reason", s.ID)
		}
	}
	for _, w := range workflows {
		if !used[w] {
			t.Errorf("the workflow %s is no step of the plan", w)
		}
	}
	if len(p.Milestones) == 0 || len(p.Costs) == 0 || len(p.Risks) == 0 || len(p.Eliminated) < 3 {
		t.Error("milestones, costs, risks or decision records are missing")
	}
}

func TestAPlanReadsDurationsListsAndMilestonesBeforeTheEvent(t *testing.T) {
	t.Parallel()
	p, err := plan.Parse([]byte(small), workflows)
	if err != nil {
		t.Fatal(err)
	}
	r := p.Criteria[0].Requires[0]
	if r.Check != "maxmemory-policy" || r.MaxAge != 15*time.Minute || r.Until != "gone" {
		t.Errorf("requirement %+v", r)
	}
	if p.Milestones[0].At != -14*24*time.Hour {
		t.Errorf("milestone at %s", p.Milestones[0].At)
	}
	if s, ok := p.Step("decommission"); !ok || len(s.Needs) != 1 || s.Needs[0] != "audit" {
		t.Errorf("step %+v", s)
	}
	if _, ok := p.Step("no-such-step"); ok {
		t.Error("a step that the plan lacks was found")
	}
}

func TestMistakesAreNamed(t *testing.T) {
	t.Parallel()
	for rule, c := range map[string]struct{ old, spoilt, says string }{
		"an unknown check":                           {"check: source-off", "check: source-on", `unknown check "source-on"`},
		"an unknown check lists the known ones":      {"check: source-off", "check: source-on", "maxmemory-policy"},
		"a missing check":                            {"{ check: source-off }", "{ max_age: 1h }", `criteria.gone.requires: unknown check ""`},
		"an unknown key at the top":                  {"name: Small", "name: Small\nsevereity: high", "severeity"},
		"an unknown key of a criterion":              {"    title: Gone", "    titel: Gone", "titel"},
		"an unknown key of a requirement":            {"max_age: 15m", "maxage: 15m", "maxage"},
		"an unknown step":                            {"id: audit, ", "id: adit, ", `unknown step "adit"`},
		"an unknown step lists the known ones":       {"id: audit, ", "id: adit, ", "breaker-drill"},
		"a doubled step":                             {"{ id: decommission, ", "{ id: audit, ", `steps: id "audit" is used twice`},
		"a doubled criterion":                        {"id: gone", "id: noeviction", `criteria: id "noeviction" is missing or used twice`},
		"a criterion without id":                     {"  - id: gone\n    title: Gone", "  - title: Gone", `criteria: id "" is missing or used twice`},
		"needs that name a later step":               {"{ id: audit, title: Audit, ", "{ id: audit, title: Audit, needs: [decommission], ", `steps.audit.needs: "decommission" is not an earlier step`},
		"needs that name the step itself":            {"needs: [audit]", "needs: [decommission]", `steps.decommission.needs: "decommission" is not an earlier step`},
		"proves that names no criterion":             {"proves: [gone]", "proves: [going]", `steps.decommission.proves: "going" is not a criterion`},
		"until that names no criterion":              {"until: gone", "until: going", `until: "going" is not a criterion`},
		"a negative age":                             {"max_age: 15m", "max_age: -15m", "max_age: -15m0s is negative"},
		"an age that is no duration":                 {"max_age: 15m", "max_age: soon", "soon"},
		"a criterion that nothing could prove":       {"    requires:\n      - { check: source-off }\n", "", "criteria.gone.requires"},
		"a milestone of an unknown step":             {"step: audit }", "step: adit }", `milestones: "Audited" names the unknown step "adit"`},
		"a freeze that ends before it begins":        {"name: Small", "name: Small\nfreeze: { from: 24h, until: -24h }", "freeze: until -24h0m0s is not after"},
		"a missing name":                             {"name: Small", "event: UPW", "name is missing"},
		"text that is no YAML, with the place of it": {"name: Small", "name: [", "[1:"},
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			text := strings.Replace(small, c.old, c.spoilt, 1)
			if text == small {
				t.Fatal("the row spoils nothing")
			}
			_, err := plan.Parse([]byte(text), workflows)
			if err == nil || migration.KindOf(err) != migration.Invalid || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("got %v, want it to say %s", err, c.says)
			}
		})
	}
}

func TestAllMistakesAreNamedAtOnce(t *testing.T) {
	t.Parallel()
	text := strings.NewReplacer("check: source-off", "check: source-on", "id: audit, ", "id: adit, ", "until: gone", "until: going", "proves: [gone]", "proves: [went]").Replace(small)
	_, err := plan.Parse([]byte(text), workflows)
	if err == nil {
		t.Fatal("a spoilt plan is valid")
	}
	for _, each := range []string{"source-on", `"adit"`, `"going"`, `"went"`, `"audit" is not an earlier step`} {
		if !strings.Contains(err.Error(), each) {
			t.Errorf("does not name %s:\n%v", each, err)
		}
	}
}

func TestAPlanFileIsReadAndItsMistakesNameIt(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "mine.yaml")
	if err := os.WriteFile(file, []byte(small), 0o600); err != nil {
		t.Fatal(err)
	}
	if p, err := plan.Read(file, workflows); err != nil || p.Name != "Small" {
		t.Fatalf("%q, %v", p.Name, err)
	}
	if _, err := plan.Read(file, nil); migration.KindOf(err) != migration.Invalid || !strings.Contains(err.Error(), "mine.yaml") {
		t.Fatalf("got %v", err)
	}
	if _, err := plan.Read(file+".gone", workflows); migration.KindOf(err) != migration.Invalid {
		t.Fatalf("got %v", err)
	}
	if p, err := plan.Parse(plan.Initiative(), workflows); err != nil || p.Event == "" {
		t.Fatalf("the exported text is not the embedded plan: %v", err)
	}
}

func TestTheEmbeddedPlanNamesTheTargetThatIsConfigured(t *testing.T) {
	t.Parallel()
	p, err := plan.Read("", workflows)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		target      string
		monthly     float64
		title, cost string
	}{
		{"Fixed 1 GB", 20, "Managed Fixed 1 GB Redis provisioned and connected", "$20 a month"},
		{"Business 4", 37.5, "Managed Business 4 Redis provisioned and connected", "$37.5 a month"},
		{"Starter", 0, "Managed Starter Redis provisioned and connected", "free"},
	} {
		got := plan.For(p, tc.target, tc.monthly)
		text := fmt.Sprintf("%+v", got)
		if strings.Contains(text, "{target") || !strings.Contains(text, tc.title) ||
			!strings.Contains(text, "the "+tc.target+" database") {
			t.Errorf("%s: %s", tc.target, text)
		}
		for _, s := range got.Steps {
			if s.ID == migration.StepProvision && s.Cost != tc.cost {
				t.Errorf("%s costs %s", tc.target, s.Cost)
			}
		}
	}
	if !strings.Contains(fmt.Sprintf("%+v", p), "{target}") {
		t.Error("the plan that was read is changed")
	}
}
