package workflows

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/notify"
	"github.com/switchyard-dev/switchyard/store"
)

const (
	// notifyEvery is how often runs are looked at and messages are due without anybody saying so.
	notifyEvery = 5 * time.Second
	// firstWait and longestWait bound how long a message that was not taken waits for its next try; the wait doubles in between.
	firstWait   = 5 * time.Second
	longestWait = 15 * time.Minute
	// newsFor is how long an approval or a change is news: later it is given up. An alert and its end never are.
	newsFor = 24 * time.Hour
	// sentKept is how long it is remembered what was sent. More than newsFor, or the same would be sent again.
	sentKept = 30 * 24 * time.Hour
	// capacityEvery is how often capacity is looked at: the managed service's API is asked for it.
	capacityEvery = 5 * time.Minute
	// doubtFor is how long the ledger may be inconclusive before that is an alert: an app that restarts is no news.
	doubtFor = 5 * time.Minute
	// namedOrders is how many orders a message names.
	namedOrders = 10
)

// notifier tells people what they must hear of. What is to be told is written to the store first, by the look that finds it, and sent from
// there by whoever leads: a message is sent at least once, also over a restart, and a channel that is down keeps neither the others nor a
// step waiting.
type notifier struct {
	estate    *Estate
	log       *slog.Logger
	outlets   []*outlet
	publicURL string
	wake      chan struct{} // holds at most one: look at the runs

	told map[string]bool // events of runs that are in the outbox for certain; only run's goroutine has it

	mu         sync.Mutex
	doubtSince map[string]time.Time // by migration
	capacity   map[string]capacityLook
	caughtUp   map[string]bool // migrations whose open alerts this process has offered to every channel: one may be new
}

type capacityLook struct {
	at time.Time
	seen
}

// outlet is one configured channel.
type outlet struct {
	config.Notification
	channel notify.Channel
	wake    chan struct{} // holds at most one: something is due
	mu      sync.Mutex
	ill     bool      // the last attempt failed
	until   time.Time // the receiver asked to be left alone
}

func newNotifier(e *Estate, log *slog.Logger) (*notifier, error) {
	n := &notifier{estate: e, log: log, publicURL: strings.TrimSuffix(e.cfg.PublicURL, "/"), wake: make(chan struct{}, 1), told: map[string]bool{}, doubtSince: map[string]time.Time{}, capacity: map[string]capacityLook{}, caughtUp: map[string]bool{}}
	for _, c := range e.cfg.Notifications {
		channel, err := openChannel(c)
		if err != nil {
			return nil, migration.Errorf(migration.Invalid, "notifications: %s: %w", c.Name, err)
		}
		n.outlets = append(n.outlets, &outlet{Notification: c, channel: channel, wake: make(chan struct{}, 1)})
	}
	return n, nil
}

func openChannel(c config.Notification) (notify.Channel, error) {
	switch c.Type {
	case "slack":
		return notify.NewSlack(c.URL)
	case "pagerduty":
		return notify.NewPagerDuty(c.URL.Reveal(), c.RoutingKey)
	case "webhook":
		return notify.NewWebhook(c.URL, c.Secret)
	case "email":
		s := c.SMTP
		return notify.NewEmail(notify.SMTP{Addr: s.Addr, Security: cmp.Or(s.Security, notify.StartTLS), Username: s.Username, Password: s.Password, From: s.From, To: s.To})
	}
	return nil, migration.Errorf(migration.Invalid, "%q is no type of a channel", c.Type)
}

// takes reports whether the channel is configured to get an event.
func (o *outlet) takes(e notify.Event) bool {
	class := string(e.Kind)
	if e.Kind == notify.Resolve {
		class = string(notify.Alert)
	}
	if len(o.Events) > 0 && !slices.Contains(o.Events, class) {
		return false
	}
	return e.Kind != notify.Alert || !e.Severity.Less(o.minSeverity())
}

