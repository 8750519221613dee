package environment

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
)

// Limits are those that the guardrails of a move are judged by.
type Limits = config.Guardrails

// Looser is how many times as loose as configured a limit may be set for one move.
const Looser = 2

// leastSilence is the shortest one that can be told from a single slow answer.
const leastSilence = time.Second

// Bounds are between what limits may be set for one move.
func (v *Vitals) Bounds() []migration.LimitBound {
	bound := func(key, title, unit string, configured, least int64) migration.LimitBound {
		return migration.LimitBound{Key: key, Title: title, Unit: unit,
			Configured: int(configured), Least: int(least), Most: int(Looser * configured)}
	}
	g := v.Limits
	return []migration.LimitBound{
		bound("max_refused", "Refused webhooks, and failed adds to a side",
			"within "+migration.Words(g.Window), int64(g.MaxRefused), 1),
		bound("max_latency_ms", "Time to add a job to the target, and response time of the source",
			"ms", g.MaxLatency.Milliseconds(), 1),
		bound("max_silence_ms", "How long a side may be slower, or its events unread", "ms",
			g.MaxSilence.Milliseconds(), leastSilence.Milliseconds()),
	}
}

// Within gives the limits of a move for which some were set. Invalid: one is out of its
// bounds; stricter is always allowed, looser up to Looser times what is configured.
func (v *Vitals) Within(l migration.Limits) (Limits, error) {
	out := v.Limits
	for _, b := range v.Bounds() {
		if n := *l.Of(b.Key); n != 0 && (n < b.Least || n > b.Most) {
			return out, migration.Errorf(migration.Invalid,
				"%s is %d and must be from %d to %d, %d times the configured limit: give one in "+
					"these bounds, or leave it out for %d", b.Key, n, b.Least, b.Most, Looser,
				b.Configured)
		}
	}
	if l.MaxRefused != 0 {
		out.MaxRefused = l.MaxRefused
	}
	if l.MaxLatencyMS != 0 {
		out.MaxLatency = l.Latency()
	}
	if l.MaxSilenceMS != 0 {
		out.MaxSilence = l.Silence()
	}
	return out, nil
}

// Reading is a guardrail as it was just looked at, and what of it is not kept.
type Reading struct {
	migration.Guardrail
	Faults []Fault
}

// FaultsOf gives what is wrong by some readings.
func FaultsOf(readings []Reading) (out []Fault) {
	for _, r := range readings {
		out = append(out, r.Faults...)
	}
	return out
}

// guarded are the sides that a stage uses.
func guarded(stage migration.Stage) []string {
	if stage == migration.StageComplete { // the source is being left
		return []string{ledger.Target}
	}
	return []string{ledger.Target, ledger.Source}
}

// way is what happens when a guardrail fails.
type way struct {
	to      string // where the queue goes back to; "": nowhere by itself
	lasting time.Duration
}

func (w way) words(side string, counted bool) string {
	switch {
	case w.to == "":
		return "An alert is sent; you decide whether the queue goes back."
	case side == ledger.Source:
		return "The watch begins again; the queue does not go back to a side that fails."
	case counted:
		return "The queue goes back to " + w.to + " by itself at once."
	}
	return fmt.Sprintf("The queue goes back to %s by itself once this has lasted %s.", w.to,
		migration.Words(w.lasting))
}

