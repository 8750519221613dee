package alarm

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/notify"
	"github.com/switchyard-dev/switchyard/store"
	"github.com/switchyard-dev/switchyard/workflows/digest"
	"github.com/switchyard-dev/switchyard/workflows/report"
)

const (
	// digestEvery is how often it is looked whether a digest is due.
	digestEvery = 20 * time.Second
	// lateAfter is how long after its time a digest counts as late, and says so.
	lateAfter = 15 * time.Minute
	// digestSetting is since when the present schedule counts.
	digestSetting = "digest-schedule"
	// mostAlerts is how many alerts of a week are counted.
	mostAlerts = 500
	// unsure is what is known of a digest whose sender ended while sending it. It is not sent
	// again: a week has one.
	unsure = "it is not known whether it was taken: the server stopped while sending it"
)

// DigestPlan is when the weekly digest is sent, and to whom.
type DigestPlan struct {
	When string `json:"when"` // in words
	Zone string `json:"zone"` // of the IANA database
	// Channels are those that get it; none: it is not sent.
	Channels []string   `json:"channels"`
	Next     *time.Time `json:"next,omitempty"` // absent: it is not sent
	// LastAt is when the last one was made.
	LastAt *time.Time `json:"last_at,omitempty"`
}

// DigestPreview is a digest as it would be sent now, also in words.
type DigestPreview struct {
	Digest digest.Digest `json:"digest"`
	Title  string        `json:"title"`
	Lead   string        `json:"lead"`
	Parts  []digest.Part `json:"parts"`
	Plan   DigestPlan    `json:"plan"`
}

// scheduled is a schedule of digests, and since when it counts: what was due before is not owed.
type scheduled struct {
	When  string    `json:"when"` // "": no channel gets one
	Since time.Time `json:"since"`
}

// takesDigest reports whether the channel gets the weekly digest. A pager never does.
func (o *outlet) takesDigest() bool { return o.Digest && o.Type != "pagerduty" }

func (n *Notifier) digestPlan(ctx context.Context, mid string) (DigestPlan, error) {
	plan := DigestPlan{When: n.Config.Digest.String(), Zone: n.digestZone().String(),
		Channels: n.digestChannels()}
	if len(plan.Channels) > 0 {
		next := n.Config.Digest.Next(n.Now())
		plan.Next = &next
	}
	last, found, err := n.Store.LastDigest(ctx, mid)
	if found {
		plan.LastAt = &last.MadeAt
	}
	return plan, err
}

func (n *Notifier) digestChannels() []string {
	out := []string{}
	for _, o := range n.outlets {
		if o.takesDigest() {
			out = append(out, o.Name)
		}
	}
	return out
}

func (n *Notifier) digestZone() *time.Location {
	zone, err := n.Config.Digest.Location()
	if err != nil { // the configuration is validated
		return time.UTC
	}
	return zone
}

