// Package forecast says when a migration would be done at its present pace, and whether that is
// in time. It is worked out from what was proven and when; where that is too little, it says so.
package forecast

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

// State is how a migration stands against its dates.
type State string

// States, the best first. None: too little is proven to tell.
const (
	Done     State = "done"
	OnTrack  State = "on track"
	AtRisk   State = "at risk"
	OffTrack State = "off track"
	None     State = "no forecast"
)

// Input is what a forecast rests on.
type Input struct {
	At time.Time
	// Start is when the first run began; zero: none has.
	Start time.Time
	// Proven is how many criteria are met now, of Total.
	Proven, Total int
	// Lapsed are criteria that were met and are not.
	Lapsed     []string
	Milestones []Milestone
	// FreezeFrom and FreezeUntil bound the time in which nothing is to be changed; both zero:
	// there is none.
	FreezeFrom, FreezeUntil time.Time
	// Blocked says what stands against the next step; empty: nothing.
	Blocked string
}

// Milestone is one date of the plan.
type Milestone struct {
	Title string
	Due   time.Time
	Done  bool
}

// Forecast is when it would be done.
type Forecast struct {
	State State `json:"state" enum:"done,on track,at risk,off track,no forecast"`
	// Finish is when the last criterion would be proven; absent where that cannot be told.
	Finish *time.Time `json:"finish,omitempty"`
	// Deadline is the last milestone that is not done; absent where the plan has none.
	Deadline *time.Time `json:"deadline,omitempty"`
	Reasons  []string   `json:"reasons"`
}

const (
	// least is how many criteria must be proven before there is a pace.
	least = 2
	// shortest is how long the work must last before there is a pace: dates are days, and what was
	// done in the first hours says nothing about weeks.
	shortest = 24 * time.Hour
	// margin is how close to its deadline a finish is at risk.
	margin = 7 * 24 * time.Hour
)

// Of works out a forecast.
func Of(in Input) Forecast {
	if in.Total > 0 && in.Proven == in.Total {
		return Forecast{State: Done, Reasons: []string{"all criteria are met"}}
	}
	f := Forecast{State: OnTrack, Reasons: []string{}}
	f.deadline(in)
	overdue := f.overdue(in)
	if why := noPace(in); why != "" {
		f.say("%s: there is no pace to go by", why)
		f.State = None
		if overdue {
			f.State = OffTrack // that much is known without a pace
		}
		return f
	}
	f.pace(in)
	f.dangers(in)
	return f
}

// noPace says what a pace is missing; empty: nothing.
func noPace(in Input) string {
	switch {
	case in.Proven < least || in.Start.IsZero():
		return fmt.Sprintf("fewer than %d criteria are proven", least)
	case in.At.Sub(in.Start) < shortest:
		return fmt.Sprintf("the first run began less than %s ago", migration.Words(shortest))
	}
	return ""
}

func (f *Forecast) say(format string, args ...any) {
	f.Reasons = append(f.Reasons, fmt.Sprintf(format, args...))
}

// worse sets a state unless it is worse already.
func (f *Forecast) worse(s State) {
	order := []State{OnTrack, AtRisk, OffTrack}
	if slices.Index(order, s) > slices.Index(order, f.State) {
		f.State = s
	}
}

func (f *Forecast) deadline(in Input) {
	for _, m := range in.Milestones {
		if !m.Done && (f.Deadline == nil || m.Due.After(*f.Deadline)) {
			due := m.Due
			f.Deadline = &due
		}
	}
}

// overdue says which milestones have passed without being done.
func (f *Forecast) overdue(in Input) bool {
	late := false
	for _, m := range in.Milestones {
		if !m.Done && m.Due.Before(in.At) {
			late = true
			f.worse(OffTrack)
			f.say("%s was due on %s and is not done", m.Title, day(m.Due))
		}
	}
	return late
}

// pace extends what was proven since the start: the time since the last one counts too, so that a
// pace slows down while nothing happens.
func (f *Forecast) pace(in Input) {
	each := in.At.Sub(in.Start) / time.Duration(in.Proven)
	finish := in.At.Add(each * time.Duration(in.Total-in.Proven))
	f.Finish = &finish
	f.say("%d of %d criteria in %s: at that pace the last is met on %s", in.Proven, in.Total,
		migration.Words(in.At.Sub(in.Start).Round(time.Minute)), day(finish))
	switch {
	case f.Deadline == nil:
	case finish.After(*f.Deadline):
		f.worse(OffTrack)
		f.say("that is after the last milestone, %s", day(*f.Deadline))
	case f.Deadline.Sub(finish) < margin && f.Deadline.After(in.At):
		f.worse(AtRisk)
		f.say("that is less than %s before the last milestone, %s", migration.Words(margin),
			day(*f.Deadline))
	}
	if in.FreezeUntil.After(in.FreezeFrom) && finish.After(in.FreezeFrom) &&
		finish.Before(in.FreezeUntil) {
		f.worse(AtRisk)
		f.say("that is in the freeze from %s to %s", day(in.FreezeFrom), day(in.FreezeUntil))
	}
}

// dangers are what may hold it up.
func (f *Forecast) dangers(in Input) {
	if len(in.Lapsed) > 0 {
		f.worse(AtRisk)
		f.say("no longer met: %s", strings.Join(in.Lapsed, ", "))
	}
	for _, m := range in.Milestones {
		if left := m.Due.Sub(in.At); !m.Done && left >= 0 && left < margin {
			f.worse(AtRisk)
			f.say("%s is due on %s", m.Title, day(m.Due))
			break
		}
	}
	if in.Blocked != "" {
		f.worse(AtRisk)
		f.say("the next step is blocked: %s", in.Blocked)
	}
	if !in.At.Before(in.FreezeFrom) && in.At.Before(in.FreezeUntil) {
		f.worse(AtRisk)
		f.say("changes are frozen until %s", day(in.FreezeUntil))
	}
}

func day(t time.Time) string { return t.UTC().Format("2 Jan 2006") }
