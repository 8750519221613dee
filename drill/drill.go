// Package drill shows what an app's own connection options do when its Redis fails in
// ways that no real server should be put through: it has the app open a producer of its
// own kind to a server of ours, through a proxy of ours, and adds jobs while either
// fails. No order, no real queue and no real connection is touched.
package drill

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn/scratch"
)

// Answer is what an add came to, as a sender of a webhook would see it.
type Answer struct {
	Status int
	Took   time.Duration
	Note   string // the app's error text
}

// Opening asks for a producer of the app's own kind, to a Redis of the drill's.
type Opening struct {
	ID, Queue string
	Address   migration.Secret
	// with a durable intake before it, which acknowledges from disk and enqueues later
	Intake bool
}

// Opened is what the app made of it.
type Opened struct {
	Ready    bool   // connected in time
	Intake   bool   // the app has a durable intake, whether one was asked for or not
	Instance string // which of the app's instances; "" where it does not tell
	Refused  string // why the app makes no producer of this queue; then nothing is open
}

// Backlog is what a durable intake has not delivered.
type Backlog struct {
	Events  int
	Failure string // of the last delivery that failed since the intake was started
}

// Subject is the app under the drill.
type Subject interface {
	Open(ctx context.Context, o Opening) (Opened, error)
	// Add adds a job over the producer of that id. An app that does not answer until
	// ctx ends is an error that wraps ctx's.
	Add(ctx context.Context, id, job string) (Answer, error)
	// Restart does to the producer and its intake what a restart of the process would.
	// Backlog tells what that intake still holds.
	Restart(ctx context.Context, id string) error
	Backlog(ctx context.Context, id string) (Backlog, error)
	Close(ctx context.Context, id string) error
}

// Limits bound a drill.
type Limits struct {
	// Answer is how long an add is waited for; one that takes longer hangs.
	Answer time.Duration
	// Recover is how long the app gets to take jobs again once the fault is over, or to
	// deliver what it has on disk.
	Recover time.Duration
}

// Defaults are long enough to tell a hang from a slow answer: BullMQ's own back-off
// goes up to 20 s.
func Defaults() Limits { return Limits{Answer: 12 * time.Second, Recover: 25 * time.Second} }

// Case is what one fault came to.
type Case struct {
	Queue  string
	Fault  string // ID of Faults; "" with Refused
	Title  string
	Intake bool // a durable intake stood before the producer
	Status int  // 0: no answer
	Took   time.Duration
	Hung   bool // no answer within Limits.Answer
	// Enqueued is whether the job was in the server in the end, whatever was answered.
	Enqueued bool
	// Strays are jobs in the server in the end under ids that nobody gave them.
	Strays int
	// Left are events that were on the intake's disk in the end.
	Left int
	Note string
	// Recovered is how long after the fault a job was accepted again, or the intake had
	// delivered everything; negative: not within Limits.Recover.
	Recovered time.Duration
	Instance  string // of the app
	Refused   string // why nothing was tried on this queue
}

// Bench is a server and the proxy before it.
type Bench struct {
	server *scratch.Server
	proxy  proxy
	reach  string // host:port for the app
	// in the ids of producers: the app may still hold those of a drill that was killed
	name string
}

// NewBench starts both. The proxy listens on listen, host:port, where port 0 is one of
// the system's choice; advertise is how the app reaches it when that differs, as behind
// a port forwarding. The caller closes it.
func NewBench(ctx context.Context, redisServer, listen, advertise string) (*Bench, error) {
	server, err := scratch.Start(ctx, scratch.Options{Binary: redisServer, TCP: true})
	if err != nil {
		return nil, err
	}
	p, err := newProxy(listen, server.Addr())
	if err != nil {
		server.Close()
		return nil, fmt.Errorf("drill: the fault proxy does not start on %s: %w", listen, err)
	}
	return &Bench{server, p, cmp.Or(advertise, p.addr()), "drill-" + rand.Text()[:8]}, nil
}

// Close ends both.
func (b *Bench) Close() {
	b.proxy.down()
	b.server.Close()
}

// address is where the app reaches the bench.
func (b *Bench) address() migration.Secret {
	u := url.URL{
		Scheme: "redis",
		User:   url.UserPassword("", b.server.Password().Reveal()),
		Host:   b.reach,
	}
	return migration.Secret(u.String())
}

