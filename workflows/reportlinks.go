package workflows

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/store"
	"github.com/switchyard-dev/switchyard/workflows/report"
)

// Bounds of a link to the status report.
const (
	ShortestLink = time.Hour
	LongestLink  = 30 * 24 * time.Hour
	// MostLinks is how many links of a migration may count at a time.
	MostLinks = 20
	maxNote   = 200
	// linksShown is how many links are listed, also those that lead nowhere any more.
	linksShown = 100
)

// ReportLink is an address by which somebody without an account reads the status report.
type ReportLink struct {
	ID        int64      `json:"id"`
	Note      string     `json:"note"` // whom it is for
	By        string     `json:"by"`
	At        time.Time  `json:"at"`
	Until     time.Time  `json:"until"`
	RevokedBy string     `json:"revoked_by,omitempty"`
	RevokedAt *time.Time `json:"revoked_at,omitempty"`
}

func shownLink(l store.ReportLink) ReportLink {
	return ReportLink{l.ID, l.Note, l.By, l.At, l.Until, l.RevokedBy, l.RevokedAt}
}

// linkHash is what is kept of a link's token, and found again: the token itself is random enough
// that nothing can be learned from how long that takes.
func linkHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// ShareReport makes a link by which the status report is read without an account until it
// expires. The token is given this once. Engineers only.
func (c *Control) ShareReport(
	ctx context.Context, a migration.Actor, mid, note string, within time.Duration,
) (ReportLink, migration.Secret, error) {
	link, token, err := c.shareReport(ctx, a, mid, strings.TrimSpace(note), within)
	c.audit(ctx, a, "share report", fmt.Sprintf("link %d for %s", link.ID, within), link.Note, err)
	return link, token, err
}

func (c *Control) shareReport(
	ctx context.Context, a migration.Actor, mid, note string, within time.Duration,
) (ReportLink, migration.Secret, error) {
	if err := engineer(a); err != nil {
		return ReportLink{}, "", err
	}
	if err := c.known(ctx, mid); err != nil {
		return ReportLink{}, "", err
	}
	if within < ShortestLink || within > LongestLink {
		return ReportLink{}, "", migration.Errorf(migration.Invalid,
			"a link counts for %s to %s, not for %s: choose a time in between",
			migration.Words(ShortestLink), migration.Words(LongestLink), within)
	}
	if len(note) > maxNote {
		return ReportLink{}, "", migration.Errorf(migration.Invalid,
			"the note has %d bytes; it may have %d", len(note), maxNote)
	}
	token := newToken()
	now := c.now()
	l, err := c.store.AddReportLink(ctx, store.ReportLink{MigrationID: mid, Note: note, By: a.Name,
		At: now, Until: now.Add(within)}, linkHash(token), MostLinks)
	if err != nil {
		return ReportLink{}, "", err
	}
	return shownLink(l), migration.Secret(token), nil
}

// ReportLinks lists the last links to the report, the newest first, also those that lead nowhere.
func (c *Control) ReportLinks(ctx context.Context, mid string) ([]ReportLink, error) {
	if err := c.known(ctx, mid); err != nil {
		return nil, err
	}
	all, err := c.store.ReportLinks(ctx, mid, linksShown)
	out := []ReportLink{}
	for _, l := range all {
		out = append(out, shownLink(l))
	}
	return out, err
}

// RevokeReportLink makes a link lead nowhere from now on.
func (c *Control) RevokeReportLink(
	ctx context.Context, a migration.Actor, mid string, id int64,
) error {
	err := engineer(a)
	if err == nil {
		err = c.store.RevokeReportLink(ctx, mid, id, a.Name, c.now())
	}
	c.audit(ctx, a, "revoke report link", fmt.Sprint(id), "", err)
	return err
}

// PublicURL is where people reach the pages; empty where that is not configured.
func (c *Control) PublicURL() string { return strings.TrimSuffix(c.cfg.PublicURL, "/") }

// SharedReport gives the report that a link leads to, without servers' addresses. NotFound: there
// is no such link; gone: it has expired or was revoked.
func (c *Control) SharedReport(ctx context.Context, token string) (r Report, gone bool, err error) {
	l, err := c.store.ReportLink(ctx, linkHash(token))
	if err != nil {
		return Report{}, false, err
	}
	if !l.Counts(c.now()) {
		return Report{}, true, nil
	}
	made, err := c.Report(ctx, l.MigrationID)
	return report.Redacted(made), false, err
}
