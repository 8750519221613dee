package bullmq

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/redisconn"
)

// Survey is what a census of a whole server saw. It is no single moment: counts of one queue are, the rest was gathered over Took.
type Survey struct {
	At      time.Time     `json:"at"` // when it was begun
	Took    time.Duration `json:"took"`
	Keys    int64         `json:"keys"`
	Foreign int64         `json:"foreign"` // of those, keys of no queue
	Relay   int64         `json:"relay"`   // of those, keys of BullMQ's relay, "<prefix>::relay:...", which is no queue
	Queues  []QueueSurvey `json:"queues"`  // by prefix and name
	Groups  [][]Queue     `json:"groups"`  // queues that flows tie together: each group moves as one
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
	Layout string `json:"layout"` // major version by the keys: "3", "4", "5", "6"; "" when they do not tell

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
	DedupNext  int64      `json:"dedup_next"` // payloads that wait for their active job's end (keepLastIfActive): jobs that are in no list yet

	RateLimit   *RateLimit `json:"rate_limit,omitempty"` // the queue's own, for all workers
	Limited     bool       `json:"limited"`              // a window's counter is there: workers limit the rate
	LimitedEver bool       `json:"limited_for_ever"`     // it has no end: the limit is switched off
	Concurrency int64      `json:"concurrency"`          // for all workers; 0 none

	HashesWithoutIndex int64    `json:"hashes_without_index"` // jobs in no list: lost to BullMQ
	IndexedWithoutHash int64    `json:"indexed_without_hash"` // ids without a job: BullMQ runs them with empty data
	Examples           []string `json:"examples"`             // ids of both, at most 20 each
	MovedBy            string   `json:"moved_by,omitempty"`   // the move that took the queue's lists away; its jobs' hashes here are copies of what ran or runs elsewhere
	Copies             int64    `json:"copies"`               // how many such hashes
	StalledCount       int64    `json:"stalled_count"`        // active without a lock
	Stalled            []string `json:"stalled"`              // at most 20

	MemoryBytes int64        `json:"memory_bytes"` // estimated from Payload.Sampled jobs and the indexes
	MemoryNote  string       `json:"memory_note"`  // how it was estimated
	Payload     Distribution `json:"payload"`
}

// Horizons are the spans of DelayedOver: from which time on until the next one's.
var Horizons = []struct {
	Name string
	Span time.Duration
}{{"overdue", 0}, {"within an hour", time.Hour}, {"within a day", 24 * time.Hour}, {"within a week", 7 * 24 * time.Hour}, {"later", 0}}

// WorkerConn is a worker's connection, by the name BullMQ gives it.
type WorkerConn struct {
	Name string `json:"name"` // of the worker; often ""
	Addr string `json:"addr"`
	Age  int64  `json:"age"`  // s
	Idle int64  `json:"idle"` // s
}

// Scheduler is an entry of "repeat".
type Scheduler struct {
	ID             string    `json:"id"`
	Pattern        string    `json:"pattern,omitempty"`
	TZ             string    `json:"tz,omitempty"`
	EveryMS        int64     `json:"every_ms,omitempty"`
	Next           time.Time `json:"next"`
	Iterations     int64     `json:"iterations"`
	Legacy         bool      `json:"legacy"`          // a repeatable job of before 5.16, which BullMQ 6 refuses
	PendingMissing bool      `json:"pending_missing"` // its next job is not there: it never fires again
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
	// Share is the part of the time, 0 to 1, in which the survey keeps the server busy; it rests after each batch for that. Zero: 0.1.
	Share float64
	// Progress, if not nil, is told how many keys were seen, of about how many.
	Progress func(seen, total int64)
}

