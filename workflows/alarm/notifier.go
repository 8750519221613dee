// Package alarm tells people what they must hear of: approvals, changes and alerts. It
// judges what the monitor and the steps have found.
package alarm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/docs/runbooks"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/notify"
	"github.com/switchyard-dev/switchyard/store"
	"github.com/switchyard-dev/switchyard/workflows/costs"
	"github.com/switchyard-dev/switchyard/workflows/digest"
	"github.com/switchyard-dev/switchyard/workflows/environment"
	"github.com/switchyard-dev/switchyard/workflows/outage"
)

// Options are what a notifier looks at, and what it is configured to do.
type Options struct {
	Config  config.Config
	Store   *store.Store
	Views   *environment.Views
	Routing *environment.Routing
	Workers *environment.Workers
	Clients *environment.Clients
	Streams *environment.Streams
	Vitals  *environment.Vitals
	Debts   *environment.Debts
	Load    *environment.Load
	Outage  *outage.Clock
	Costs   *costs.Book
	// Digest makes the digest of a migration as it is now, compared with the last one.
	Digest func(ctx context.Context, mid string, last *digest.Digest) (digest.Digest, error)
	Log    *slog.Logger
	Now    func() time.Time
	Notify func(topic string)
}

const (
	// notifyEvery is how often runs are looked at and messages are due without anybody saying so.
	notifyEvery = 5 * time.Second
	// firstWait and longestWait bound how long a message that was not taken waits for its
	// next try; the wait doubles in between.
	firstWait   = 5 * time.Second
	longestWait = 15 * time.Minute
	// newsFor is how long an approval or a change is news: later it is given up. An alert
	// and its end never are.
	newsFor = 24 * time.Hour
	// sentKept is how long it is remembered what was sent. More than newsFor, or the same
	// would be sent again.
	sentKept = 30 * 24 * time.Hour
	// capacityEvery is how often capacity is looked at: the managed service's API is asked for it.
	capacityEvery = 5 * time.Minute
	// doubtFor is how long the ledger may be inconclusive before that is an alert: an app
	// that restarts is no news.
	doubtFor = 5 * time.Minute
	// namedOrders is how many orders a message names.
	namedOrders = 10
)