// Rules are the guardrails of a stage within limits. back is where the queue goes by itself
// where one fails; "": nowhere.
func (v *Vitals) Rules(
	stage migration.Stage, limits Limits, back string,
) []migration.GuardrailRule {
	w := way{to: back, lasting: limits.MaxSilence}
	within := migration.Words(limits.Window)
	set := v.set(limits)
	var out []migration.GuardrailRule
	add := func(kind, title, side, limit, set string, counted bool) {
		id := kind
		if side != "" {
			id += "-" + side
		}
		out = append(out, migration.GuardrailRule{ID: id, Title: title, Side: side, Limit: limit,
			Set: set, OnFail: w.words(side, counted)})
	}
	for _, side := range guarded(stage) {
		what := "Time to add a job to the target"
		if side == ledger.Source {
			what = "Response time of the source"
		}
		add("answers", what, side, "at most "+migration.Words(limits.MaxLatency), set["answers"],
			false)
		add("events", "Events of the "+side, side, "all up to date", set["silence"], false)
		add("adds", "Failed adds to the "+side, side,
			fmt.Sprintf("at most %d within %s", limits.MaxRefused, within), set["refused"], true)
	}
	add("refused", "Refused webhooks", "",
		fmt.Sprintf("at most %d within %s", limits.MaxRefused, within), set["refused"], true)
	add("held", "Orders waiting in the app's durable intake", "",
		"the oldest at most "+migration.Words(limits.MaxHeld), "", true)
	return out
}

// set says of each limit that was set for the move how it differs from the configured one.
func (v *Vitals) set(limits Limits) map[string]string {
	out := map[string]string{}
	note := func(key, what, was string, now, then int64) {
		if now == then {
			return
		}
		than := "stricter"
		if now > then {
			than = "looser"
		}
		out[key] = fmt.Sprintf("%s set for this move, %s than the configured %s", what, than, was)
	}
	note("refused", "limit", fmt.Sprint(v.Limits.MaxRefused), int64(limits.MaxRefused),
		int64(v.Limits.MaxRefused))
	note("latency", "limit", migration.Words(v.Limits.MaxLatency), int64(limits.MaxLatency),
		int64(v.Limits.MaxLatency))
	note("silence", "patience", migration.Words(v.Limits.MaxSilence), int64(limits.MaxSilence),
		int64(v.Limits.MaxSilence))
	out["answers"] = strings.TrimPrefix(out["latency"]+"; "+out["silence"], "; ")
	out["answers"] = strings.TrimSuffix(out["answers"], "; ")
	return out
}

// seen are what the readings are made of.
type seen struct {
	at       time.Time
	limits   Limits
	heard    Pulse
	lanes    []LedgerLane
	journal  error // why heard is not known
	streams  error
	attempts map[string]attempt
}

// Look reads every guardrail of a stage within limits. An error: one could not be found out,
// which is not the same as nothing being wrong; its reading says so.
func (v *Vitals) Look(
	ctx context.Context, mid string, stage migration.Stage, limits Limits, back string,
) ([]Reading, error) {
	s := seen{at: v.now(), limits: limits, attempts: map[string]attempt{}}
	s.heard, s.journal = v.journal.Pulse(s.at.Add(-limits.Window).UnixMilli())
	_, _, s.lanes, s.streams = v.streams.Now(ctx, mid)
	for _, side := range guarded(stage) {
		s.attempts[side] = v.try(ctx, mid, side, limits.MaxLatency)
	}
	var out []Reading
	for _, rule := range v.Rules(stage, limits, back) {
		r := Reading{Guardrail: migration.Guardrail{GuardrailRule: rule, Since: s.at,
			State: migration.GuardrailHolds}}
		s.read(&r)
		if len(r.Faults) > 0 {
			r.State, r.Why = migration.GuardrailFails, r.Faults[0].Text
		}
		out = append(out, r)
	}
	if s.journal != nil {
		return out, s.journal
	}
	return out, s.streams
}

// read gives a reading its value and its faults.
func (s seen) read(r *Reading) {
	at, side := s.at, r.Side
	switch r.ID {
	case "answers-" + side:
		s.answers(r)
		return
	case "events-" + side:
		if !r.unknown(s.streams) {
			s.events(r)
		}
		return
	}
	if r.unknown(s.journal) {
		return
	}
	r.At = &at
	switch r.ID {
	case "adds-" + side:
		n := s.heard.Sides[side].Failed
		r.Value = fmt.Sprintf("%d within %s", n, migration.Words(s.limits.Window))
		if n > s.limits.MaxRefused {
			r.Faults = append(r.Faults, Fault{Side: side, Counted: true, kind: "adds",
				Text: fmt.Sprintf("%s of the app to the %s failed within %s (limit %d): %s",
					migration.Count(n, "add"), side, migration.Words(s.limits.Window),
					s.limits.MaxRefused, s.heard.Sides[side].Error)})
		}
	case "refused":
		r.Value = fmt.Sprintf("%d within %s", s.heard.Refused, migration.Words(s.limits.Window))
		r.Faults = s.refused()
	case "held":
		r.Value = "none"
		if w := s.heard.Waiting; w.Orders > 0 {
			r.Value = fmt.Sprintf("%s, the oldest for %s", migration.Count(w.Orders, "order"),
				migration.Words(at.Sub(time.UnixMilli(w.Oldest))))
		}
		r.Faults = s.held()
	}
}

