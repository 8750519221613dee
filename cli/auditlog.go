package cli

import (
	"fmt"
	"time"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/migration"
)

// auditLogCmd lists who did what. The audit of a Redis is auditCmd.
type auditLogCmd struct {
	remote
	Person  string `help:"Only of this account."`
	Action  string `help:"Only of this action, such as start or approve."`
	Subject string `help:"Only where the subject or the detail has this text."`
	Result  string `help:"Only with this result: ok, refused, succeeded, failed or cancelled."`
	Since   string `help:"From this time: 24h for the last day, a date in UTC, or RFC 3339."`
	Until   string `help:"Up to this time; a date is included."`
	Limit   int    `help:"How many entries at most, 1 to 10000." default:"50"`
	CSV     bool   `help:"Print comma-separated values, as the page exports them."`
}

// Help tells what the log covers.
func (auditLogCmd) Help() string {
	return "The newest first. The log is of the whole installation, of every migration. " +
		"`switchyard audit` is another thing: it audits a Redis."
}

// mostOfLog is how many entries are printed at most, as in the page's export.
const mostOfLog = 10_000

// Run prints the log.
func (c auditLogCmd) Run(s *shell) error {
	if c.Limit < 1 || c.Limit > mostOfLog {
		return migration.Errorf(migration.Invalid, "--limit is %d: choose 1 to %d", c.Limit, mostOfLog)
	}
	if c.CSV && c.JSON {
		return migration.Errorf(migration.Invalid, "choose one of --csv and --json")
	}
	client, _, err := c.open(s)
	if err != nil {
		return err
	}
	q := api.AuditQuery{Person: c.Person, Action: c.Action, Subject: c.Subject, Result: c.Result,
		Since: since(c.Since, time.Now()), Until: c.Until}
	all := []migration.AuditEntry{}
	for more := true; more && len(all) < c.Limit; {
		q.Limit = min(c.Limit-len(all), auditPage)
		page, err := client.Audit(s.ctx, q)
		if err != nil {
			return err
		}
		all, q.Before = append(all, page.Entries...), page.Next
		more = page.Next > 0
	}
	if c.CSV {
		if _, err := s.stdout.Write(api.AuditCSV(all)); err != nil {
			return fmt.Errorf("write the log: %w", err)
		}
		return nil
	}
	return c.print(s, all, func(t table) { writeAuditLog(t, all) })
}

// auditPage is how many entries are asked for at once.
const auditPage = 200

// since gives the time that a duration before now is; what is none is for the server to read.
func since(text string, now time.Time) string {
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return now.Add(-d).UTC().Format(time.RFC3339)
	}
	return text
}

func writeAuditLog(t table, all []migration.AuditEntry) {
	if len(all) == 0 {
		t.row("No entries.")
	}
	for _, e := range all {
		t.row("%d\t%s\t%s\t%s\t%s\t%s\t%s", e.Seq, e.At.UTC().Format(time.RFC3339), e.Actor,
			e.Action, e.Result, e.Subject, e.Detail)
	}
}
