package bullmq

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/redisconn"
)

// Survey is what a census of a whole server saw. It is no single moment: counts of one
// queue are, the rest was gathered over Took.
type Survey struct {
	At      time.Time     `json:"at"` // when it was begun
	Took    time.Duration `json:"took"`
	ReadAt  time.Time     `json:"read_at"` // when what Refresh reads was read last
	Keys    int64         `json:"keys"`
	Foreign int64         `json:"foreign"` // of those, keys of no queue
	// of those, keys of BullMQ's relay, "<prefix>::relay:...", which is no queue
	Relay  int64         `json:"relay"`
	Queues []QueueSurvey `json:"queues"` // by prefix and name
	// queues that flows tie together: each group moves as one
	Groups [][]Queue `json:"groups"`
}

// Queue gives the survey of one queue.
func (s Survey) Queue(q Queue) (QueueSurvey, bool) {
	for _, each := range s.Queues {
		if each.Queue.Key("") == q.Key("") {
			return each, true
		}
	}
	return QueueSurvey{}, false
}

// QueueSurvey is one queue in depth.
type QueueSurvey struct {
	Queue  Queue  `json:"queue"`
	Counts Counts `json:"counts"`
	// major version by the keys: "3", "4", "5", "6"; "" when they do not tell
	Layout string `json:"layout"`

	Workers     []WorkerConn `json:"workers"`
	WorkersNote string       `json:"workers_note,omitempty"` // why Workers is not known

	DelayedFirst *time.Time       `json:"delayed_first,omitempty"`
	DelayedLast  *time.Time       `json:"delayed_last,omitempty"`
	DelayedOver  map[string]int64 `json:"delayed_over"` // by Horizons
	Retrying     int64            `json:"retrying"`     // delayed jobs that were tried before
	Schedulers   []Scheduler      `json:"schedulers"`

	FlowParents  int64   `json:"flow_parents"`  // jobs with pending children
	FlowChildren int64   `json:"flow_children"` // jobs with a parent
	TiedTo       []Queue `json:"tied_to"`       // other queues, by flows

	Dedup      []DedupKey `json:"dedup"` // at most 100
	DedupCount int64      `json:"dedup_count"`
	// payloads that wait for their active job's end (keepLastIfActive): jobs that are
	// in no list yet
	DedupNext int64 `json:"dedup_next"`

	RateLimit *RateLimit `json:"rate_limit,omitempty"` // the queue's own, for all workers
	// a window's counter is there: workers limit the rate
	Limited bool `json:"limited"`
	// it has no end: the limit is switched off
	LimitedEver bool  `json:"limited_for_ever"`
	Concurrency int64 `json:"concurrency"` // for all workers; 0 none

	HashesWithoutIndex int64 `json:"hashes_without_index"` // jobs in no list: lost to BullMQ
	// ids without a job: BullMQ runs them with empty data
	IndexedWithoutHash int64    `json:"indexed_without_hash"`
	Examples           []string `json:"examples"` // ids of both, at most 20 each
	// the move that took the queue's lists away; its jobs' hashes here are copies of
	// what ran or runs elsewhere
	MovedBy      string   `json:"moved_by,omitempty"`
	Copies       int64    `json:"copies"`        // how many such hashes
	StalledCount int64    `json:"stalled_count"` // active without a lock
	Stalled      []string `json:"stalled"`       // at most 20

	// estimated from Payload.Sampled jobs and the indexes
	MemoryBytes int64        `json:"memory_bytes"`
	MemoryNote  string       `json:"memory_note"` // how it was estimated
	Payload     Distribution `json:"payload"`
}

// Horizons are the spans of DelayedOver: from which time on until the next one's.
var Horizons = []struct {
	Name string
	Span time.Duration
}{{"overdue", 0}, {"within an hour", time.Hour}, {"within a day", 24 * time.Hour},
	{"within a week", 7 * 24 * time.Hour}, {"later", 0}}

// WorkerConn is a worker's connection, by the name BullMQ gives it.
type WorkerConn struct {
	Name string `json:"name"` // of the worker; often ""
	Addr string `json:"addr"`
	Age  int64  `json:"age"`  // s
	Idle int64  `json:"idle"` // s
}

