package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/redisconn"
)

// Overdue returns up to n jobs of a lane that have been open without news for
// longer than grace, least recently looked at first. Whoever follows the lane looks
// them up on the server and reports to Seen.
func (st *Streams) Overdue(at Lane, now int64, grace time.Duration, n int) []string {
	st.mu.Lock()
	defer st.mu.Unlock()
	ln := st.lanes[at]
	if ln == nil {
		return nil
	}
	place := at.place()
	there := now + ln.Skew // by the server's clock
	type due struct {
		job  string
		when int64
	}
	var found []due
	for k, life := range st.lives {
		s := life.Stays[place]
		if k.queue != at.Queue || !s.open() || there-s.At < grace.Milliseconds() && !s.Unsure ||
			s.Missing != nil {
			continue
		}
		found = append(found, due{k.job, max(s.At, ln.looked[k.job])})
	}
	slices.SortFunc(found, func(a, b due) int {
		return cmp.Or(cmp.Compare(a.when, b.when), cmp.Compare(a.job, b.job))
	})
	jobs := make([]string, 0, min(n, len(found)))
	for _, d := range found[:min(n, len(found))] {
		jobs = append(jobs, d.job)
	}
	return jobs
}

// Look is what a server holds of a job at one moment.
type Look struct {
	Hash  bool     // the job itself
	State string   // the list that holds its ID; "" for none
	End   Position // of the stream at that moment
}

// Seen records what a lane's server holds of a job. A job that is not where it
// should be is missing from then on; Judge decides once the stream has been read up
// to that moment.
func (st *Streams) Seen(at Lane, job string, now int64, look Look) {
	st.mu.Lock()
	defer st.mu.Unlock()
	ln, life := st.lanes[at], st.lives[lifeKey{at.Queue, job}]
	if ln == nil || life == nil || !life.Stays[at.place()].open() {
		return
	}
	if len(ln.looked) > 50_000 {
		clear(ln.looked)
	}
	ln.looked[job] = now
	s := life.Stays[at.place()]
	switch {
	case look.Hash && (look.State == "completed" || look.State == "failed") && s.Unsure:
		s.State, s.Unsure = look.State, false // its end was missed, and is found here
		if look.State == "completed" {
			s.Completed++
		}
		st.silent(ln)
	case look.Hash && look.State != "":
		if s.Unsure {
			s.State, s.Unsure = look.State, false
		}
		return
	case look.Hash:
		s.Missing, s.Why = &look.End, "its id is in no list: no worker finds it"
	case look.State != "":
		s.Missing, s.Why = &look.End, "its data is gone while its id is "+look.State+
			": a worker would run it with empty data"
	default:
		s.Missing, s.Why = &look.End, "neither its data nor its id is on the server"
	}
	st.dirty.life(lifeKey{at.Queue, job})
}

// lookBatch is how many jobs are looked up in one transaction: each takes an LPOS
// on three lists, O(their length).
const lookBatch = 10

// fromTail searches from the end that BullMQ takes jobs from, because the jobs
// looked up are the oldest.
var fromTail = redis.LPosArgs{Rank: -1}

// LookAt looks up what a server holds of jobs, each read atomically with the end of
// the stream.
func LookAt(
	ctx context.Context, c redis.UniversalClient, q bullmq.Queue, jobs []string,
) (map[string]Look, error) {
	lists, sets := []string{"wait", "active", "paused"}, []string{"delayed", "prioritized",
		"waiting-children", "completed", "failed"}
	out := make(map[string]Look, len(jobs))
	for len(jobs) > 0 {
		batch := jobs[:min(lookBatch, len(jobs))]
		jobs = jobs[len(batch):]
		tx := c.TxPipeline()
		exists := make([]*redis.IntCmd, len(batch))
		in := make([]map[string]redis.Cmder, len(batch))
		for i, id := range batch {
			exists[i], in[i] = tx.Exists(ctx, q.Key(id)), map[string]redis.Cmder{}
			for _, l := range lists {
				in[i][l] = tx.LPos(ctx, q.Key(l), id, fromTail)
			}
			for _, z := range sets {
				in[i][z] = tx.ZScore(ctx, q.Key(z), id)
			}
		}
		info := tx.XInfoStream(ctx, q.Key("events"))
		if err := refusal(tx.Exec(ctx)); err != nil {
			return nil, redisconn.Explain(err)
		}
		end := Position{}
		if err := info.Err(); err == nil {
			if end, err = ParsePosition(info.Val().LastGeneratedID); err != nil {
				return nil, err
			}
		} else if !strings.Contains(err.Error(), "no such key") {
			return nil, redisconn.Explain(err)
		}
		for i, id := range batch {
			look := Look{Hash: exists[i].Val() == 1, End: end}
			for _, state := range append(lists, sets...) {
				switch err := in[i][state].Err(); {
				case err == nil:
					look.State = state
				case !errors.Is(err, redis.Nil):
					return nil, fmt.Errorf("%s in %s: %w", id, state, redisconn.Explain(err))
				}
			}
			out[id] = look
		}
	}
	return out, nil
}