func (o *outlet) minSeverity() notify.Severity {
	return notify.Severity(cmp.Or(o.MinSeverity, string(notify.Warning)))
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// run sends what is due, and looks at the runs, until ctx ends.
func (n *notifier) run(ctx context.Context) {
	if err := n.tidy(ctx); err != nil && ctx.Err() == nil {
		n.log.Warn("notifications", "err", err)
	}
	var tasks sync.WaitGroup
	for _, o := range n.outlets {
		tasks.Go(func() { n.serve(ctx, o) })
	}
	ticker := time.NewTicker(notifyEvery)
	defer ticker.Stop()
	for ctx.Err() == nil {
		if err := n.tellRuns(ctx); err != nil && ctx.Err() == nil {
			n.log.Warn("notifications of runs", "err", err)
		}
		select {
		case <-ctx.Done():
		case <-ticker.C:
		case <-n.wake:
		}
	}
	tasks.Wait()
}

func (n *notifier) tidy(ctx context.Context) error {
	var names []string
	for _, o := range n.outlets {
		names = append(names, o.Name)
	}
	return n.estate.store.TidyNotifications(ctx, names, n.estate.now().Add(-sentKept))
}

// serve sends one channel what is due until ctx ends.
func (n *notifier) serve(ctx context.Context, o *outlet) {
	ticker := time.NewTicker(notifyEvery)
	defer ticker.Stop()
	for ctx.Err() == nil {
		more, err := n.sendDue(ctx, o)
		if err != nil && ctx.Err() == nil {
			n.log.Warn("notifications", "channel", o.Name, "err", err)
		}
		if more && err == nil {
			continue
		}
		select {
		case <-ctx.Done():
		case <-ticker.C:
		case <-o.wake:
		}
	}
}

// sendDue tries everything that is due at a channel once. more: it got on, so that there may be more.
func (n *notifier) sendDue(ctx context.Context, o *outlet) (more bool, err error) {
	now := n.estate.now()
	o.mu.Lock()
	waits := now.Before(o.until)
	o.mu.Unlock()
	if waits {
		return false, nil
	}
	due, err := n.estate.store.DueNotifications(ctx, o.Name, now, 20)
	if err != nil {
		return false, err
	}
	for _, d := range due {
		var e notify.Event
		if err := json.Unmarshal(d.Event, &e); err != nil {
			return more, fmt.Errorf("notification %d: %w", d.ID, err)
		}
		sent, err := n.send(ctx, o, e, d)
		if err != nil {
			return more, err
		}
		if !sent { // the rest would most likely meet the same
			return false, nil
		}
		more = true
	}
	return more, nil
}

// send gives a channel one message and writes down how that went. A process that ends in between sends it again.
func (n *notifier) send(ctx context.Context, o *outlet, e notify.Event, d store.Notification) (sent bool, err error) {
	bounded, cancel := context.WithTimeout(ctx, notify.Timeout)
	failed := o.channel.Send(bounded, e)
	cancel()
	if failed != nil && ctx.Err() != nil {
		return false, ctx.Err() // nobody knows whether it was taken
	}
	ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second) // what was taken is noted also by a process that is told to stop
	defer cancel()
	now := n.estate.now()
	o.mu.Lock()
	changed := (failed != nil) != o.ill
	o.ill = failed != nil
	if wait := notify.WaitOf(failed); wait > 0 {
		o.until = now.Add(wait)
	}
	o.mu.Unlock()
	defer n.estate.notify("notifications")
	if failed == nil {
		if changed {
			n.log.Info("notification channel works again", "channel", o.Name)
		}
		return true, n.estate.store.NotificationSent(ctx, o.Name, d.ID, now)
	}
	next := now.Add(max(backOff(d.Tries), notify.WaitOf(failed)))
	at := &next
	if (e.Kind == notify.Change || e.Kind == notify.Approval) && next.Sub(d.CreatedAt) > newsFor {
		at = nil
	}
	if changed || at == nil {
		n.log.Warn("notification not sent", "channel", o.Name, "key", d.Key, "reason", failed.Error(), "given_up", at == nil)
	}
	return false, n.estate.store.NotificationFailed(ctx, o.Name, d.ID, failed.Error(), at, now)
}

func backOff(tries int) time.Duration {
	return min(firstWait<<min(tries, 16), longestWait)
}

func (n *notifier) wakeOutlets() {
	for _, o := range n.outlets {
		poke(o.wake)
	}
}

// link gives the address of a page; "" when it is not known where people reach this server.
func (n *notifier) link(mid string, path ...string) string {
	if n.publicURL == "" {
		return ""
	}
	at := n.publicURL + "/m/" + url.PathEscape(mid)
	for _, p := range path {
		at += "/" + url.PathEscape(p)
	}
	return at
}

// messages are an event's, one for each channel that takes it.
func (n *notifier) messages(e notify.Event, at time.Time, channels ...string) ([]store.Notification, error) {
	raw, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	var out []store.Notification
	for _, o := range n.outlets {
		if o.takes(e) && (e.Kind != notify.Resolve || slices.Contains(channels, o.Name)) {
			out = append(out, store.Notification{Channel: o.Name, EventID: e.ID, Key: e.Key, Kind: string(e.Kind), Event: raw, CreatedAt: at})
		}
	}
	return out, nil
}

