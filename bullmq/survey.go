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

// Survey is a census of a whole server. It is not atomic: the counts of one queue
// are, the rest was gathered over Took.
type Survey struct {
	At      time.Time     `json:"at"` // when it began
	Took    time.Duration `json:"took"`
	ReadAt  time.Time     `json:"read_at"` // when Refresh last read its part
	Keys    int64         `json:"keys"`
	Foreign int64         `json:"foreign"` // of those, belonging to no queue
	// examples of those, at most 20
	ForeignKeys []string `json:"foreign_keys"`
	// queues of other libraries, and how many keys they have
	Others    []Found `json:"others"`
	OtherKeys int64   `json:"other_keys"`
	// of those, keys of BullMQ's relay, "<prefix>::relay:...", which is not a queue
	Relay  int64         `json:"relay"`
	Queues []QueueSurvey `json:"queues"` // by prefix and name
	// queues tied together by flows: each group moves as one
	Groups [][]Queue `json:"groups"`
}

// Queue returns the survey of one queue.
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
	// major version, judged by the keys: "3", "4", "5", "6"; "" when they do not
	// tell
	Layout string `json:"layout"`

	Workers     []WorkerConn `json:"workers"`
	WorkersNote string       `json:"workers_note,omitempty"` // why Workers is unknown

	DelayedFirst *time.Time       `json:"delayed_first,omitempty"`
	DelayedLast  *time.Time       `json:"delayed_last,omitempty"`
	DelayedOver  map[string]int64 `json:"delayed_over"` // by Horizons
	// delayed jobs that were attempted before
	Retrying   int64       `json:"retrying"`
	Schedulers []Scheduler `json:"schedulers"`

	FlowParents  int64   `json:"flow_parents"`  // jobs with pending children
	FlowChildren int64   `json:"flow_children"` // jobs with a parent
	TiedTo       []Queue `json:"tied_to"`       // other queues, through flows

	Dedup      []DedupKey `json:"dedup"` // at most 100
	DedupCount int64      `json:"dedup_count"`
	// payloads waiting for their active job to end (keepLastIfActive): jobs that
	// are in no list yet
	DedupNext int64 `json:"dedup_next"`

	RateLimit *RateLimit `json:"rate_limit,omitempty"` // the queue's own, for all workers
	// the counter of a window exists: workers limit the rate
	Limited bool `json:"limited"`
	// the counter never expires: the queue is stuck at its limit
	LimitedEver bool  `json:"limited_for_ever"`
	Concurrency int64 `json:"concurrency"` // for all workers; 0: no limit

	HashesWithoutIndex int64 `json:"hashes_without_index"` // jobs in no list: lost to BullMQ
	// dangling job IDs: BullMQ runs them with empty data
	IndexedWithoutHash int64    `json:"indexed_without_hash"`
	Examples           []string `json:"examples"` // ids of both kinds, at most 20 each
	// the move that took the queue's lists away; its jobs' hashes here are copies
	// of jobs that ran or run elsewhere
	MovedBy      string   `json:"moved_by,omitempty"`
	Copies       int64    `json:"copies"`        // how many such hashes
	StalledCount int64    `json:"stalled_count"` // active without a lock
	Stalled      []string `json:"stalled"`       // at most 20

	// estimated from Payload.Sampled jobs and the indexes
	MemoryBytes int64        `json:"memory_bytes"`
	MemoryNote  string       `json:"memory_note"` // how it was estimated
	Payload     Distribution `json:"payload"`
}

// Horizons are the lower bounds of the ranges counted in DelayedOver.
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
	// a repeatable job from before 5.16, which BullMQ 6 refuses
	Legacy bool `json:"legacy"`
	// its next job is missing: it never fires again
	PendingMissing bool `json:"pending_missing"`
}

// DedupKey keeps jobs with one deduplication id from being added.
type DedupKey struct {
	ID    string        `json:"id"`
	JobID string        `json:"job_id"`
	TTL   time.Duration `json:"ttl"` // 0: until the job is gone
}

// RateLimit allows at most Max jobs per Duration.
type RateLimit struct {
	Max      int64         `json:"max"`
	Duration time.Duration `json:"duration"`
}

// Distribution describes the sizes of the jobs' data, in bytes, over a sample.
type Distribution struct {
	Sampled int   `json:"sampled"`
	P50     int64 `json:"p50"`
	P95     int64 `json:"p95"`
	P99     int64 `json:"p99"`
	Max     int64 `json:"max"`
}

