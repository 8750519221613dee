package environment

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/fleet"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/ingestion"
	"github.com/switchyard-dev/switchyard/providers/ingestiontest"
)

// attests has these workers be live.
func attests(t *testing.T, j *Journal, all ...fleet.Attestation) {
	t.Helper()
	var live []migration.Worker
	for _, a := range all {
		a.Service = "shop"
		a.Connections = []fleet.Connection{{Queue: "orders", Role: "producer"}}
		raw, err := json.Marshal(a)
		ok(t, err)
		live = append(live, migration.Worker{Instance: a.Instance, Live: true, Attestation: raw})
	}
	j.workers = func() []migration.Worker { return live }
	j.discover()
}

func TestAJournalOfSeveralWritersIsWholeOnlyWithEachOfThem(t *testing.T) {
	t.Parallel()
	web := fleet.Attestation{Instance: "web.1", Journal: "first"}
	worker := fleet.Attestation{Instance: "worker.1", Journal: "first"}
	late := worker
	late.Unwritten = &fleet.Unwritten{Events: 3, OldestMS: 40_000}
	brief := worker
	brief.Unwritten = &fleet.Unwritten{Events: 3, OldestMS: 200}
	elsewhere := worker
	elsewhere.Journal = "second"
	for _, tc := range []struct {
		rule    string
		writers []string
		live    []fleet.Attestation
		says    string // "": all is known
	}{
		{"each is live", []string{"web.1", "worker.1"}, []fleet.Attestation{web, worker}, ""},
		{"one is writing just now", []string{"web.1", "worker.1"}, []fleet.Attestation{web, brief}, ""},
		{"one has left it", []string{"web.1"}, []fleet.Attestation{web}, ""},
		{"one is gone and has not left it", []string{"web.1", "worker.1"}, []fleet.Attestation{web},
			"what worker.1 wrote into journal first (it is gone"},
		{"one cannot write", []string{"web.1", "worker.1"}, []fleet.Attestation{web, late},
			"3 events of it, since 40 s, cannot be written"},
		{"one attests another journal", []string{"web.1", "worker.1"},
			[]fleet.Attestation{web, elsewhere}, "what worker.1 wrote into journal first"},
		{"whoever answers cannot write", []string{"web.1"}, []fleet.Attestation{{Instance: "web.1",
			Journal: "first", Unwritten: late.Unwritten}}, "cannot be written"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			app, clk := ingestiontest.NewJournal(t), &clock{}
			app.Instance, app.Instances = "web.1", tc.writers
			app.Order("a", clk.now(), true)
			j := opened(app.URL, clk.now)
			ok(t, polled(t, j))
			attests(t, j, tc.live...)
			if tc.says == "" {
				if got := says(j); got != "" {
					t.Fatal(got)
				}
				return
			}
			wantSays(t, j, tc.says)
			j.waivers = func(context.Context) (all []migration.Waiver, err error) {
				for _, m := range j.Coverage().Members {
					if m.Verdict != migration.Met {
						all = append(all, migration.Waiver{Member: m.Key, By: "ann", At: clk.now(),
							Until: clk.now().Add(time.Hour)})
					}
				}
				return all, nil
			}
			j.decide(t.Context())
			if got := says(j); got != "" {
				t.Errorf("decided, and it says %q", got)
			}
		})
	}
}

// Pages of one journal that two addresses answer at the same time come in any order.
func TestTwoAddressesOfOneJournalDoNotContradictEachOther(t *testing.T) {
	t.Parallel()
	app, clk := ingestiontest.NewJournal(t), &clock{}
	app.Instance = "web.1"
	app.Order("a", clk.now(), true)
	j := opened(app.URL, clk.now)
	j.sources = append(j.sources, &source{name: "second", client: j.sources[0].client,
		page: JournalPage})
	ok(t, polled(t, j))
	first, second := j.sources[0], j.sources[1]
	page := func(s *source, after int64) ingestion.Journal {
		p, err := s.client.Journal(t.Context(), after, JournalPage)
		ok(t, err)
		return p
	}
	_, after, _, _ := j.ask(second)
	early := page(second, after)
	app.Order("b", clk.now(), true)
	between := page(second, after)
	app.Order("c", clk.now(), true)
	for _, p := range []ingestion.Journal{page(first, after), early, between, page(second, after)} {
		_, err := j.take(second, p, "first", after, clk.now(), true)
		ok(t, err)
	}
	if f, err := j.Facts(); err != nil || f.Fulfilled != 3 || f.Duplicated != 0 {
		t.Errorf("%+v, %v", f, err)
	}
	// One that tells something else all the same is not believed.
	app.Set(func() { app.Events[len(app.Events)-1]["outcome"] = "suppressed" })
	if _, err := j.take(second, page(second, after), "first", after, clk.now(), true); err == nil {
		t.Error("another event in the place of one that was read is taken")
	}
	wantSays(t, j, fmt.Sprintf("event %d, which was read, is gone or another one", len(app.Events)))
}

func TestEachClockOfAJournalOfSeveralWritersIsLookedAt(t *testing.T) {
	t.Parallel()
	app, clk := ingestiontest.NewJournal(t), &clock{}
	app.Order("a", clk.now(), true)
	j := opened(app.URL, clk.now)
	answer := func(instance string, ahead time.Duration) {
		app.Set(func() { app.Instance, app.Ahead = instance, ahead })
		ok(t, polled(t, j))
	}
	answer("web.1", 0)
	answer("web.2", 2*time.Minute)
	answer("web.1", 0)
	wantSays(t, j, "the clock of web.2 is 2 min ahead")
	clk.advance(10*journalFresh + time.Second) // web.2 is gone
	answer("web.1", 0)
	if got := says(j); got != "" {
		t.Error(got)
	}
}