// seen is what a look has found: what is wrong now, and the keys, with all that begin with them and a slash, that it could judge. An alert
// that could not be judged stays as it is: what cannot be observed is not over.
type seen struct {
	alerts []notify.Event
	judged []string
}

func (s seen) judges(key string) bool {
	return slices.ContainsFunc(s.judged, func(j string) bool { return key == j || strings.HasPrefix(key, j+"/") })
}

// observe compares what is wrong now with what was, and has the difference told.
func (n *notifier) observe(ctx context.Context, mig migration.Migration) error {
	var found seen
	var errs []error
	for _, look := range []func(context.Context, migration.Migration) (seen, error){n.outage, n.intake, n.audit, n.orders, n.criteria, n.limits} {
		s, err := look(ctx, mig)
		if err != nil { // what the others see must be told all the same
			errs = append(errs, err)
			continue
		}
		found.alerts, found.judged = append(found.alerts, s.alerts...), append(found.judged, s.judged...)
	}
	return errors.Join(append(errs, n.compare(ctx, mig, found))...)
}

func (n *notifier) compare(ctx context.Context, mig migration.Migration, found seen) error {
	open, err := n.estate.store.OpenAlerts(ctx, mig.ID)
	if err != nil {
		return err
	}
	now := n.estate.now()
	before := map[string]store.OpenAlert{}
	for _, a := range open {
		before[a.Key] = a
	}
	n.mu.Lock()
	caughtUp := n.caughtUp[mig.ID]
	n.mu.Unlock()
	var change store.AlertChange
	for _, e := range found.alerts {
		e.Kind, e.Source, e.At = notify.Alert, mig.Name, now
		was, is := before[e.Key]
		delete(before, e.Key)
		if is && !notify.Severity(was.Severity).Less(e.Severity) { // told already; better is not over
			if caughtUp {
				continue
			}
			var told notify.Event
			if err := json.Unmarshal(was.Event, &told); err != nil {
				return fmt.Errorf("alert %s: %w", e.Key, err)
			}
			messages, err := n.messages(told, now)
			if err != nil {
				return err
			}
			change.Tell = append(change.Tell, messages...) // the outbox leaves out who has had it
			continue
		}
		opened := now
		if is {
			opened = was.OpenedAt
		}
		e.ID = fmt.Sprintf("%s@%d/%s", e.Key, opened.UnixMilli(), e.Severity)
		e = e.Bounded()
		raw, err := json.Marshal(e)
		if err != nil {
			return err
		}
		messages, err := n.messages(e, now)
		if err != nil {
			return err
		}
		change.Save = append(change.Save, store.OpenAlert{Key: e.Key, Severity: string(e.Severity), Event: raw, OpenedAt: opened})
		change.Tell = append(change.Tell, messages...)
		n.log.Warn("alert begins", "migration", mig.ID, "key", e.Key, "severity", e.Severity, "title", e.Title, "escalated", is)
	}
	for _, key := range slices.Sorted(maps.Keys(before)) {
		if !found.judges(key) {
			continue
		}
		was := before[key]
		var e notify.Event
		if err := json.Unmarshal(was.Event, &e); err != nil {
			return fmt.Errorf("alert %s: %w", key, err)
		}
		told, err := n.estate.store.ToldChannels(ctx, key, was.OpenedAt)
		if err != nil {
			return err
		}
		e.Kind, e.At, e.ID = notify.Resolve, now, fmt.Sprintf("%s@%d/end", key, was.OpenedAt.UnixMilli())
		e.Text = "It began at " + was.OpenedAt.UTC().Format("15:04:05 UTC on 2006-01-02") + " and lasted " + migration.Words(now.Sub(was.OpenedAt).Round(time.Second)) + "."
		messages, err := n.messages(e, now, told...)
		if err != nil {
			return err
		}
		change.Close = append(change.Close, key)
		change.Tell = append(change.Tell, messages...)
		n.log.Info("alert ends", "migration", mig.ID, "key", key)
	}
	if len(change.Save)+len(change.Close)+len(change.Tell) > 0 {
		if err := n.estate.store.SaveAlerts(ctx, mig.ID, change); err != nil {
			return err
		}
	}
	n.mu.Lock()
	n.caughtUp[mig.ID] = true
	n.mu.Unlock()
	if len(change.Save)+len(change.Close)+len(change.Tell) == 0 {
		return nil
	}
	n.wakeOutlets()
	n.estate.notify("notifications")
	return nil
}

