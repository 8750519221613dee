package alarm

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/notify"
	"github.com/switchyard-dev/switchyard/store"
	"github.com/switchyard-dev/switchyard/workflows/progress"
	"github.com/switchyard-dev/switchyard/workflows/report"
)

// pastShown is how many alerts that are over are looked through for the report.
const pastShown = 200

// Incidents gives the alerts of a migration as its report shows them: the open ones first, then
// those that are over, the newest first.
func (n *Notifier) Incidents(ctx context.Context, mid string) ([]report.Incident, error) {
	open, err := n.Store.OpenAlerts(ctx, mid)
	if err != nil {
		return nil, err
	}
	past, err := n.Past(ctx, mid, pastShown)
	if err != nil {
		return nil, err
	}
	var out []report.Incident
	for _, a := range open {
		i, err := incident(a)
		if err != nil {
			return nil, err
		}
		out = append(out, i)
	}
	for _, a := range past {
		out = append(out, a.Incident)
	}
	return out, nil
}

func incident(a store.OpenAlert) (report.Incident, error) {
	var e notify.Event
	if err := json.Unmarshal(a.Event, &e); err != nil {
		return report.Incident{}, fmt.Errorf("alert %s: %w", a.Key, err)
	}
	i := report.Incident{Title: e.Title, Severity: a.Severity, Began: a.OpenedAt, Run: e.Run}
	if a.Ack.By != "" {
		i.Acknowledged = a.Ack.By + ": " + a.Ack.Comment
	}
	return i, nil
}

// Lapsed names the criteria that were met once and are not.
func (n *Notifier) Lapsed(ctx context.Context, v progress.View) ([]string, error) {
	var met, out []string
	if _, err := n.Store.Setting(ctx, metSetting+v.Migration.ID, &met); err != nil {
		return nil, err
	}
	for _, i := range v.Checklist {
		if i.Verdict != migration.Met && slices.Contains(met, i.Criterion.ID) {
			out = append(out, i.Criterion.Title)
		}
	}
	return out, nil
}
