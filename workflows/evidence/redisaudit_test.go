package evidence

import (
	"testing"

	"github.com/switchyard-dev/switchyard/migration"
)

var auditRows = []row{
	{
		rule: "no grave problem",
		facts: `{"nodes":[{"node":"a:1","findings":[{"id":"x","severity":"critical",
			"state":"ok"},{"id":"y","severity":"medium","state":"problem"}]}]}`,
		want: migration.Met,
		says: "1 node",
	},
	{
		rule: "a grave problem",
		facts: `{"nodes":[{"node":"a:1","findings":[{"id":"x","title":"Persistence",
			"severity":"critical","state":"problem","measured":"none"}]}]}`,
		want: migration.Unmet,
		says: "Persistence on a:1: none",
	},
	{
		rule: "something grave is not known",
		facts: `{"nodes":[{"node":"a:1","findings":[{"id":"x","title":"Persistence",
			"severity":"critical","state":"unknown"}]}]}`,
		want: migration.Unknown,
		says: "Persistence on a:1",
	},
	{
		rule:  "no server",
		facts: `{"nodes":[]}`,
		want:  migration.Unknown,
		says:  "no server",
	},
}

func TestAlertsAreWhatWasWellOnce(t *testing.T) {
	t.Parallel()
	look := func(state string) AuditFacts {
		return AuditFacts{
			Nodes: []NodeAudit{
				{
					Node: "a:1",
					Findings: []AuditFinding{
						{
							ID:       "timeout",
							Title:    "Idle timeout",
							Severity: "high",
							State:    state,
							Measured: "300 s",
						},
					},
				},
			},
		}
	}
	bad := look("problem").After(AuditFacts{})
	if len(bad.Alerts()) != 0 || bad.Problems()["high"] != 1 {
		t.Errorf("bad from the start is no alert: %+v", bad.Alerts())
	}
	good := look("ok").After(bad)
	worse := look("problem").After(good)
	want := migration.Alert{
		Node:     "a:1",
		Check:    "timeout",
		Title:    "Idle timeout",
		Severity: "high",
		Measured: "300 s",
	}
	if a := worse.Alerts(); len(a) != 1 || a[0] != want {
		t.Errorf("%+v", a)
	}
	if still := look("problem").After(worse); len(still.Alerts()) != 1 || !still.Same(worse) ||
		still.Same(good) {
		t.Errorf("an alert stays while the problem does: %+v", still)
	}
	if again := look("ok").After(worse); len(again.Alerts()) != 0 {
		t.Errorf("%+v", again.Alerts())
	}
}
