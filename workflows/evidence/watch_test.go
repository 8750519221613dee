package evidence

import (
	"testing"

	"github.com/switchyard-dev/switchyard/migration"
)

var quietRows = []row{
	{
		rule:  "a whole window",
		facts: `{"nodes":[{"address":"h:1"}],"window_seconds":60,"over":true}`,
		want:  migration.Met,
		says:  "nobody used 1 servers for 1 min",
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
		says: "before that 1 clients did",
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