const (
	// surveyKeys, surveyNames and surveyIDs are how much one round trip asks for: as little as an application does, because whatever the server does
	// at a time is what others wait for. Keys are read one by one; names are only listed, and looked at when they may be a queue's; ids are parts
	// of a list.
	surveyKeys     = 4
	surveyNames    = 24
	surveyIDs      = 50
	surveySample   = 10_000 // jobs per queue whose size is read
	surveyExamples = 20
	surveyDedup    = 100
	// surveyProofs is how many jobs of a queue are looked up one by one in lists that may be long; that takes the server O(list) each.
	surveyProofs = 1000
)

// TakeSurvey looks at every key of a server, in small batches with rests between them. It reads only, without scripts. Memory is 16 bytes for
// each job and some per queue. What the server does not allow to read (MEMORY USAGE, CLIENT LIST) is said in the notes.
func TakeSurvey(ctx context.Context, c redis.UniversalClient, o SurveyOptions) (Survey, error) {
	if o.Share == 0 {
		o.Share = 0.1
	}
	s := &surveyor{c: c, o: o, seed: maphash.MakeSeed(), queues: map[string]*surveyed{}}
	started := time.Now()
	s.out.At = started
	if err := s.run(ctx); err != nil {
		return Survey{}, fmt.Errorf("survey: %w", redisconn.Explain(err))
	}
	s.out.Took = time.Since(started)
	return s.out, nil
}

type surveyor struct {
	c        redis.UniversalClient
	o        SurveyOptions
	seed     maphash.Seed
	queues   map[string]*surveyed // by "prefix:name:"
	order    []*surveyed
	total    int64
	noMemory error // why MEMORY USAGE is not to be had
	out      Survey
}

