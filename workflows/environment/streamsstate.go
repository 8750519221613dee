package environment

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/store"
	"github.com/switchyard-dev/switchyard/workflows/engine"
)

// state is what the streams say at one moment.
type state struct {
	red   []string // what is wrong
	stale []string // who was not read, or not lately
	open  []string // what is not proven, and ends by proof or a person's decision
	lanes []LedgerLane
	// members are the lanes, and what is open, each with the key by which a person decides.
	members []migration.Member
}

func (t state) doubts() []string { return slices.Concat(t.stale, t.open) }

// Now says what by the streams is wrong, what of them is not current or not proven, and how
// far each lane is that is followed.
func (s *Streams) Now(
	ctx context.Context,
	mid string,
) (red, stale []string, lanes []LedgerLane, err error) {
	t, err := s.state(ctx, mid)
	return t.red, t.doubts(), t.lanes, err
}

func (s *Streams) state(ctx context.Context, mid string) (state, error) {
	t := state{lanes: []LedgerLane{}}
	rows, err := s.store.LedgerCursors(ctx, mid)
	if err != nil {
		return t, err
	}
	cursors, err := cursorsOf(rows)
	if err != nil {
		return t, err
	}
	for _, cur := range cursors {
		t.open = append(t.open, gapWords(cur)...)
		t.members = append(t.members, gapMembers(cur)...)
		if cur.DroppedAt != 0 {
			continue
		}
		l := s.laneNow(cur)
		t.lanes = append(t.lanes, l)
		member := migration.Member{Key: "lane:" + l.Lane.String(), Name: l.Lane.String(),
			Verdict: migration.Met}
		if !l.Current {
			member.Verdict, member.Why = migration.Unknown, staleWords(l)
			t.stale = append(t.stale, member.Why)
		}
		t.members = append(t.members, member)
		if skew := time.Duration(cur.Skew) * time.Millisecond; skew.Abs() > skewLimit {
			t.stale = append(t.stale, fmt.Sprintf(
				"the clock of the server of %s differs from Switchyard's by %s (limit %s): times "+
					"cannot be compared", cur.Lane, migration.Words(skew.Abs().Round(time.Second)),
				migration.Words(skewLimit)))
		}
	}
	if len(cursors) == 0 {
		t.stale = append(t.stale, "no queue's events have been read yet")
	}
	missing, err := s.unfollowed(ctx, mid, t.lanes)
	if err != nil {
		return t, err
	}
	if len(missing) > 0 {
		t.stale = append(t.stale, "nobody follows the events of "+strings.Join(missing, ", "))
	}
	for _, at := range missing {
		t.members = append(t.members, migration.Member{Key: "lane:" + at, Name: at,
			Why: "nobody follows its events"})
	}
	counts, err := s.counts(ctx, mid)
	if err != nil {
		return t, err
	}
	open, err := s.exceptionMembers(ctx, mid)
	if err != nil {
		return t, err
	}
	t.members = append(t.members, open...)
	for _, n := range counts {
		if n.Open == 0 {
			continue
		}
		words := "the queues' events show " + migration.Count(n.Open, openWords[n.Verdict][0],
			openWords[n.Verdict][1])
		switch n.Verdict {
		case ledger.Loss, ledger.Double, ledger.Mismatch:
			t.red = append(t.red, words)
		default:
			t.open = append(t.open, words)
		}
	}
	return t, nil
}

// shownExceptions is how many open exceptions a gate names.
const shownExceptions = 20

