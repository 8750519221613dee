package alarm

import (
	"context"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/notify"
	"github.com/switchyard-dev/switchyard/store"
)

// Alerts is what is wrong now.
type Alerts struct {
	At   time.Time `json:"at"`
	Open int       `json:"open"`
	// Unacknowledged are those of the open ones that nobody has said to look after.
	Unacknowledged int             `json:"unacknowledged"`
	Alerts         []NotifiedAlert `json:"alerts"` // the oldest first
}

// Acknowledgement is who looks after an open alert.
type Acknowledgement struct {
	By      string    `json:"by"`
	At      time.Time `json:"at"`
	Comment string    `json:"comment"`
}

// maxComment bounds what is said with an acknowledgement.
const maxComment = 500

// Alerts gives the open alerts.
func (n *Notifier) Alerts(ctx context.Context, mid string) (Alerts, error) {
	all, err := n.Notifications(ctx, mid)
	out := Alerts{At: all.At, Open: len(all.Alerts), Alerts: all.Alerts}
	for _, a := range all.Alerts {
		if a.Acknowledged == nil {
			out.Unacknowledged++
		}
	}
	return out, err
}

// Unseen counts the open alerts that nobody has acknowledged.
func (n *Notifier) Unseen(ctx context.Context, mid string) (int, error) {
	count, err := n.Store.UnseenAlerts(ctx, mid)
	return int(count), err
}

// Acknowledge notes that somebody looks after an open alert. It stays open until what is wrong is
// well again; until then nothing is sent of it unless it gets worse.
func (n *Notifier) Acknowledge(ctx context.Context, by, mid, key, comment string) error {
	comment = strings.TrimSpace(comment)
	if key == "" {
		return migration.Errorf(migration.Invalid, "say which alert: its key is missing")
	}
	if comment == "" {
		return migration.Errorf(migration.Invalid,
			"say what is being done about it: the comment is missing")
	}
	if len(comment) > maxComment {
		return migration.Errorf(migration.Invalid,
			"the comment has %d bytes; it may have %d", len(comment), maxComment)
	}
	now := n.Now()
	err := n.Store.AckAlert(ctx, mid, key, store.Ack{By: by, At: &now, Comment: comment})
	if err == nil {
		n.Notify("notifications")
		n.Notify("overview")
	}
	return err
}

func acknowledged(a store.Ack) *Acknowledgement {
	if a.At == nil {
		return nil
	}
	return &Acknowledgement{a.By, *a.At, a.Comment}
}

// ofRun names the run of ours that makes servers refuse or delay commands and is under way as an
// alert begins: it may well be its doing. Which severity it has does not depend on that.
func ofRun(e notify.Event, mig migration.Migration, open *migration.Run) notify.Event {
	if e.Run == "" && open != nil && open.Disturbs() {
		e.Run = open.ID
	}
	if e.Run == "" {
		return e
	}
	title, of := "run "+e.Run, ""
	if open != nil && open.ID == e.Run {
		title = open.Step
		if s, ok := mig.Plan.Step(open.Step); ok {
			title = s.Title
		}
		of = " of " + title
	}
	e.Title += ", during " + title
	e.Text = strings.TrimSpace(e.Text + "\nIt started during run " + e.Run + of +
		", which may be the cause. If it is still open after that run has ended, look into it.")
	return e
}
