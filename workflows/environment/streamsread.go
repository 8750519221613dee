package environment

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/store"
)

// LedgerLane is how far a queue's events were read on one side.
type LedgerLane struct {
	ledger.Cursor
	Current bool  `json:"current"` // read to its end, moments ago
	LagMS   int64 `json:"lag_ms"`  // since then, by our clock
}

// The verdicts on the ledger as a whole.
const (
	LedgerClean        = "clean"        // nothing is wrong, and everything that could tell was read
	LedgerBroken       = "broken"       // orders lost, run twice or with another result
	LedgerInconclusive = "inconclusive" // something could not be read: it proves nothing
)

// LedgerOverview is the order ledger at one moment: what the application recorded, and what
// both servers' streams say.
type LedgerOverview struct {
	At         time.Time          `json:"at"`
	Verdict    string             `json:"verdict" enum:"clean,broken,inconclusive"`
	Reasons    []string           `json:"reasons"` // for the verdict; empty when it is clean
	Journal    *ledger.Summary    `json:"journal,omitempty"`
	Lanes      []LedgerLane       `json:"lanes"`
	Open       int64              `json:"open"` // lives that have not ended or are not judged yet
	Windows    []ledger.Window    `json:"windows"`
	Counts     []LedgerCount      `json:"counts"`
	Exceptions []ledger.Exception `json:"exceptions"` // at most 100, not settled ones first
}

// LedgerCount is how many jobs have a verdict.
type LedgerCount struct {
	Verdict ledger.Verdict `json:"verdict"`
	Open    int64          `json:"open"`    // nothing shows that no order came to harm
	Settled int64          `json:"settled"` // the application's record shows it
}

// ledgerHour is how far back the overview's windows go.
const ledgerHour = time.Hour

// LedgerOrder is everything that is known of one order or job id.
type LedgerOrder struct {
	ID      string        `json:"id"`
	Journal *ledger.Story `json:"journal,omitempty"` // what the application recorded
	// what the streams said: while it is open, or recent
	Lives []ledger.Life `json:"lives"`
	// the streams said before that it took effect
	Done       bool               `json:"done"`
	Exceptions []ledger.Exception `json:"exceptions"`
	Note       string             `json:"note,omitempty"` // what is not known, and why
}

// Late is how many orders are over their deadline.
func (o LedgerOverview) Late() int64 {
	for _, n := range o.Counts {
		if n.Verdict == ledger.Late {
			return n.Open
		}
	}
	return 0
}

// Doubtful is how many minutes of the last hour, over all lanes, prove nothing.
func (o LedgerOverview) Doubtful() (n int) {
	for _, w := range o.Windows {
		if w.State == ledger.Inconclusive {
			n++
		}
	}
	return n
}

// LedgerFilter says which exceptions of the ledger; empty fields are any.
type LedgerFilter = store.LedgerFilter