// scheduler returns the key of the scheduler that a job's id names, "repeat:<key>:<ms>";
// "" when it names none. An application may have chosen such an id: only the server knows.
func scheduler(job string) string {
	key, ok := strings.CutPrefix(job, "repeat:")
	cut := strings.LastIndexByte(key, ':')
	if !ok || cut < 0 {
		return ""
	}
	if _, err := strconv.ParseUint(key[cut+1:], 10, 64); err != nil {
		return ""
	}
	return key[:cut]
}

// unasked reports whether it is still to be found out if a scheduler made the job.
func (st *Streams) unasked(life *Life) bool {
	if life.Asked || scheduler(life.Job) == "" {
		return false
	}
	for i, s := range life.Stays {
		ln := st.lanes[laneAt(life.Queue, i)]
		if s != nil && ln != nil && ln.DroppedAt == 0 {
			return true
		}
	}
	return false
}

// Unasked returns up to n jobs of a lane that a scheduler may have made. Whoever follows
// the lane asks the server and reports to Asked.
func (st *Streams) Unasked(at Lane, n int) (jobs []string) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.eachStay(at, func(k lifeKey, _ *Stay) {
		if len(jobs) < n && st.unasked(st.lives[k]) {
			jobs = append(jobs, k.job)
		}
	})
	return jobs
}

// Asked records whether a lane's server knows a job as a scheduler's.
func (st *Streams) Asked(at Lane, job string, scheduled bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	k := lifeKey{at.Queue, job}
	if life := st.lives[k]; life != nil {
		life.Asked, life.Scheduled = true, life.Scheduled || scheduled
		st.dirty.life(k)
	}
}

// AskScheduled asks a server which jobs its schedulers made: the job says so itself, or, once
// it is gone, the scheduler that its id names is there. Of older versions the job's options
// say it.
func AskScheduled(
	ctx context.Context, c redis.UniversalClient, q bullmq.Queue, jobs []string,
) (map[string]bool, error) {
	p := c.Pipeline()
	own := make([]*redis.SliceCmd, len(jobs))
	in := make([]*redis.FloatCmd, len(jobs))
	for i, id := range jobs {
		own[i] = p.HMGet(ctx, q.Key(id), "rjk", "opts")
		in[i] = p.ZScore(ctx, q.Key("repeat"), scheduler(id))
	}
	if err := refusal(p.Exec(ctx)); err != nil {
		return nil, redisconn.Explain(err)
	}
	out := make(map[string]bool, len(jobs))
	for i, id := range jobs {
		fields, err := own[i].Result()
		if e := in[i].Err(); err == nil && !errors.Is(e, redis.Nil) {
			err = e
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", id, redisconn.Explain(err))
		}
		key, _ := fields[0].(string)
		opts, _ := fields[1].(string)
		out[id] = key != "" || strings.Contains(opts, `"repeat":{`) || in[i].Err() == nil
	}
	return out, nil
}

func (st *Streams) askRound(
	ctx context.Context, c redis.UniversalClient, q bullmq.Queue, at Lane,
) error {
	jobs := st.Unasked(at, lookLimit)
	if len(jobs) == 0 {
		return nil
	}
	scheduled, err := AskScheduled(ctx, c, q, jobs)
	for id, yes := range scheduled {
		st.Asked(at, id, yes)
	}
	return err
}

func (st *Streams) lookRound(
	ctx context.Context, c redis.UniversalClient, q bullmq.Queue, at Lane, now int64,
) error {
	if err := st.askRound(ctx, c, q, at); err != nil {
		return err
	}
	jobs := st.Overdue(at, now, lookGrace, int(min(lookLimit, 1+lookScan/(1+st.listed(at)))))
	if len(jobs) == 0 {
		return nil
	}
	looks, err := LookAt(ctx, c, q, jobs)
	if err != nil {
		return err
	}
	for id, look := range looks {
		st.Seen(at, id, now, look)
	}
	return nil
}
