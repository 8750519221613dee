package provision

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/capacity"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/workflows/environment"
)

// sourceLoad is what the source bears now, and the target will have to.
type sourceLoad struct {
	UsedMemory     int64   // bytes
	Clients        int64   // connected, ours too
	PerSecond      float64 // commands, the highest of the rates that are known
	How            string  // which rates those are
	BytesPerSecond float64 // in and out, of the same kind
}

// loadSample is an earlier look at the source's counters.
type loadSample struct {
	at time.Time
	redisconn.Load
}

// measured is what was measured before, by address, for what one look does not tell.
type measured struct {
	mu    sync.Mutex
	loads map[string]loadSample
}

const (
	// loadWindow is the shortest span over which two looks tell a rate, loadMemory how old
	// the first of them may be.
	loadWindow = 5 * time.Second
	loadMemory = 10 * time.Minute
)

// load reads what a server bears from INFO. The rate of commands is the highest of three:
// the server's own figure for the last moments, the one since an earlier look, and the
// average since the server started. It includes what Switchyard asks, so it is too high
// rather than too low.
func (s Parts) load(
	ctx context.Context,
	c redis.UniversalClient,
	address string,
) (sourceLoad, error) {
	read, err := redisconn.ReadLoad(ctx, c)
	if err != nil {
		return sourceLoad{}, err
	}
	now := loadSample{s.Now(), read}
	l := sourceLoad{
		UsedMemory: read.UsedMemory,
		Clients:    read.Connections,
		PerSecond:  float64(read.PerSecond),
	}
	if len(read.Unknown) > 0 {
		return l, fmt.Errorf("INFO lacks %s", strings.Join(read.Unknown, ", "))
	}
	uptime := float64(max(read.Uptime, 1))
	l.How = fmt.Sprintf("the highest of %s now", perSecond(l.PerSecond))
	s.seen.mu.Lock()
	defer s.seen.mu.Unlock()
	before, known := s.seen.loads[address]
	if age := now.at.Sub(before.at); !known || age > loadMemory || before.RunID != now.RunID {
		if s.seen.loads == nil {
			s.seen.loads = map[string]loadSample{}
		}
		s.seen.loads[address] = now
	} else if age >= loadWindow {
		rate := float64(now.Commands-before.Commands) / age.Seconds()
		l.BytesPerSecond = float64(now.NetBytes-before.NetBytes) / age.Seconds()
		l.PerSecond = max(l.PerSecond, rate)
		l.How += fmt.Sprintf(", %s over the last %s", perSecond(rate), migration.Words(age.Truncate(time.Second)))
	}
	l.BytesPerSecond = max(l.BytesPerSecond, float64(now.NetBytes)/uptime)
	l.PerSecond = max(l.PerSecond, float64(now.Commands)/uptime)
	l.How += fmt.Sprintf(
		", %s on average in the %s since it started",
		perSecond(float64(now.Commands)/uptime),
		migration.Words(time.Duration(uptime)*time.Second),
	)
	return l, nil
}

// projection compares paying by use with the plan's price at the source's load.
func (s Parts) projection(l sourceLoad) string {
	o := s.Managed.Service.Offer()
	costs := fmt.Sprintf("%s costs $%.0f (%s)", o.Plan.Title, o.Plan.MonthlyUSD, told(o.Price))
	usd, offered := s.Managed.Service.MeteredUSD(providers.Usage{
		CommandsPerSecond: l.PerSecond, StoredBytes: l.UsedMemory,
		MonthlyTransferBytes: monthly(l),
	})
	if !offered {
		return costs + "; what the service would bill by use nobody says"
	}
	return fmt.Sprintf("pay-as-you-go would cost about $%s a month at the source's %s "+
		"commands/s; %s", dollars(usd), perSecond(l.PerSecond), costs)
}

// price is projection, or says that the source's load is not known.
func (s Parts) price(l sourceLoad, loadErr error) string {
	if loadErr == nil {
		return s.projection(l)
	}
	o := s.Managed.Service.Offer()
	return fmt.Sprintf("what pay-as-you-go would cost is not known, since the source's command "+
		"rate cannot be read; %s costs $%.0f (%s)", o.Plan.Title, o.Plan.MonthlyUSD,
		told(o.Price))
}

// monthly is what the source carries in a month, in bytes.
func monthly(l sourceLoad) int64 { return int64(l.BytesPerSecond * capacity.Month.Seconds()) }

func traffic(l sourceLoad, p bearing) string {
	of := "the plan sets no limit"
	if p.BandwidthBytes > 0 {
		of = "of " + migration.Bytes(p.BandwidthBytes) + " in the plan"
	}
	return fmt.Sprintf("projected %s a month at the source's present rate, %s",
		migration.Bytes(monthly(l)), of)
}

