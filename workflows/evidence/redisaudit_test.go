package evidence

import (
	"maps"
	"slices"
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
		says:  "no server was audited",
	},
	{
		rule: "a problem of high severity is grave",
		facts: `{"nodes":[{"node":"a:1","findings":[{"title":"Timeout","severity":"high",
			"state":"problem"}]}]}`,
		want: migration.Unmet,
		says: "Timeout on a:1",
	},
	{
		rule: "every grave problem of every node is named",
		facts: `{"nodes":[{"node":"a:1","findings":[
			{"title":"Timeout","severity":"high","state":"problem","measured":"300 s"},
			{"title":"Persistence","severity":"critical","state":"problem","measured":"none"}]},
			{"node":"b:1","findings":[
			{"title":"Password","severity":"high","state":"problem","measured":"none"}]}]}`,
		want: migration.Unmet,
		says: "Timeout on a:1: 300 s; Persistence on a:1: none; Password on b:1: none",
	},
	{
		rule: "nothing was found of one of two nodes",
		facts: `{"nodes":[{"node":"a:1","findings":[{"severity":"high","state":"ok"}]},
			{"node":"b:1"}]}`,
		want: migration.Unknown,
		says: "unknown: b:1 (no finding of it was recorded)",
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

// Each finding of each node is its own: what was well on one says nothing of another.
func TestWhatWasWellIsRememberedByNodeAndFinding(t *testing.T) {
	t.Parallel()
	look := func(states ...string) (f AuditFacts) {
		for i, node := range []string{"a:1", "b:1"} {
			f.Nodes = append(f.Nodes, NodeAudit{Node: node, Findings: []AuditFinding{
				{ID: "timeout", Severity: "high", State: states[2*i]},
				{ID: "aof", Severity: "low", State: states[2*i+1]}}})
		}
		return f
	}
	first := look("ok", "problem", "problem", "ok")
	if got := first.Problems(); !maps.Equal(got, map[string]int{"low": 1, "high": 1}) {
		t.Errorf("problems %v", got)
	}
	bad := look("problem", "problem", "problem", "problem").After(first)
	alerts := func(f AuditFacts) (out []string) {
		for _, a := range f.Alerts() {
			out = append(out, a.Node+" "+a.Check)
		}
		return out
	}
	if got := alerts(bad); !slices.Equal(got, []string{"a:1 timeout", "b:1 aof"}) {
		t.Errorf("alerts %v", got)
	}
	if got := alerts(look("problem", "unknown", "ok", "problem").After(bad)); !slices.Equal(got,
		[]string{"a:1 timeout", "b:1 aof"}) {
		t.Errorf("alerts that stay: %v", got)
	}
	other := look("ok", "problem", "problem", "ok")
	other.Nodes[1].Node = "c:1"
	if other.Same(first) || !look("ok", "problem", "problem", "ok").Same(first) {
		t.Error("the same findings of another node are not the same")
	}
}

func TestAProblemOfOurOwnRunNamesItAndEndsWithIt(t *testing.T) {
	t.Parallel()
	of := func(state string, counted int64) AuditFacts {
		return AuditFacts{Nodes: []NodeAudit{{Node: "a:1", Findings: []AuditFinding{
			{ID: "errors", Severity: "high", State: state, Counted: counted},
		}}}}
	}
	type look struct {
		state   string
		counted int64
		run     Disturbance
		alert   string // what is told: empty: nothing; "-": of no run
	}
	under, over := Disturbance{Run: "r1"}, Disturbance{Run: "r1", Over: true}
	none := Disturbance{}
	for rule, looks := range map[string][]look{
		"refused during the run, and never again": {
			{"ok", 0, none, ""}, {"problem", 60, under, "r1"}, {"problem", 80, under, "r1"},
			{"problem", 80, over, ""}, {"problem", 80, none, ""}, {"ok", 0, none, ""},
		},
		"refused again after the run": {
			{"ok", 0, none, ""}, {"problem", 60, under, "r1"}, {"problem", 60, over, ""},
			{"problem", 61, none, "-"}, {"problem", 61, none, "-"},
		},
		"seen for the first time when the run had just ended": {
			{"ok", 0, none, ""}, {"problem", 60, over, ""}, {"problem", 60, none, ""},
		},
		"there before the run": {
			{"ok", 0, none, ""}, {"problem", 3, none, "-"}, {"problem", 60, under, "-"},
			{"problem", 60, over, "-"}, {"problem", 60, none, "-"},
		},
		"the count says nothing of what began with the run and stays": {
			{"ok", 0, none, ""}, {"problem", 0, under, "r1"}, {"problem", 0, over, "r1"},
			{"problem", 0, none, "r1"},
		},
		"the server was restarted and refuses again": {
			{"ok", 0, none, ""}, {"problem", 60, under, "r1"}, {"problem", 60, over, ""},
			{"problem", 2, none, "-"},
		},
		"the server could not be looked at when the run ended": {
			{"ok", 0, none, ""}, {"problem", 60, under, "r1"}, {"problem", 70, none, "r1"},
			{"problem", 70, none, "-"},
		},
		"a further run": {
			{"ok", 0, none, ""}, {"problem", 60, under, "r1"}, {"problem", 60, over, ""},
			{"problem", 90, Disturbance{Run: "r2"}, "r2"},
			{"problem", 90, Disturbance{Run: "r2", Over: true}, ""},
		},
	} {
		var last AuditFacts
		for i, l := range looks {
			now := of(l.state, l.counted).After(last).During(last, l.run)
			told := ""
			for _, a := range now.Alerts() {
				told = a.Run
				if told == "" {
					told = "-"
				}
			}
			if told != l.alert {
				t.Errorf("%s, look %d: told %q, want %q", rule, i+1, told, l.alert)
			}
			last = now
		}
	}
}

func TestWhatARunCausedIsToldNodeByNode(t *testing.T) {
	t.Parallel()
	look := func(state string, counted int64) AuditFacts {
		var f AuditFacts
		for _, node := range []string{"a", "b"} {
			f.Nodes = append(f.Nodes, NodeAudit{Node: node, Findings: []AuditFinding{
				{ID: "errors", State: state, Counted: counted}}})
		}
		return f
	}
	during := look("problem", 3).During(look("ok", 0), Disturbance{Run: "r1"})
	for _, n := range during.Nodes {
		if x := n.Findings[0]; x.Run != "r1" || x.OfRun != 3 || x.RunOver {
			t.Errorf("%s: began during the run: %+v", n.Node, x)
		}
	}
	alone := look("problem", 0).During(look("problem", 0), Disturbance{})
	if x := alone.Nodes[1].Findings[0]; x.RunOver || x.Run != "" {
		t.Errorf("no run had to do with it: %+v", x)
	}
}

func TestACounterThatGoesOnSaysTheSameUnlessARunLeftIt(t *testing.T) {
	t.Parallel()
	counted := func(n int64, run string) AuditFacts {
		return AuditFacts{Nodes: []NodeAudit{{Node: "a", Findings: []AuditFinding{
			{ID: "errors", State: "problem", Counted: n, Run: run}}}}}
	}
	if !counted(4, "").Same(counted(3, "")) {
		t.Error("a figure alone makes another fact")
	}
	if counted(4, "r1").Same(counted(3, "r1")) || counted(3, "r1").Same(counted(3, "")) {
		t.Error("what a run left, and what came after it, are the same")
	}
}
