// Package drill shows what an app's own connection options do when its Redis fails in ways that no real server should be put through: it has
// the app open a producer of its own kind to a server of ours, through a proxy of ours, and adds jobs while either fails. No order, no real
// queue and no real connection is touched.
package drill

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
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

// Subject is the app under the drill.
type Subject interface {
	// Open has the app make a producer for one of its queues, named id, to a Redis address of the drill's. ready is whether it was connected in time.
	Open(ctx context.Context, id, queue string, address migration.Secret) (ready bool, err error)
	// Add adds a job over that producer. An app that does not answer until ctx ends is an error that wraps ctx's.
	Add(ctx context.Context, id, job string) (Answer, error)
	Close(ctx context.Context, id string) error
}

// Limits bound a drill.
type Limits struct {
	// Answer is how long an add is waited for; one that takes longer hangs.
	Answer time.Duration
	// Recover is how long the app gets to take jobs again once the fault is over.
	Recover time.Duration
}

// Defaults are long enough to tell a hang from a slow answer: BullMQ's own back-off goes up to 20 s.
func Defaults() Limits { return Limits{Answer: 12 * time.Second, Recover: 25 * time.Second} }

// Case is what one fault came to.
type Case struct {
	Queue  string        `json:"queue"`
	Fault  string        `json:"fault"`  // ID of Faults
	Title  string        `json:"title"`  //
	Status int           `json:"status"` // 0: no answer
	Took   time.Duration `json:"took"`
	Hung   bool          `json:"hung"` // no answer within Limits.Answer
	// Enqueued is whether the job was in the server in the end, whatever was answered.
	Enqueued bool   `json:"enqueued"`
	Note     string `json:"note"`
	// Recovered is how long after the fault a job was accepted again; negative: not within Limits.Recover.
	Recovered time.Duration `json:"recovered"`
}

// Fault is one way to fail.
type Fault struct {
	ID, Title string
	// Meaning is what happens in the world that looks like this to the app.
	Meaning string
	cold    bool // the app opens its producer while the fault lasts
	begin   func(ctx context.Context, b *Bench) error
	end     func(ctx context.Context, b *Bench) error
	// once: the fault hits one command and is over, before the answer is waited for
	once bool
}

// Faults are all faults, in the order of the matrix.
var Faults = []Fault{
	{ID: "refused", Title: "Connection refused", Meaning: "Redis was killed, or its machine restarts",
		begin: func(_ context.Context, b *Bench) error { b.proxy.down(); return nil },
		end:   func(_ context.Context, b *Bench) error { return b.proxy.up() }},
	{ID: "cold-start", Title: "Cold start while it is down", Meaning: "a dyno restarts during the outage", cold: true,
		begin: func(_ context.Context, b *Bench) error { b.proxy.down(); return nil },
		end:   func(_ context.Context, b *Bench) error { return b.proxy.up() }},
	{ID: "frozen", Title: "Server frozen", Meaning: "the machine stalls: connections stand, nothing answers",
		begin: func(_ context.Context, b *Bench) error { return b.server.Freeze() },
		end:   func(_ context.Context, b *Bench) error { return b.server.Thaw() }},
	{ID: "blackhole", Title: "Packets vanish", Meaning: "a network partition: connections stand, nothing arrives",
		begin: func(_ context.Context, b *Bench) error { return b.proxy.swallow() },
		end:   func(ctx context.Context, b *Bench) error { b.proxy.clean(ctx); return nil }},
	{ID: "oom", Title: "Memory full", Meaning: "maxmemory is reached under noeviction",
		begin: func(ctx context.Context, b *Bench) error {
			return b.server.Client().ConfigSet(ctx, "maxmemory", "1").Err()
		},
		end: func(ctx context.Context, b *Bench) error {
			return b.server.Client().ConfigSet(ctx, "maxmemory", "0").Err()
		}},
	{ID: "readonly", Title: "Demoted to a replica", Meaning: "a failover happened and the app still holds the old master",
		begin: func(ctx context.Context, b *Bench) error {
			return b.server.Client().ReplicaOf(ctx, "127.0.0.1", "1").Err()
		},
		end: func(ctx context.Context, b *Bench) error { return b.server.Client().ReplicaOf(ctx, "NO", "ONE").Err() }},
	{ID: "reply-lost", Title: "Reply lost after the write", Meaning: "the connection breaks between the write and its answer", once: true,
		begin: func(_ context.Context, b *Bench) error { return b.proxy.loseReplies() },
		end:   func(ctx context.Context, b *Bench) error { b.proxy.clean(ctx); return nil }},
}

// Bench is a server and the proxy before it.
type Bench struct {
	server *scratch.Server
	proxy  proxy
	reach  string // host:port for the app
}

