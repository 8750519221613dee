package bullmq

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/redisconn/pace"
)

// mergeBatch is how many jobs travel in one round trip: three commands each, well
// below the command rate of a managed plan.
const mergeBatch = 100

// MergeOptions control how Merge moves jobs.
type MergeOptions struct {
	// Ledger is the key of a hash on the target that remembers every job moved
	// there, for example "switchyard:import:<run>". Required. It makes a second
	// attempt harmless after a job was moved, run and deleted; so keep it until the
	// source is gone, and use the same one for every attempt.
	Ledger string
	// Rewrite, if not nil, changes a job's data in transit.
	Rewrite func(id string, data []byte) ([]byte, error)
	// Pace limits the load on both servers: three commands a job, counting a script
	// as one. Its gate pauses the move between two batches, or ends it.
	Pace pace.Pace
	// Progress, if not nil, is called several times a second, counting jobs as
	// keys.
	Progress func(pace.Progress)
}

// MergeReport is what one call of Merge did.
type MergeReport struct {
	Moved int `json:"moved"`
	// moved by an earlier attempt, now also removed from the source
	AlreadyThere int `json:"already_there"`
	// left on the source: the target has another job with the same ID
	Conflicts   int            `json:"conflicts"`
	ByState     map[string]int `json:"by_state"` // of those moved
	ConflictIDs []string       `json:"conflict_ids"`
}

// states are those Merge takes jobs from, in the order it moves them. A due delayed
// job may become a waiting one meanwhile, never the other way round, so delayed
// comes first: whatever is promoted is found by the next pass.
var states = []string{"delayed", "wait", "paused", "prioritized", "failed"}

// Merge moves what is left of a queue on src into the same queue on dst, which may
// be in use: job by job, oldest first, each exactly once. Waiting, delayed,
// prioritized and failed jobs move; completed ones stay. For each job one script
// stores it on the target and notes it in the ledger, then another deletes it from
// the source; if interrupted in between, run Merge again with the same ledger. Idle
// workers of the target are woken.
//
// The source must be paused with no job active, or a worker could run a job between
// the two scripts. Otherwise, or if there are schedulers or jobs that belong to
// flows, which have to move as a whole, Merge refuses (kind Blocked, listing why)
// before it moves anything. A deduplication id moves with the job that holds it,
// for its remaining time. A job whose ID the target got in some other way is left
// on the source and reported, by later attempts too: with IDs made from the
// provider's event it is the same order, added on both servers.
func Merge(
	ctx context.Context, src, dst redis.UniversalClient, q Queue, o MergeOptions,
) (MergeReport, error) {
	m := &merger{src: src, dst: dst, q: q, o: o, conflicts: map[string]bool{},
		report: MergeReport{ByState: map[string]int{}},
		pacer: pace.New(o.Pace, pace.Work{
			Source:    src,
			Batch:     mergeBatch,
			PerSource: 2,
			PerTarget: 1,
			Tell:      o.Progress,
		})}
	if err := m.run(ctx); err != nil {
		return m.report, fmt.Errorf("merge %s: %w", q, err)
	}
	return m.report, nil
}

type merger struct {
	src, dst  redis.UniversalClient
	q         Queue
	o         MergeOptions
	conflicts map[string]bool
	report    MergeReport
	pacer     *pace.Pacer
}

// job is one job as stored on the source.
type job struct {
	id, state, score string
	hash             []string // name, value, name, value ...
	logs             []string
	why              string // why it cannot be moved
	dedup            string // deduplication id that it holds
	dedupEnds        int64  // ms; -1: together with the job
}

func (m *merger) run(ctx context.Context) error {
	if m.o.Ledger == "" {
		return migration.Errorf(migration.Invalid,
			"no ledger given: expected the key of a hash on the target")
	}
	if err := m.preflight(ctx); err != nil {
		return err
	}
	m.pacer.Start(ctx)
	defer m.pacer.End()
	// Producers may still add, and workers promote delayed jobs: continue until a
	// pass finds nothing left.
	for {
		moved := 0
		for _, state := range states {
			ids, err := m.ids(ctx, state)
			if err != nil {
				return err
			}
			m.pacer.Total.Add(int64(len(ids)))
			for batch := range slices.Chunk(ids, m.pacer.Batch) {
				n, err := m.move(ctx, batch)
				if err != nil {
					return err
				}
				moved += n
			}
		}
		if moved == 0 {
			return nil
		}
	}
}