// Scheduler is an entry of "repeat".
type Scheduler struct {
	ID         string    `json:"id"`
	Pattern    string    `json:"pattern,omitempty"`
	TZ         string    `json:"tz,omitempty"`
	EveryMS    int64     `json:"every_ms,omitempty"`
	Next       time.Time `json:"next"`
	Iterations int64     `json:"iterations"`
	// a repeatable job of before 5.16, which BullMQ 6 refuses
	Legacy bool `json:"legacy"`
	// its next job is not there: it never fires again
	PendingMissing bool `json:"pending_missing"`
}

// DedupKey keeps jobs with one deduplication id from being added.
type DedupKey struct {
	ID    string        `json:"id"`
	JobID string        `json:"job_id"`
	TTL   time.Duration `json:"ttl"` // 0: until the job is gone
}

// RateLimit is at most Max jobs in a Duration.
type RateLimit struct {
	Max      int64         `json:"max"`
	Duration time.Duration `json:"duration"`
}

// Distribution is of the sizes of the jobs' data, in bytes, over a sample.
type Distribution struct {
	Sampled int   `json:"sampled"`
	P50     int64 `json:"p50"`
	P95     int64 `json:"p95"`
	P99     int64 `json:"p99"`
	Max     int64 `json:"max"`
}

// SurveyOptions says how hard a survey may work the server.
type SurveyOptions struct {
	// Share is the part of the time, 0 to 1, in which the survey keeps the server busy;
	// it rests after each batch for that. Zero: 0.1.
	Share float64
	// Progress, if not nil, is told how many keys were seen, of about how many.
	Progress func(seen, total int64)
}

const (
	// surveyKeys, surveyNames and surveyIDs are how much one round trip asks for: as
	// little as an application does, because whatever the server does at a time is what
	// others wait for. Keys are read one by one; names are only listed, and looked at
	// when they may be a queue's; ids are parts of a list.
	surveyKeys     = 4
	surveyNames    = 24
	surveyIDs      = 50
	surveySample   = 10_000 // jobs per queue whose size is read
	surveyExamples = 20
	surveyDedup    = 100
	// surveyProofs is how many jobs of a queue are looked up one by one in lists that
	// may be long; that takes the server O(list) each.
	surveyProofs = 1000
)

// TakeSurvey looks at every key of a server, in small batches with rests between them.
// It reads only, without scripts. Memory is 16 bytes for each job and some per queue.
// What the server does not allow to read (MEMORY USAGE, CLIENT LIST) is said in the
// notes.
func TakeSurvey(ctx context.Context, c redis.UniversalClient, o SurveyOptions) (Survey, error) {
	s := newSurveyor(ctx, c, o)
	started := time.Now()
	s.out.At = started
	if err := s.run(ctx); err != nil {
		return Survey{}, fmt.Errorf("survey: %w", redisconn.Explain(err))
	}
	s.out.Took, s.out.ReadAt = time.Since(started), time.Now()
	return s.out, nil
}

// Refresh reads anew, of the queues that a survey found, what takes a handful of
// commands each, however many jobs there are: counts, delays, schedulers, limits,
// workers, stalled jobs. What only a walk over every key tells stays as it was: queues
// that came since, flows, deduplication, orphans, sizes.
func Refresh(
	ctx context.Context, c redis.UniversalClient, old Survey, o SurveyOptions,
) (Survey, error) {
	s := newSurveyor(ctx, c, o)
	out := old
	out.Queues = slices.Clone(old.Queues)
	for i, q := range out.Queues {
		// Fake ids are only seen by a walk; a queue that had them is of BullMQ 4 until
		// its keys say otherwise.
		sq := &surveyed{QueueSurvey: q, markers: q.Layout == "4"}
		sq.Schedulers, sq.Stalled, sq.StalledCount, sq.Workers, sq.WorkersNote = []Scheduler{},
			[]string{}, 0, []WorkerConn{}, ""
		sq.RateLimit, sq.DelayedOver = nil, map[string]int64{}
		for _, part := range []func(context.Context, *surveyed) error{s.counts, s.details,
			s.schedulers, s.stalled, s.workers} {
			if err := part(ctx, sq); err != nil {
				return old, fmt.Errorf("survey: %s: %w", q.Queue, redisconn.Explain(err))
			}
		}
		out.Queues[i] = sq.QueueSurvey
	}
	out.ReadAt = time.Now()
	return out, nil
}