// Overview gives the order ledger at this moment.
func (s *Streams) Overview(ctx context.Context, mid string) (LedgerOverview, error) {
	now := s.now()
	out := LedgerOverview{
		At:         now,
		Lanes:      []LedgerLane{},
		Windows:    []ledger.Window{},
		Exceptions: []ledger.Exception{},
		Reasons:    []string{},
	}
	broken, doubt := []string{}, []string{}
	orders, _ := s.journal.SoFar()
	sum := orders.Summary(now, s.journal.deadline)
	if _, err := s.journal.Read(); err != nil {
		doubt = append(doubt, InWords(err))
	} else {
		out.Journal = &sum
	}
	if sum.Red() > 0 { // also while other orders are unknown
		out.Journal = &sum
		text := fmt.Sprintf("according to the application's record, %s lost, %d processed twice, %s",
			migration.Count(sum.Lost, "order"), sum.Duplicated,
			migration.Count(sum.Mismatches, "mismatch"))
		if sum.Contradicted > 0 {
			text += fmt.Sprintf(", %d contradictory", sum.Contradicted)
		}
		broken = append(broken, text)
	}
	state, err := s.state(ctx, mid)
	if err != nil {
		return out, err
	}
	out.Lanes = state.lanes
	broken, doubt = append(broken, state.red...), append(doubt, state.doubts()...)
	if out.Windows, err = s.hour(ctx, mid, state.lanes); err != nil {
		return out, err
	}
	gaps := 0
	for _, w := range out.Windows {
		if w.State == ledger.Inconclusive && !slices.Equal(w.Reasons, []string{ledger.Began}) &&
			!decided(state.lanes, w) {
			gaps++
		}
	}
	if gaps > 0 {
		doubt = append(
			doubt,
			fmt.Sprintf(
				"%s of the last hour incomplete: orders in that time are verified only by the "+
					"application's record",
				migration.Count(gaps, "minute"),
			),
		)
	}
	if out.Counts, err = s.counts(ctx, mid); err != nil {
		return out, err
	}
	if out.Open, err = s.store.LedgerOpen(ctx, mid); err != nil {
		return out, err
	}
	rows, err := s.store.LedgerExceptions(ctx, mid, store.LedgerFilter{Limit: 100})
	if err != nil {
		return out, err
	}
	if out.Exceptions, err = bodies[ledger.Exception](rows); err != nil {
		return out, err
	}
	switch {
	case len(broken) > 0:
		out.Verdict, out.Reasons = LedgerBroken, append(broken, doubt...)
	case len(doubt) > 0:
		out.Verdict, out.Reasons = LedgerInconclusive, doubt
	default:
		out.Verdict = LedgerClean
	}
	return out, nil
}

