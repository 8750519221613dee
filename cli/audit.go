package cli

import (
	"fmt"

	"github.com/switchyard-dev/switchyard/audit"
	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/migration"
)

const envAudit = "SWITCHYARD_AUDIT_URL"

// auditCmd judges one Redis. It needs no Switchyard server.
type auditCmd struct {
	URL    string         `arg:"" optional:"" help:"redis:// or rediss:// URL. Default: SWITCHYARD_AUDIT_URL, where nobody sees the password."`
	CA     string         `name:"ca" help:"PEM file of the server's certificate authority." type:"path" placeholder:"FILE"`
	Format string         `help:"text, markdown, html or json." enum:"text,markdown,html,json" default:"text"`
	FailOn audit.Severity `help:"Exit code 1 from this severity on: critical, high or medium." enum:"critical,high,medium" default:"high"`
	Strict bool           `help:"Exit code 1 also where something of that severity is not known."`
	NoScan bool           `help:"Look at no keys: settings and counters only."`
	Census bool           `help:"Look at every job of every queue: lost jobs, jobs without data, schedulers that stopped. Takes minutes on millions of jobs."`
	Share  float64        `help:"Part of the time, 0 to 1, in which looking at keys may keep the server busy." default:"0.25" placeholder:"N"`
}

// Run audits and prints the report. It fails when something is as bad as FailOn, or worse.
func (c auditCmd) Run(s *shell) error {
	if c.Share <= 0 || c.Share > 1 {
		return migration.Errorf(migration.Invalid, "the share is above 0 and at most 1")
	}
	if c.NoScan && c.Census {
		return migration.Errorf(migration.Invalid, "--census looks at every key, and --no-scan at none")
	}
	client, err := openURL(s, "redis", c.URL, envAudit, c.CA)
	if err != nil {
		return err
	}
	defer client.Close()
	o := audit.Options{NoScan: c.NoScan, Share: c.Share, CensusNote: "no census was taken: add --census"}
	if c.Census {
		survey, err := bullmq.TakeSurvey(s.ctx, client, bullmq.SurveyOptions{Share: c.Share})
		if err != nil {
			return err
		}
		o.Census = &survey
	}
	r, err := audit.Run(s.ctx, client, o)
	if s.ctx.Err() != nil {
		return migration.Errorf(migration.Conflict, "interrupted: nothing is known")
	}
	if err != nil {
		return err
	}
	if err := audit.Write(s.stdout, c.Format, r); err != nil {
		return err
	}
	return c.verdict(r)
}

func (c auditCmd) verdict(r audit.Report) error {
	if bad := r.Problems(c.FailOn); len(bad) > 0 {
		return migration.Errorf(migration.Conflict, "%d problems of severity %s or worse", len(bad), c.FailOn)
	}
	if !c.Strict {
		return nil
	}
	n := 0
	for _, f := range r.Findings {
		if f.State == audit.Unknown && f.Severity.AtLeast(c.FailOn) {
			n++
		}
	}
	if n > 0 {
		return fmt.Errorf("%d things of severity %s or worse are not known", n, c.FailOn)
	}
	return nil
}
