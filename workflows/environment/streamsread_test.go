package environment

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
)

// ledgerRig is a rig whose flags name a source and whose target is provisioned; the ledger's
// leader has just read all of both.
type ledgerRig struct {
	*rig
	cursors map[ledger.Lane]ledger.Cursor
	saved   ledger.Checkpoint // beside the cursors
}

func openLedger(t *testing.T, queues ...string) *ledgerRig {
	t.Helper()
	r := &ledgerRig{rig: openRig(t, config.Config{Queues: queues}),
		cursors: map[ledger.Lane]ledger.Cursor{}}
	ok(t, r.store.CreateFlagSet(t.Context(), migration.FlagSet{ID: mid, MigrationID: mid,
		CreatedBy: "test", CreatedAt: r.clk.now()}))
	r.route(t, migration.Routing{Stage: migration.StageShadow,
		Source: migration.SourceStandalone})
	ok(t, r.Servers.UseTarget(t.Context(), "db-1"))
	for at := range r.Streams.lanes(ledger.Source, ledger.Target) {
		r.read(at, func(*ledger.Cursor) {})
	}
	return r
}

func (r *ledgerRig) route(t *testing.T, to migration.Routing) {
	t.Helper()
	_, err := r.Routing.Set(t.Context(), mid, to, "test", "test", "")
	ok(t, err)
}

// read has a lane be read to its end now, and edits what its cursor says.
func (r *ledgerRig) read(at ledger.Lane, edit func(*ledger.Cursor)) {
	now := r.clk.now().UnixMilli()
	c := ledger.Cursor{Lane: at, At: now, ReadAt: now, Since: now, Based: true}
	edit(&c)
	r.cursors[at] = c
}

func (r *ledgerRig) save(t *testing.T) {
	t.Helper()
	for _, c := range r.cursors {
		r.saved.Cursors = append(r.saved.Cursors, c)
	}
	rows, err := LedgerState(r.saved)
	ok(t, err)
	ok(t, r.store.SaveLedger(t.Context(), mid, rows, 0, 1))
}

var (
	sourceOrders = ledger.Lane{Side: ledger.Source, Queue: "orders"}
	targetOrders = ledger.Lane{Side: ledger.Target, Queue: "orders"}
	targetShadow = ledger.Lane{Side: ledger.Target, Queue: "orders", Shadow: true}
)