// exceptionMembers are the exceptions that nothing settles: what harmed an order does not hold,
// what may have is unknown. A person may decide on either.
func (s *Streams) exceptionMembers(
	ctx context.Context, mid string,
) ([]migration.Member, error) {
	rows, err := s.store.LedgerExceptions(ctx, mid,
		store.LedgerFilter{State: "open", Limit: shownExceptions})
	if err != nil {
		return nil, err
	}
	found, err := bodies[ledger.Exception](rows)
	if err != nil {
		return nil, err
	}
	var out []migration.Member
	for _, x := range found {
		m := migration.Member{Key: exceptionKey(x), Name: string(x.Verdict) + " of job " + x.Job +
			" of " + x.Queue, Why: x.Detail}
		switch x.Verdict {
		case ledger.Loss, ledger.Double, ledger.Mismatch:
			m.Verdict = migration.Unmet
		}
		out = append(out, m)
	}
	return out, nil
}

// exceptionKey names an exception of one life of a job: what was decided about it decides on no
// later one, of a job that BullMQ gave the same id.
func exceptionKey(x ledger.Exception) string {
	return fmt.Sprintf("exception:%s/%s/%s/%d", x.Verdict, x.Queue, x.Job, x.Began)
}

// gapKey names a gap of a lane by its beginning.
func gapKey(at ledger.Lane, from int64) string {
	return fmt.Sprintf("gap:%s/%d", at, from)
}

func gapMembers(cur ledger.Cursor) (out []migration.Member) {
	for i, g := range cur.OpenGaps() {
		if i == shownExceptions {
			break
		}
		out = append(out, migration.Member{Key: gapKey(cur.Lane, g.From),
			Name: "gap in the events of " + cur.Lane.String(), Why: g.Why})
	}
	return out
}

// openWords names one, and several, exceptions of a verdict that nothing settles.
var openWords = map[ledger.Verdict][2]string{
	ledger.Loss:     {"unresolved loss", "unresolved losses"},
	ledger.Double:   {"unresolved duplicate", "unresolved duplicates"},
	ledger.Mismatch: {"unresolved mismatch", "unresolved mismatches"},
	ledger.Stray:    {"unresolved job on the wrong side", "unresolved jobs on the wrong side"},
	ledger.Ghost: {"unresolved job without a matching order",
		"unresolved jobs without a matching order"},
	ledger.Late: {"overdue job", "overdue jobs"},
}

// laneNow says whether a lane is current. Its age is by our own clock; one that is negative
// is nobody's, so it is not fresh.
func (s *Streams) laneNow(cur ledger.Cursor) LedgerLane {
	l := LedgerLane{Cursor: cur, LagMS: s.now().UnixMilli() - cmp.Or(cur.ReadAt, cur.At)}
	l.Current = cur.At != 0 && l.LagMS >= 0 && l.LagMS < streamsFresh.Milliseconds()+1000
	return l
}

func staleWords(l LedgerLane) string {
	lag := (time.Duration(l.LagMS) * time.Millisecond).Round(time.Second)
	switch {
	case l.Error != "":
		return fmt.Sprintf("the events of %s cannot be read: %s", l.Lane, l.Error)
	case l.At == 0:
		return fmt.Sprintf("the events of %s have not been read yet", l.Lane)
	case l.LagMS < 0:
		return fmt.Sprintf("the events of %s were read %s in the future: the clocks of "+
			"Switchyard's replicas differ", l.Lane, migration.Words(-lag))
	}
	return fmt.Sprintf("the events of %s are %s behind (limit %s)", l.Lane, migration.Words(lag),
		migration.Words(streamsFresh))
}