// preflight refuses what cannot be moved job by job.
func (m *merger) preflight(ctx context.Context) error {
	var why []string
	for _, c := range []redis.UniversalClient{m.src, m.dst} {
		wrong, err := WrongTypes(ctx, c, m.q)
		if err != nil {
			return err
		}
		why = append(why, wrong...)
	}
	if len(why) > 0 {
		return migration.Errorf(migration.Blocked, "nothing was moved: %s",
			strings.Join(why, "; "))
	}
	n, err := Census(ctx, m.src, m.q)
	if err != nil {
		return err
	}
	if !n.Paused {
		why = append(why, "the source queue is not paused: pause it")
	}
	if n.Active > 0 {
		why = append(why, fmt.Sprintf(
			"%d jobs are being processed at the source: wait until it is idle", n.Active))
	}
	if n.Schedulers > 0 {
		why = append(why, fmt.Sprintf(
			"%d schedulers: recreate them on the target and remove them from the source",
			n.Schedulers))
	}
	if n.WaitingChildren > 0 {
		why = append(why, fmt.Sprintf("%d jobs wait for children: let the flows finish first",
			n.WaitingChildren))
	}
	old, err := m.src.Exists(ctx, m.q.Key("priority")).Result()
	if err != nil {
		return redisconn.Explain(err)
	}
	if old > 0 {
		why = append(why, "prioritized jobs of BullMQ 3: let them finish first")
	}
	reasons := map[string]int{}
	for _, state := range states {
		ids, err := m.ids(ctx, state)
		if err != nil {
			return err
		}
		if err := m.contested(ctx, ids, reasons); err != nil {
			return err
		}
		for batch := range slices.Chunk(ids, mergeBatch) {
			jobs, err := m.locate(ctx, batch)
			if err != nil {
				return err
			}
			for _, j := range jobs {
				if j.why != "" {
					reasons[j.why]++
				}
			}
		}
	}
	for _, r := range slices.Sorted(maps.Keys(reasons)) {
		why = append(why, fmt.Sprintf("%d jobs: each %s", reasons[r], r))
	}
	if len(why) > 0 {
		return migration.Errorf(migration.Blocked, "nothing was moved: %s",
			strings.Join(why, "; "))
	}
	return nil
}

// contested counts the jobs whose key is that of another queue's job too: "orders" and its
// job "priority:7", "orders:priority" and its job "7". Whose it is cannot be told.
func (m *merger) contested(ctx context.Context, ids []string, reasons map[string]int) error {
	there := map[string]bool{} // whether there is a queue of that name
	for _, id := range ids {
		key, own := m.q.Key(id), len(m.q.Key(""))
		for at := 0; at < len(key); at++ {
			if key[at] != ':' || at+1 == own {
				continue
			}
			q, _, ok := split(key[:at+1] + "wait")
			if !ok {
				continue
			}
			is, known := there[q.Key("")]
			if !known {
				var lists []string
				for _, part := range jobIndexes {
					lists = append(lists, q.Key(part))
				}
				n, err := m.src.Exists(ctx, lists...).Result()
				if err != nil {
					return redisconn.Explain(err)
				}
				is = n > 0
				there[q.Key("")] = is
			}
			if !is {
				continue
			}
			if both, err := isListed(ctx, m.src, q, key[at+1:]); err != nil {
				return err
			} else if both {
				reasons[fmt.Sprintf("is listed by queue %s too", q)]++
			}
		}
	}
	return nil
}

// ids lists a state's jobs, the first to move in front. Marker ids of BullMQ 3 and
// 4 and jobs in conflict are left out.
func (m *merger) ids(ctx context.Context, state string) ([]string, error) {
	var ids []string
	var err error
	if state == "wait" || state == "paused" {
		ids, err = m.src.LRange(ctx, m.q.Key(state), 0, -1).Result()
		slices.Reverse(ids) // the next in line is at the right end
	} else {
		ids, err = m.src.ZRange(ctx, m.q.Key(state), 0, -1).Result()
	}
	if err != nil {
		return nil, redisconn.Explain(err)
	}
	return slices.DeleteFunc(ids, func(id string) bool {
		return isMarker(id) || m.conflicts[id]
	}), nil
}

// move moves some jobs and returns how many left the source.
func (m *merger) move(ctx context.Context, ids []string) (int, error) {
	if err := m.pacer.Source(ctx, 2*len(ids)); err != nil {
		return 0, err
	}
	if err := m.pacer.Target(ctx, len(ids)); err != nil {
		return 0, err
	}
	jobs, err := m.locate(ctx, ids)
	if err != nil {
		return 0, err
	}
	for i, j := range jobs {
		if j.why != "" {
			return 0, migration.Errorf(migration.Blocked,
				"job %s appeared meanwhile and cannot be moved: it %s", j.id, j.why)
		}
		if jobs[i].hash, err = m.rewrite(j); err != nil {
			return 0, err
		}
	}
	there, err := m.importJobs(ctx, jobs)
	if err != nil {
		return 0, err
	}
	if err := m.remove(ctx, there); err != nil {
		return 0, err
	}
	m.pacer.Keys.Add(int64(len(there)))
	return len(there), nil
}

func (m *merger) rewrite(j job) ([]string, error) {
	if m.o.Rewrite == nil {
		return j.hash, nil
	}
	hash := slices.Clone(j.hash)
	for i := 0; i+1 < len(hash); i += 2 {
		if hash[i] != "data" {
			continue
		}
		data, err := m.o.Rewrite(j.id, []byte(hash[i+1]))
		if err != nil {
			return nil, fmt.Errorf("job %s: %w", j.id, err)
		}
		hash[i+1] = string(data)
	}
	return hash, nil
}

