// Package audit judges a Redis that runs BullMQ by a catalogue of checks: what each reads, its limit, why it matters to jobs, what to do about it, and
// whether Switchyard can do it. It reads only. What cannot be read is Unknown and says why; that never counts as OK. Apply of package workflows carries
// fixes out.
package audit

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
)

// Severity is how bad a problem is.
type Severity string

const (
	Critical Severity = "critical" // jobs are lost or run wrongly, or anybody can do it
	High     Severity = "high"     // the next ordinary fault loses jobs or stops the queue
	Medium   Severity = "medium"   // a fault becomes longer or likelier
	Low      Severity = "low"      // good practice
	Info     Severity = "info"     // nothing is wrong; more would be known
)

// Severities are all of them, the worst first.
var Severities = []Severity{Critical, High, Medium, Low, Info}

// AtLeast reports whether s is as bad as other, or worse.
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
	// Survives: the server has a configuration file to write the setting to. Whether it can write it is known afterwards.
	Survives bool   `json:"survives_restart"`
	Risk     string `json:"risk"`
}

// Finding is one check's answer about one server.
type Finding struct {
	ID       string   `json:"id"`
	Title    string   `json:"title"`
	Severity Severity `json:"severity"` // of the problem found, else the worst that the check knows
	State    State    `json:"state"`
	Measured string   `json:"measured"` // or why it is not known
	Limit    string   `json:"limit"`
	Why      string   `json:"why"`
	Remedy   string   `json:"remedy,omitempty"` // of a problem
	Commands []string `json:"commands"`
	Fix      *Fix     `json:"fix,omitempty"`
	Examples []string `json:"examples,omitempty"` // keys
}

// Report is what an audit of one server found. Findings are ordered: problems by severity, then what is not known, then what is well.
type Report struct {
	Address  string        `json:"address"` // host:port, without credentials
	Version  string        `json:"version"`
	Role     string        `json:"role"`
	At       time.Time     `json:"at"`
	Took     time.Duration `json:"took"` // nanoseconds
	Settings bool          `json:"settings_readable"`
	Findings []Finding     `json:"findings"`
}

// Count gives how many findings are in a state.
func (r Report) Count(s State) int {
	n := 0
	for _, f := range r.Findings {
		if f.State == s {
			n++
		}
	}
	return n
}

// In gives the findings in a state.
func (r Report) In(s State) []Finding {
	var out []Finding
	for _, f := range r.Findings {
		if f.State == s {
			out = append(out, f)
		}
	}
	return out
}

// Problems gives the problems that are at least so severe.
func (r Report) Problems(least Severity) []Finding {
	var out []Finding
	for _, f := range r.Findings {
		if f.State == Problem && f.Severity.AtLeast(least) {
			out = append(out, f)
		}
	}
	return out
}

// Finding gives one check's answer.
func (r Report) Finding(id string) (Finding, bool) {
	i := slices.IndexFunc(r.Findings, func(f Finding) bool { return f.ID == id })
	if i < 0 {
		return Finding{}, false
	}
	return r.Findings[i], true
}

// Options say what to read.
type Options struct {
	// NoScan leaves out everything that looks at keys. Checks that need it are then left out of the report, since nothing was asked of them.
	NoScan bool
	// Census, if not nil, is what a census of the server found. Take one with bullmq.TakeSurvey.
	Census *bullmq.Survey
	// CensusNote says why there is no Census.
	CensusNote string
	// Share is the part of the time, 0 to 1, in which the scan keeps the server busy. Zero: 0.25.
	Share float64
	// Progress, if not nil, is told how many keys were seen, of about how many.
	Progress func(seen, total int64)

	kernel string // where /proc and /sys are; for tests
}

// Run audits one server. It fails only where INFO does, or a connection.
func Run(ctx context.Context, c redis.UniversalClient, o Options) (Report, error) {
	if o.Share == 0 {
		o.Share = 0.25
	}
	started := time.Now()
	f, err := gather(ctx, c, o)
	if err != nil {
		return Report{}, err
	}
	r := Report{Address: f.address, Version: f.version(), Role: f.info["role"], At: started, Settings: f.configErr == "", Findings: judge(f)}
	r.Took = time.Since(started)
	return r, nil
}

// judge asks every check. The order is that of the report.
func judge(f *facts) []Finding {
	var out []Finding
	for _, c := range catalogue {
		if c.Scan && f.scan == nil {
			continue
		}
		o := c.judge(f)
		if o.state == "" {
			o = unknown("the check did not decide")
		}
		finding := Finding{ID: c.ID, Title: c.Title, Severity: cmp.Or(o.severity, c.Severity), State: o.state, Measured: o.measured, Limit: c.Limit, Why: c.Why, Commands: c.Commands,
			Examples: o.examples}
		if o.state == Problem {
			finding.Remedy = cmp.Or(o.remedy, c.Remedy)
			if len(o.settings) > 0 && f.configErr == "" {
				finding.Fix = &Fix{Settings: o.settings, Survives: f.info["config_file"] != "", Risk: c.Risk}
			}
		}
		out = append(out, finding)
	}
	rank := map[State]int{Problem: 0, Unknown: 1, OK: 2}
	slices.SortStableFunc(out, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(rank[a.State], rank[b.State]), cmp.Compare(slices.Index(Severities, a.Severity), slices.Index(Severities, b.Severity)))
	})
	return out
}

// Check is one entry of the catalogue.
type Check struct {
	ID       string
	Title    string
	Severity Severity // the worst that it finds
	Limit    string
	Why      string
	Remedy   string
	Commands []string
	Denied   string // how it is read where CONFIG is denied
	Risk     string // of the fix; "" Switchyard has none
	Scan     bool   // needs to look at keys

	judge func(*facts) outcome
}

// Catalogue gives every check, by priority.
func Catalogue() []Check { return slices.Clone(catalogue) }

// outcome is what a check decides.
type outcome struct {
	state    State
	severity Severity // of the problem, where it is not the check's
	measured string
	remedy   string // where it is not the check's
	settings []Setting
	examples []string
}
