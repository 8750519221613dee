package evidence

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

var quietRows = []row{
	{
		rule:  "a whole window",
		facts: `{"nodes":[{"address":"h:1"}],"window_seconds":60,"over":true}`,
		want:  migration.Met,
		says:  "nobody used 1 server for 1 min",
	},
	{
		rule: "not over",
		facts: `{"nodes":[{"address":"h:1"}],"window_seconds":60,"since":"2026-11-23T14:00:00Z",
			"seen_at":"2026-11-23T14:00:20Z"}`,
		want: migration.Unmet,
		says: "for 20 s of 1 min",
	},
	{
		rule: "a finding",
		facts: `{"nodes":[{"address":"h:1"}],"window_seconds":60,"over":true,
			"findings":[{"title":"Queues",
			"measured":"1 job"}]}`,
		want: migration.Unmet,
		says: "Queues: 1 job",
	},
	{
		rule:  "no server",
		facts: `{"nodes":[]}`,
		want:  migration.Unknown,
		says:  "no server",
	},
	{
		rule: "every finding is named",
		facts: `{"nodes":[{"address":"h:1"}],"window_seconds":60,"over":true,
			"findings":[{"title":"Queues","measured":"1 job"},{"title":"Events",
			"measured":"2 new"}]}`,
		want: migration.Unmet,
		says: "Queues: 1 job; Events: 2 new",
	},
}

var fenceRows = []row{
	{
		rule: "a whole window",
		facts: `{"nodes":[{"address":"h:1","fenced":true}],"window_seconds":60,"over":true,
			"knocks":[{"addr":"c:1"}]}`,
		want: migration.Met,
		says: "before that 1 client did",
	},
	{
		rule:  "one takes writes",
		facts: `{"nodes":[{"address":"h:1"}],"window_seconds":60,"over":true}`,
		want:  migration.Unmet,
		says:  "h:1 takes writes",
	},
	{
		rule:  "no server",
		facts: `{}`,
		want:  migration.Unknown,
		says:  "no server",
	},
	{
		rule: "one of two takes writes",
		facts: `{"nodes":[{"address":"h:1","fenced":true},{"address":"h:2"}],
			"window_seconds":60,"over":true}`,
		want: migration.Unmet,
		says: "h:2 takes writes",
	},
	{
		rule: "the first of two takes writes",
		facts: `{"nodes":[{"address":"h:1"},{"address":"h:2","fenced":true}],
			"window_seconds":60,"over":true}`,
		want: migration.Unmet,
		says: "h:1 takes writes",
	},
}

func TestWhoKnocksIsNamedByAllThatIsKnown(t *testing.T) {
	t.Parallel()
	for want, k := range map[string]Knock{
		`10.0.0.9:1 named "mail"`:             {Addr: "10.0.0.9:1", Name: "mail"},
		`10.0.0.9:1`:                          {Addr: "10.0.0.9:1"},
		`somebody who left at once`:           {},
		`somebody who left at once named "x"`: {Name: "x"},
	} {
		if got := k.Who(); got != want {
			t.Errorf("%+v is %s, want %s", k, got, want)
		}
	}
}

// A window may pass with a finding that a person waived. The evidence of it is worth no more than
// the waiver, which expires and is taken back.
func TestAWaivedFindingCountsForAsLongAsItIsWaived(t *testing.T) {
	t.Parallel()
	about := func(member string, until time.Time) migration.Waiver {
		return migration.Waiver{Member: member, By: "grace", At: noon, Until: until}
	}
	mail, cart := about("residue:source/db1/bull:mail", noon.Add(time.Hour)),
		about("residue:source/db0/other keys", noon.Add(2*time.Hour))
	left := migration.Claim{ID: "residue", Title: "Nothing is left", Asked: migration.Coverage{
		Of: "queue", Found: "the census", Members: []migration.Member{
			{Key: mail.Member, Name: "mail"}, {Key: cart.Member, Name: "carts"},
			{Key: "queue:source/orders", Verdict: migration.Met}}}}
	f := WatchFacts{Nodes: []WatchedNode{{Address: "h:1"}}, WindowSeconds: 60, Over: true,
		Findings: []migration.Gate{left.Gate().Waive([]migration.Waiver{mail, cart}, noon)}}
	raw, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		rule    string
		waivers []migration.Waiver
		after   time.Duration
		want    migration.Verdict
		says    string
	}{
		{"both stand", []migration.Waiver{mail, cart}, 0, met, "nobody used 1 server"},
		{"one has expired", []migration.Waiver{mail, cart}, time.Hour, unknown, "unknown: mail"},
		{"one was taken back", []migration.Waiver{mail}, 0, unknown, "unknown: carts"},
		{"nobody stands by any", nil, 0, unknown, "unknown: mail, carts"},
	} {
		b := basis(noon.Add(tc.after), latest(seen(Quiet, string(raw), 0)), nil)
		b.Waivers = tc.waivers
		if got := Find(Quiet, b); got.Verdict != tc.want || len(got.Asked.Members) != 4 ||
			!strings.Contains(got.Measured, tc.says) {
			t.Errorf("%s: %s: %s", tc.rule, got.Verdict, got.Measured)
		}
	}
}
