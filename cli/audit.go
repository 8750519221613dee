package cli

import (
	"fmt"

	"github.com/switchyard-dev/switchyard/audit"
	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/migration"
)

const envAudit = "SWITCHYARD_AUDIT_URL"

// auditCmd audits one Redis.
type auditCmd struct {
	URL    string         `arg:"" optional:"" help:"URL. Default: SWITCHYARD_AUDIT_URL."`
	CA     string         `name:"ca" help:"CA certificate (PEM)." type:"path" placeholder:"FILE"`
	Format string         `help:"${enum}." enum:"text,markdown,html,json" default:"text"`
	FailOn audit.Severity `help:"Fail from ${enum} on." enum:"critical,high,medium" default:"high"`
	Strict bool           `help:"Fail also where something of that severity is unknown."`
	NoScan bool           `help:"Look at no keys: settings and counters only."`
	Census bool           `help:"Look at every job of every queue."`
	Share  float64        `help:"Share of its time, 0 to 1." default:"0.25" placeholder:"N"`
}

// Help tells what is looked at, and what it costs the server.
func (auditCmd) Help() string {
	return "Checks settings, counters and keys, and changes nothing. Give the redis:// or " +
		"rediss:// URL in SWITCHYARD_AUDIT_URL, where nobody sees the password. --census finds " +
		"lost jobs, jobs without data and schedulers that stopped; it takes minutes on millions " +
		"of jobs. --share is how much of its time the server may spend on answering questions " +
		"about keys. Needs no Switchyard server."
}

// Run audits and prints the report. It fails when something is as bad as FailOn, or worse.
func (c auditCmd) Run(s *shell) error {
	if c.Share <= 0 || c.Share > 1 {
		return migration.Errorf(migration.Invalid, "--share must be above 0 and at most 1")
	}
	if c.NoScan && c.Census {
		return migration.Errorf(migration.Invalid,
			"--census looks at every key, and --no-scan at none")
	}
	client, err := openURL(s, "redis", c.URL, envAudit, c.CA)
	if err != nil {
		return err
	}
	defer client.Close()
	o := audit.Options{
		NoScan: c.NoScan, Share: c.Share, CensusNote: "no census was taken: add --census",
	}
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
		return migration.Errorf(migration.Conflict,
			"%s of severity %s or worse", count(len(bad), "problem"), c.FailOn)
	}
	if !c.Strict {
		return nil
	}
	n := 0
	for _, f := range r.In(audit.Unknown) {
		if f.Severity.AtLeast(c.FailOn) {
			n++
		}
	}
	if n > 0 {
		return fmt.Errorf("%s of severity %s or worse unknown", count(n, "check"), c.FailOn)
	}
	return nil
}