// unknown marks a reading that could not be taken.
func (r *Reading) unknown(err error) bool {
	if err != nil {
		r.State, r.Why = migration.GuardrailUnknown, InWords(err)
	}
	return err != nil
}

// answers judges an add of our own, or a question.
func (s seen) answers(r *Reading) {
	a := s.attempts[r.Side]
	if ms, ok := a.took.Value(); ok {
		at := a.at
		r.Value, r.At = migration.Millis(ms), &at
		if ms == 0 {
			r.Value = "under 1 ms"
		}
	}
	if text := slow(a, r.Side, s.limits.MaxLatency); text != "" {
		r.Faults = []Fault{{Side: r.Side, Text: text, kind: "answers"}}
	}
}

// events judges the streams of a side that are followed.
func (s seen) events(r *Reading) {
	all, current := 0, 0
	for _, l := range s.lanes {
		if l.Lane.Side != r.Side {
			continue
		}
		all++
		if l.Current {
			current++
			continue
		}
		r.Faults = append(r.Faults, Fault{Side: r.Side, kind: "events",
			Text: fmt.Sprintf("the events of %s are not up to date", l.Lane)})
	}
	if all == 0 {
		r.State, r.Why = migration.GuardrailUnknown, "no events of the "+r.Side+" are read yet"
		return
	}
	at := s.at
	r.Value, r.At = fmt.Sprintf("%d of %s up to date", current,
		migration.Count(all, "stream")), &at
}

// blamed is the side that faults count for which the journal does not ascribe to one: that to
// which more adds failed, and in doubt the target.
func (s seen) blamed() string {
	if s.heard.Sides[ledger.Source].Failed > s.heard.Sides[ledger.Target].Failed {
		return ledger.Source
	}
	return ledger.Target
}

func (s seen) refused() []Fault {
	if s.heard.Refused <= s.limits.MaxRefused {
		return nil
	}
	return []Fault{{Side: s.blamed(), Counted: true, kind: "refused",
		Text: fmt.Sprintf("%s refused within %s (limit %d)",
			migration.Count(s.heard.Refused, "webhook was", "webhooks were"),
			migration.Words(s.limits.Window), s.limits.MaxRefused)}}
}

func (s seen) held() []Fault {
	w := s.heard.Waiting
	held := s.at.Sub(time.UnixMilli(w.Oldest))
	if w.Orders == 0 || held <= s.limits.MaxHeld {
		return nil
	}
	return []Fault{{Side: s.blamed(), Counted: true, kind: "held",
		Text: fmt.Sprintf("%s in the app's durable intake, the oldest for %s (limit %s)",
			migration.Count(w.Orders, "order waits", "orders wait"),
			migration.Words(held), migration.Words(s.limits.MaxHeld))}}
}

// Rails gives the readings with since when each has been as it is, and keeps them. What could
// not be read keeps the value that was observed last, with its age.
func (w *Watch) Rails(readings []Reading) []migration.Guardrail {
	out := make([]migration.Guardrail, 0, len(readings))
	for _, r := range readings {
		g := r.Guardrail
		for _, was := range w.rails {
			if was.ID != g.ID {
				continue
			}
			if was.State == g.State {
				g.Since = was.Since
			}
			if g.At == nil {
				g.Value, g.At = was.Value, was.At
			}
		}
		out = append(out, g)
	}
	w.rails = out
	return out
}
