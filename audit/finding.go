package audit

import (
	"slices"
	"time"
)

// Severity is how bad a problem is.
type Severity string

const (
	Critical Severity = "critical" // jobs are lost or run wrongly, or anybody can cause that
	High     Severity = "high"     // the next ordinary fault loses jobs or stops the queue
	Medium   Severity = "medium"   // a fault lasts longer or becomes more likely
	Low      Severity = "low"      // good practice
	Info     Severity = "info"     // nothing is wrong; more could be known
)

// Severities lists them all, the worst first.
var Severities = []Severity{Critical, High, Medium, Low, Info}

// AtLeast reports whether s is as bad as other or worse.
func (s Severity) AtLeast(other Severity) bool {
	return slices.Index(Severities, s) <= slices.Index(Severities, other)
}

// State is what a check found.
type State string

const (
	OK      State = "ok"
	Problem State = "problem"
	Unknown State = "unknown"
)

// Setting is one change of a server's configuration.
type Setting struct {
	Name string `json:"name"`
	From string `json:"from"`
	To   string `json:"to"`
}

// Fix is a change that Switchyard can make: CONFIG SET, CONFIG REWRITE, read back.
type Fix struct {
	Settings []Setting `json:"settings"`
	// Survives means that the server has a configuration file to write the setting
	// to. Whether it can write it is only known afterwards.
	Survives bool   `json:"survives_restart"`
	Risk     string `json:"risk"`
}

// Finding is one check's answer about one server.
type Finding struct {
	ID    string `json:"id"`
	Title string `json:"title"`
	// of the problem found, otherwise the worst the check can find
	Severity Severity `json:"severity"`
	State    State    `json:"state"`
	Measured string   `json:"measured"` // or why it is unknown
	Limit    string   `json:"limit"`
	Why      string   `json:"why"`
	Remedy   string   `json:"remedy,omitempty"` // of a problem
	Commands []string `json:"commands"`
	Fix      *Fix     `json:"fix,omitempty"`
	Examples []string `json:"examples,omitempty"` // keys
	// Counted changes whenever more of what is a problem has happened, for checks that count
	// since the server started: the problem stays, and nothing new needs to have happened.
	Counted int64 `json:"counted,omitempty"`
}

// Report is what an audit of one server found. Findings are ordered: problems by
// severity, then unknowns, then checks that passed.
type Report struct {
	Address  string        `json:"address"` // host:port, without credentials
	Version  string        `json:"version"`
	Role     string        `json:"role"`
	At       time.Time     `json:"at"`
	Took     time.Duration `json:"took"` // nanoseconds
	Settings bool          `json:"settings_readable"`
	Findings []Finding     `json:"findings"`
}

// Count returns how many findings are in a state.
func (r Report) Count(s State) int {
	n := 0
	for _, f := range r.Findings {
		if f.State == s {
			n++
		}
	}
	return n
}

// In returns the findings in a state.
func (r Report) In(s State) []Finding {
	var out []Finding
	for _, f := range r.Findings {
		if f.State == s {
			out = append(out, f)
		}
	}
	return out
}

// Problems returns the problems at least as severe as least.
func (r Report) Problems(least Severity) []Finding {
	var out []Finding
	for _, f := range r.Findings {
		if f.State == Problem && f.Severity.AtLeast(least) {
			out = append(out, f)
		}
	}
	return out
}

// Finding returns the finding of one check.
func (r Report) Finding(id string) (Finding, bool) {
	i := slices.IndexFunc(r.Findings, func(f Finding) bool { return f.ID == id })
	if i < 0 {
		return Finding{}, false
	}
	return r.Findings[i], true
}