// Run puts the app's producer of a queue through each fault, one after the other, each
// with a producer of its own; where the app has a durable intake, then again with one
// before the producer. It tells progress in words. A fault that could not be put or
// taken away is an error; what the app makes of it is a Case, whatever it is. An app
// that does not make producers of the queue gives one Case that says so.
func (b *Bench) Run(
	ctx context.Context, app Subject, queue string, faults []Fault, limits Limits,
	progress func(string),
) ([]Case, error) {
	var cases []Case
	durable := false
	for _, intake := range []bool{false, true} {
		if intake && !durable {
			break
		}
		for i, f := range faults {
			title := f.Title
			if intake {
				title += ", with durable intake"
			}
			progress(fmt.Sprintf("%s, %d of %d: %s", queue, i+1, len(faults), title))
			c, opened, err := b.one(ctx, app, queue, f, intake, limits)
			if err != nil {
				return cases, fmt.Errorf("%s: %w", title, err)
			}
			if opened.Refused != "" {
				return []Case{{Queue: queue, Refused: opened.Refused}}, nil
			}
			durable = opened.Intake
			cases = append(cases, c)
		}
	}
	return cases, nil
}

// around is how often the state of things is looked at.
const around = 50 * time.Millisecond

func (b *Bench) one(
	ctx context.Context, app Subject, queue string, f Fault, intake bool, limits Limits,
) (c Case, opened Opened, err error) {
	id := b.name + "-" + f.ID
	c = Case{Queue: queue, Fault: f.ID, Title: f.Title, Intake: intake}
	faulty := false
	defer func() {
		// Whatever happened, the next fault finds a healthy server and no producer.
		after, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if faulty {
			err = errors.Join(err, f.end(after, b))
		}
		err = errors.Join(err, app.Close(after, id), b.server.Client().FlushAll(after).Err())
	}()
	begin := func() error {
		faulty = true
		return f.begin(ctx, b)
	}
	if f.cold {
		if err := begin(); err != nil {
			return c, opened, err
		}
	}
	if opened, err = app.Open(ctx, Opening{id, queue, b.address(), intake}); err != nil ||
		opened.Refused != "" {
		return c, opened, err
	}
	c.Instance = opened.Instance
	if !f.cold {
		if !opened.Ready {
			return c, opened, migration.Errorf(migration.Blocked,
				"the app did not connect to %s: is this address reachable from where it runs?",
				b.reach)
		}
		if err := b.before(ctx, app, id, intake, limits); err != nil {
			return c, opened, err
		}
		if err := begin(); err != nil {
			return c, opened, err
		}
		if f.cut {
			notice(ctx, app, id, limits)
		}
	}
	if err := b.add(ctx, app, f, id, limits, &c); err != nil {
		return c, opened, err
	}
	if intake && !f.once {
		if err := outlast(ctx, app, f, id, limits); err != nil {
			return c, opened, err
		}
	}
	if err := f.end(ctx, b); err != nil {
		return c, opened, err
	}
	faulty = false
	if intake {
		err = delivered(ctx, app, id, limits, &c)
	} else {
		err = accepted(ctx, app, id, limits, &c)
	}
	if err != nil {
		return c, opened, err
	}
	c.Enqueued, c.Strays, err = b.tally(ctx, id)
	return c, opened, err
}

// before has the app take a job while all is well: a fault that hits an app which never
// worked shows nothing.
func (b *Bench) before(
	ctx context.Context, app Subject, id string, intake bool, limits Limits,
) error {
	healthy, cancel := context.WithTimeout(ctx, limits.Answer)
	defer cancel()
	a, err := app.Add(healthy, id, id+"-before")
	if err != nil || a.Status != 200 {
		blocked := migration.Errorf(migration.Blocked,
			"the app did not take a job before the fault: status %d %s", a.Status, a.Note)
		if a.Status == 404 {
			blocked = migration.Errorf(migration.Blocked, "another instance of the app "+
				"answered than the one that has the drill's producer (%s): give "+
				"ingestion.url an address of one instance, or run one while the drill lasts",
				a.Note)
		}
		return errors.Join(blocked, err)
	}
	if !intake {
		return nil
	}
	left, err := settle(healthy, app, id, func(l Backlog) bool { return l.Events == 0 })
	if err == nil && left.Events > 0 {
		err = migration.Errorf(migration.Blocked,
			"the app's intake did not deliver a job within %s before the fault: %s",
			migration.Words(limits.Answer), cmp.Or(left.Failure, "no delivery has ended"))
	}
	return err
}

// notice lets the app notice that its connections were closed: its event loop hears of that
// before it answers what is asked after, and needs a turn more to close its side.
func notice(ctx context.Context, app Subject, id string, limits Limits) {
	ctx, cancel := context.WithTimeout(ctx, limits.Answer)
	defer cancel()
	for range 2 {
		_, _ = app.Backlog(ctx, id) // what it answers does not matter
	}
}

// outlast lets the fault last until a delivery has failed over it, so that the intake
// has to hold the job. A cold start is one more: the process ends and comes back
// meanwhile.
func outlast(ctx context.Context, app Subject, f Fault, id string, limits Limits) error {
	failed := func() error {
		bounded, cancel := context.WithTimeout(ctx, limits.Answer)
		defer cancel()
		_, err := settle(bounded, app, id, func(l Backlog) bool {
			return l.Failure != "" || l.Events == 0
		})
		return err
	}
	if err := failed(); err != nil || !f.cold {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, limits.Answer)
	defer cancel()
	if err := app.Restart(bounded, id); err != nil {
		return err
	}
	return failed()
}