// NewBench starts both. The proxy listens on listen, host:port, where port 0 is one of the system's choice; advertise is how the app reaches it
// when that differs, as behind a port forwarding. The caller closes it.
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
	return &Bench{server, p, cmp.Or(advertise, p.addr())}, nil
}

// Close ends both.
func (b *Bench) Close() {
	b.proxy.down()
	b.server.Close()
}

// address is where the app reaches the bench.
func (b *Bench) address() migration.Secret {
	u := url.URL{Scheme: "redis", User: url.UserPassword("", b.server.Password().Reveal()), Host: b.reach}
	return migration.Secret(u.String())
}

// Run puts the app's producer of a queue through each fault, one after the other, each with a producer of its own. It tells progress in words. A fault that could not
// be put or taken away is an error; what the app makes of it is a Case, whatever it is.
func (b *Bench) Run(ctx context.Context, app Subject, queue string, faults []Fault, limits Limits, progress func(string)) ([]Case, error) {
	var cases []Case
	for i, f := range faults {
		progress(fmt.Sprintf("%s, %d of %d: %s", queue, i+1, len(faults), f.Title))
		c, err := b.one(ctx, app, queue, f, "drill-"+strconv.Itoa(i)+"-"+f.ID, limits)
		if err != nil {
			return cases, fmt.Errorf("%s: %w", f.Title, err)
		}
		cases = append(cases, c)
	}
	return cases, nil
}

// around is how often the state of things is looked at.
const around = 50 * time.Millisecond

func (b *Bench) one(ctx context.Context, app Subject, queue string, f Fault, id string, limits Limits) (c Case, err error) {
	c = Case{Queue: queue, Fault: f.ID, Title: f.Title}
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
			return c, err
		}
	}
	ready, err := app.Open(ctx, id, queue, b.address())
	if err != nil {
		return c, err
	}
	if !f.cold {
		if !ready {
			return c, migration.Errorf(migration.Blocked, "the app did not connect to %s: is this address reachable from where it runs?", b.reach)
		}
		healthy, cancel := context.WithTimeout(ctx, limits.Answer)
		a, err := app.Add(healthy, id, id+"-before")
		cancel()
		if err != nil || a.Status != 200 {
			return c, errors.Join(migration.Errorf(migration.Blocked, "the app did not take a job before the fault: status %d %s", a.Status, a.Note), err)
		}
		if err := begin(); err != nil {
			return c, err
		}
	}
	if err := b.add(ctx, app, f, id, limits, &c); err != nil {
		return c, err
	}
	if err := f.end(ctx, b); err != nil {
		return c, err
	}
	faulty = false
	over := time.Now()
	c.Recovered = -1
	for n := 0; time.Since(over) < limits.Recover; n++ {
		bounded, cancel := context.WithTimeout(ctx, limits.Recover-time.Since(over))
		a, err := app.Add(bounded, id, fmt.Sprintf("%s-after-%d", id, n))
		cancel()
		if err == nil && a.Status == 200 {
			c.Recovered = time.Since(over)
			break
		}
		if err := pause(ctx, around); err != nil {
			return c, err
		}
	}
	c.Enqueued, err = b.holds(ctx, id+"-during")
	return c, err
}

// add adds the job that the fault hits.
func (b *Bench) add(ctx context.Context, app Subject, f Fault, id string, limits Limits, c *Case) error {
	bounded, cancel := context.WithTimeout(ctx, limits.Answer)
	defer cancel()
	start := time.Now()
	type result struct {
		a   Answer
		err error
	}
	done := make(chan result, 1)
	go func() {
		a, err := app.Add(bounded, id, id+"-during")
		done <- result{a, err}
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
	c.Took = time.Since(start)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case r.err != nil && bounded.Err() != nil:
		c.Hung, c.Note = true, fmt.Sprintf("no answer within %s", limits.Answer)
	case r.err != nil:
		c.Note = r.err.Error()
	default:
		c.Status, c.Note = r.a.Status, r.a.Note
	}
	return nil
}

// holds reports whether a job of that id is in the server: BullMQ keeps it as <prefix>:<queue>:<id>.
func (b *Bench) holds(ctx context.Context, job string) (bool, error) {
	keys, err := b.server.Client().Keys(ctx, "*:"+job).Result() // some dozen keys at most
	return len(keys) > 0, err
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// Reachable gives the host to listen on for an app at base: loopback for one on this machine, otherwise the address that leads there.
func Reachable(ctx context.Context, base string) (string, error) {
	u, err := url.Parse(base)
	if err != nil || u.Hostname() == "" {
		return "", migration.Errorf(migration.Invalid, "%q is no address", base)
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "udp", net.JoinHostPort(u.Hostname(), "9")) // sends nothing: it only asks the routing table
	if err != nil {
		return "", fmt.Errorf("drill: no way to %s: %w", u.Hostname(), err)
	}
	defer conn.Close()
	host, _, err := net.SplitHostPort(conn.LocalAddr().String())
	return host, err
}