// startedSetting is when runs began to be told, so that those of before are not.
const startedSetting = "notifications-since"

// tellRuns has told how runs stand: it goes by what the store says of them, so nothing is missed that happened while nobody led. What was
// told before is left out by the outbox.
func (n *notifier) tellRuns(ctx context.Context) error {
	if len(n.outlets) == 0 {
		return nil
	}
	now := n.estate.now()
	var since time.Time
	if ok, err := n.estate.store.Setting(ctx, startedSetting, &since); err != nil {
		return err
	} else if !ok {
		since = now
		if err := n.estate.store.SetSetting(ctx, startedSetting, since); err != nil {
			return err
		}
	}
	if news := now.Add(-newsFor); news.After(since) {
		since = news
	}
	all, err := n.estate.store.Migrations(ctx)
	if err != nil {
		return err
	}
	for _, mig := range all {
		runs, err := n.estate.store.Runs(ctx, mig.ID, "", 50)
		if err != nil {
			return err
		}
		var change store.AlertChange
		var ids []string
		for _, r := range slices.Backward(runs) {
			for _, e := range n.runEvents(mig, r) {
				waits := e.Kind == notify.Approval && r.State == migration.RunAwaitingApproval // that is news for as long as it does
				if e.At.Before(since) && !waits || n.told[e.ID] {
					continue
				}
				ids = append(ids, e.ID)
				messages, err := n.messages(e.Bounded(), now)
				if err != nil {
					return err
				}
				change.Tell = append(change.Tell, messages...)
			}
		}
		if len(ids) == 0 {
			continue
		}
		if err := n.estate.store.SaveAlerts(ctx, mig.ID, change); err != nil {
			return err
		}
		for _, id := range ids {
			n.told[id] = true
		}
		n.wakeOutlets()
		n.estate.notify("notifications")
	}
	return nil
}

// runEvents are what a run has to tell: that it waits for approval, or, when it changes something, that it began and how it ended. The
// error of a run is not told: it may quote a server. Its page shows it.
func (n *notifier) runEvents(mig migration.Migration, r migration.Run) []notify.Event {
	title := r.Step
	if s, ok := mig.Plan.Step(r.Step); ok {
		title = s.Title
	}
	title += params(r.Params)
	var changes []string
	for _, a := range r.Plan.Actions {
		if a.Changes != "" {
			changes = append(changes, a.Title+": "+a.Changes)
		}
	}
	if r.Rollback != "" {
		title = "Rollback of " + title
	}
	event := func(kind notify.Kind, severity notify.Severity, state, says, text string, at time.Time) notify.Event {
		return notify.Event{ID: notify.Key(mig.ID, "run", r.ID) + "/" + state, Key: notify.Key(mig.ID, "run", r.ID), Kind: kind, Severity: severity, Source: mig.Name, Title: title + " " + says, Text: text,
			URL: n.link(mig.ID, "runs", r.ID), At: at}
	}
	var out []notify.Event
	if r.State == migration.RunAwaitingApproval {
		text := r.RequestedBy + " asked for it."
		says := "waits for approval"
		if a, ok := r.Waiting(); ok {
			says = "waits for approval of " + a.Title
		}
		if r.Needs() == migration.ApprovalTwo {
			text += " It cannot be taken back, so somebody else must approve it."
		}
		if r.Plan.Impact != "" {
			text += " Impact: " + r.Plan.Impact
		}
		out = append(out, event(notify.Approval, notify.Warning, fmt.Sprintf("approval-%d", len(r.Approvals)), says, text, r.CreatedAt))
	}
	if r.State == migration.RunRejected && r.FinishedAt != nil {
		out = append(out, event(notify.Approval, notify.Info, "rejected", "was rejected by "+r.DecidedBy, "", *r.FinishedAt))
	}
	if len(changes) == 0 || r.StartedAt == nil {
		return out
	}
	by := "Asked for by " + r.RequestedBy
	if r.DecidedBy != "" {
		by += ", approved by " + r.DecidedBy
	}
	out = append(out, event(notify.Change, notify.Info, "started", "has begun", by+".\n"+strings.Join(changes, "\n"), *r.StartedAt))
	if r.FinishedAt == nil {
		return out
	}
	took := "After " + migration.Words(r.FinishedAt.Sub(*r.StartedAt).Round(time.Second)) + "."
	switch r.State {
	case migration.RunSucceeded:
		out = append(out, event(notify.Change, notify.Info, "ended", "is done", took, *r.FinishedAt))
	case migration.RunFailed:
		out = append(out, event(notify.Change, notify.Error, "ended", "has failed", took+" The run's page says why, and what was taken back.", *r.FinishedAt))
	case migration.RunCancelled:
		out = append(out, event(notify.Change, notify.Warning, "ended", "was cancelled by "+r.CancelledBy, took+" What it had done was taken back, as far as its page says.", *r.FinishedAt))
	case migration.RunAwaitingApproval, migration.RunRejected, migration.RunQueued, migration.RunRunning, migration.RunUndoing:
	}
	return out
}