func newSurveyor(ctx context.Context, c redis.UniversalClient, o SurveyOptions) *surveyor {
	if o.Share == 0 {
		o.Share = 0.1
	}
	return &surveyor{c: c, o: o, seed: maphash.MakeSeed(), queues: map[string]*surveyed{},
		clients: sync.OnceValues(func() ([]redisconn.Client, error) {
			return redisconn.ForeignClients(ctx, c)
		})}
}

type surveyor struct {
	c        redis.UniversalClient
	o        SurveyOptions
	seed     maphash.Seed
	queues   map[string]*surveyed // by "prefix:name:"
	order    []*surveyed
	total    int64
	noMemory error                              // why MEMORY USAGE is not to be had
	clients  func() ([]redisconn.Client, error) // of others, asked for once
	out      Survey
}

// surveyed is a queue under way. Ids are kept as hashes: two different ones are taken
// for one with odds of n²/2^65.
type surveyed struct {
	QueueSurvey
	listed, delayed, seen []uint64 // ids in an index; of those, delayed; jobs that were seen
	step                  uint64   // each how-manieth job is sampled
	sizes, memory         []int64
	doubtful              []string // jobs that were in no index
	markers               bool     // fake ids of BullMQ 3 and 4
	ties                  map[string]bool
}

func (s *surveyor) run(ctx context.Context) error {
	queues, err := s.discover(ctx)
	if err != nil {
		return err
	}
	if s.total, err = s.c.DBSize(ctx).Result(); err != nil {
		return err
	}
	for _, q := range queues {
		sq := &surveyed{QueueSurvey: QueueSurvey{Queue: q, DelayedOver: map[string]int64{},
			Schedulers: []Scheduler{}, TiedTo: []Queue{}, Dedup: []DedupKey{},
			Examples: []string{}, Stalled: []string{},
			Workers: []WorkerConn{}}, ties: map[string]bool{}}
		s.queues[q.Key("")], s.order = sq, append(s.order, sq)
		if err := s.indexes(ctx, sq); err != nil {
			return fmt.Errorf("%s: %w", q, err)
		}
	}
	if err := s.scan(ctx); err != nil {
		return err
	}
	for _, sq := range s.order {
		for _, part := range []func(context.Context, *surveyed) error{s.orphans, s.details,
			s.schedulers, s.stalled, s.workers, s.memory} {
			if err := part(ctx, sq); err != nil {
				return fmt.Errorf("%s: %w", sq.Queue, err)
			}
		}
	}
	s.groups()
	for _, sq := range s.order {
		s.out.Queues = append(s.out.Queues, sq.QueueSurvey)
	}
	return nil
}

// rest waits so that a batch that took a while keeps the server busy for no more than
// the share. A server that answers slowly gets longer rests.
func (s *surveyor) rest(ctx context.Context, took time.Duration) error {
	if s.o.Share >= 1 {
		return ctx.Err()
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(time.Duration(float64(took) * (1/s.o.Share - 1))):
		return nil
	}
}

// timed carries a batch out and rests.
func (s *surveyor) timed(ctx context.Context, fill func(redis.Pipeliner)) error {
	p := s.c.Pipeline()
	fill(p)
	if p.Len() == 0 {
		return nil
	}
	started := time.Now()
	if err := connectionError(p.Exec(ctx)); err != nil {
		return err
	}
	return s.rest(ctx, time.Since(started))
}

// connectionError is nil unless the connection failed: a command's own error stays with
// the command.
func connectionError(cmds []redis.Cmder, err error) error {
	if err == nil {
		return nil
	}
	for _, c := range cmds {
		if _, isReply := errors.AsType[redis.Error](c.Err()); c.Err() != nil && !isReply {
			return c.Err()
		}
	}
	if _, isReply := errors.AsType[redis.Error](err); !isReply {
		return err
	}
	return nil
}
