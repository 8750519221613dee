package main

import (
	"bytes"
	"encoding/json"
	"reflect"
	"sync"
	"testing"

	"github.com/switchyard-dev/switchyard/api"
)

// document is generated once for all tests.
var document = sync.OnceValues(generate)

func TestTheCommittedDocumentIsTheGeneratedOne(t *testing.T) {
	t.Parallel()
	fresh, err := document()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(fresh, api.OpenAPI()) {
		t.Error("api/openapi.json is not what the types say: run make generate and commit it")
	}
}

func TestEachOperationSaysWhatItIs(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, op := range api.Operations() {
		if op.ID == "" || seen[op.ID] || op.Summary == "" {
			t.Errorf("%q (%s): the ID is missing or not the only one, or there is no summary", op.ID, op.Route)
		}
		seen[op.ID] = true
	}
}

func TestCommentsBecomeDescriptions(t *testing.T) {
	t.Parallel()
	names := map[string]string{"Orders": "orders", "MaxAge": "max_age", "Look": "look"}
	for _, c := range []struct {
		comment, name string
		omitted       bool
		want          string
	}{
		{"Cost is one line of the cost table.\n", "Cost", false, "One line of the cost table."},
		{"of the flag set that\neverything uses", "Revision", false, "Of the flag set that everything uses."},
		{"Settled: its subject is gone.", "Settled", false, "Its subject is gone."},
		{"OrdersError says why; then Orders is zero.", "OrdersError", false, "Says why; then orders is zero."},
		{"Look only tells. Orders come after MaxAge.", "Look", false, "Look only tells. Orders come after max_age."},
		{"ID of the job", "ID", false, "ID of the job."},
		{"nil: not known", "Since", false, "Null: not known."},
		{"when it was read; nil: never", "At", true, "When it was read; absent: never."},
		{"For readers of the document.\n\nFor readers of the code.\n", "X", false, "For readers of the document."},
		{"", "X", false, ""},
	} {
		if got := describe(c.comment, c.name, names, c.omitted); got != c.want {
			t.Errorf("%q: %q, want %q", c.comment, got, c.want)
		}
	}
}

// TestTypesBecomeSchemas shows the rules of schemas on a type that has a case of each.
func TestTypesBecomeSchemas(t *testing.T) {
	t.Parallel()
	fresh, err := document()
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Components struct{ Schemas map[string]map[string]any }
	}
	if err := json.Unmarshal(fresh, &d); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ schema, property, want string }{
		{"StepPlan", "gates", `{"items": {"$ref": "#/components/schemas/Gate"}, "type": ["array", "null"]}`},
		{"Run", "finished_at", `{"format": "date-time", "type": "string"}`},
		{"BreakerProof", "drill_at", `{"format": "date-time", "type": ["string", "null"]}`},
		{"ActionPlan", "approval", `{"enum": ["one", "two"], "type": "string"}`},
		{"Actor", "role", `{"$ref": "#/components/schemas/Role"}`},
		{"Params", "ramp", `{"maximum": 100, "minimum": 1, "type": "integer"}`},
		{"FlagEdit", "document", `{"type": "object"}`},
		{"Milestone", "at", `{"format": "int64", "type": "integer"}`},
		{"RunAction", "undo", `{"type": "string"}`}, // of an embedded struct
		{"NotificationChannel", "events",
			`{"items": {"enum": ["approval", "change", "alert"], "type": "string"}, "type": "array"}`},
		{"Life", "stays", `{"items": {"anyOf": [{"$ref": "#/components/schemas/Stay"}, {"type": "null"}]},
			"type": "array"}`},
	} {
		got := d.Components.Schemas[c.schema]["properties"].(map[string]any)[c.property].(map[string]any)
		delete(got, "description")
		var want map[string]any
		if err := json.Unmarshal([]byte(c.want), &want); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s.%s: %v, want %v", c.schema, c.property, got, want)
		}
	}
	if got := d.Components.Schemas["FlagEdit"]["required"]; !reflect.DeepEqual(got, []any{"reason"}) {
		t.Errorf("FlagEdit requires %v", got)
	}
}