// hour gives the minutes of the last hour of each lane, the newest first. One that should be
// there, since the lane was read before and after it, and that nobody stored, proves nothing.
func (s *Streams) hour(
	ctx context.Context, mid string, lanes []LedgerLane,
) ([]ledger.Window, error) {
	from := func(cur ledger.Cursor) int64 { return cur.At - ledgerHour.Milliseconds() }
	since := s.now().Add(-ledgerHour).UnixMilli()
	for _, l := range lanes {
		if l.At != 0 {
			since = min(since, from(l.Cursor))
		}
	}
	rows, err := s.store.LedgerWindows(ctx, mid, since)
	if err != nil {
		return nil, err
	}
	out, err := bodies[ledger.Window](rows)
	if err != nil {
		return nil, err
	}
	type minute struct {
		at   ledger.Lane
		from int64
	}
	there := make(map[minute]bool, len(out))
	for _, w := range out {
		there[minute{w.Lane, w.From}] = true
	}
	whole := time.Minute.Milliseconds()
	for _, l := range lanes {
		if l.Since == 0 {
			continue // never read to its end, which is said elsewhere
		}
		// the first minute that is whole, to the last one that is over
		first := max(l.Since, from(l.Cursor))/whole*whole + whole
		for m := first; m+whole <= l.At; m += whole {
			if !there[minute{l.Lane, m}] {
				out = append(out, ledger.Window{
					Lane: l.Lane, From: m, State: ledger.Inconclusive,
					Reasons: []string{"this minute was not stored"},
				})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b ledger.Window) int { return cmp.Compare(b.From, a.From) })
	return out, nil
}

// decided reports whether a person decided on the gap in which a minute lies.
func decided(lanes []LedgerLane, w ledger.Window) bool {
	for _, l := range lanes {
		if l.Lane != w.Lane {
			continue
		}
		for _, g := range l.Gaps {
			if g.Decision != nil && g.From < w.From+time.Minute.Milliseconds() &&
				g.Until >= w.From {
				return true
			}
		}
	}
	return false
}

// Facts gives the ledger as evidence: what the app's journal says, and what harm both servers'
// events show.
func (s *Streams) Facts(ctx context.Context, mid string) (migration.LedgerFacts, error) {
	facts, err := s.journal.Facts()
	if err != nil {
		return facts, err
	}
	facts.Events, _, _, err = s.Now(ctx, mid)
	return facts, err
}

// Order gives the life of one order, by its own id or its job's. NotFound when nobody has
// heard of it.
func (s *Streams) Order(ctx context.Context, mid, id string) (LedgerOrder, error) {
	out := LedgerOrder{ID: id, Lives: []ledger.Life{}, Exceptions: []ledger.Exception{}}
	if id == "" || len(id) > 512 {
		return out, migration.Errorf(
			migration.Invalid,
			"an order's id has 1 to 512 bytes: got %d",
			len(id),
		)
	}
	orders, told := s.journal.SoFar()
	jobs := []string{id}
	if story, found := orders.Find(id); found {
		out.Journal = &story
		for _, j := range story.Jobs {
			if !slices.Contains(jobs, j) {
				jobs = append(jobs, j)
			}
		}
	}
	if told == 0 {
		out.Note = "the application's journal was not read yet"
	}
	for _, job := range jobs {
		rows, err := s.store.LedgerExceptions(ctx, mid, store.LedgerFilter{Job: job, Limit: 20})
		if err != nil {
			return out, err
		}
		found, err := bodies[ledger.Exception](rows)
		if err != nil {
			return out, err
		}
		out.Exceptions = append(out.Exceptions, found...)
		if l := s.live.Load(); l != nil {
			lives, done := l.Find(job)
			out.Lives, out.Done = append(out.Lives, lives...), out.Done || done
			continue
		}
		// Another replica follows the streams: what it saved is a moment old, and holds
		// open lives only.
		if rows, err = s.store.LedgerLives(ctx, mid, job); err != nil {
			return out, err
		}
		lives, err := bodies[ledger.Life](rows)
		if err != nil {
			return out, err
		}
		out.Lives = append(out.Lives, lives...)
		out.Note = "another replica follows the streams: of ended jobs it tells only what was " +
			"wrong with them"
	}
	if out.Journal == nil && len(out.Lives)+len(out.Exceptions) == 0 && !out.Done {
		return out, migration.Errorf(
			migration.NotFound,
			"neither the application's journal nor the streams have heard of %q",
			id,
		)
	}
	return out, nil
}

// Exceptions lists what was wrong with any order, not settled first, and says how many
// there are with this filter.
func (s *Streams) Exceptions(
	ctx context.Context,
	mid string,
	f LedgerFilter,
) (found []ledger.Exception, total int64, err error) {
	switch {
	case f.Verdict != "" && !slices.Contains(ledger.Verdicts, ledger.Verdict(f.Verdict)):
		return nil, 0, migration.Errorf(
			migration.Invalid,
			"unknown verdict %.40q: the verdicts are %v",
			f.Verdict,
			ledger.Verdicts,
		)
	case f.State != "" && f.State != "open" && f.State != "settled":
		return nil, 0, migration.Errorf(
			migration.Invalid,
			"unknown state %.40q: an exception is open or settled",
			f.State,
		)
	case f.Limit < 1 || f.Limit > 10_000:
		return nil, 0, migration.Errorf(
			migration.Invalid,
			"limit %d: 1 to 10000 exceptions are given at once",
			f.Limit,
		)
	case f.Offset < 0:
		return nil, 0, migration.Errorf(
			migration.Invalid,
			"offset %d: the first exception is at 0",
			f.Offset,
		)
	}
	counts, err := s.counts(ctx, mid)
	if err != nil {
		return nil, 0, err
	}
	for _, n := range counts {
		if f.Verdict == "" || f.Verdict == string(n.Verdict) {
			if f.State != "settled" {
				total += n.Open
			}
			if f.State != "open" {
				total += n.Settled
			}
		}
	}
	rows, err := s.store.LedgerExceptions(ctx, mid, f)
	if err != nil {
		return nil, 0, err
	}
	found, err = bodies[ledger.Exception](rows)
	return found, total, err
}
