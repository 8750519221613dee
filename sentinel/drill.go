package sentinel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
)

// drill is one failover being triggered and measured.
type drill struct {
	c      *Cluster
	report FailoverReport
	before Monitor
	start  time.Time
	log    func(string)
	// switched, if set, runs once the sentinels name the new master.
	switched func(context.Context) error
	// cleanup, if set, undoes what the trigger did to the old master, whatever
	// happened.
	cleanup func(context.Context) error

	mu       sync.Mutex
	timeline []TimelinePoint
	seen     map[string]time.Time // first time of each sentinel event
}

func (c *Cluster) drill(
	ctx context.Context, kind string, log func(string), trigger func(*drill) error,
) (FailoverReport, error) {
	d := &drill{
		c:      c,
		log:    log,
		seen:   map[string]time.Time{},
		report: FailoverReport{Kind: kind},
	}
	if err := d.run(ctx, trigger); err != nil {
		return d.finished(), fmt.Errorf("%s failover: %w", kind, err)
	}
	return d.finished(), nil
}

func (d *drill) run(ctx context.Context, trigger func(*drill) error) error {
	if err := d.prepare(ctx); err != nil {
		return err
	}
	w, err := startCanary(ctx, d.c.endpoint)
	if err != nil {
		return err
	}
	defer w.close()
	warm, cancel := context.WithTimeoutCause(ctx, 10*time.Second, errors.New("not within 10s"))
	defer cancel()
	if err := await(warm, "the application's writes are not acknowledged", func() error {
		if n := w.count(); n < 20 {
			return fmt.Errorf("%d of 20", n)
		}
		return nil
	}); err != nil {
		return err
	}
	events := d.listen(ctx)
	defer events()
	d.start = time.Now()
	err = trigger(d)
	if err == nil {
		err = d.watch(ctx, w)
	}
	if d.cleanup != nil {
		err = errors.Join(err, d.lift(ctx))
	}
	if err != nil {
		return err
	}
	d.report.Acknowledged, d.report.LostAcknowledged, err = w.finish(ctx)
	d.note(fmt.Sprintf("%d acknowledged writes, %d of them lost", d.report.Acknowledged,
		d.report.LostAcknowledged))
	return err
}

// prepare refuses if a failover would not work, and records the current settings.
func (d *drill) prepare(ctx context.Context) error {
	checks, err := d.c.Readiness(ctx)
	if err != nil {
		return err
	}
	if unmet := migration.Failing(checks); len(unmet) > 0 {
		var names []string
		for _, g := range unmet {
			names = append(names,
				fmt.Sprintf("%s (%s; expected %s)", g.Title, g.Measured, g.Limit))
		}
		return &migration.Error{
			Kind:     migration.Blocked,
			Blockers: unmet,
			Text:     "not ready: " + strings.Join(names, "; "),
		}
	}
	if d.before, err = d.c.Monitor(ctx); err != nil {
		return err
	}
	d.report.OldMaster = d.before.Master
	d.start = time.Now()
	return nil
}

// others are the nodes that may become the master.
func (d *drill) others() []string {
	return slices.DeleteFunc(slices.Clone(d.before.Nodes),
		func(addr string) bool { return addr == d.before.Master })
}

