package evidence

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

const (
	runA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	runB = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

// shop is a world with a source, a target, an app and a configuration.
func shop() migration.Subject {
	return migration.Subject{
		migration.AspectSource: {"10.0.0.1:6379/0 primary run " + runA,
			"10.0.0.2:6379/0 replica run " + runB},
		migration.AspectNodes:     {"10.0.0.1:6379/0 run " + runA, "10.0.0.2:6379/0 run " + runB},
		migration.AspectTarget:    {"database db1 at up:6379/0 run " + runB},
		migration.AspectDatabase:  {"database db1"},
		migration.AspectApp:       {"ingestion 1.4.0 bullmq 5.0", "worker 1.4.0 bullmq 5.0"},
		migration.AspectProducers: {"orders"},
		migration.AspectSetup:     {"queue orders", "sender stripe"},
	}
}

const dualWriteMet = `{"orders":50,"min_orders":50,"copied":50,"compared":50,
	"window_seconds":60}`

func TestEvidenceIsVoidWhenItsWorldChanges(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		rule   string
		change func(now migration.Subject, ev *migration.Evidence, b *Basis)
		want   migration.Verdict
		says   string
	}{
		{rule: "nothing has changed", want: met, says: "50 orders"},
		{rule: "the source was restarted", want: stale,
			says: "the source has changed, it does not cover 10.0.0.1:6379/0 primary run cccccccc",
			change: func(now migration.Subject, _ *migration.Evidence, _ *Basis) {
				now[migration.AspectSource] = []string{
					"10.0.0.1:6379/0 primary run " + strings.Repeat("c", 40)}
			}},
		{rule: "the source failed over", want: stale, says: "10.0.0.2:6379/0 primary run bbbbbbbb",
			change: func(now migration.Subject, _ *migration.Evidence, _ *Basis) {
				now[migration.AspectSource] = []string{"10.0.0.1:6379/0 replica run " + runA,
					"10.0.0.2:6379/0 primary run " + runB}
			}},
		{rule: "another database of the same server", want: stale, says: "10.0.0.1:6379/1",
			change: func(now migration.Subject, _ *migration.Evidence, _ *Basis) {
				now[migration.AspectSource] = []string{"10.0.0.1:6379/1 primary run " + runA}
			}},
		{rule: "two servers have swapped addresses", want: stale, says: "10.0.0.1:6379/0 primary",
			change: func(now migration.Subject, _ *migration.Evidence, _ *Basis) {
				now[migration.AspectSource] = []string{"10.0.0.1:6379/0 primary run " + runB,
					"10.0.0.2:6379/0 replica run " + runA}
			}},
		{rule: "a server is gone: what is left was covered", want: met,
			change: func(now migration.Subject, _ *migration.Evidence, _ *Basis) {
				now[migration.AspectSource] = now[migration.AspectSource][:1]
			}},
		{rule: "another managed database", want: stale, says: "the target has changed",
			change: func(now migration.Subject, _ *migration.Evidence, _ *Basis) {
				now[migration.AspectTarget] = []string{"database db2 at up:6379/0 run " + runB}
			}},
		{rule: "a new version of the app", want: stale, says: "does not cover ingestion 1.5.0",
			change: func(now migration.Subject, _ *migration.Evidence, _ *Basis) {
				now[migration.AspectApp] = append(now[migration.AspectApp],
					"ingestion 1.5.0 bullmq 5.0")
			}},
		{rule: "a part of the app restarts", want: met,
			change: func(now migration.Subject, _ *migration.Evidence, _ *Basis) {
				now[migration.AspectApp] = now[migration.AspectApp][:1]
			}},
		{rule: "a second queue was routed", want: stale, says: "queue refunds",
			change: func(now migration.Subject, _ *migration.Evidence, _ *Basis) {
				now[migration.AspectSetup] = append(now[migration.AspectSetup], "queue refunds")
			}},
		{rule: "evidence of an earlier version does not say", want: stale, says: "run it again",
			change: func(_ migration.Subject, ev *migration.Evidence, _ *Basis) {
				ev.Subject = nil
			}},
		{rule: "nobody has looked", want: unknown, says: "nobody has looked at",
			change: func(now migration.Subject, _ *migration.Evidence, _ *Basis) {
				delete(now, migration.AspectTarget)
			}},
		{rule: "nobody has looked for a long time", want: unknown, says: "was last seen 16 min ago",
			change: func(_ migration.Subject, ev *migration.Evidence, b *Basis) {
				b.At = b.At.Add(16 * time.Minute)
			}},
		{rule: "the last look is of the future", want: unknown, says: "was last seen",
			change: func(_ migration.Subject, ev *migration.Evidence, b *Basis) {
				b.At = b.At.Add(-2 * time.Minute)
				ev.ObservedAt = b.At
			}},
		{rule: "what was measured is said before what is void", want: unmet, says: "1 order lost",
			change: func(now migration.Subject, ev *migration.Evidence, _ *Basis) {
				now[migration.AspectTarget] = []string{"database db2"}
				ev.Facts = json.RawMessage(`{"orders":50,"lost":1}`)
			}},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			now := shop()
			ev := seen(DualWrite, dualWriteMet, time.Minute)
			ev.Subject = shop()
			b := Basis{At: noon}
			if tc.change != nil {
				tc.change(now, &ev, &b)
			}
			b.World = migration.World(nil).Look(noon, now)
			b.Latest = latest(ev)
			f := Find(DualWrite, b)
			if f.Verdict == met && strings.Contains(f.Measured, ";") {
				t.Errorf("it says more than what was measured: %s", f.Measured)
			}
			if f.Verdict != tc.want || !strings.Contains(f.Measured, tc.says) {
				t.Errorf("%s: %s", f.Verdict, f.Measured)
			}
			if f.Verdict != met && f.Next == "" {
				t.Error("it does not say what to do")
			}
		})
	}
}