// SurveyOptions control how hard a survey may work the server.
type SurveyOptions struct {
	// Share is the fraction of the time, 0 to 1, in which the survey may keep the
	// server busy; it pauses after each batch accordingly. Zero: 0.1.
	Share float64
	// Progress, if not nil, is called with how many keys have been seen, out of
	// about total.
	Progress func(seen, total int64)
}

const (
	// surveyKeys, surveyNames and surveyIDs are how much one round trip asks for:
	// as little as an application does, because other clients wait for whatever the
	// server does in one go. Keys are read one by one; names are only listed, and
	// looked at if they may be a queue's; ids are parts of a list.
	// Whose keys some are, their types and a few short fields tell.
	surveyKeys     = 4
	surveyLooks    = 12
	surveyNames    = 24
	surveyIDs      = 50
	surveySample   = 10_000 // jobs per queue whose size is read
	surveyExamples = 20
	surveyDedup    = 100
	// surveyProofs is how many jobs of a queue are looked up one by one in lists
	// that may be long, which costs the server O(list) each.
	surveyProofs = 1000
)

// TakeSurvey looks at every key of a server's database twice, in small batches with pauses
// between them. O(keys). It only reads, without scripts. Memory is 16 bytes per job and some per
// queue. Whatever the server does not allow to be read (MEMORY USAGE, CLIENT LIST)
// is mentioned in the notes.
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

// Refresh updates, for the queues a survey found, what takes a handful of commands
// each, however many jobs there are: counts, delays, schedulers, limits, workers,
// stalled jobs. What only a walk over every key reveals stays as it was: queues
// created since, flows, deduplication, orphans, sizes.
func Refresh(
	ctx context.Context, c redis.UniversalClient, old Survey, o SurveyOptions,
) (Survey, error) {
	s := newSurveyor(ctx, c, o)
	out := old
	out.Queues = slices.Clone(old.Queues)
	for i, q := range out.Queues {
		// Marker ids are only seen by a walk; a queue that had them belongs to
		// BullMQ 4 until its keys say otherwise.
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
	own      Ownership
	queues   map[string]*surveyed // by "prefix:name:"
	order    []*surveyed
	total    int64
	noMemory error                              // why MEMORY USAGE is unavailable
	clients  func() ([]redisconn.Client, error) // of others; asked for once
	out      Survey
}

// surveyed is the survey of a queue in progress. Ids are kept as hashes: the odds
// of a collision are n²/2^65.
type surveyed struct {
	QueueSurvey
	listed, delayed, seen []uint64 // ids in an index; of those, delayed; jobs seen
	step                  uint64   // every step-th job is sampled
	sizes, memory         []int64
	doubtful              []string // jobs that were in no index
	markers               bool     // marker ids of BullMQ 3 and 4
	ties                  map[string]bool
}

func (s *surveyor) run(ctx context.Context) error {
	var err error
	if s.own, err = s.discover(ctx); err != nil {
		return err
	}
	if s.total, err = s.c.DBSize(ctx).Result(); err != nil {
		return err
	}
	for _, f := range s.own.Queues() {
		if f.Kind != KindBullMQ {
			s.out.Others = append(s.out.Others, f)
		}
	}
	for _, q := range s.own.BullMQ() {
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

// mostRest bounds the pause after a batch whose cost has a bound: a few short commands. When
// such a batch takes long, then because of others who keep the server busy, or of the way there;
// a longer pause would relieve nobody, and the census of a server that is slow for a minute
// would take an hour.
const mostRest = 250 * time.Millisecond

// pause is how long to rest after work, so that it keeps the server busy for no more than
// the share. A server that answers slowly gets longer pauses.
func (s *surveyor) pause(took time.Duration) time.Duration {
	return time.Duration(float64(took) * (1/s.o.Share - 1))
}

// brief is the pause after a batch of bounded cost.
func (s *surveyor) brief(took time.Duration) time.Duration { return min(s.pause(took), mostRest) }

// rest pauses after a batch of bounded cost.
func (s *surveyor) rest(ctx context.Context, took time.Duration) error {
	return s.sleep(ctx, s.brief(took))
}

// sleep pauses.
func (s *surveyor) sleep(ctx context.Context, pause time.Duration) error {
	if s.o.Share >= 1 {
		return ctx.Err()
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(pause):
		return nil
	}
}

// timed runs a batch of any cost and rests.
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
	return s.sleep(ctx, s.pause(time.Since(started)))
}

// connectionError is nil unless the connection failed: a command's own error stays
// with the command.
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