// watch waits for the new master, the application's first write on it, and the old
// master's return as a replica.
func (d *drill) watch(ctx context.Context, w *canary) error {
	switchCtx, cancel := context.WithTimeoutCause(ctx, time.Duration(d.before.DownAfterMS+
		d.before.FailoverTimeoutMS)*time.Millisecond+2*electionBudget,
		errors.New("the sentinels did not name a new master in time"))
	defer cancel()
	if err := await(switchCtx, "wait for a new master", func() error {
		now, err := d.c.Master(ctx)
		if err == nil && now == d.before.Master {
			err = fmt.Errorf("the master is still %s", now)
		}
		d.report.NewMaster = now
		return err
	}); err != nil {
		d.report.NewMaster = ""
		return err
	}
	switched := d.since("+switch-master", time.Now())
	d.report.ElectionMS = switched.Sub(d.start).Milliseconds()
	if d.report.Kind != "planned" {
		d.report.DetectMS = d.since("+odown", switched).Sub(d.start).Milliseconds()
	}
	d.note("the sentinels name " + d.report.NewMaster)
	if d.switched != nil {
		if err := d.switched(ctx); err != nil {
			return fmt.Errorf("make %s a replica: %w", d.before.Master, err)
		}
	}
	writeCtx, cancel := context.WithTimeoutCause(ctx, returnBudget,
		errors.New("no acknowledged write in time"))
	defer cancel()
	var first time.Time
	if err := await(writeCtx, "wait for the first write on the new master", func() error {
		var ok bool
		if first, ok = w.firstAfter(switched); !ok {
			return errors.New("none yet")
		}
		return nil
	}); err != nil {
		return err
	}
	d.report.FirstWriteMS = first.Sub(d.start).Milliseconds()
	d.add(first, "the application can write again")
	returnCtx, cancel := context.WithTimeoutCause(ctx, returnBudget,
		errors.New("the old master did not come back as a replica in time"))
	defer cancel()
	if err := await(returnCtx, "wait for the old master", func() error {
		now, err := d.c.Master(ctx)
		if err != nil {
			return err
		}
		if now != d.report.NewMaster { // a second failover, away from the new master
			d.report.NewMaster = now
			d.note("the sentinels now name " + now)
		}
		old, err := replicationOf(ctx, d.c.Node(d.before.Master))
		if err == nil && (old.role != "slave" || !old.linkUp || old.master != now) {
			err = fmt.Errorf("%s has role %s of %q, link up %v", d.before.Master, old.role,
				old.master, old.linkUp)
		}
		if err == nil {
			err = d.c.healthy(ctx, d.before.Nodes)
		}
		return err
	}); err != nil {
		return err
	}
	d.report.RecoveredMS = time.Since(d.start).Milliseconds()
	d.report.BlockedMS = w.longestGap(d.start).Milliseconds()
	d.note("the old master follows the new one")
	return nil
}

// lift undoes the trigger, whatever happened. A paused master does not answer
// before its pause ends, so it keeps trying; and a master that was voted out stays
// fenced until a sentinel has made it a replica, lest it acknowledge writes that
// are about to be discarded.
func (d *drill) lift(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx),
		time.Duration(d.before.DownAfterMS)*time.Millisecond+electionBudget+returnBudget)
	defer cancel()
	return await(ctx, "lift the fence of "+d.before.Master, func() error {
		old, err := replicationOf(ctx, d.c.Node(d.before.Master))
		if err != nil {
			return err
		}
		if old.role == "master" {
			t, err := d.c.Topology(ctx)
			if err != nil {
				return err
			}
			if t.MasterFlags != "master" {
				return fmt.Errorf("it is a master, while the sentinels name %s with flags %s",
					t.Master, t.MasterFlags)
			}
			if t.Master != d.before.Master {
				// Voted out. Sentinels make it a replica some 10 s after it answers
				// again; until then applications that did not move on get errors
				// there.
				host, port, err := net.SplitHostPort(t.Master)
				if err != nil {
					return err
				}
				if err := demoteOld(ctx, d.c.Node(d.before.Master), host, port); err != nil {
					return err
				}
				d.note("the old master answers again and becomes a replica")
			}
		}
		return d.cleanup(ctx)
	})
}

// replicasEqual waits until every replica has applied what the paused master produced:
// a sentinel may choose any of them.
func (c *Cluster) replicasEqual(ctx context.Context, d *drill) error {
	for _, addr := range d.others() {
		if _, err := equalOffsets(ctx, c.Node(addr), c.Node(d.before.Master)); err != nil {
			return fmt.Errorf("replica %s: %w", addr, err)
		}
	}
	return nil
}

