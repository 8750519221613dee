package ledger_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
)

// randomEvents is what an app may write of a few orders of two queues, in an order that it should
// not, at times that go back too. It compares no data: of an order that was in order the digests
// are forgotten.
func randomEvents(r *rand.Rand) []ledger.Event {
	pick := func(all ...string) string { return all[r.IntN(len(all))] }
	var events []ledger.Event
	at, real := int64(6_000_000), map[string]bool{}
	for seq := range int64(5 + r.IntN(30)) {
		at += int64(r.IntN(40_000)) - 5_000
		order := pick("a", "b", "c", "d")
		e := ledger.Event{Seq: seq + 1, At: at, Order: order, Queue: pick("orders", "refunds"),
			JobID: pick(order, order, order+"2"), Side: pick(ledger.Source, ledger.Target),
			Stage: pick("off", "shadow", "live", "complete"),
			Type: pick(ledger.EventDelivery, ledger.EventEnqueued, ledger.EventEnqueued,
				ledger.EventExecuted, ledger.EventExecuted, ledger.EventFailed, ledger.EventKept)}
		switch e.Type {
		case ledger.EventDelivery:
			e.Status, e.EventID = []int{200, 200, 202, 400, 503}[r.IntN(5)], pick("", "e1", "e2")
			e.Provider, e.JobID, e.Queue = pick("", "stripe"), "", ""
		case ledger.EventEnqueued:
			e.OK, e.Shadow = r.IntN(5) > 0, r.IntN(4) == 0
		case ledger.EventExecuted:
			e.Outcome = pick(ledger.OutcomeApplied, ledger.OutcomeApplied,
				ledger.OutcomeSuppressed, ledger.OutcomeMisrouted, ledger.OutcomeCompared)
			e.Mode = ledger.ModeAuthoritative
			if e.Outcome == ledger.OutcomeCompared {
				e.Mode, e.Shadow = ledger.ModeShadow, true
			}
		}
		// a canary is called so, mostly; an order that is called so later stays one
		e.Canary = order == "d" && r.IntN(10) > 0 || real[order] && r.IntN(12) == 0
		real[order] = real[order] || e.Type == ledger.EventEnqueued && e.OK && !e.Shadow
		events = append(events, e)
	}
	return events
}

// A database that is stopped and started again between any two events, an app whose journal is
// read again from its beginning, and orders that are only counted as soon as may be, change
// nothing of what is said of the orders.
func TestAnyRecordThatIsSavedAndRestoredTellsTheSame(t *testing.T) {
	t.Parallel()
	const grace = time.Minute
	for seed := range worlds(2000) {
		r := rand.New(rand.NewPCG(seed, 7))
		events := randomEvents(r)
		last := events[len(events)-1].At
		whole := ledger.NewJournal("orders", "refunds")
		whole.Keep(true)
		db := &saved{}
		again := ledger.NewJournal("orders", "refunds")
		again.Keep(true)
		counted := ledger.NewJournal("orders", "refunds")
		counted.KeepOrders(1)
		for i, e := range events {
			if r.IntN(4) == 0 {
				db.save(t, again, e.At)
				new(saved).save(t, whole, e.At) // what is lost at a save stays so
				var err error
				if again, err = ledger.RestoreJournal(db.JournalState, "orders",
					"refunds"); err != nil {
					t.Fatal(err)
				}
				again.Keep(true)
				again.KeepOrders(1 + r.IntN(4))
				for _, read := range events[:r.IntN(i+1)] {
					again.Apply(read)
				}
			}
			for _, j := range []*ledger.Journal{whole, again, counted} {
				j.Apply(e)
			}
		}
		for _, later := range []int64{0, 30_000, 120_000, 3_600_000} {
			now := time.UnixMilli(last + later)
			// of what is only counted whole minutes are known
			to := (last - int64(r.IntN(200_000))) / 60_000 * 60_000
			from := to - int64(r.IntN(8))*60_000
			tells := func(j *ledger.Journal) string {
				return fmt.Sprintf("%s\nwindow %s\nfindings %v", verdicts(j.Summary(now, grace)),
					verdicts(j.Window(from, to, now, grace)), j.Findings(now, grace, 100))
			}
			want := tells(whole)
			for how, j := range map[string]*ledger.Journal{"restored": again, "counted": counted} {
				if got := tells(j); got != want {
					t.Fatalf("world %d, %s, %d ms later:\n got %s\nwant %s\n%+v", seed, how, later,
						got, want, events)
				}
			}
		}
	}
}

// verdicts are what is said of orders, without what is only counted for people.
func verdicts(s ledger.Summary) string {
	return fmt.Sprintf("%d orders, %d acknowledged, %d fulfilled, twice %v, lost %v, held %d, "+
		"late %d, pending %d (%d on the source), differ %v, contradicted %v", s.Orders,
		s.Acknowledged, s.Fulfilled, s.DuplicatedIDs, s.LostIDs, s.Held, s.HeldLate, s.Pending,
		s.PendingSource, s.MismatchIDs, s.ContradictedIDs)
}