// What decided whether stages are entered cannot be shown again once the cutover is complete:
// a reboot or a deployment then must not close the way to the end. What is said of the source
// itself has to hold of the one that is there.
func TestOnceTheCutoverIsCompleteWhatDecidedItStands(t *testing.T) {
	t.Parallel()
	other := migration.Subject{}
	for _, a := range migration.Aspects {
		other[a.Aspect] = []string{"another"}
	}
	for _, c := range All() {
		for _, row := range rows[c.ID] {
			if row.want != met || len(c.About) == 0 {
				continue
			}
			ev := seen(c.ID, row.facts, time.Minute)
			b := Basis{At: noon, Latest: latest(ev), World: migration.World(nil).Look(noon, other)}
			if got := Find(c.ID, b); got.Verdict != stale {
				t.Errorf("%s of another world: %s: %s", c.ID, got.Verdict, got.Measured)
			}
			b.Complete = true
			got := Find(c.ID, b)
			if c.Spent != (got.Verdict == met) || c.Spent != got.Settled {
				t.Errorf("%s of another world at complete: %s: %s", c.ID, got.Verdict, got.Measured)
			}
			if c.Spent && (c.Before == "" || c.Watched) {
				t.Errorf("%s decides no stage, or is looked at again", c.ID)
			}
		}
	}
}

func TestTheProofsOfARunThatWasTakenBackAreVoid(t *testing.T) {
	t.Parallel()
	for _, check := range []string{Residue, Quiet, Fence, Backup, Off} {
		for _, row := range rows[check] {
			if row.want != met {
				continue
			}
			ev := seen(check, row.facts, time.Minute)
			ev.RunID = "run-1"
			b := basis(noon, latest(ev), nil)
			if got := Find(check, b); got.Verdict != met {
				t.Errorf("%s: %s: %s", check, got.Verdict, got.Measured)
			}
			b.Undone = map[string]bool{"run-1": true}
			if got := Find(check, b); got.Verdict != stale ||
				!strings.Contains(got.Measured, "taken back") {
				t.Errorf("%s of a run that was taken back: %s", check, got.Verdict)
			}
		}
	}
}

// A gate for which the plan has no criterion is not without a limit: a rollback of three
// years ago shows nothing.
func TestACheckThatNoCriterionAsksForAgesToo(t *testing.T) {
	t.Parallel()
	for _, c := range All() {
		if c.MaxAge <= 0 {
			t.Errorf("%s never ages", c.ID)
		}
		for _, row := range rows[c.ID] {
			if row.want != met {
				continue
			}
			if got := Find(c.ID, basis(noon, latest(seen(c.ID, row.facts, c.MaxAge)), nil)); got.Verdict != met && c.expires == nil {
				t.Errorf("%s: %s: %s", c.ID, got.Verdict, got.Measured)
			}
			if got := Find(c.ID, basis(noon,
				latest(seen(c.ID, row.facts, 3*365*day)), nil)); got.Verdict != stale {
				t.Errorf("%s of three years ago: %s: %s", c.ID, got.Verdict, got.Measured)
			}
		}
	}
	if got := Find("no-such-check", basis(noon, nil, nil)); got.Verdict != unknown {
		t.Errorf("an unknown check is %s", got.Verdict)
	}
}

func TestWhoIsUnknownBlocksUntilAPersonWaivesThemByName(t *testing.T) {
	t.Parallel()
	facts := `{"refused":1,"recovered":1,"applied_once":1,"providers":[{"provider":"Stripe",
		"refused":1},{"provider":"Shopify"}]}`
	b := basis(noon, latest(seen(Retries, facts, time.Minute)), nil)
	f := Find(Retries, b)
	if f.Verdict != unknown || len(f.Asked.Unknown()) != 1 ||
		f.Asked.Unknown()[0].Key != "sender:Shopify" {
		t.Fatalf("%s: %s, %+v", f.Verdict, f.Measured, f.Asked)
	}
	b.Waivers = []migration.Waiver{{Member: "sender:Shopify", By: "grace",
		Why: "it sends nothing in November", At: noon, Until: noon.Add(time.Hour)}}
	if f = Find(Retries, b); f.Verdict != met || f.Asked.Members[1].Waiver == nil {
		t.Errorf("%s: %s", f.Verdict, f.Measured)
	}
}
