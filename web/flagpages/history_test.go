package flagpages

import (
	"encoding/json"
	"testing"

	"github.com/switchyard-dev/switchyard/migration"
)

func TestARevisionIsOfferedOnlyWhereGoingBackChangesSomething(t *testing.T) {
	t.Parallel()
	view := migration.FlagSetView{
		Flags: []migration.FlagInfo{{Key: "stage", ManagedBy: "cutover"}, {Key: "banner"}},
		Definition: json.RawMessage(`{"flags":{"stage":{"defaultVariant":"live"},
			"banner":{"defaultVariant":"on"}}}`),
	}
	for _, tc := range []struct {
		rule, before string
		want         bool
	}{
		{"only the cutover's flag differs", `{"flags":{"stage":{"defaultVariant":"off"},
			"banner":{"defaultVariant":"on"}}}`, false},
		{"a managed flag that is gone", `{"flags":{"banner":{"defaultVariant":"on"},
			"ramp":{"metadata":{"managedBy":"cutover"}}}}`, false},
		{"another flag differs", `{"flags":{"stage":{"defaultVariant":"live"},
			"banner":{"defaultVariant":"off"}}}`, true},
		{"another flag was added since", `{"flags":{"stage":{"defaultVariant":"live"}}}`, true},
		{"the set's own metadata differs", `{"flags":{"banner":{"defaultVariant":"on"}},
			"metadata":{"x":1}}`, true},
		{"what cannot be read", `x`, true},
		{"no definition", ``, true},
	} {
		r := migration.FlagSetRevision{Definition: json.RawMessage(tc.before)}
		if got := restorable(view, r); got != tc.want {
			t.Errorf("%s: %v", tc.rule, got)
		}
	}
}