// keepDigests has digests sent that are due, until ctx ends.
func (n *Notifier) keepDigests(ctx context.Context) {
	ticker := time.NewTicker(digestEvery)
	defer ticker.Stop()
	for ctx.Err() == nil {
		if err := n.tellDigests(ctx); err != nil && ctx.Err() == nil {
			n.Log.Warn("the weekly digest was not made; trying again", "err", err)
		}
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
}

// tellDigests queues the digest that was due last, where its week has had none. Of several that
// were missed it is the last alone, so the others are never sent.
func (n *Notifier) tellDigests(ctx context.Context) error {
	now := n.Now()
	since, wanted, err := n.scheduleSince(ctx, now)
	due := n.Config.Digest.Last(now)
	if err != nil || !wanted || due.Before(since) {
		return err
	}
	all, err := n.Store.Migrations(ctx)
	if err != nil {
		return err
	}
	for _, mig := range all {
		if due.Before(mig.CreatedAt) {
			continue
		}
		if err := n.tellDigest(ctx, mig, due); err != nil {
			return err
		}
	}
	return nil
}

// scheduleSince notes since when the schedule is as it is: a new one owes nothing of before.
func (n *Notifier) scheduleSince(
	ctx context.Context, now time.Time,
) (since time.Time, wanted bool, err error) {
	is := scheduled{Since: now}
	if wanted = len(n.digestChannels()) > 0; wanted {
		is.When = n.Config.Digest.String()
	}
	var was scheduled
	found, err := n.Store.Setting(ctx, digestSetting, &was)
	if err != nil {
		return now, wanted, err
	}
	if found && was.When == is.When {
		return was.Since, wanted, nil
	}
	return now, wanted, n.Store.SetSetting(ctx, digestSetting, is)
}

func (n *Notifier) tellDigest(ctx context.Context, mig migration.Migration, due time.Time) error {
	year, number := due.ISOWeek()
	week := fmt.Sprintf("%d-W%02d", year, number)
	if had, err := n.Store.HasDigest(ctx, mig.ID, week); err != nil || had {
		return err
	}
	d, err := n.makeDigest(ctx, mig.ID)
	if err != nil {
		return err
	}
	if n.Now().Sub(due) > lateAfter {
		d = d.Late(due)
	}
	messages, err := n.digestMessages(d, week)
	if err != nil {
		return err
	}
	body, err := json.Marshal(d)
	if err != nil {
		return err
	}
	kept := store.KeptDigest{Week: week, DueAt: due, MadeAt: n.Now(), Body: body}
	err = n.Store.SaveDigest(ctx, mig.ID, kept, messages)
	if migration.KindOf(err) == migration.Conflict {
		return nil // another process was first
	}
	if err != nil {
		return err
	}
	n.Log.Info("weekly digest", "migration", mig.ID, "week", week, "late", d.Due != nil)
	n.wakeOutlets()
	n.Notify("notifications")
	return nil
}

// PreviewDigest gives the digest as it would be sent now.
func (n *Notifier) PreviewDigest(ctx context.Context, mid string) (DigestPreview, error) {
	d, err := n.makeDigest(ctx, mid)
	if err != nil {
		return DigestPreview{}, err
	}
	zone := n.digestZone()
	p := DigestPreview{Digest: d, Title: d.Title(), Lead: d.Lead(zone), Parts: d.Parts(zone)}
	p.Plan, err = n.digestPlan(ctx, mid)
	return p, err
}

func (n *Notifier) makeDigest(ctx context.Context, mid string) (digest.Digest, error) {
	kept, found, err := n.Store.LastDigest(ctx, mid)
	if err != nil {
		return digest.Digest{}, err
	}
	var last *digest.Digest
	if found {
		last = &digest.Digest{}
		if err := json.Unmarshal(kept.Body, last); err != nil {
			return digest.Digest{}, fmt.Errorf("digest of %s: %w", kept.Week, err)
		}
	}
	d, err := n.Digest(ctx, mid, last)
	d.Report = n.link(mid, "report")
	return d, err
}

// SendDigest sends the digest now, because somebody asked for it. It does not stand for the weekly
// one. Channels get one a minute at most. Conflict: no channel takes any.
func (n *Notifier) SendDigest(ctx context.Context, by, mid string) (DigestPlan, error) {
	if len(n.digestChannels()) == 0 {
		return DigestPlan{}, migration.Errorf(migration.Conflict, "no channel takes digests: set "+
			"digest: true at a channel of the configuration (docs/notifications.md)")
	}
	d, err := n.makeDigest(ctx, mid)
	if err != nil {
		return DigestPlan{}, err
	}
	d.By = by
	messages, err := n.digestMessages(d, n.Now().UTC().Format("2006-01-02T15:04"))
	if err != nil {
		return DigestPlan{}, err
	}
	if err := n.Store.TellDigest(ctx, messages); err != nil {
		return DigestPlan{}, err
	}
	n.wakeOutlets()
	n.Notify("notifications")
	return n.digestPlan(ctx, mid)
}

func (n *Notifier) digestMessages(d digest.Digest, which string) ([]store.Notification, error) {
	key := notify.Key(d.Migration, "digest")
	e := notify.Event{ID: key + "/" + which, Key: key, Kind: notify.Digest, Severity: notify.Info,
		Source: d.Name, Title: d.Title(), Text: d.Text(n.digestZone()), URL: d.Report, At: d.At}
	return n.messages(e.Bounded(), n.Now())
}

// AlertsSince gives the alerts that were open at any time since then, and why they are not known
// for certain; empty: they are.
func (n *Notifier) AlertsSince(
	ctx context.Context, mid string, since time.Time,
) (out []report.Incident, unsure string, err error) {
	now := n.Now()
	past, err := n.Store.AlertsBetween(ctx, mid, since, now, mostAlerts)
	if err != nil {
		return nil, "", err
	}
	for _, a := range past {
		i, err := incident(a.OpenAlert)
		if err != nil {
			return nil, "", err
		}
		if !a.ClosedAt.IsZero() {
			i.Ended = &a.ClosedAt
		}
		out = append(out, i)
	}
	var looked time.Time
	found, err := n.Store.Setting(ctx, observedSetting+mid, &looked)
	switch {
	case err != nil:
		return nil, "", err
	case !found:
		return out, "nobody has looked for them yet", nil
	case now.Sub(looked) > looksMissed*n.Config.Migration.MonitorInterval:
		return out, "looked for last on " + looked.UTC().Format("2 Jan 2006, 15:04 UTC"), nil
	case len(past) == mostAlerts:
		return out, fmt.Sprintf("more than %d in this time, which are not counted", mostAlerts), nil
	}
	return out, "", nil
}