// Each row is one thing that the ledger does not know or that is wrong; all but it is in order.
func TestNothingThatIsOpenOrUnknownIsGreen(t *testing.T) {
	t.Parallel()
	hour := time.Hour.Milliseconds()
	open := func(v ledger.Verdict) func(*testing.T, *ledgerRig) {
		return func(_ *testing.T, r *ledgerRig) {
			r.saved.Exceptions = []ledger.Exception{{Queue: "orders", Job: "42", Verdict: v,
				At: r.clk.now().UnixMilli(), Detail: "wrong"}}
		}
	}
	gap := func(r *ledgerRig, at ledger.Lane, ago int64) *ledger.Cursor {
		r.read(at, func(c *ledger.Cursor) {
			from := c.At - ago
			c.Gaps = []ledger.Gap{{From: from, Until: from + 1000, Why: "9000 entries were trimmed"}}
		})
		c := r.cursors[at]
		return &c
	}
	for rule, tc := range map[string]struct {
		make func(*testing.T, *ledgerRig)
		says string // "" where it is green
	}{
		"everything was read and nothing is open": {func(*testing.T, *ledgerRig) {}, ""},
		"a loss":               {open(ledger.Loss), "1 unresolved loss"},
		"a double":             {open(ledger.Double), "1 unresolved duplicate"},
		"a mismatch":           {open(ledger.Mismatch), "1 unresolved mismatch"},
		"a late order":         {open(ledger.Late), "1 overdue job"},
		"a stray":              {open(ledger.Stray), "1 unresolved job on the wrong side"},
		"a ghost":              {open(ledger.Ghost), "1 unresolved job without a matching order"},
		"events missed lately": {func(_ *testing.T, r *ledgerRig) { gap(r, sourceOrders, 1000) }, "prove nothing: 9000 entries"},
		"events missed 61 minutes ago": {func(_ *testing.T, r *ledgerRig) {
			gap(r, sourceOrders, hour+60_000)
		}, "prove nothing: 9000 entries"},
		"events missed a month ago": {func(_ *testing.T, r *ledgerRig) {
			gap(r, targetShadow, 30*24*hour)
		}, "the events of target orders (shadow) from"},
		"events missed, and a person decided": {func(_ *testing.T, r *ledgerRig) {
			c := gap(r, sourceOrders, hour)
			c.Gaps[0].Decision = &ledger.Ruling{Who: "ada", Why: "nothing ran", At: 1}
			r.cursors[sourceOrders] = *c
		}, ""},
		"events missed on a side that was let go": {func(t *testing.T, r *ledgerRig) {
			gap(r, sourceOrders, hour)
			r.route(t, migration.Routing{Stage: migration.StageShadow,
				Source: migration.SourceNone})
			for at, c := range r.cursors {
				if at.Side == ledger.Source {
					c.DroppedAt = c.At
					r.cursors[at] = c
				}
			}
		}, "prove nothing: 9000 entries"},
		"no lane of the target": {func(_ *testing.T, r *ledgerRig) {
			delete(r.cursors, targetOrders)
			delete(r.cursors, targetShadow)
		}, "nobody follows the events of target orders, target orders (shadow)"},
		"the target is not known, and the flags have one": {func(t *testing.T, r *ledgerRig) {
			ok(t, r.Servers.ForgetTarget(t.Context()))
			delete(r.cursors, targetOrders)
		}, "nobody follows the events of target orders"},
		"no lane of the source": {func(_ *testing.T, r *ledgerRig) {
			delete(r.cursors, sourceOrders)
		}, "nobody follows the events of source orders"},
		"a lane that was let go, though the flags name its side": {
			func(_ *testing.T, r *ledgerRig) {
				r.read(sourceOrders, func(c *ledger.Cursor) { c.DroppedAt = c.At })
			}, "nobody follows the events of source orders"},
		"no lane at all": {func(_ *testing.T, r *ledgerRig) { clear(r.cursors) },
			"no queue's events have been read yet"},
		"a lane that was never read": {func(_ *testing.T, r *ledgerRig) {
			r.read(targetOrders, func(c *ledger.Cursor) { *c = ledger.Cursor{Lane: c.Lane} })
		}, "have not been read yet"},
		"a lane that was read a while ago": {func(_ *testing.T, r *ledgerRig) {
			r.read(targetOrders, func(c *ledger.Cursor) { c.At -= 20_000; c.ReadAt -= 20_000 })
		}, "behind (limit 15 s)"},
		"an unread lane whose server's clock is an hour ahead": {func(_ *testing.T, r *ledgerRig) {
			r.read(targetOrders, func(c *ledger.Cursor) { c.At += hour; c.ReadAt -= 20_000; c.Skew = hour + 20_000 })
		}, "behind (limit 15 s)"},
		"a lane that an older version left, an hour ahead": {func(_ *testing.T, r *ledgerRig) {
			r.read(targetOrders, func(c *ledger.Cursor) { c.At += hour; c.ReadAt = 0 })
		}, "in the future"},
		"a lane read in the future": {func(_ *testing.T, r *ledgerRig) {
			r.read(targetOrders, func(c *ledger.Cursor) { c.ReadAt += 600_000 })
		}, "in the future"},
		"a server's clock that is a little off": {func(_ *testing.T, r *ledgerRig) {
			r.read(targetOrders, func(c *ledger.Cursor) { c.At += 5000; c.Skew = 5000 })
		}, ""},
		"a server's clock that is an hour ahead": {func(_ *testing.T, r *ledgerRig) {
			r.read(targetOrders, func(c *ledger.Cursor) { c.At += hour; c.Skew = hour })
		}, "differs from Switchyard's by 1 h"},
		"a server's clock that is an hour behind": {func(_ *testing.T, r *ledgerRig) {
			r.read(targetOrders, func(c *ledger.Cursor) { c.At -= hour; c.Skew = -hour })
		}, "differs from Switchyard's by 1 h"},
		"an error": {func(_ *testing.T, r *ledgerRig) {
			r.read(targetOrders, func(c *ledger.Cursor) { c.ReadAt -= 20_000; c.Error = "no route" })
		}, "cannot be read: no route"},
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			r := openLedger(t, "orders")
			tc.make(t, r)
			r.save(t)
			red, stale, _, err := r.Streams.Now(t.Context(), mid)
			ok(t, err)
			g := r.Streams.Gate(t.Context(), mid)
			o, err := r.Streams.Overview(t.Context(), mid)
			ok(t, err)
			said := strings.Join(append(red, stale...), "; ")
			if g.OK != (tc.says == "") || (said == "") != (tc.says == "") ||
				!strings.Contains(said, tc.says) {
				t.Errorf("gate %v, says %q, want %q", g.OK, said, tc.says)
			}
			// the journal cannot be read here: never clean, and each doubt is a reason
			if o.Verdict == LedgerClean || !strings.Contains(strings.Join(o.Reasons, "; "), said) {
				t.Errorf("%s: %v lacks %q", o.Verdict, o.Reasons, said)
			}
			if !g.OK && (g.Measured == "" || g.Next == "") {
				t.Errorf("%+v", g)
			}
		})
	}
}