// settle looks at the backlog until done holds or ctx's time is up, and gives the last
// look.
func settle(
	ctx context.Context, app Subject, id string, done func(Backlog) bool,
) (last Backlog, err error) {
	for {
		l, err := app.Backlog(ctx, id)
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return last, nil
		}
		if last = l; err != nil || done(l) {
			return l, err
		}
		_ = pause(ctx, around) // the next look tells
	}
}

// delivered waits, after the fault, until nothing is left on the intake's disk.
func delivered(ctx context.Context, app Subject, id string, limits Limits, c *Case) error {
	over := time.Now()
	bounded, cancel := context.WithTimeout(ctx, limits.Recover)
	defer cancel()
	last, err := settle(bounded, app, id, func(l Backlog) bool { return l.Events == 0 })
	if c.Recovered = time.Since(over); last.Events > 0 {
		c.Recovered = -1
		c.Note = last.Failure
	}
	c.Left = last.Events
	return err
}

// accepted waits, after the fault, until a job is accepted again.
func accepted(ctx context.Context, app Subject, id string, limits Limits, c *Case) error {
	over := time.Now()
	c.Recovered = -1
	for n := 0; time.Since(over) < limits.Recover; n++ {
		bounded, cancel := context.WithTimeout(ctx, limits.Recover-time.Since(over))
		a, err := app.Add(bounded, id, fmt.Sprintf("%s-after-%d", id, n))
		cancel()
		if err == nil && a.Status == 200 {
			c.Recovered = time.Since(over)
			return nil
		}
		if err := pause(ctx, around); err != nil {
			return err
		}
	}
	return nil
}

// add adds the job that the fault hits.
func (b *Bench) add(
	ctx context.Context, app Subject, f Fault, id string, limits Limits, c *Case,
) error {
	bounded, cancel := context.WithTimeout(ctx, limits.Answer)
	defer cancel()
	start := time.Now()
	type result struct {
		a    Answer
		took time.Duration
		err  error
	}
	done := make(chan result, 1)
	go func() {
		a, err := app.Add(bounded, id, id+"-during")
		done <- result{a, time.Since(start), err}
	}()
	if f.once {
		// Only the one reply is lost: once the write is there, the way is free.
		for there := false; !there && bounded.Err() == nil; {
			var err error
			if there, err = b.holds(ctx, id+"-during"); err != nil {
				return err
			}
			if !there {
				_ = pause(bounded, 2*time.Millisecond)
			}
		}
		if err := f.end(ctx, b); err != nil {
			return err
		}
	}
	r := <-done
	c.Took = r.took
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case r.err != nil && bounded.Err() != nil:
		c.Hung, c.Note = true, "no answer within "+migration.Words(limits.Answer)
	case r.err != nil:
		c.Note = r.err.Error()
	default:
		c.Status, c.Note = r.a.Status, r.a.Note
	}
	return nil
}

// holds reports whether a job of that id is in the server: BullMQ keeps it as
// <prefix>:<queue>:<id>.
func (b *Bench) holds(ctx context.Context, job string) (bool, error) {
	keys, err := b.server.Client().Keys(ctx, "*:"+job).Result() // some dozen keys at most
	return len(keys) > 0, err
}

// tally looks at the jobs in the server in the end: whether the one of the fault is
// there, and how many have an id that nobody gave them. A job is a hash
// <prefix>:<queue>:<id>; two of one id cannot be.
func (b *Bench) tally(ctx context.Context, id string) (enqueued bool, strays int, err error) {
	seen := map[string]bool{} // a scan may give a key twice
	for keys := b.server.Client().ScanType(ctx, 0, "*", 1000, "hash").Iterator(); ; {
		if !keys.Next(ctx) {
			return seen[id+"-during"], strays, keys.Err()
		}
		job := keys.Val()[strings.LastIndexByte(keys.Val(), ':')+1:]
		if job != "meta" && !seen[job] && !strings.HasPrefix(job, id+"-") {
			strays++
		}
		seen[job] = true
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// Reachable gives the host to listen on for an app at base: loopback for one on this
// machine, otherwise the address that leads there.
func Reachable(ctx context.Context, base string) (string, error) {
	u, err := url.Parse(base)
	if err != nil || u.Hostname() == "" {
		return "", migration.Errorf(migration.Invalid, "%q is no address", base)
	}
	var d net.Dialer
	// sends nothing: it only asks the routing table
	conn, err := d.DialContext(ctx, "udp", net.JoinHostPort(u.Hostname(), "9"))
	if err != nil {
		return "", fmt.Errorf("drill: no way to %s: %w", u.Hostname(), err)
	}
	defer conn.Close()
	host, _, err := net.SplitHostPort(conn.LocalAddr().String())
	return host, err
}