// requestFailover asks the sentinels one after the other until one accepts.
func (c *Cluster) requestFailover(ctx context.Context) error {
	var errs []error
	for _, s := range c.sentinels {
		err := s.client.Failover(ctx, c.endpoint.MasterName).Err()
		if err == nil {
			return nil
		}
		errs = append(errs, fmt.Errorf("sentinel %s: %w", s.addr, err))
	}
	return errors.Join(errs...)
}

// listen records what the sentinels announce about the master until the returned
// function is called.
func (d *drill) listen(ctx context.Context) (stop func()) {
	var subs []*redis.PubSub
	var wg sync.WaitGroup
	for _, s := range d.c.sentinels {
		sub := s.client.PSubscribe(ctx, "+*", "-*")
		// subscribed; without this the first events may be missed
		if _, err := sub.Receive(ctx); err != nil {
			_ = sub.Close()
			continue
		}
		subs = append(subs, sub)
		wg.Go(func() {
			for m := range sub.Channel() {
				d.announced(m.Channel, m.Payload)
			}
		})
	}
	return func() {
		for _, s := range subs {
			_ = s.Close()
		}
		wg.Wait()
	}
}

// announcements are the sentinels' events that belong in the timeline.
var announcements = []string{"+sdown", "-sdown", "+odown", "-odown", "+new-epoch",
	"+try-failover", "+elected-leader", "+selected-slave",
	"+promoted-slave", "+failover-end", "+switch-master", "+convert-to-slave",
	"-failover-abort-no-good-slave", "-failover-abort-not-elected"}

// announced records the first occurrence of each event about the old master or the
// deployment, not each sentinel's.
func (d *drill) announced(event, payload string) {
	host, port, _ := net.SplitHostPort(d.before.Master)
	about := event == "+new-epoch" || strings.HasPrefix(payload, d.before.Name+" ") ||
		strings.Contains(payload, "master "+d.before.Name+" ") ||
		strings.Contains(payload, "slave "+d.before.Master+" "+host+" "+port)
	if !slices.Contains(announcements, event) || !about {
		return
	}
	d.mu.Lock()
	_, again := d.seen[event]
	if !again {
		d.seen[event] = time.Now()
	}
	d.mu.Unlock()
	if !again {
		d.note("sentinel " + event)
	}
}

// since returns when the event was first announced, or the given time if it was
// missed.
func (d *drill) since(event string, otherwise time.Time) time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	if at, ok := d.seen[event]; ok {
		return at
	}
	return otherwise
}

func (d *drill) note(event string) { d.add(time.Now(), event) }

func (d *drill) add(at time.Time, event string) {
	d.mu.Lock()
	d.timeline = append(d.timeline,
		TimelinePoint{AtMS: at.Sub(d.start).Milliseconds(), Event: event})
	d.mu.Unlock()
	if d.log != nil {
		d.log(event)
	}
}

func (d *drill) finished() FailoverReport {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.report.StartedAt = d.start
	d.report.Timeline = slices.Clone(d.timeline)
	sort.SliceStable(d.report.Timeline, func(i, j int) bool {
		return d.report.Timeline[i].AtMS < d.report.Timeline[j].AtMS
	})
	return d.report
}

// demoteOld makes the old master a replica and closes the connections that
// applications still have to it, as a sentinel would. An application that blocks
// there (a blocking read, a write that CLIENT PAUSE holds back) or that gets
// READONLY does not look for the new master by itself.
func demoteOld(ctx context.Context, old redis.UniversalClient, host, port string) error {
	if err := replicaOf(ctx, old, host, port); err != nil {
		return err
	}
	for _, kind := range []string{"normal", "pubsub"} {
		if err := old.Do(ctx, "CLIENT", "KILL", "TYPE", kind, "SKIPME",
			"yes").Err(); err != nil {
			return fmt.Errorf("CLIENT KILL: %w", redisconn.Explain(err))
		}
	}
	return nil
}
