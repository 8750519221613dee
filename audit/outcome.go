package audit

import (
	"fmt"
)

func ok(format string, args ...any) outcome {
	return outcome{state: OK, measured: fmt.Sprintf(format, args...)}
}

func problem(format string, args ...any) outcome {
	return outcome{state: Problem, measured: fmt.Sprintf(format, args...)}
}

func unknown(format string, args ...any) outcome {
	return outcome{state: Unknown, measured: fmt.Sprintf(format, args...)}
}

// as sets the severity of the problem found.
func (o outcome) as(s Severity) outcome {
	o.severity = s
	return o
}

// byDoing sets a remedy other than the check's general one.
func (o outcome) byDoing(format string, args ...any) outcome {
	o.remedy = fmt.Sprintf(format, args...)
	return o
}

// fixed sets the settings that would fix the problem.
func (o outcome) fixed(settings ...Setting) outcome {
	o.settings = settings
	return o
}

// counting sets what changes whenever it happens again.
func (o outcome) counting(n int64) outcome {
	o.counted = n
	return o
}

// noInfo is the outcome for something missing from INFO.
func noInfo(what string) outcome {
	return unknown("the server does not report %s (INFO)", what)
}

// outcome is what a check decides.
type outcome struct {
	state    State
	severity Severity // of the problem, if not the check's
	measured string
	remedy   string // if not the check's
	settings []Setting
	examples []string
	counted  int64 // see Finding.Counted
}
