package evidence

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

var scanRows = []row{
	{
		rule: "every place passes",
		facts: `{"source":"shop","files":3,"findings":[{"id":"a","role":"queue",
			"verdict":"PASS","at":"q.ts:3","expression":"new Queue()"}]}`,
		want: migration.Met,
		says: "1 places in shop",
	},
	{
		rule: "the source of another app",
		facts: `{"source":"blog","files":9,"routed":["orders"],"findings":[{"id":"a","role":"queue",
			"verdict":"PASS","queue":"letters","at":"a.ts:1"}]}`,
		want: migration.Unknown,
		says: "no place in blog makes a producer of orders",
	},
	{
		rule: "the source of one of two routed queues",
		facts: `{"source":"shop","files":9,"routed":["orders","refunds"],"findings":[{"id":"a",
			"role":"queue","verdict":"PASS","queue":"orders","at":"a.ts:1"}]}`,
		want: migration.Unknown,
		says: "no place in shop makes a producer of refunds",
	},
	{
		rule: "a worker adds nothing",
		facts: `{"source":"shop","files":9,"routed":["orders"],"findings":[{"id":"a",
			"role":"worker","verdict":"PASS","queue":"orders","at":"a.ts:1"}]}`,
		want: migration.Unknown,
		says: "no place in shop makes a producer of orders",
	},
	{
		rule: "the queue's name is set at run time",
		facts: `{"source":"shop","files":9,"routed":["orders"],"findings":[{"id":"a",
			"role":"producer","verdict":"PASS","at":"a.ts:1"}]}`,
		want: migration.Met,
		says: "1 places in shop",
	},
	{
		rule: "one fails",
		facts: `{"source":"shop","files":3,"findings":[{"id":"r","verdict":"REVIEW",
			"at":"a.ts:1"},
			{"id":"a","verdict":"FAIL","at":"q.ts:3","reasons":["enableOfflineQueue: not set"]}]}`,
		want: migration.Unmet,
		says: "q.ts:3: FAIL enableOfflineQueue",
	},
	{
		rule: "one is to be reviewed",
		facts: `{"source":"shop","files":3,"findings":[{"id":"a","verdict":"REVIEW",
			"at":"q.ts:3","reasons":["not known"]}]}`,
		want: migration.Unmet,
		says: "q.ts:3: REVIEW not known",
	},
	{
		rule: "one was decided on",
		facts: `{"source":"shop","files":3,"findings":[{"id":"a","verdict":"REVIEW",
			"at":"q.ts:3","decided_by":"ada","confirmed_by":"ada",
			"decided_until":"2027-01-01T00:00:00Z"}]}`,
		want: migration.Met,
		says: "accepted exceptions: 1",
	},
	{
		rule: "a decision that only the file tells does not count",
		facts: `{"source":"shop","files":3,"findings":[{"id":"a","verdict":"REVIEW",
			"at":"q.ts:3","decided_by":"ada","decided_until":"2027-01-01T00:00:00Z"}]}`,
		want: migration.Unmet,
		says: "accepted by ada, as the file says",
	},
	{
		rule: "a failure cannot be decided on",
		facts: `{"source":"shop","files":3,"findings":[{"id":"a","verdict":"FAIL","at":"q.ts:3",
			"decided_by":"ada","confirmed_by":"ada"}]}`,
		want: migration.Unmet,
		says: "FAIL",
	},
	{
		rule: "a verdict of nobody",
		facts: `{"source":"shop","files":3,"findings":[{"id":"a","verdict":"FINE",
			"at":"q.ts:3"}]}`,
		want: migration.Unmet,
		says: "q.ts:3: FINE",
	},
	{
		rule:  "nothing found proves nothing",
		facts: `{"source":"shop","files":3,"findings":[]}`,
		want:  migration.Unknown,
		says:  "proves nothing",
	},
	{
		rule: "the first of two fails",
		facts: `{"source":"shop","files":3,"findings":[{"id":"a","verdict":"FAIL","at":"q.ts:3"},
			{"id":"b","verdict":"PASS","at":"a.ts:1"}]}`,
		want: migration.Unmet,
		says: "q.ts:3: FAIL",
	},
}

func TestAScanExpiresWithTheFirstDecisionInIt(t *testing.T) {
	t.Parallel()
	one, two, none := noon.Add(day), noon.Add(2*day), time.Time{}
	for rule, c := range map[string]struct {
		until []time.Time
		want  time.Time
	}{
		"one decision":                  {[]time.Time{two}, two},
		"the first of two":              {[]time.Time{one, two}, one},
		"wherever it is":                {[]time.Time{two, one}, one},
		"places that pass have none":    {[]time.Time{none, two, none}, two},
		"without decisions it does not": {[]time.Time{none, none}, none},
	} {
		var f ScanFacts
		for _, until := range c.until {
			f.Findings = append(f.Findings, ScanFinding{DecidedUntil: until})
		}
		raw, err := json.Marshal(f)
		if got := scanExpires(raw); err != nil || !got.Equal(c.want) {
			t.Errorf("%s: %s, want %s (%v)", rule, got, c.want, err)
		}
	}
}