// Notifications is where things are told, how that goes, and what is wrong now.
type Notifications struct {
	At       time.Time             `json:"at"`
	Channels []NotificationChannel `json:"channels"`
	Alerts   []NotifiedAlert       `json:"alerts"` // open ones, oldest first
	Recent   []NotificationSent    `json:"recent"` // at most 50 messages, newest first
}

// NotificationChannel is a configured channel, without its address and key.
type NotificationChannel struct {
	Name        string   `json:"name"`
	Type        string   `json:"type" enum:"slack,pagerduty,webhook,email"`
	Events      []string `json:"events" enum:"approval,change,alert"`
	MinSeverity string   `json:"min_severity" enum:"info,warning,error,critical"`
	Sent        int64    `json:"sent"`
	Failed      int64    `json:"failed"` // attempts
	// Waiting are the messages that are tried again.
	Waiting int64 `json:"waiting"`
	// GivenUp are approvals and changes that were not taken within a day.
	GivenUp  int64      `json:"given_up"`
	SentAt   *time.Time `json:"sent_at"`
	FailedAt *time.Time `json:"failed_at"`
	Error    string     `json:"error,omitempty"` // why the last attempt that failed did
}

// Failing reports whether the last attempt failed.
func (c NotificationChannel) Failing() bool {
	return c.FailedAt != nil && (c.SentAt == nil || c.SentAt.Before(*c.FailedAt))
}

// NotifiedAlert is something that is wrong now.
type NotifiedAlert struct {
	// Key stays the same from begin to end, also when it gets worse: PagerDuty's dedup_key.
	Key      string      `json:"key"`
	Severity string      `json:"severity" enum:"info,warning,error,critical"` // the worst since it began
	Title    string      `json:"title"`
	Text     string      `json:"text,omitempty"`
	Since    time.Time   `json:"since"`
	Told     []AlertTold `json:"told"`
}

// AlertTold is a channel that an open alert is told to.
type AlertTold struct {
	Channel string     `json:"channel"`
	SentAt  *time.Time `json:"sent_at"` // nil: not yet
}

// NotificationSent is one message to one channel.
type NotificationSent struct {
	Channel  string     `json:"channel"`
	Kind     string     `json:"kind" enum:"approval,change,alert,resolve"`
	Severity string     `json:"severity" enum:"info,warning,error,critical"`
	Title    string     `json:"title"`
	Created  time.Time  `json:"created_at"`
	Tries    int        `json:"tries"`
	SentAt   *time.Time `json:"sent_at"`
	GivenUp  bool       `json:"given_up"`
	Error    string     `json:"error,omitempty"`
}

// Notifications gives the channels, the open alerts and what was sent last.
func (c *Control) Notifications(ctx context.Context, mid string) (Notifications, error) {
	if _, err := c.store.Migration(ctx, mid); err != nil {
		return Notifications{}, err
	}
	out := Notifications{At: c.now(), Channels: []NotificationChannel{}, Alerts: []NotifiedAlert{}, Recent: []NotificationSent{}}
	var err error
	if out.Channels, err = c.NotificationChannels(ctx); err != nil {
		return out, err
	}
	open, err := c.store.OpenAlerts(ctx, mid)
	if err != nil {
		return out, err
	}
	for _, a := range open {
		var e notify.Event
		if err := json.Unmarshal(a.Event, &e); err != nil {
			return out, fmt.Errorf("alert %s: %w", a.Key, err)
		}
		shown := NotifiedAlert{Key: a.Key, Severity: a.Severity, Title: e.Title, Text: e.Text, Since: a.OpenedAt, Told: []AlertTold{}}
		messages, err := c.store.Notifications(ctx, mid, a.Key, 50)
		if err != nil {
			return out, err
		}
		for _, m := range messages { // newest first: the last one to each channel counts
			if m.Kind == string(notify.Alert) && !m.CreatedAt.Before(a.OpenedAt) && !slices.ContainsFunc(shown.Told, func(t AlertTold) bool { return t.Channel == m.Channel }) {
				shown.Told = append(shown.Told, AlertTold{m.Channel, m.SentAt})
			}
		}
		out.Alerts = append(out.Alerts, shown)
	}
	recent, err := c.store.Notifications(ctx, mid, "", 50)
	if err != nil {
		return out, err
	}
	for _, m := range recent {
		var e notify.Event
		if err := json.Unmarshal(m.Event, &e); err != nil {
			return out, fmt.Errorf("notification %d: %w", m.ID, err)
		}
		out.Recent = append(out.Recent, NotificationSent{Channel: m.Channel, Kind: m.Kind, Severity: string(e.Severity), Title: e.Title, Created: m.CreatedAt, Tries: m.Tries, SentAt: m.SentAt, GivenUp: m.GivenUpAt != nil, Error: m.Error})
	}
	return out, nil
}