func dollars(usd float64) string {
	if usd < 100 {
		return fmt.Sprintf("%.2f", usd)
	}
	return fmt.Sprintf("%.0f", usd)
}

func perSecond(rate float64) string {
	if rate < 10 {
		return strconv.FormatFloat(math.Round(rate*10)/10, 'f', -1, 64)
	}
	return fmt.Sprintf("%.0f", rate)
}

// bearing is what the database bears. A limit of 0 is one that the service does not set.
type bearing struct {
	providers.Plan
	// from says where the limits come from, and connections where theirs does.
	from, connections string
}

// limits are those of the wanted plan, or what is known of the database that is there.
func limits(o providers.Offer, db *providers.Database) bearing {
	p := bearing{o.Plan, told(o.Limits), told(o.Connections)}
	if db == nil {
		if o.Can.Create {
			p.connections += ": the database itself tells when it exists"
		}
		return p
	}
	is := db.Plan
	p.from = told(db.Said.Limits)
	if db.ConnectionsTold {
		p.connections = ""
	}
	p.MaxBytes = cmp.Or(is.MaxBytes, p.MaxBytes)
	if o.Plan.MaxBytes > 0 { // a larger plan is not the wanted one
		p.MaxBytes = min(p.MaxBytes, o.Plan.MaxBytes)
	}
	p.MaxConnections = cmp.Or(is.MaxConnections, p.MaxConnections)
	p.MaxCommandsPerSecond = cmp.Or(is.MaxCommandsPerSecond, p.MaxCommandsPerSecond)
	p.MaxRequestBytes = cmp.Or(is.MaxRequestBytes, p.MaxRequestBytes)
	p.MaxRecordBytes = cmp.Or(is.MaxRecordBytes, p.MaxRecordBytes)
	return p
}

// unlimited says that the service sets no limit, and who says so.
func (p bearing) unlimited() string { return "none (" + p.from + ")" }

// loadGates say whether the plan bears what the source bears now.
func (s Parts) loadGates(mid string, p bearing, l sourceLoad, loadErr error) []migration.Gate {
	size := migration.Claim{
		ID:    "size",
		Title: "The data fits",
		Limit: migration.Bytes(p.MaxBytes) + ", with a quarter to grow",
	}
	if p.MaxBytes == 0 {
		size.Limit = p.unlimited()
	}
	connections := migration.Claim{
		ID:    "connections",
		Title: "The connections fit",
		Limit: fmt.Sprintf("80 %% of %d", p.MaxConnections),
	}
	if p.connections != "" {
		connections.Limit += " (" + p.connections + ")"
	}
	if p.MaxConnections == 0 {
		connections.Limit = p.unlimited()
	}
	commands := migration.Claim{
		ID:    "commands",
		Title: "The command rate fits",
		Limit: fmt.Sprintf(
			"80 %% of %d a second, above which the provider delays",
			p.MaxCommandsPerSecond,
		),
	}
	if p.MaxCommandsPerSecond == 0 {
		commands.Limit = p.unlimited()
	}
	of := func(c migration.Claim, holds bool) migration.Gate {
		if loadErr != nil {
			c.Next = "bring the source back, or let Switchyard read INFO there"
		}
		return c.About("server", "the source", holds, environment.Told(loadErr))
	}
	size.Measured = fmt.Sprintf(
		"%s used on the source, %s with a quarter to grow",
		migration.Bytes(l.UsedMemory),
		migration.Bytes(l.UsedMemory/4*5),
	)
	size.Next = "bound what is kept (removeOnComplete, removeOnFail, the length of events; the " +
		"audit names what grows), or decide on a larger plan: over its size the database " +
		"refuses writes"
	attested, workers := int64(0), 0
	for _, a := range s.Workers.Attesting(mid) {
		workers++
		for _, c := range a.Connections {
			if c.Side == "source" {
				attested++
			}
		}
	}
	need := max(l.Clients, attested)
	connections.Measured = fmt.Sprintf(
		"%s on the source; %s %s to it",
		migration.Count(l.Clients, "client"),
		migration.Count(workers, "live worker attests", "live workers attest"),
		migration.Count(attested, "connection"),
	)
	connections.Next = "share connections in the apps, or run fewer processes: over the limit " +
		"the database refuses connections"
	commands.Measured = fmt.Sprintf("%s a second (%s)", perSecond(l.PerSecond), l.How)
	commands.Next = "lower the rate (drainDelay, stalledInterval, fewer QueueEvents), or decide " +
		"on a larger plan"
	return []migration.Gate{
		of(size, within(l.UsedMemory/4*5, p.MaxBytes)),
		of(connections, within(need*10, p.MaxConnections*8)),
		of(commands, within(l.PerSecond, float64(p.MaxCommandsPerSecond)*0.8)),
	}
}