// gapWords names the first gap of a lane on which nobody decided, and counts the others.
func gapWords(cur ledger.Cursor) []string {
	gaps := cur.OpenGaps()
	if len(gaps) == 0 {
		return nil
	}
	clock := func(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02 15:04") }
	text := fmt.Sprintf("the events of %s from %s to %s UTC prove nothing: %s", cur.Lane,
		clock(gaps[0].From), clock(gaps[0].Until), gaps[0].Why)
	if n := len(gaps) - 1; n > 0 {
		text += fmt.Sprintf("; and %s after that", migration.Count(n, "gap"))
	}
	return []string{text}
}

// unfollowed names the lanes that the flags ask for and that nobody follows: both sides'
// queues and their shadows, as far as there is such a side.
func (s *Streams) unfollowed(
	ctx context.Context, mid string, lanes []LedgerLane,
) (missing []string, err error) {
	routing, err := s.servers.routing.Read(ctx, mid)
	if err != nil {
		return nil, err
	}
	target, err := s.servers.TargetID(ctx)
	if err != nil {
		return nil, err
	}
	var sides []string
	if routing.Source != migration.SourceNone {
		sides = append(sides, ledger.Source)
	}
	if target != "" || routing.Stage != migration.StageOff {
		sides = append(sides, ledger.Target)
	}
	for at := range s.lanes(sides...) {
		if !slices.ContainsFunc(lanes, func(l LedgerLane) bool { return l.Lane == at }) {
			missing = append(missing, at.String())
		}
	}
	return missing, nil
}

func (s *Streams) counts(ctx context.Context, mid string) ([]LedgerCount, error) {
	rows, err := s.store.LedgerCounts(ctx, mid)
	if err != nil {
		return nil, err
	}
	out := make([]LedgerCount, len(ledger.Verdicts))
	for i, v := range ledger.Verdicts {
		out[i].Verdict = v
		for _, r := range rows {
			switch {
			case r.Verdict != string(v):
			case r.Settled:
				out[i].Settled = r.N
			default:
				out[i].Open = r.N
			}
		}
	}
	return out, nil
}

// Gate: no move forward while a side's events are not followed, tell of an order that nothing
// settles, or have a gap on which nobody decided.
func (s *Streams) Gate(ctx context.Context, mid string) migration.Gate {
	claim := migration.Claim{
		ID:    "streams",
		Title: "Both servers' events",
		Limit: "up to date, no gap, no open exception",
		Asked: migration.Coverage{Of: "event stream", Found: "the routed queues on both sides"},
	}
	t, err := s.state(ctx, mid)
	if err != nil {
		claim.Measured, claim.Next = InWords(err), "look again"
		return claim.Gate()
	}
	claim.Asked.Members = t.members
	switch {
	case len(t.red) > 0:
		claim.Measured, claim.Next = t.red[0], "check the exceptions in the ledger"
	case len(t.stale) > 0:
		claim.Measured, claim.Next = t.stale[0], "wait a moment and check again; if it persists, "+
			"check whether the server responds"
	case len(t.open) > 0:
		claim.Measured, claim.Next = t.open[0], "check the ledger, then decide in writing whether "+
			"an order was harmed"
	default:
		claim.Measured = fmt.Sprintf("%s up to date, no open exceptions",
			migration.Count(len(t.lanes), "queue"))
	}
	g := claim.Gate()
	if len(t.red)+len(t.stale)+len(t.open) > 0 && g.OK { // of more than the members name
		g.OK, g.Verdict, g.Next = false, migration.Unknown, claim.Next
	}
	return g
}

// AwaitRead waits until every queue's events are read, as after a start. Those that stay unread
// are no error here: the gate says so.
func (s *Streams) AwaitRead(ctx context.Context, mid string) error {
	return settled(ctx, func(ctx context.Context) error {
		_, stale, _, err := s.Now(ctx, mid)
		if err == nil && len(stale) > 0 {
			err = errors.New(stale[0])
		}
		return err
	})
}

// AwaitLeft waits until nobody follows the source's streams any more, once the flags name
// no source: what we read is use too.
func (s *Streams) AwaitLeft(ctx context.Context, mid string) error {
	return engine.Await(ctx, 500*time.Millisecond, func(ctx context.Context) error {
		_, _, lanes, err := s.Now(ctx, mid)
		if err != nil {
			return err
		}
		for _, l := range lanes {
			if l.Lane.Side == ledger.Source {
				return engine.NotYet("the order ledger still follows the events of %s", l.Lane)
			}
		}
		return nil
	})
}