// NotificationChannels gives how the configured channels fare, without their addresses.
func (c *Control) NotificationChannels(ctx context.Context) ([]NotificationChannel, error) {
	health, err := c.store.ChannelHealth(ctx)
	if err != nil {
		return nil, err
	}
	out := []NotificationChannel{}
	for _, o := range c.notifier.outlets {
		h, events := health[o.Name], o.Events
		if len(events) == 0 {
			events = []string{"approval", "change", "alert"}
		}
		out = append(out, NotificationChannel{Name: o.Name, Type: o.Type, Events: events, MinSeverity: string(o.minSeverity()), Sent: h.Sent, Failed: h.Failed, Waiting: h.Waiting, GivenUp: h.GivenUp,
			SentAt: h.SentAt, FailedAt: h.FailedAt, Error: h.Error})
	}
	return out, nil
}

// AlertCounts counts the open alerts by severity.
func (c *Control) AlertCounts(ctx context.Context, mid string) (map[notify.Severity]int, error) {
	open, err := c.store.OpenAlerts(ctx, mid)
	if err != nil {
		return nil, err
	}
	out := map[notify.Severity]int{}
	for _, s := range notify.Severities {
		out[s] = 0
	}
	for _, a := range open {
		out[notify.Severity(a.Severity)]++
	}
	return out, nil
}

// TestNotification sends one channel a message that wakes nobody, now and once. Conflict says why it was not taken.
func (c *Control) TestNotification(ctx context.Context, a migration.Actor, mid, name string) (NotificationChannel, error) {
	channel, err := c.testNotification(ctx, a, mid, name)
	c.audit(ctx, a, "test", "notification channel "+name, "", err)
	return channel, err
}

func (c *Control) testNotification(ctx context.Context, a migration.Actor, mid, name string) (NotificationChannel, error) {
	if err := engineer(a); err != nil {
		return NotificationChannel{}, err
	}
	mig, err := c.store.Migration(ctx, mid)
	if err != nil {
		return NotificationChannel{}, err
	}
	var names []string
	for _, o := range c.notifier.outlets {
		names = append(names, o.Name)
		if o.Name != name {
			continue
		}
		now := c.now()
		e := notify.Event{ID: notify.Key(mid, "test", name) + "@" + strconv.FormatInt(now.UnixMilli(), 10), Key: notify.Key(mid, "test", name), Kind: notify.Test, Severity: notify.Info, Source: mig.Name,
			Title: "Test of the channel " + name, Text: a.Name + " asked for it. Nothing is wrong.", URL: c.notifier.link(mid, "notifications"), At: now}
		if _, err := c.notifier.send(ctx, o, e, store.Notification{Key: e.Key, CreatedAt: now}); err != nil {
			return NotificationChannel{}, err
		}
		all, err := c.NotificationChannels(ctx)
		if err != nil {
			return NotificationChannel{}, err
		}
		channel := all[len(names)-1]
		if channel.Failing() {
			return channel, migration.Errorf(migration.Conflict, "the test was not taken: %s", channel.Error)
		}
		return channel, nil
	}
	if len(names) == 0 {
		return NotificationChannel{}, migration.Errorf(migration.NotFound, "no notification channel is configured: see docs/notifications.md")
	}
	return NotificationChannel{}, migration.Errorf(migration.NotFound, "there is no notification channel %.40q; there is %s", name, strings.Join(names, ", "))
}
