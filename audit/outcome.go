package audit

import (
	"fmt"
	"strings"
	"time"
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

// as sets the severity of what was found.
func (o outcome) as(s Severity) outcome {
	o.severity = s
	return o
}

// byDoing says what to do, where it is not what the check says in general.
func (o outcome) byDoing(format string, args ...any) outcome {
	o.remedy = fmt.Sprintf(format, args...)
	return o
}

// fixed gives the settings that would put it right.
func (o outcome) fixed(settings ...Setting) outcome {
	o.settings = settings
	return o
}

// noInfo is the outcome where INFO leaves something out.
func noInfo(what string) outcome {
	return unknown("the server does not report %s (INFO)", what)
}

// noConfig is the outcome where a setting is not to be had.
func (f *facts) noConfig(name string) outcome {
	if f.configErr != "" {
		return unknown("%s is not known: %s", name, f.configErr)
	}
	return unknown("the server has no setting %s", name)
}

// set makes a Setting from what is set now.
func (f *facts) set(name, to string) Setting {
	return Setting{Name: name, From: f.config[name], To: to}
}

func mega(bytes int64) string {
	switch {
	case bytes >= 10e9:
		return fmt.Sprintf("%d GB", bytes/1e9)
	case bytes >= 1e6:
		return fmt.Sprintf("%d.%d MB", bytes/1e6, bytes/1e5%10)
	case bytes >= 1e3:
		return fmt.Sprintf("%d kB", bytes/1e3)
	}
	return fmt.Sprintf("%d bytes", bytes)
}

// upFor says how long counters have counted. CONFIG RESETSTAT also sets them to 0,
// which the server does not tell.
func (f *facts) upFor() string {
	n, ok := f.number("uptime_in_seconds")
	if !ok {
		return "since the counters were last set to 0"
	}
	d := time.Duration(n) * time.Second
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("since it started %d s ago", n)
	case d < 2*time.Hour:
		return fmt.Sprintf("since it started %d min ago", n/60)
	case d < 48*time.Hour:
		return fmt.Sprintf("since it started %d h ago", n/3600)
	}
	return fmt.Sprintf("since it started %d days ago", n/86400)
}

// counter judges a count that must be 0.
func (f *facts) counter(name, what string) outcome {
	switch n, known := f.number(name); {
	case !known:
		return noInfo(name)
	case n > 0:
		return problem("%d %s %s", n, what, f.upFor())
	}
	return ok("0 %s %s", what, f.upFor())
}

// infoField reads a number of an INFO line such as "calls=3,usec=7".
func infoField(line, name string) int64 {
	for f := range strings.SplitSeq(line, ",") {
		if v, ok := strings.CutPrefix(f, name+"="); ok {
			var n int64
			_, _ = fmt.Sscanf(v, "%d", &n)
			return n
		}
	}
	return 0
}
