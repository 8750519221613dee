package server

import (
	"encoding/json"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/flags"
	"github.com/switchyard-dev/switchyard/fleet"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/server/site"
	"github.com/switchyard-dev/switchyard/workflows"
)

type document struct {
	Paths map[string]map[string]struct {
		Who        string `json:"x-who"`
		Parameters []struct {
			Name string `json:"name"`
			In   string `json:"in"`
		} `json:"parameters"`
	} `json:"paths"`
	Components struct {
		Schemas map[string]struct {
			Properties map[string]json.RawMessage `json:"properties"`
			Required   []string                   `json:"required"`
		} `json:"schemas"`
	} `json:"components"`
}

func readDocument(t *testing.T) document {
	t.Helper()
	var d document
	if err := json.Unmarshal(api.OpenAPI(), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestTheDocumentNamesEveryRouteAndNoOther(t *testing.T) {
	t.Parallel()
	d := readDocument(t)
	param := regexp.MustCompile(`:([a-z]+)`)
	routes := map[string]site.Access{}
	for _, r := range (&Server{}).routes() {
		if strings.HasPrefix(r.Path, "/api/") || strings.HasPrefix(r.Path, "/ofrep/") {
			routes[strings.ToLower(r.Method)+" "+param.ReplaceAllString(r.Path, "{$1}")] = r.Who
		}
	}
	documented := map[string]bool{}
	for path, methods := range d.Paths {
		for method, op := range methods {
			name := method + " " + path
			documented[name] = true
			if who, ok := routes[name]; !ok || string(who) != op.Who {
				t.Errorf("%s is documented for %q; the server's table says %q", name, op.Who, who)
			}
			var named []string
			for _, p := range op.Parameters {
				if p.In == "path" {
					named = append(named, "{"+p.Name+"}")
				}
			}
			if want := regexp.MustCompile(`\{[a-z]+\}`).FindAllString(path, -1); !slices.Equal(named, want) {
				t.Errorf("%s: path parameters %v, want %v", name, named, want)
			}
		}
	}
	for name := range routes {
		if !documented[name] {
			t.Errorf("%s is not documented", name)
		}
	}
}

// fields lists a type's JSON fields, with those of embedded types, and which of them are always there.
func fields(t reflect.Type) (names, always []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous && f.Tag.Get("json") == "" {
			n, a := fields(f.Type)
			names, always = append(names, n...), append(always, a...)
			continue
		}
		name, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		names = append(names, name)
		if !strings.Contains(opts, "omitempty") {
			always = append(always, name)
		}
	}
	return names, always
}

func TestTheDocumentNamesEveryFieldThatIsSent(t *testing.T) {
	t.Parallel()
	d := readDocument(t)
	requests := []string{"Credentials", "Start", "Decision", "Attestation", "Connection", "NewFlagSet", "FlagEdit", "FlagRollback", "FlagKill", "FlagPreview", "NewSchedule", "NewKey", "StageMove", "NotificationTest"} // what they need is a rule, not a matter of encoding
	for _, v := range []any{
		api.Credentials{}, api.Session{}, api.Start{}, api.Decision{}, api.Problem{}, api.MigrationList{}, api.CriteriaList{}, api.EvidenceList{}, api.StepList{},
		api.RunList{}, api.LogPage{}, api.FlagHistory{}, api.WorkerList{}, api.AuditPage{}, api.EndpointList{}, api.Endpoint{}, api.QueueBoard{},
		api.QueueSide{}, api.Queue{}, migration.Actor{}, migration.Gate{}, migration.Fact{}, migration.Params{}, migration.ActionPlan{}, migration.StepPlan{},
		migration.RunAction{}, migration.Run{}, migration.LogLine{}, migration.Requirement{}, migration.Criterion{}, migration.Evidence{}, migration.Finding{},
		migration.Item{}, migration.PlanStep{}, migration.StepStatus{}, migration.NextStep{}, migration.Milestone{}, migration.Cost{}, migration.Risk{}, migration.Option{},
		migration.Plan{}, migration.Migration{}, migration.Routing{}, migration.LedgerFacts{}, migration.Worker{}, migration.Overview{}, migration.FlagSetRevision{}, migration.FlagDiff{}, migration.FlagSetView{}, migration.FlagInfo{}, migration.FlagSet{}, migration.FlagEdit{}, migration.FlagCheck{}, migration.FlagSchedule{}, migration.StageMove{}, migration.APIKey{},
		api.FlagSetList{}, api.NewFlagSet{}, api.FlagRollback{}, api.FlagKill{}, api.FlagPreview{}, api.NewSchedule{}, api.ScheduleList{}, api.NewKey{}, api.CreatedKey{}, api.KeyList{}, flags.Evaluation{},
		migration.AuditEntry{}, migration.Alert{}, migration.SettingChange{}, migration.ConfigVarChange{}, api.Export{}, fleet.Attestation{}, fleet.Connection{},
		api.Notifications{}, api.NotificationChannel{}, workflows.NotifiedAlert{}, workflows.AlertTold{}, workflows.NotificationSent{}, api.NotificationTest{},
	} {
		name := reflect.TypeOf(v).Name()
		schema, ok := d.Components.Schemas[name]
		if !ok {
			t.Errorf("no schema %s", name)
			continue
		}
		have, always := fields(reflect.TypeOf(v))
		var documented []string
		for p := range schema.Properties {
			documented = append(documented, p)
		}
		slices.Sort(have)
		slices.Sort(documented)
		if !slices.Equal(have, documented) {
			t.Errorf("%s is sent with\n%v, documented with\n%v", name, have, documented)
		}
		if slices.Contains(requests, name) {
			continue
		}
		required := slices.Sorted(slices.Values(schema.Required))
		slices.Sort(always)
		if !slices.Equal(required, always) {
			t.Errorf("%s always has\n%v, documented as required are\n%v", name, always, required)
		}
	}
}

func TestEveryReferenceInTheDocumentLeadsSomewhere(t *testing.T) {
	t.Parallel()
	d := readDocument(t)
	for _, m := range regexp.MustCompile(`"#/components/schemas/([A-Za-z]+)"`).FindAllStringSubmatch(string(api.OpenAPI()), -1) {
		if _, ok := d.Components.Schemas[m[1]]; !ok {
			t.Errorf("no schema %s", m[1])
		}
	}
}
