// Package audit judges a Redis that runs BullMQ by a catalogue of checks: what each
// reads, its limit, why it matters to jobs, what to do about it, and whether
// Switchyard can do that itself. It only reads. What cannot be read is Unknown,
// with the reason, and never counts as OK. Fixes are carried out elsewhere.
package audit

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
)

// Options control what is read.
type Options struct {
	// NoScan leaves out everything that looks at keys. Checks that need it are then
	// omitted from the report.
	NoScan bool
	// Census, if not nil, is the result of bullmq.TakeSurvey on the server.
	Census *bullmq.Survey
	// CensusNote says why there is no Census.
	CensusNote string
	// Share is the fraction of the time in which the scan may keep the server busy.
	// Zero means 0.25.
	Share float64
	// Progress, if not nil, is called with how many keys have been seen, out of
	// about total.
	Progress func(seen, total int64)

	kernel string // where /proc and /sys are, for tests
}

// Run audits one server. It fails only if INFO or the connection does.
func Run(ctx context.Context, c redis.UniversalClient, o Options) (Report, error) {
	if o.Share == 0 {
		o.Share = 0.25
	}
	started := time.Now()
	f, err := gather(ctx, c, o)
	if err != nil {
		return Report{}, err
	}
	r := Report{
		Address:  f.address,
		Version:  f.version(),
		Role:     f.info["role"],
		At:       started,
		Settings: f.configErr == "",
		Findings: judge(f),
	}
	r.Took = time.Since(started)
	return r, nil
}

// judge runs every check and puts the findings in the order of the report.
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
		finding := Finding{ID: c.ID, Title: c.Title, Severity: cmp.Or(o.severity, c.Severity),
			State: o.state, Measured: o.measured, Limit: c.Limit, Why: c.Why,
			Commands: c.Commands,
			Examples: o.examples, Counted: o.counted}
		if o.state == Problem {
			finding.Remedy = cmp.Or(o.remedy, c.Remedy)
			if len(o.settings) > 0 && f.configErr == "" {
				finding.Fix = &Fix{
					Settings: o.settings,
					Survives: f.info["config_file"] != "",
					Risk:     c.Risk,
				}
			}
		}
		out = append(out, finding)
	}
	rank := map[State]int{Problem: 0, Unknown: 1, OK: 2}
	slices.SortStableFunc(out, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(rank[a.State], rank[b.State]), cmp.Compare(
			slices.Index(Severities, a.Severity), slices.Index(Severities, b.Severity)))
	})
	return out
}
