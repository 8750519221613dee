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
)

// discover finds the queues as Look does, at the survey's pace.
func (s *surveyor) discover(ctx context.Context) (Ownership, error) {
	f := newFinder(s.c)
	if err := s.keys(ctx, surveyNames, func(keys []string) error {
		return f.batch(ctx, keys)
	}); err != nil {
		return Ownership{}, err
	}
	return f.end(ctx)
}

// keys passes every key of the server to f, in batches of about that size.
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
		if err := s.rest(ctx, time.Since(started)); err != nil { // its batches' pauses too
			return err
		}
	}
}

// jobIndexes are the lists and sorted sets whose entries are jobs.
var jobIndexes = []string{"wait", "paused", "active", "delayed", "prioritized",
	"waiting-children", "completed", "failed"}

func isList(part string) bool { return part == "wait" || part == "paused" || part == "active" }

// indexes counts a queue and reads which ids it lists.
func (s *surveyor) indexes(ctx context.Context, sq *surveyed) error {
	if err := s.counts(ctx, sq); err != nil {
		return err
	}
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

// entries passes the ids of an index to f, in batches.
func (s *surveyor) entries(
	ctx context.Context, key string, list bool, batch func([]string),
) error {
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
	return s.keys(ctx, surveyLooks, func(keys []string) error {
		s.out.Keys += int64(len(keys))
		if s.o.Progress != nil {
			s.o.Progress(s.out.Keys, max(s.total, s.out.Keys))
		}
		all, err := s.own.Whose(ctx, s.c, keys)
		if err != nil {
			return err
		}
		for some := range slices.Chunk(all, surveyKeys) {
			if err := s.read(ctx, some); err != nil {
				return err
			}
		}
		return nil
	})
}

// read reads what the survey wants of some keys.
func (s *surveyor) read(ctx context.Context, keys []Whose) error {
	type read struct {
		sq           *surveyed
		id           string
		fields       fields
		size, memory *redis.IntCmd
	}
	var reads []read
	type parent struct {
		sq  *surveyed
		key string // of its pending children
	}
	var parents []parent
	var later []func()
	p := s.c.Pipeline()
	for _, w := range keys {
		if !w.Owned() {
			s.other(w)
			continue
		}
		sq := s.queues[w.Owner.Queue.Key("")]
		switch id, sub := jobKey(w.Part); sub {
		case "job":
			if !w.fields.job() {
				continue
			}
			r := read{sq: sq, id: id, fields: w.fields}
			if maphash.String(s.seed, id)%sq.step == 0 {
				r.size = p.HStrLen(ctx, w.Key, "data")
				if s.noMemory == nil {
					r.memory = p.MemoryUsage(ctx, w.Key)
				}
			}
			reads = append(reads, r)
		case "dependencies":
			sq.FlowParents++
			parents = append(parents, parent{sq, w.Key})
		case "de":
			sq.DedupCount++
			if len(sq.Dedup) < surveyDedup {
				job, ttl := p.Get(ctx, w.Key), p.PTTL(ctx, w.Key)
				later = append(later, func() {
					if job.Err() == nil {
						sq.Dedup = append(sq.Dedup,
							DedupKey{ID: id, JobID: job.Val(), TTL: max(ttl.Val(), 0)})
					}
				})
			}
		case "dn":
			sq.DedupNext++
		}
	}
	if p.Len() > 0 {
		started := time.Now()
		if err := connectionError(p.Exec(ctx)); err != nil {
			return err
		}
		if err := s.rest(ctx, time.Since(started)); err != nil {
			return err
		}
	}
	for _, r := range reads {
		s.job(r.sq, r.id, r.fields)
		if r.size != nil && r.size.Err() == nil {
			r.sq.sizes = append(r.sq.sizes, r.size.Val())
		}
		if r.memory != nil {
			if err := r.memory.Err(); err == nil {
				r.sq.QueueSurvey.MemoryBytes += r.memory.Val()
				r.sq.memory = append(r.sq.memory, r.memory.Val())
			} else if !errors.Is(err, redis.Nil) {
				s.noMemory = err
			}
		}
	}
	for _, f := range later {
		f()
	}
	for _, par := range parents {
		if err := s.children(ctx, par.sq, par.key); err != nil {
			return err
		}
	}
	return nil
}

// other counts a key that no queue of BullMQ made.
func (s *surveyor) other(w Whose) {
	switch {
	case w.Ours, w.Gone:
	case w.Owner.Kind != "":
		s.out.OtherKeys++
	default:
		s.out.Foreign++
		if strings.Contains(w.Key, "::relay:") {
			s.out.Relay++
		}
		if len(s.out.ForeignKeys) < surveyExamples {
			s.out.ForeignKeys = append(s.out.ForeignKeys, w.Key)
		}
	}
}

// children notes the queues of a parent's pending children, a few at a time: a flow
// may have very many.
func (s *surveyor) children(ctx context.Context, sq *surveyed, key string) error {
	for cursor := uint64(0); ; {
		started := time.Now()
		found, next, err := s.c.SScan(ctx, key, cursor, "", surveyIDs).Result()
		if err != nil {
			if wrongType(err) {
				return nil
			}
			return err
		}
		for _, child := range found {
			s.tie(sq, child)
		}
		if err := s.rest(ctx, time.Since(started)); err != nil {
			return err
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}

// jobKey says what a key of a queue is, given the part after the queue's name:
// "job" with its id, a job's "dependencies", a deduplication key "de" or "dn" with
// its id, otherwise "".
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
	case first == "repeat": // an iteration's job ends eventually, a scheduler does not
		at := strings.LastIndexByte(rest, ':')
		if _, err := strconv.ParseInt(rest[at+1:], 10, 64); at < 0 || err != nil {
			return "", ""
		}
	}
	return part, "job"
}

// job records one job's hash.
func (s *surveyor) job(sq *surveyed, id string, f fields) {
	h := maphash.String(s.seed, id)
	sq.seen = append(sq.seen, h)
	if _, is := slices.BinarySearch(sq.listed, h); !is {
		sq.doubtful = append(sq.doubtful, id)
	}
	if parent, _ := f.text("parentKey"); parent != "" {
		sq.FlowChildren++
		s.tie(sq, parent)
	}
	for _, made := range []string{"atm", "attemptsMade"} {
		if n, _ := f.text(made); n != "" && n != "0" {
			if _, is := slices.BinarySearch(sq.delayed, h); is {
				sq.Retrying++
			}
			break
		}
	}
}

// tie records that a flow connects a queue with the one of a parent's or child's
// key.
func (s *surveyor) tie(sq *surveyed, key string) {
	other := ""
	if q, _, ok := s.own.Of(key); ok {
		other = q.Key("")
	}
	if other != sq.Queue.Key("") && other != "" {
		sq.ties[other] = true
	}
}

// memory estimates the memory of a queue: the sampled jobs, scaled up, and the
// indexes.
func (s *surveyor) memory(ctx context.Context, sq *surveyed) error {
	slices.Sort(sq.sizes)
	at := func(share float64) int64 {
		if len(sq.sizes) == 0 {
			return 0
		}
		return sq.sizes[min(len(sq.sizes)-1, int(share*float64(len(sq.sizes))))]
	}
	sq.Payload = Distribution{
		Sampled: len(sq.sizes),
		P50:     at(0.5),
		P95:     at(0.95),
		P99:     at(0.99),
		Max:     at(1),
	}
	jobs := int64(len(sq.seen))
	if s.noMemory != nil {
		var sum int64
		for _, n := range sq.sizes {
			// a job of 1 KB takes 1.74 KB with its fields and its place in the
			// keyspace
			sum += n + 700
		}
		sq.MemoryBytes = sum * jobs / max(1, int64(len(sq.sizes)))
		sq.MemoryNote = "estimated from the size of the data, because the server does not " +
			"allow MEMORY USAGE"
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
		sq.MemoryBytes += n.Val() // 0 for what does not exist
	}
	sq.MemoryNote = fmt.Sprintf("MEMORY USAGE of the lists and of %d jobs", len(sq.memory))
	return nil
}

// groups collects queues that flows tie to one another.
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
