package ui

import "github.com/switchyard-dev/switchyard/migration"

// Status is one entry of the closed vocabulary of states: a tone, an icon whose shape differs
// without colour, and a word.
type Status struct{ Tone, Icon, Word string }

// As gives the status another icon than the usual one of its tone.
func (s Status) As(icon string) Status {
	s.Icon = icon
	return s
}

// The tones, each with the icon that it usually has.

// OK is for what is as it should be. Nothing else may look like it.
func OK(word string) Status { return Status{"ok", "circle-check", word} }

// Bad is for what is wrong.
func Bad(word string) Status { return Status{"bad", "octagon-x", word} }

// Warn is for what somebody should look at.
func Warn(word string) Status { return Status{"warn", "triangle-alert", word} }

// Running is for what is happening now.
func Running(word string) Status { return Status{"run", "loader", word} }

// Waiting is for what goes on when its time or somebody comes.
func Waiting(word string) Status { return Status{"wait", "clock", word} }

// Ready is for what can be started.
func Ready(word string) Status { return Status{"ready", "circle-dot", word} }

// Stale is for what was known once and may be different now.
func Stale(word string) Status { return Status{"stale", "wifi-off", word} }

// Past is for what is over, and says nothing of now.
func Past(word string) Status { return Status{"past", "check", word} }

// Idle is for what has not happened.
func Idle(word string) Status { return Status{"idle", "circle-dashed", word} }

// Unknown is for what nobody can tell.
func Unknown(word string) Status { return Status{"idle", "circle-help", word} }

// CriterionStatus shows the verdict on a criterion; one that nothing was measured for is not
// started, which is not yet a failure.
func CriterionStatus(i migration.Item) Status {
	if i.Unstarted() {
		return Idle("Not started")
	}
	return VerdictStatus(i.Verdict)
}

// VerdictStatus shows a verdict.
func VerdictStatus(v migration.Verdict) Status {
	switch v {
	case migration.Met:
		return OK("Met")
	case migration.Unmet:
		return Bad("Not met")
	case migration.Stale:
		return Stale("Stale")
	}
	return Unknown("Unknown")
}

func gateStatus(g migration.Gate) Status {
	if g.OK {
		return OK("Pass")
	}
	return Bad("Blocking").As("ban")
}

// ZeroTone is the tone of a figure that must be zero.
func ZeroTone(n int) string {
	if n > 0 {
		return "bad"
	}
	return "ok"
}

// LateTone is for orders that wait where they may: bad once they have waited for too long.
func LateTone(late int) string {
	if late > 0 {
		return "bad"
	}
	return ""
}

// ForecastStatus is how a migration stands against its dates; one without a forecast is unknown.
func ForecastStatus(state string) Status {
	word := Title(state)
	switch state {
	case "done", "on track":
		return OK(word)
	case "at risk":
		return Warn(word)
	case "off track":
		return Bad(word)
	}
	return Unknown(word)
}