// locate reads jobs from the source, leaving out those that are in none of the
// states any more.
func (m *merger) locate(ctx context.Context, ids []string) ([]job, error) {
	cmds, err := pipelined(ctx, m.src, ids, func(p redis.Pipeliner, id string) *redis.Cmd {
		return p.Eval(ctx, luaLocate, m.sourceKeys(id), id, m.q.Key("de:"))
	})
	if err != nil {
		return nil, err
	}
	var out []job
	for i, cmd := range cmds {
		if errors.Is(cmd.Err(), redis.Nil) {
			continue
		}
		parts, err := cmd.Slice()
		if err != nil || len(parts) != 7 {
			return nil, fmt.Errorf("job %s: read: %w", ids[i], redisconn.Explain(err))
		}
		state, _ := parts[0].(int64)
		j := job{
			id:    ids[i],
			state: states[state-1],
			hash:  toStrings(parts[2]),
			logs:  toStrings(parts[3]),
		}
		j.score, _ = parts[1].(string)
		j.why, _ = parts[4].(string)
		j.dedup, _ = parts[5].(string)
		j.dedupEnds, _ = parts[6].(int64)
		out = append(out, j)
	}
	return out, nil
}

// importJobs stores jobs on the target and returns the ids that are certainly
// there, and may be removed from the source.
func (m *merger) importJobs(ctx context.Context, jobs []job) (there []string, err error) {
	cmds, err := pipelined(ctx, m.dst, jobs, func(p redis.Pipeliner, j job) *redis.Cmd {
		keys := []string{m.q.Key(j.id), m.o.Ledger}
		for _, part := range []string{"meta", "id", "pc", "marker", "events", "wait", "paused",
			"delayed", "prioritized", "failed"} {
			keys = append(keys, m.q.Key(part))
		}
		dedup := ""
		if j.dedup != "" {
			dedup = m.q.Key("de:" + j.dedup)
		}
		args := []any{j.id, j.state, j.score, dedup, j.dedupEnds, strconv.Itoa(len(j.hash))}
		for _, v := range slices.Concat(j.hash, j.logs) {
			args = append(args, v)
		}
		return p.Eval(ctx, luaImport, keys, args...)
	})
	if err != nil {
		return nil, err
	}
	for i, cmd := range cmds {
		n, err := cmd.Int()
		if err != nil {
			return nil, fmt.Errorf("job %s: store on the target: %w", jobs[i].id,
				redisconn.Explain(err))
		}
		switch n {
		case 1:
			m.report.Moved++
			m.report.ByState[jobs[i].state]++
			there = append(there, jobs[i].id)
		case 0:
			m.report.AlreadyThere++
			there = append(there, jobs[i].id)
		default:
			m.conflicts[jobs[i].id] = true
			m.report.Conflicts++
			m.report.ConflictIDs = append(m.report.ConflictIDs, jobs[i].id)
		}
	}
	return there, nil
}

// remove deletes from the source jobs that the target has.
func (m *merger) remove(ctx context.Context, ids []string) error {
	cmds, err := pipelined(ctx, m.src, ids, func(p redis.Pipeliner, id string) *redis.Cmd {
		return p.Eval(ctx, luaRemove, append(m.sourceKeys(id), m.q.Key("active"),
			m.q.Key("events"), m.q.Key("meta")), id, m.q.Key("de:"))
	})
	if err != nil {
		return err
	}
	for i, cmd := range cmds {
		n, err := cmd.Int()
		if err != nil {
			return fmt.Errorf("job %s: remove from the source: %w", ids[i],
				redisconn.Explain(err))
		}
		if n < 0 {
			return migration.Errorf(migration.Conflict, "job %s is on the target and is "+
				"being processed at the source at the same time: somebody resumed the source "+
				"queue; pause it and check whether the job ran twice", ids[i])
		}
	}
	return nil
}

func (m *merger) sourceKeys(id string) []string {
	keys := []string{m.q.Key(id)}
	for _, s := range states {
		keys = append(keys, m.q.Key(s))
	}
	return keys
}

// pipelined sends one command per item in one round trip. A lost connection is an
// error; a command's own error stays with the command.
func pipelined[T any](
	ctx context.Context, c redis.UniversalClient, items []T,
	cmd func(redis.Pipeliner, T) *redis.Cmd,
) ([]*redis.Cmd, error) {
	if len(items) == 0 {
		return nil, nil
	}
	p := c.Pipeline()
	var cmds []*redis.Cmd
	for _, it := range items {
		cmds = append(cmds, cmd(p, it))
	}
	_, err := p.Exec(ctx)
	for _, c := range cmds {
		if _, isReply := errors.AsType[redis.Error](c.Err()); c.Err() != nil && !isReply {
			return nil, redisconn.Explain(c.Err())
		}
	}
	if _, isReply := errors.AsType[redis.Error](err); err != nil && !isReply {
		return nil, redisconn.Explain(err)
	}
	return cmds, nil
}

func toStrings(v any) []string {
	list, _ := v.([]any)
	out := make([]string, 0, len(list))
	for _, x := range list {
		s, _ := x.(string)
		out = append(out, s)
	}
	return out
}
