package alarm

import (
	"context"

	"github.com/switchyard-dev/switchyard/workflows/report"
)

// PastAlert is an alert that is over: Ended says since when.
type PastAlert struct {
	Key string
	report.Incident
}

// Past gives the alerts of a migration that are over, the newest end first, at most limit.
func (n *Notifier) Past(ctx context.Context, mid string, limit int) ([]PastAlert, error) {
	past, _, err := n.Store.PastAlerts(ctx, mid, limit)
	if err != nil {
		return nil, err
	}
	out := make([]PastAlert, len(past))
	for i, a := range past {
		if out[i].Incident, err = incident(a.OpenAlert); err != nil {
			return nil, err
		}
		out[i].Key, out[i].Ended = a.Key, &a.ClosedAt
	}
	return out, nil
}