// Notifier tells people what they must hear of. What is to be told is written to the store
// first, by the look that finds it, and sent from there by whoever leads: a message is sent
// at least once, also over a restart, and a channel that is down keeps neither the others
// nor a step waiting.
type Notifier struct {
	Options
	outlets   []*outlet
	publicURL string
	wake      chan struct{} // holds at most one: look at the runs

	// events of runs that are in the outbox for certain; only run's goroutine has it
	told map[string]bool
	// sighted is what the move to Sentinel has left behind; likewise
	sighted sightings
	// blind: it could not be seen last time who uses the old server; likewise
	blind bool

	mu         sync.Mutex
	doubtSince map[string]time.Time // by migration
	capacity   map[string]capacityLook
	// migrations whose open alerts this process has offered to every channel: one may be
	// new
	caughtUp map[string]bool
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

// New opens the configured channels. An error is one of the configuration.
func New(o Options) (*Notifier, error) {
	n := &Notifier{
		Options:    o,
		publicURL:  strings.TrimSuffix(o.Config.PublicURL, "/"),
		wake:       make(chan struct{}, 1),
		told:       map[string]bool{},
		sighted:    sightings{},
		doubtSince: map[string]time.Time{},
		capacity:   map[string]capacityLook{},
		caughtUp:   map[string]bool{},
	}
	for _, c := range o.Config.Notifications {
		channel, err := OpenChannel(c)
		if err != nil {
			return nil, migration.Errorf(migration.Invalid, "notifications: %s: %w", c.Name, err)
		}
		n.outlets = append(
			n.outlets,
			&outlet{Notification: c, channel: channel, wake: make(chan struct{}, 1)},
		)
	}
	return n, nil
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Run sends what is due, and looks at the runs, until ctx ends.
func (n *Notifier) Run(ctx context.Context) {
	if err := n.tidy(ctx); err != nil && ctx.Err() == nil {
		n.Log.Warn("notifications", "err", err)
	}
	var tasks sync.WaitGroup
	for _, o := range n.outlets {
		tasks.Go(func() { n.serve(ctx, o) })
	}
	tasks.Go(func() { n.keepDigests(ctx) })
	ticker := time.NewTicker(notifyEvery)
	defer ticker.Stop()
	for ctx.Err() == nil {
		if err := n.tellRuns(ctx); err != nil && ctx.Err() == nil {
			n.Log.Warn("notifications of runs", "err", err)
		}
		n.lookStranded(ctx)
		select {
		case <-ctx.Done():
		case <-ticker.C:
		case <-n.wake:
		}
	}
	tasks.Wait()
}

// link gives the address of a page; "" when it is not known where people reach this server.
func (n *Notifier) link(mid string, path ...string) string {
	if n.publicURL == "" {
		return ""
	}
	at := n.publicURL + "/m/" + url.PathEscape(mid)
	for _, p := range path {
		at += "/" + url.PathEscape(p)
	}
	return at
}

// seen is what a look has found: what is wrong now, and the keys, with all that begin with
// them and a slash, that it could judge. An alert that could not be judged stays as it is:
// what cannot be observed is not over.
type seen struct {
	alerts []notify.Event
	judged []string
}

func (s seen) judges(key string) bool {
	return slices.ContainsFunc(
		s.judged,
		func(j string) bool { return key == j || strings.HasPrefix(key, j+"/") },
	)
}

// Observe compares what is wrong now with what was, and has the difference told.
func (n *Notifier) Observe(ctx context.Context, mig migration.Migration) error {
	var found seen
	var errs []error
	looks := []func(context.Context, migration.Migration) (seen, error){
		n.outage, n.intake, n.audit, n.orders, n.criteria, n.limits, n.guardrails, n.left,
	}
	for _, look := range looks {
		s, err := look(ctx, mig)
		if err != nil { // what the others see must be told all the same
			errs = append(errs, err)
			continue
		}
		found.alerts, found.judged = append(
			found.alerts,
			s.alerts...), append(
			found.judged,
			s.judged...)
	}
	err := errors.Join(append(errs, n.compare(ctx, mig, found, true))...)
	if err != nil { // then not everything was looked at, and the headline says so
		return err
	}
	return n.Store.SetSetting(ctx, observedSetting+mig.ID, n.Now())
}

// compare has told what begins and what is over. whole: found is all that is looked at, so that
// a channel that is new can be offered what is open.
func (n *Notifier) compare(
	ctx context.Context, mig migration.Migration, found seen, whole bool,
) error {
	open, err := n.Store.OpenAlerts(ctx, mig.ID)
	if err != nil {
		return err
	}
	run, err := n.Store.OpenRun(ctx, mig.ID)
	if err != nil {
		return err
	}
	now := n.Now()
	before := map[string]store.OpenAlert{}
	for _, a := range open {
		before[a.Key] = a
	}
	n.mu.Lock()
	caughtUp := n.caughtUp[mig.ID] || !whole
	n.mu.Unlock()
	var change store.AlertChange
	for _, e := range found.alerts {
		e.Kind, e.Source, e.At = notify.Alert, mig.Name, now
		if id := runbooks.OfAlert(e.Key); id != "" {
			e.Runbook = n.link(mig.ID, "runbooks", id)
		}
		was, is := before[e.Key]
		delete(before, e.Key)
		// told already; better is not over
		if is && !notify.Severity(was.Severity).Less(e.Severity) {
			if caughtUp || was.Ack.At != nil {
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
		e = ofRun(e, mig, run).Bounded()
		raw, err := json.Marshal(e)
		if err != nil {
			return err
		}
		messages, err := n.messages(e, now)
		if err != nil {
			return err
		}
		change.Save = append(
			change.Save,
			store.OpenAlert{Key: e.Key, Severity: string(e.Severity), Event: raw, OpenedAt: opened},
		)
		change.Tell = append(change.Tell, messages...)
		n.Log.Warn(
			"alert begins",
			"migration",
			mig.ID,
			"key",
			e.Key,
			"severity",
			e.Severity,
			"title",
			e.Title,
			"escalated",
			is,
		)
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
		told, err := n.Store.ToldChannels(ctx, key, was.OpenedAt)
		if err != nil {
			return err
		}
		e.Kind, e.At, e.ID = notify.Resolve, now, fmt.Sprintf(
			"%s@%d/end",
			key,
			was.OpenedAt.UnixMilli(),
		)
		e.Text = "It started at " + was.OpenedAt.UTC().
			Format("15:04:05 UTC on 2006-01-02") +
			" and lasted " + migration.Words(
			now.Sub(was.OpenedAt).Round(time.Second),
		) + "."
		messages, err := n.messages(e, now, told...)
		if err != nil {
			return err
		}
		change.Close = append(change.Close, key)
		change.Tell = append(change.Tell, messages...)
		n.Log.Info("alert ends", "migration", mig.ID, "key", key)
	}
	change.At = now
	if len(change.Save)+len(change.Close)+len(change.Tell) > 0 {
		if err := n.Store.SaveAlerts(ctx, mig.ID, change); err != nil {
			return err
		}
	}
	if whole {
		n.mu.Lock()
		n.caughtUp[mig.ID] = true
		n.mu.Unlock()
	}
	if len(change.Save)+len(change.Close)+len(change.Tell) == 0 {
		return nil
	}
	n.wakeOutlets()
	n.Notify("notifications")
	return nil
}

// startedSetting is when runs began to be told, so that those of before are not.
const startedSetting = "notifications-since"

// Wake has the runs looked at now.
func (n *Notifier) Wake() { poke(n.wake) }