// surveyed is a queue under way. Ids are kept as hashes: two different ones are taken for one with odds of n²/2^65.
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
		sq := &surveyed{QueueSurvey: QueueSurvey{Queue: q, DelayedOver: map[string]int64{}, Schedulers: []Scheduler{}, TiedTo: []Queue{}, Dedup: []DedupKey{}, Examples: []string{}, Stalled: []string{},
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
		for _, part := range []func(context.Context, *surveyed) error{s.orphans, s.details, s.schedulers, s.stalled, s.workers, s.memory} {
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

// rest waits so that a batch that took a while keeps the server busy for no more than the share. A server that answers slowly gets longer rests.
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

// connectionError is nil unless the connection failed: a command's own error stays with the command.
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

// discover finds the queues as Discover does, at the survey's pace.
func (s *surveyor) discover(ctx context.Context) ([]Queue, error) {
	found := map[Queue]bool{}
	err := s.keys(ctx, surveyNames, func(keys []string) error { return discover(ctx, s.c, keys, found) })
	return proven(found), err
}

// keys gives every key of the server in batches of about that size.
func (s *surveyor) keys(ctx context.Context, size int64, batch func([]string) error) error {
	var cursor uint64
	for {
		started := time.Now()
		keys, next, err := s.c.Scan(ctx, cursor, "*", size).Result()
		if err != nil {
			return err
		}
		if err := batch(keys); err != nil {
			return err
		}
		if cursor = next; cursor == 0 {
			return nil
		}
		if err := s.rest(ctx, time.Since(started)); err != nil {
			return err
		}
	}
}

// jobIndexes are the lists and sorted sets whose entries are jobs.
var jobIndexes = []string{"wait", "paused", "active", "delayed", "prioritized", "waiting-children", "completed", "failed"}

func isList(part string) bool { return part == "wait" || part == "paused" || part == "active" }

// indexes counts a queue and reads which ids it lists.
func (s *surveyor) indexes(ctx context.Context, sq *surveyed) (err error) {
	if sq.Counts, err = Census(ctx, s.c, sq.Queue); err != nil {
		return err
	}
	moved, err := s.c.HGet(ctx, sq.Queue.Key("meta"), movedField).Result()
	if err != nil && err != redis.Nil {
		return err
	}
	sq.MovedBy = strings.TrimSuffix(strings.TrimPrefix(moved, "fenced:"), ":")
	sq.step = uint64(max(1, (sq.Counts.Pending()+sq.Counts.Completed)/surveySample))
	for _, part := range jobIndexes {
		err := s.entries(ctx, sq.Queue.Key(part), isList(part), func(ids []string) {
			for _, id := range ids {
				if isMarker(id) {
					sq.markers = true
					continue
				}
				h := maphash.String(s.seed, id)
				sq.listed = append(sq.listed, h)
				if part == "delayed" {
					sq.delayed = append(sq.delayed, h)
				}
			}
		})
		if err != nil {
			return fmt.Errorf("%s: %w", part, err)
		}
	}
	slices.Sort(sq.listed)
	slices.Sort(sq.delayed)
	return nil
}

// entries gives the ids of an index in batches.
func (s *surveyor) entries(ctx context.Context, key string, list bool, batch func([]string)) error {
	const size = surveyIDs
	for at := int64(0); ; at += size {
		started := time.Now()
		cmd := s.c.ZRange
		if list {
			cmd = s.c.LRange
		}
		ids, err := cmd(ctx, key, at, at+size-1).Result()
		if err != nil {
			return err
		}
		batch(ids)
		if len(ids) < size {
			return nil
		}
		if err := s.rest(ctx, time.Since(started)); err != nil {
			return err
		}
	}
}

// scan looks at every key once.
func (s *surveyor) scan(ctx context.Context) error {
	return s.keys(ctx, surveyKeys, func(keys []string) error {
		s.out.Keys += int64(len(keys))
		if s.o.Progress != nil {
			s.o.Progress(s.out.Keys, max(s.total, s.out.Keys))
		}
		type read struct {
			sq           *surveyed
			id           string
			fields       *redis.SliceCmd
			size, memory *redis.IntCmd
		}
		var reads []read
		var later []func()
		p := s.c.Pipeline()
		for _, k := range keys {
			if strings.HasPrefix(k, "fenced:") { // the lists of a queue that was moved away
				continue
			}
			sq, part := s.owner(k)
			if sq == nil {
				s.out.Foreign++
				if strings.Contains(k, "::relay:") {
					s.out.Relay++
				}
				continue
			}
			switch id, sub := jobKey(part); sub {
			case "job":
				r := read{sq: sq, id: id, fields: p.HMGet(ctx, k, "parentKey", "atm", "attemptsMade", "name")}
				if maphash.String(s.seed, id)%sq.step == 0 {
					r.size = p.HStrLen(ctx, k, "data")
					if s.noMemory == nil {
						r.memory = p.MemoryUsage(ctx, k)
					}
				}
				reads = append(reads, r)
			case "dependencies":
				sq.FlowParents++
				children := p.SMembers(ctx, k)
				later = append(later, func() {
					for _, child := range children.Val() {
						s.tie(sq, child)
					}
				})
			case "de":
				sq.DedupCount++
				if len(sq.Dedup) < surveyDedup {
					job, ttl := p.Get(ctx, k), p.PTTL(ctx, k)
					later = append(later, func() {
						if job.Err() == nil {
							sq.Dedup = append(sq.Dedup, DedupKey{ID: id, JobID: job.Val(), TTL: max(ttl.Val(), 0)})
						}
					})
				}
			case "dn":
				sq.DedupNext++
			}
		}
		if err := connectionError(p.Exec(ctx)); err != nil {
			return err
		}
		for _, r := range reads {
			fields, err := r.fields.Result()
			if err != nil {
				if strings.HasPrefix(err.Error(), "WRONGTYPE") {
					continue // not a job
				}
				return err
			}
			if fields[3] == nil { // gone meanwhile, or no job: every job has a name
				continue
			}
			s.job(r.sq, r.id, fields)
			if r.size != nil && r.size.Err() == nil {
				r.sq.sizes = append(r.sq.sizes, r.size.Val())
			}
			if r.memory != nil {
				if err := r.memory.Err(); err == nil {
					r.sq.QueueSurvey.MemoryBytes += r.memory.Val()
					r.sq.memory = append(r.sq.memory, r.memory.Val())
				} else if err != redis.Nil {
					s.noMemory = err
				}
			}
		}
		for _, f := range later {
			f()
		}
		return nil
	})
}

// owner gives the queue that a key belongs to, and what follows "prefix:name:". Of two queues whose names begin alike the longer one wins.
func (s *surveyor) owner(key string) (*surveyed, string) {
	for end := len(key); end > 0; {
		at := strings.LastIndexByte(key[:end], ':')
		if at < 0 {
			return nil, ""
		}
		if sq := s.queues[key[:at+1]]; sq != nil {
			return sq, key[at+1:]
		}
		end = at
	}
	return nil, ""
}

// jobKey tells what a key of a queue is by what follows the queue's name: "job" with its id, a job's "dependencies", a deduplication key "de" or
// "dn" with its id, else "".
func jobKey(part string) (id, kind string) {
	if _, is := parts[part]; is {
		return "", ""
	}
	switch part {
	case "marker", "stalled", "stalled-check", "limiter", "pc", "priority":
		return "", ""
	}
	if id, is := strings.CutSuffix(part, ":dependencies"); is {
		return id, "dependencies"
	}
	for _, sub := range []string{":lock", ":logs", ":processed", ":failed", ":unsuccessful"} {
		if strings.HasSuffix(part, sub) {
			return "", ""
		}
	}
	first, rest, _ := strings.Cut(part, ":")
	switch {
	case rest == "":
		return part, "job"
	case first == "de" || first == "dn":
		return rest, first
	case first == "metrics":
		return "", ""
	case first == "repeat": // an iteration's job ends in its time, a scheduler does not
		at := strings.LastIndexByte(rest, ':')
		if _, err := strconv.ParseInt(rest[at+1:], 10, 64); at < 0 || err != nil {
			return "", ""
		}
	}
	return part, "job"
}

// job takes in one job's hash. fields: parentKey, atm, attemptsMade, name.
func (s *surveyor) job(sq *surveyed, id string, fields []any) {
	h := maphash.String(s.seed, id)
	sq.seen = append(sq.seen, h)
	if _, is := slices.BinarySearch(sq.listed, h); !is {
		sq.doubtful = append(sq.doubtful, id)
	}
	if parent, _ := fields[0].(string); parent != "" {
		sq.FlowChildren++
		s.tie(sq, parent)
	}
	for _, made := range fields[1:3] {
		if n, _ := made.(string); n != "" && n != "0" {
			if _, is := slices.BinarySearch(sq.delayed, h); is {
				sq.Retrying++
			}
			break
		}
	}
}

// tie notes that a flow connects a queue with the one of a parent's or child's key.
func (s *surveyor) tie(sq *surveyed, key string) {
	other := key[:strings.LastIndexByte(key, ':')+1]
	if other != sq.Queue.Key("") && other != "" {
		sq.ties[other] = true
	}
}

// orphans finds jobs in no list, and ids without a job. What looks like one in the first reading may just have been on its way, so the lists are
// read again, and what still does is looked up at one moment.
func (s *surveyor) orphans(ctx context.Context, sq *surveyed) error {
	if sq.MovedBy != "" {
		sq.Copies = int64(len(sq.doubtful))
		return nil
	}
	slices.Sort(sq.seen)
	var again []uint64
	var empty []string
	for _, part := range jobIndexes {
		if err := s.entries(ctx, sq.Queue.Key(part), isList(part), func(ids []string) {
			for _, id := range ids {
				h := maphash.String(s.seed, id)
				again = append(again, h)
				_, was := slices.BinarySearch(sq.listed, h) // later ones were added behind the scan's back
				if _, seen := slices.BinarySearch(sq.seen, h); was && !seen && !isMarker(id) {
					empty = append(empty, id)
				}
			}
		}); err != nil {
			return err
		}
	}
	slices.Sort(again)
	lost := slices.DeleteFunc(sq.doubtful, func(id string) bool {
		_, listed := slices.BinarySearch(again, maphash.String(s.seed, id))
		return listed
	})
	var err error
	if sq.HashesWithoutIndex, err = s.confirm(ctx, sq, lost, true, false); err != nil {
		return err
	}
	sq.IndexedWithoutHash, err = s.confirm(ctx, sq, empty, false, true)
	return err
}

// confirm counts the ids whose job is there or not, and listed or not, as wanted. The first surveyProofs of those whose job is as wanted are looked up
// in the lists at the same moment; that the others are (not) listed is known from two readings.
func (s *surveyor) confirm(ctx context.Context, sq *surveyed, ids []string, there, listed bool) (n int64, err error) {
	proofs, examples := 0, 0
	for batch := range slices.Chunk(ids, surveyKeys) {
		found := make([]*redis.IntCmd, len(batch))
		if err := s.timed(ctx, func(p redis.Pipeliner) {
			for i, id := range batch {
				found[i] = p.Exists(ctx, sq.Queue.Key(id))
			}
		}); err != nil {
			return n, err
		}
		for i, id := range batch {
			is := found[i].Val() == 1 == there
			if is && proofs < surveyProofs {
				proofs++
				if is, err = s.proof(ctx, sq, id, there, listed); err != nil {
					return n, err
				}
			}
			if !is {
				continue
			}
			n++
			if examples++; examples <= surveyExamples {
				sq.Examples = append(sq.Examples, id)
			}
		}
	}
	return n, nil
}

// proof looks at one moment whether a job is there and listed as wanted.
func (s *surveyor) proof(ctx context.Context, sq *surveyed, id string, there, listed bool) (bool, error) {
	started := time.Now()
	p := s.c.TxPipeline()
	found := p.Exists(ctx, sq.Queue.Key(id))
	var lists []*redis.IntCmd
	var sets []*redis.FloatCmd
	for _, part := range jobIndexes {
		if isList(part) {
			lists = append(lists, p.LPos(ctx, sq.Queue.Key(part), id, redis.LPosArgs{}))
		} else {
			sets = append(sets, p.ZScore(ctx, sq.Queue.Key(part), id))
		}
	}
	if err := connectionError(p.Exec(ctx)); err != nil {
		return false, err
	}
	is := slices.ContainsFunc(lists, func(c *redis.IntCmd) bool { return c.Err() == nil }) || slices.ContainsFunc(sets, func(c *redis.FloatCmd) bool { return c.Err() == nil })
	return found.Val() == 1 == there && is == listed, s.rest(ctx, time.Since(started))
}

// details reads what a queue says of itself.
func (s *surveyor) details(ctx context.Context, sq *surveyed) error {
	q := sq.Queue
	p := s.c.TxPipeline()
	now := p.Time(ctx)
	meta := p.HMGet(ctx, q.Key("meta"), "max", "duration", "concurrency")
	limiter := p.PTTL(ctx, q.Key("limiter"))
	first, last := p.ZRangeWithScores(ctx, q.Key("delayed"), 0, 0), p.ZRangeWithScores(ctx, q.Key("delayed"), -1, -1)
	kinds := map[string]*redis.IntCmd{}
	for _, part := range []string{"marker", "prioritized", "priority", "pc", "paused"} {
		kinds[part] = p.Exists(ctx, q.Key(part))
	}
	if _, err := p.Exec(ctx); err != nil {
		return err
	}
	number := func(v any) int64 { text, _ := v.(string); n, _ := strconv.ParseInt(text, 10, 64); return n }
	if limit := number(meta.Val()[0]); limit > 0 {
		sq.RateLimit = &RateLimit{Max: limit, Duration: time.Duration(number(meta.Val()[1])) * time.Millisecond}
	}
	sq.Concurrency = number(meta.Val()[2])
	sq.Limited, sq.LimitedEver = limiter.Val() != -2, limiter.Val() == -1 // go-redis gives -1 and -2 as they are
	due := func(z []redis.Z) *time.Time {
		if len(z) == 0 {
			return nil
		}
		at := time.UnixMilli(int64(z[0].Score) / 4096).UTC()
		return &at
	}
	sq.DelayedFirst, sq.DelayedLast = due(first.Val()), due(last.Val())
	there := func(part string) bool { return kinds[part].Val() == 1 }
	switch major := sq.Counts.major(); {
	case major >= 3:
		sq.Layout = strconv.Itoa(major)
	case there("priority"):
		sq.Layout = "3"
	case sq.markers:
		sq.Layout = "4"
		if !there("prioritized") && !there("pc") && sq.Counts.Version == "" {
			sq.Layout = "" // 3 or 4
		}
	case there("marker"):
		sq.Layout = "6"
		if there("paused") {
			sq.Layout = "5"
		}
	}
	if sq.DelayedFirst == nil {
		return nil
	}
	counts := make([]*redis.IntCmd, len(Horizons))
	p = s.c.TxPipeline()
	from := "-inf"
	for i, h := range Horizons {
		to := "+inf"
		if i < len(Horizons)-1 {
			to = "(" + strconv.FormatInt(now.Val().Add(h.Span).UnixMilli()*4096, 10)
		}
		counts[i] = p.ZCount(ctx, q.Key("delayed"), from, to)
		from = strings.TrimPrefix(to, "(")
	}
	if _, err := p.Exec(ctx); err != nil {
		return err
	}
	for i, h := range Horizons {
		if n := counts[i].Val(); n > 0 {
			sq.DelayedOver[h.Name] = n
		}
	}
	return nil
}

func (s *surveyor) schedulers(ctx context.Context, sq *surveyed) error {
	q := sq.Queue
	entries, err := s.c.ZRangeWithScores(ctx, q.Key("repeat"), 0, -1).Result()
	if err != nil {
		return err
	}
	for batch := range slices.Chunk(entries, surveyKeys) {
		hashes, pending := make([]*redis.SliceCmd, len(batch)), make([]*redis.IntCmd, len(batch))
		if err := s.timed(ctx, func(p redis.Pipeliner) {
			for i, z := range batch {
				id, _ := z.Member.(string)
				hashes[i] = p.HMGet(ctx, q.Key("repeat:"+id), "ic", "pattern", "tz", "every")
				pending[i] = p.Exists(ctx, q.Key(fmt.Sprintf("repeat:%s:%.0f", id, z.Score)))
			}
		}); err != nil {
			return err
		}
		for i, z := range batch {
			id, _ := z.Member.(string)
			text := func(n int) string { v, _ := hashes[i].Val()[n].(string); return v }
			sc := Scheduler{ID: id, Pattern: text(1), TZ: text(2), Next: time.UnixMilli(int64(z.Score)).UTC(), Legacy: text(0) == "", PendingMissing: pending[i].Val() == 0}
			sc.EveryMS, _ = strconv.ParseInt(text(3), 10, 64)
			sc.Iterations, _ = strconv.ParseInt(text(0), 10, 64)
			sq.Schedulers = append(sq.Schedulers, sc)
		}
	}
	return nil
}

// stalled counts active jobs whose worker has given no sign of life for the length of a lock.
func (s *surveyor) stalled(ctx context.Context, sq *surveyed) error {
	q := sq.Queue
	ids, err := s.c.LRange(ctx, q.Key("active"), 0, -1).Result()
	if err != nil {
		return err
	}
	for batch := range slices.Chunk(ids, surveyKeys) {
		locks, active := make([]*redis.IntCmd, len(batch)), make([]*redis.IntCmd, len(batch))
		if err := s.timed(ctx, func(p redis.Pipeliner) {
			for i, id := range batch {
				locks[i], active[i] = p.Exists(ctx, q.Key(id)+":lock"), p.LPos(ctx, q.Key("active"), id, redis.LPosArgs{})
			}
		}); err != nil {
			return err
		}
		for i, id := range batch {
			if locks[i].Err() == nil && locks[i].Val() == 0 && active[i].Err() == nil {
				if sq.StalledCount++; len(sq.Stalled) < surveyExamples {
					sq.Stalled = append(sq.Stalled, id)
				}
			}
		}
	}
	return nil
}

func (s *surveyor) workers(ctx context.Context, sq *surveyed) error {
	clients, err := redisconn.ForeignClients(ctx, s.c)
	if err != nil {
		if _, isReply := errors.AsType[redis.Error](err); !isReply {
			return err
		}
		sq.WorkersNote = "the server does not allow CLIENT LIST"
		return nil
	}
	own := workerName(sq.Queue)
	for _, cl := range clients {
		if name, is := strings.CutPrefix(cl.Name, own+":w:"); is || cl.Name == own {
			sq.Workers = append(sq.Workers, WorkerConn{Name: strings.TrimPrefix(name, own), Addr: cl.Addr, Age: cl.AgeSec, Idle: cl.IdleSec})
		}
	}
	return nil
}

// memory estimates what the queue takes: the sampled jobs, as many times as there are more jobs, and the indexes.
func (s *surveyor) memory(ctx context.Context, sq *surveyed) error {
	slices.Sort(sq.sizes)
	at := func(share float64) int64 {
		if len(sq.sizes) == 0 {
			return 0
		}
		return sq.sizes[min(len(sq.sizes)-1, int(share*float64(len(sq.sizes))))]
	}
	sq.Payload = Distribution{Sampled: len(sq.sizes), P50: at(0.5), P95: at(0.95), P99: at(0.99), Max: at(1)}
	jobs := int64(len(sq.seen))
	if s.noMemory != nil {
		var sum int64
		for _, n := range sq.sizes {
			sum += n + 700 // a job of 1 KB takes 1.74 KB with its fields and its place in the keyspace
		}
		sq.MemoryBytes = sum * jobs / max(1, int64(len(sq.sizes)))
		sq.MemoryNote = "estimated from the size of the data, because the server does not allow MEMORY USAGE"
		return nil
	}
	sq.MemoryBytes = sq.MemoryBytes * jobs / max(1, int64(len(sq.memory)))
	sizes := map[string]*redis.IntCmd{}
	if err := s.timed(ctx, func(p redis.Pipeliner) {
		for part := range parts {
			sizes[part] = p.MemoryUsage(ctx, sq.Queue.Key(part))
		}
	}); err != nil {
		return err
	}
	for _, n := range sizes {
		sq.MemoryBytes += n.Val() // 0 for what is not there
	}
	sq.MemoryNote = fmt.Sprintf("MEMORY USAGE of the lists and of %d jobs", len(sq.memory))
	return nil
}

// groups puts queues together that flows tie to one another.
func (s *surveyor) groups() {
	group := map[string]*[]Queue{}
	for _, sq := range s.order {
		group[sq.Queue.Key("")] = &[]Queue{sq.Queue}
	}
	for _, sq := range s.order {
		for other := range sq.ties {
			if s.queues[other] != nil {
				sq.TiedTo = append(sq.TiedTo, s.queues[other].Queue)
			}
			a, b := group[sq.Queue.Key("")], group[other]
			if b == nil || a == b {
				continue
			}
			*a = append(*a, *b...)
			for _, q := range *b {
				group[q.Key("")] = a
			}
		}
		sortQueues(sq.TiedTo)
	}
	seen := map[*[]Queue]bool{}
	for _, sq := range s.order {
		if g := group[sq.Queue.Key("")]; !seen[g] {
			seen[g] = true
			sortQueues(*g)
			s.out.Groups = append(s.out.Groups, *g)
		}
	}
}

func sortQueues(queues []Queue) {
	slices.SortFunc(queues, func(a, b Queue) int { return cmp.Compare(a.Key(""), b.Key("")) })
}