// After 40 minutes the database held 0 conclusive minutes while the page said clean.
func TestAMinuteThatNobodyStoredProvesNothing(t *testing.T) {
	t.Parallel()
	r := openLedger(t, "orders", "refunds", "payouts", "mails", "invoices")
	minute := time.Minute.Milliseconds()
	var missing []string
	lanes := 0
	for at := range r.Streams.lanes(ledger.Source, ledger.Target) {
		lanes++
		// one server's clock is half an hour behind: its minutes are its own
		now := r.clk.now().UnixMilli()/minute*minute + 20_000
		r.read(at, func(c *ledger.Cursor) {
			if at.Side == ledger.Target {
				c.Skew = -30 * minute
			}
			c.At = now + c.Skew
			c.Since = c.At - 40*minute
			for i := int64(0); i <= 40; i++ {
				w := ledger.Window{Lane: at, From: (c.At/minute - i) * minute,
					State: ledger.Conclusive}
				switch {
				case i == 0:
					w.State = ledger.Running
				case i == 40:
					w.State, w.Reasons = ledger.Inconclusive, []string{ledger.Began}
				case i%10 == 5 && at.Queue == "orders":
					missing = append(missing, fmt.Sprint(at, w.From))
					continue
				}
				r.saved.Windows = append(r.saved.Windows, w)
			}
		})
	}
	r.save(t)
	o, err := r.Streams.Overview(t.Context(), mid)
	ok(t, err)
	var named []string
	for _, w := range o.Windows {
		if w.State == ledger.Inconclusive && w.Reasons[0] != ledger.Began {
			named = append(named, fmt.Sprint(w.Lane, w.From))
		}
	}
	slices.Sort(named)
	slices.Sort(missing)
	if len(missing) != 16 || !slices.Equal(named, missing) {
		t.Errorf("not stored are %v, named are %v", missing, named)
	}
	if len(o.Windows) != lanes*41 {
		t.Errorf("%d minutes of %d are given", len(o.Windows), lanes*41)
	}
	if said := strings.Join(o.Reasons, "; "); !strings.Contains(said,
		"16 minutes of the last hour incomplete") || o.Verdict != LedgerInconclusive {
		t.Errorf("%s: %s", o.Verdict, said)
	}
	if !slices.IsSortedFunc(o.Windows, func(a, b ledger.Window) int { return int(b.From - a.From) }) {
		t.Error("the newest are not first")
	}
}