// within reports whether a value keeps to a limit; 0 is none.
func within[T int64 | float64](value, limit T) bool { return limit == 0 || value <= limit }

// requestOverhead is what an add sends besides the job's data: script, keys, options. The
// largest BullMQ script is some tens of kB, and is sent whole once.
const requestOverhead = 64 << 10

// censusGates compare the largest payload and the largest key of the queues with the plan's
// limits. Without a recent census neither is known, and neither holds.
func censusGates(
	ctx context.Context,
	p bearing,
	s environment.SideSurvey,
	source redis.UniversalClient,
) []migration.Gate {
	request := migration.Claim{
		ID:    "request",
		Title: "The largest payload fits in a request",
		Limit: migration.Bytes(
			p.MaxRequestBytes,
		) + "; half of that where only a sample was measured",
	}
	record := migration.Claim{
		ID:    "record",
		Title: "The largest key fits in a record",
		Limit: migration.Bytes(p.MaxRecordBytes) + ", with a quarter to grow",
	}
	if p.MaxRequestBytes == 0 {
		request.Limit = p.unlimited()
	}
	if p.MaxRecordBytes == 0 {
		record.Limit = p.unlimited()
	}
	const of, on = "census", "of the source"
	if !s.Usable() {
		why := "the census of the source " + cmp.Or(s.Error, "was not taken")
		if s.Reading != "" {
			why += ", " + s.Reading
		}
		request.Next = "wait until the census has been taken (the page Queues shows how far it " +
			"is), then look again"
		record.Next = request.Next
		return []migration.Gate{
			request.About(of, on, false, errors.New(why)), record.About(of, on, false, errors.New(why)),
		}
	}
	var largest int64
	var where bullmq.Queue
	sampled, jobs := 0, int64(0)
	for _, q := range s.Survey.Queues {
		sampled += q.Payload.Sampled
		jobs += q.Counts.Pending() + q.Counts.Completed
		if q.Payload.Max > largest {
			largest, where = q.Payload.Max, q.Queue
		}
	}
	allowed := p.MaxRequestBytes
	if int64(sampled) < jobs {
		allowed /= 2
	}
	request.Measured = fmt.Sprintf(
		"%s, the largest of %d jobs measured of %d",
		migration.Bytes(largest),
		sampled,
		jobs,
	)
	if largest > 0 {
		request.Measured += ", in " + where.String()
	}
	request.Next = "keep large data elsewhere and put its address into the job: a larger request " +
		"is refused, and the order with it"
	biggest, key, measured, err := biggestKey(ctx, source, s.Survey)
	record.Measured = fmt.Sprintf("%s, the largest of %d lists of %d queues",
		migration.Bytes(biggest), measured, len(s.Survey.Queues))
	if key != "" {
		record.Measured += ": " + key
	}
	record.Next = "bound it (removeOnComplete, removeOnFail, streams.events.maxLen), or " +
		"obliterate what nobody needs"
	if err != nil {
		err = errors.New("MEMORY USAGE: " + environment.InWords(err))
		record.Next = "let Switchyard run MEMORY USAGE on the source"
	}
	return []migration.Gate{
		request.About(of, on, within(largest+requestOverhead, allowed), nil),
		record.About("server", "the source", within(biggest/4*5, p.MaxRecordBytes), err),
	}
}

// biggestKey measures every list of every queue. The server samples a handful of elements
// of each, so it costs little.
func biggestKey(
	ctx context.Context,
	c redis.UniversalClient,
	s bullmq.Survey,
) (size int64, key string, measured int, err error) {
	const batch = 50 // what a server answers in well under a millisecond
	var keys []string
	for _, q := range s.Queues {
		for _, part := range bullmq.Lists() {
			keys = append(keys, q.Queue.Key(part))
		}
	}
	for some := range slices.Chunk(keys, batch) {
		p := c.Pipeline()
		sizes := make([]*redis.IntCmd, len(some))
		for i, k := range some {
			sizes[i] = p.MemoryUsage(ctx, k)
		}
		_, _ = p.Exec(ctx) // each command has its own error
		for i, cmd := range sizes {
			n, err := cmd.Result()
			switch {
			case errors.Is(err, redis.Nil): // it is not there
			case err != nil:
				return 0, "", 0, err
			default:
				if measured++; n > size {
					size, key = n, some[i]
				}
			}
		}
	}
	return size, key, measured, nil
}
