package bullmq

import (
	"context"
	"hash/maphash"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// orphans finds jobs in no list, and ids without a job. What looks like one at
// first may just have been in transit, so the lists are read again, and what still
// does is checked atomically.
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
				// later ones were added behind the scan
				_, was := slices.BinarySearch(sq.listed, h)
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

// confirm counts the ids whose job exists or not, and is listed or not, as wanted.
// The first surveyProofs of them are checked in the lists atomically; for the
// others two readings have to suffice.
func (s *surveyor) confirm(
	ctx context.Context, sq *surveyed, ids []string, there, listed bool,
) (n int64, err error) {
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

// proof checks atomically whether a job exists and is listed as wanted.
func (s *surveyor) proof(
	ctx context.Context, sq *surveyed, id string, there, listed bool,
) (bool, error) {
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
	is := slices.ContainsFunc(lists, func(c *redis.IntCmd) bool {
		return c.Err() == nil
	}) || slices.ContainsFunc(sets, func(c *redis.FloatCmd) bool { return c.Err() == nil })
	return found.Val() == 1 == there && is == listed, s.sleep(ctx, s.pause(time.Since(started)))
}
