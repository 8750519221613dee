// Package move takes whole BullMQ queues from one Redis server to another, exactly
// once, while producers go on adding and workers go on working: everything is copied
// while the queue lives, then the queue stands still only for what changed meanwhile.
// It knows BullMQ's keys and nothing of flags, people or time tables.
//
// The order of a move, and what holds at each point:
//
//	begin     the target's queue is paused and empty; a record on both servers says so
//	copy      jobs travel while the source works; the source tells which keys change (CLIENT TRACKING), and those travel again
//	pause     the source's workers take no further job; those at work finish
//	fence     one script renames every index of the source: nobody finds a job there any more. This is the snapshot, too
//	settle    what changed since the copy travels, the indexes are staged on the target, both sides are read back and compared
//	activate  one script puts the indexes in place on the target and wakes its workers
//	sweep     jobs that producers still add at the source are carried over one by one
//
// Up to activate, Back undoes everything. After it, the way back is the same move in
// the other direction. What was done is recorded on the servers by the scripts that do
// it, so a mover that was killed is simply run again; only the list of changed keys is
// lost with it, and then every key travels once more while the queue stands still.
package move

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/redisconn/keycopy"
	"github.com/switchyard-dev/switchyard/redisconn/pace"
)

const (
	// lateIDs is how many automatic ids the fence leaves unused, so that those that
	// late producers get on the source meet none of the target's.
	lateIDs = 1_000_000_000
	// headStart is how far above the source's the target's counter begins, for
	// producers that add there during the copy.
	headStart = 1_000_000
	// settledKeys is how few changed keys are worth standing still for; settleRounds
	// how often the copy tries to get there.
	settledKeys  = 2000
	settleRounds = 20
	// longHold is how long the gate may hold the last round before it counts as a pause.
	longHold = 100 * time.Millisecond
)

// Options says what to move and how.
type Options struct {
	// Run names the move, in the keys of its record and of the fence. The same name
	// again goes on with the same move. Required.
	Run string
	// Queues move together. Queues that flows tie to one another must be in one move.
	// Required.
	Queues []bullmq.Queue
	// Replaces is the run of an earlier move in the other direction, whose copies on
	// the target are out of date and are removed.
	Replaces string
	// Drain is how long jobs that are being processed may take after the pause. Zero: a
	// minute.
	Drain time.Duration
	// MaxFreeze refuses to stand still when it is predicted to take longer. Zero: no
	// limit.
	MaxFreeze time.Duration
	// EvictionOff says that somebody made sure that the target evicts nothing, for
	// services that do not tell their maxmemory-policy.
	EvictionOff bool
	// Pace bounds what the copy asks of both servers while the source lives. Its gate
	// pauses the move, or ends it: the source works on meanwhile, and what changes
	// there travels once the gate lets go. Nothing of it holds the move up from the
	// pause of the source on, when the queue stands still and only speed counts; but
	// for the target's rate, which a service enforces anyway and which the prediction
	// takes in.
	Pace pace.Pace
	// Ready, if not nil, is asked after every round of the copy that has settled; false
	// goes on copying.
	Ready func(Prediction) bool
	// Progress, if not nil, is told of each phase and, within the copy, of each round
	// and several times a second. It is called by one goroutine at a time.
	Progress func(Progress)
}

// Progress is how far a move is.
type Progress struct {
	Phase string `json:"phase"`
	// copied and compared so far, those that changed counted again
	Keys int64 `json:"keys"`
	// about how many that will be by what is known now; 0 not known
	Total   int64 `json:"total"`
	Bytes   int64 `json:"bytes"`
	Changed int   `json:"changed"` // since they were copied
	Round   int   `json:"round"`
	// These tell of the copy, 0 in other phases; see pace.Progress.
	KeysPerSecond float64 `json:"keys_per_second"`
	// of the pass or round under way, not of the stand; 0 not known yet
	ETASeconds   float64 `json:"eta_seconds"`
	LatencyMS    float64 `json:"latency_ms"`
	BackingOffMS float64 `json:"backing_off_ms"`
	Prediction
}

// Prediction is how long the queue would stand still if it stopped now.
type Prediction struct {
	// Measured: the time that the indexes took in a trial, and the changed keys at the
	// pace of the last round, without what held that up to spare the source. By the
	// target's rate limit when that allows less.
	FreezeMS int64 `json:"freeze_ms"`
}

// How keys are written to the target.
const (
	// DUMP payloads by RESTORE; values above 8 MB in chunks by commands of their type
	PathRestore = "restore"
	// all by commands of their type: the target refuses RESTORE or the source's
	// payloads, or the source refuses DUMP
	PathTyped = "typed"
)

// Report is what a move did.
type Report struct {
	Jobs map[string]int64 `json:"jobs"` // moved, by queue and state: "orders wait"
	// how keys were written: PathRestore or PathTyped
	Path string `json:"path"`
	// copied and compared, those that changed counted again
	Keys   int64 `json:"keys"`
	Bytes  int64 `json:"bytes"`  // of values, as they travelled
	Rounds int   `json:"rounds"` // of the copy while the source worked
	// keys that travelled while the queue stood still
	Changed int   `json:"changed"`
	CopyMS  int64 `json:"copy_ms"`
	DrainMS int64 `json:"drain_ms"` // from the pause until no job was active
	// from then until the target's workers were let at the jobs: no job could run
	FreezeMS    int64 `json:"freeze_ms"`
	PredictedMS int64 `json:"predicted_ms"`
	// ids that were listed on the source without a job: left out, BullMQ would run them
	// with empty data
	Empty []string `json:"empty"`
	// jobs that were on both sides with one id and are kept once
	Twice   int64 `json:"twice"`
	Resumed bool  `json:"resumed"`
}

// Move carries the move out, or goes on with it. It refuses (kind Blocked, with every
// reason) before it changes anything when it cannot move the queues exactly; an error
// after that leaves the source as it is at that point, which may be paused or fenced:
// call Move again, or Back.
func Move(ctx context.Context, src, dst redis.UniversalClient, o Options) (Report, error) {
	m, err := newMover(src, dst, o)
	if err != nil {
		return Report{}, err
	}
	if err := m.move(ctx); err != nil {
		return m.report, fmt.Errorf("move %s: %w", m.names(), err)
	}
	return m.report, nil
}

type mover struct {
	src, dst redis.UniversalClient
	o        Options

	renameAttempts bool // the source is BullMQ 3 or 4
	copied         *copied
	// queue outside the group -> a key that names it
	outside map[string]string
	seeing  sync.Mutex // outside and old
	// job that counts attempts by old names -> what it counts; while its batch is under
	// way
	old      map[string]map[string]string
	pacer    *pace.Pacer
	path     keycopy.Path // Scan or Typed, as probed
	mirror   *keycopy.Mirror
	tracking *redisconn.Tracking
	differ   []string // at the last look
	report   Report
	jobs     int64 // on the source at the beginning
	total    int64 // about how many content keys that makes

	indexTime     time.Duration // of the trial
	indexCommands int64         // that the indexes take on the target
	perKey        time.Duration // that one worker takes for a key
	working       atomic.Int64  // ns that workers took so far, what held them up included

	telling sync.Mutex
	told    Progress
}

func newMover(src, dst redis.UniversalClient, o Options) (*mover, error) {
	if o.Run == "" || strings.ContainsAny(o.Run, ": ") || len(o.Queues) == 0 {
		return nil, migration.Errorf(migration.Invalid,
			"a move needs a name without colons and at least one queue: got %q and %d queues",
			o.Run, len(o.Queues))
	}
	if o.Drain == 0 {
		o.Drain = time.Minute
	}
	m := &mover{
		src:     src,
		dst:     dst,
		o:       o,
		copied:  newCopied(),
		outside: map[string]string{},
		old:     map[string]map[string]string{},
		report:  Report{Jobs: map[string]int64{}, Empty: []string{}},
	}
	m.pacer = pace.New(o.Pace, pace.Work{Source: src, Batch: batchKeys, Tell: m.tellPace})
	return m, nil
}

func (m *mover) names() string {
	var names []string
	for _, q := range m.o.Queues {
		names = append(names, q.String())
	}
	return strings.Join(names, ", ")
}

func (m *mover) tell(phase string, changed int) {
	m.telling.Lock()
	defer m.telling.Unlock()
	m.told = Progress{Phase: phase, Keys: m.pacer.Keys.Load(), Total: m.pacer.Total.Load(),
		Bytes: m.pacer.Bytes.Load(), Changed: changed, Round: m.report.Rounds,
		KeysPerSecond: m.told.KeysPerSecond, ETASeconds: m.told.ETASeconds,
		LatencyMS: m.told.LatencyMS, BackingOffMS: m.told.BackingOffMS,
		Prediction: m.predict(changed)}
	if phase != "copy" {
		m.told.KeysPerSecond, m.told.ETASeconds, m.told.LatencyMS, m.told.BackingOffMS = 0, 0,
			0, 0
	}
	if m.o.Progress != nil {
		m.o.Progress(m.told)
	}
}

// tellPace tells how the copy goes on since the last round.
func (m *mover) tellPace(p pace.Progress) {
	m.telling.Lock()
	defer m.telling.Unlock()
	m.told.Keys, m.told.Total, m.told.Bytes = p.Keys, p.Total, p.Bytes
	m.told.KeysPerSecond, m.told.ETASeconds, m.told.LatencyMS, m.told.BackingOffMS =
		p.KeysPerSecond, p.ETASeconds, p.LatencyMS, p.BackingOffMS
	if m.o.Progress != nil {
		m.o.Progress(m.told)
	}
}

func (m *mover) predict(changed int) Prediction {
	batches := max(1, (changed+batchKeys-1)/batchKeys)
	seconds := (m.indexTime +
		time.Duration(changed)*m.perKey/time.Duration(min(batches, m.pacer.Workers))).Seconds()
	if rate := m.o.Pace.TargetRate; rate > 0 && m.mirror != nil {
		_, perTarget := m.mirror.Commands()
		seconds = max(seconds,
			float64(int64(changed)*int64(perTarget)+m.indexCommands)/float64(rate))
	}
	return Prediction{FreezeMS: int64(seconds * 1000)}
}

func (m *mover) move(ctx context.Context) error {
	activated, err := m.noted(ctx, m.dst, "activated")
	if err != nil || activated {
		return err
	}
	if err := m.begin(ctx); err != nil {
		return err
	}
	// a server may refuse later on, too
	defer func() { m.report.Path = pathName(m.mirror.Path()) }()
	isFenced, err := m.noted(ctx, m.src, "fenced")
	if err != nil {
		return err
	}
	if isFenced {
		m.report.Resumed = true
		m.pacer.Hurry()
		if err := m.settleAll(ctx); err != nil {
			return err
		}
		return m.activate(ctx)
	}
	if err := m.copy(ctx); err != nil {
		return err
	}
	if m.tracking != nil {
		defer m.tracking.Close()
	}
	idle, err := m.pause(ctx)
	if err != nil {
		return err
	}
	if err := m.fence(ctx); err != nil {
		return err
	}
	if err := m.settle(ctx); err != nil {
		return err
	}
	if err := m.activate(ctx); err != nil {
		return err
	}
	m.report.FreezeMS = time.Since(idle).Milliseconds()
	return nil
}

func pathName(p keycopy.Path) string {
	if p == keycopy.Typed {
		return PathTyped
	}
	return PathRestore
}

func (m *mover) noted(
	ctx context.Context, c redis.UniversalClient, field string,
) (bool, error) {
	ok, err := c.HExists(ctx, m.record(), field).Result()
	if err != nil {
		return false, fmt.Errorf("read the record of the move: %w", redisconn.Explain(err))
	}
	return ok, nil
}

// copy brings the target as near to the living source as it can get.
func (m *mover) copy(ctx context.Context) error {
	started := time.Now()
	defer func() { m.report.CopyMS = time.Since(started).Milliseconds() }()
	var prefixes []string
	for _, q := range m.o.Queues {
		prefixes = append(prefixes, q.Key(""))
	}
	var err error
	if m.tracking, err = redisconn.Track(ctx, m.src, prefixes...); err != nil {
		if _, isReply := errors.AsType[redis.Error](err); !isReply {
			return err
		}
		// The server cannot tell what changes: everything travels while the queue
		// stands still.
		m.tracking = nil
	}
	m.pacer.Total.Store(m.total)
	m.tell("copy", 0)
	m.pacer.Start(ctx)
	defer m.pacer.End()
	if err := m.measured(func() (err error) {
		m.differ, err = m.passAll(ctx)
		return err
	}); err != nil {
		return m.dropTracking(err)
	}
	if err := m.trial(ctx); err != nil {
		return m.dropTracking(err)
	}
	if m.tracking == nil {
		m.report.PredictedMS = m.predict(int(m.total)).FreezeMS
		return m.tooLong()
	}
	for m.report.Rounds = 1; ; m.report.Rounds++ {
		if err := m.pacer.Gate(ctx); err != nil {
			return m.dropTracking(err)
		}
		changed, err := m.changed(ctx)
		if err != nil {
			return m.dropTracking(err)
		}
		m.pacer.Total.Store(m.pacer.Keys.Load() + int64(len(changed)))
		m.tell("copy", len(changed))
		if err := m.measured(func() error { return m.again(ctx, changed) }); err != nil {
			return m.dropTracking(err)
		}
		m.report.PredictedMS = m.predict(len(changed)).FreezeMS
		settled := len(changed) <= settledKeys || m.report.Rounds >= settleRounds
		if settled && (m.o.Ready == nil || m.o.Ready(m.predict(len(changed)))) {
			// The last that the gate is asked. When it held the move, much may have
			// changed: another round, and what is known is true again.
			asked := time.Now()
			if err := m.pacer.Gate(ctx); err != nil {
				return m.dropTracking(err)
			}
			if time.Since(asked) < longHold {
				break
			}
		}
		if len(changed) == 0 {
			select {
			case <-ctx.Done():
				return m.dropTracking(context.Cause(ctx))
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
	if err := m.foreign(); err != nil {
		return m.dropTracking(err)
	}
	if err := m.tooLong(); err != nil {
		return m.dropTracking(err)
	}
	return nil
}

// measured takes in how long a key takes a worker, without what held it up to spare the
// source, when enough keys travel in f to tell.
func (m *mover) measured(f func() error) error {
	keys, took, waited := m.pacer.Keys.Load(), m.working.Load(), m.pacer.Waited.Load()
	err := f()
	if n := m.pacer.Keys.Load() - keys; n > 100 || m.perKey == 0 && n > 0 {
		m.perKey = time.Duration(max(0, m.working.Load()-took-m.pacer.Waited.Load()+waited) / n)
	}
	return err
}

func (m *mover) dropTracking(err error) error {
	if m.tracking != nil {
		m.tracking.Close()
		m.tracking = nil
	}
	return err
}

func (m *mover) tooLong() error {
	if limit := m.o.MaxFreeze; limit > 0 &&
		time.Duration(m.report.PredictedMS)*time.Millisecond > limit {
		return migration.Errorf(migration.Blocked, "the queue would stand still for about %d "+
			"ms, the limit is %s: try when fewer jobs change, or raise the limit",
			m.report.PredictedMS, limit)
	}
	return nil
}

// foreign refuses flows that reach out of the group: a child that completes on the
// target would never release a parent on the source.
func (m *mover) foreign() error {
	if len(m.outside) == 0 {
		return nil
	}
	var why []string
	for _, q := range slices.Sorted(maps.Keys(m.outside)) {
		why = append(why, fmt.Sprintf("%s (named by %s)", q, m.outside[q]))
	}
	return migration.Errorf(migration.Blocked,
		"flows tie these queues to others, which have to move with them: %s",
		strings.Join(why, ", "))
}

// again copies keys that changed, and those that differed at the last look. Most of
// these changed in between and are told as well; one that did not is a fault, and stays
// in sight until the source stands still.
func (m *mover) again(ctx context.Context, changed []string) (err error) {
	m.differ, err = m.passList(ctx, union(changed, m.differ))
	return err
}

func union(a, b []string) []string {
	if len(b) == 0 {
		return a
	}
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// changed gives the content keys of the group that changed since the last call.
func (m *mover) changed(ctx context.Context) ([]string, error) {
	keys, err := m.tracking.Changed(ctx)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(keys, func(k string) bool {
		_, part, ok := m.queueOf(k)
		return !ok || classify(part) != content
	}), nil
}

// pause holds the source's workers back and waits until no job is active. It gives the
// time when that was so. Meanwhile the copy goes on.
func (m *mover) pause(ctx context.Context) (time.Time, error) {
	started := time.Now()
	m.pacer.Hurry()
	m.tell("pause", 0)
	for _, q := range m.o.Queues {
		if err := bullmq.Pause(ctx, m.src, q); err != nil {
			return time.Time{}, err
		}
	}
	deadline := started.Add(m.o.Drain)
	for {
		idle := time.Now()
		busy, err := m.active(ctx)
		if err != nil {
			return time.Time{}, err
		}
		if len(busy) == 0 {
			m.report.DrainMS = time.Since(started).Milliseconds()
			return idle, nil
		}
		if time.Now().After(deadline) {
			err := migration.Errorf(migration.Blocked, "after %s these jobs are still being "+
				"processed, so the queue was resumed: %s. Jobs without a lock are stalled: a "+
				"worker's stalled check returns them to the queue. Wait for them, or allow "+
				"more time", m.o.Drain, strings.Join(busy, ", "))
			return time.Time{}, errors.Join(err, m.resumeSource(context.WithoutCancel(ctx)))
		}
		if m.tracking != nil {
			changed, err := m.changed(ctx)
			if err != nil {
				return time.Time{}, err
			}
			if err := m.again(ctx, changed); err != nil {
				return time.Time{}, err
			}
		}
		select {
		case <-ctx.Done():
			return time.Time{}, context.Cause(ctx)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// active names the jobs being processed, "queue:id", up to ten per queue.
func (m *mover) active(ctx context.Context) ([]string, error) {
	lists := make([]*redis.StringSliceCmd, len(m.o.Queues))
	if err := pipe(ctx, m.src, func(p redis.Pipeliner) {
		for i, q := range m.o.Queues {
			lists[i] = p.LRange(ctx, q.Key("active"), 0, 9)
		}
	}); err != nil {
		return nil, err
	}
	var busy []string
	for i, l := range lists {
		if err := l.Err(); err != nil {
			return nil, redisconn.Explain(err)
		}
		for _, id := range l.Val() {
			busy = append(busy, m.o.Queues[i].String()+":"+id)
		}
	}
	return busy, nil
}

// fence takes the source's indexes out of everybody's reach, and makes sure that a
// replica knows it: a failover to one that does not would bring the jobs back to life.
func (m *mover) fence(ctx context.Context) error {
	m.tell("fence", 0)
	if err := fenceScript.Load(ctx, m.src).Err(); err != nil {
		return fmt.Errorf("fence the source: %w", redisconn.Explain(err))
	}
	replicas, err := replicasOf(ctx, m.src)
	if err != nil {
		return err
	}
	var reply *redis.Cmd
	var acked *redis.Cmd
	if err := pipe(ctx, m.src, func(p redis.Pipeliner) {
		reply = fenceScript.EvalSha(ctx, p, []string{m.record()}, m.fenceArgs()...)
		if replicas > 0 {
			// WAIT waits for this connection's writes, so there must be one
			p.HIncrBy(ctx, m.record(), "fence-tries", 1)
			acked = p.Do(ctx, "WAIT", 1, 1000)
		}
	}); err != nil {
		return fmt.Errorf("fence the source: %w", err)
	}
	result, err := reply.Slice()
	if err != nil {
		return fmt.Errorf("fence the source: %w", redisconn.Explain(err))
	}
	if done, _ := result[0].(int64); done != 1 {
		why, _ := result[1].(string)
		return migration.Errorf(migration.Conflict, "fence the source: %s: start again", why)
	}
	if acked != nil {
		if n, err := acked.Int(); err != nil || n == 0 {
			return migration.Errorf(migration.Unavailable, "fence the source: no replica "+
				"acknowledged it within a second (%d connected); the queue stands still: go "+
				"on, or take the move back", replicas)
		}
	}
	return nil
}

func (m *mover) fenceArgs() []any {
	args := []any{"fenced:" + m.o.Run + ":", lateIDs}
	for _, q := range m.o.Queues {
		args = append(args, q.Key(""))
	}
	return args
}

// replicasOf is how many replicas are connected; a server that does not tell has none
// that we could wait for.
func replicasOf(ctx context.Context, c redis.UniversalClient) (int64, error) {
	info, err := c.Info(ctx, "replication").Result()
	if err != nil {
		if _, isReply := errors.AsType[redis.Error](err); isReply {
			return 0, nil
		}
		return 0, redisconn.Explain(err)
	}
	for line := range strings.Lines(info) {
		if n, ok := strings.CutPrefix(strings.TrimSpace(line), "connected_slaves:"); ok {
			var replicas int64
			_, err := fmt.Sscan(n, &replicas)
			return replicas, err
		}
	}
	return 0, nil
}

// settle brings over what changed since the copy. The source is fenced: nothing changes
// any more.
func (m *mover) settle(ctx context.Context) error {
	if m.tracking == nil {
		return m.settleAll(ctx)
	}
	changed, err := m.changed(ctx)
	if err != nil { // lost: look at everything
		return m.settleAll(ctx)
	}
	m.report.Changed = len(changed)
	m.tell("settle", len(changed))
	if err := m.again(ctx, changed); err != nil {
		return err
	}
	return m.finishCopy(ctx)
}

// settleAll brings everything over while the source is fenced.
func (m *mover) settleAll(ctx context.Context) error {
	m.tell("settle", int(m.total))
	// what was copied before may be gone from the source
	if err := m.wipeContent(ctx); err != nil {
		return err
	}
	before := m.pacer.Keys.Load()
	var err error
	if m.differ, err = m.passAll(ctx); err != nil {
		return err
	}
	m.report.Changed = int(m.pacer.Keys.Load() - before)
	return m.finishCopy(ctx)
}

func (m *mover) finishCopy(ctx context.Context) error {
	if len(m.differ) > 0 { // once more: a key may have expired in between
		if err := m.again(ctx, nil); err != nil {
			return err
		}
		if len(m.differ) > 0 {
			return migration.Errorf(migration.Conflict, "%d keys differ between the sides "+
				"although the source is fenced, %s first: somebody writes to them; find out "+
				"who, then go on or take the move back",
				len(m.differ), m.differ[0])
		}
	}
	if err := m.foreign(); err != nil {
		return err
	}
	m.report.Keys, m.report.Bytes = m.pacer.Keys.Load(), m.pacer.Bytes.Load()
	if err := m.stage(ctx); err != nil {
		return err
	}
	return m.leaveLate(ctx)
}

// leaveLate removes from the target what was copied of jobs that were added on the
// source after the fence. They are not in the snapshot; Sweep brings them.
func (m *mover) leaveLate(ctx context.Context) error {
	for _, q := range m.o.Queues {
		for _, part := range jobStates {
			// Workers cannot complete a late job, because the queue is paused: every
			// one is still listed.
			err := eachChunk(ctx, m.src, m.pacer.Source, q.Key(part), kindOf(part),
				func(entries []string) error {
					if kindOf(part) == "zset" {
						entries = firsts(entries)
					}
					for ids := range slices.Chunk(entries, batchKeys) {
						if err := m.leave(ctx, q, ids); err != nil {
							return err
						}
					}
					return nil
				})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *mover) leave(ctx context.Context, q bullmq.Queue, ids []string) error {
	dedup := make([]*redis.StringCmd, len(ids))
	if err := pipe(ctx, m.src, func(p redis.Pipeliner) {
		for i, id := range ids {
			dedup[i] = p.HGet(ctx, q.Key(id), "deid")
		}
	}); err != nil {
		return err
	}
	if err := m.pacer.Target(ctx, len(ids)); err != nil {
		return err
	}
	return pipe(ctx, m.dst, func(p redis.Pipeliner) {
		for i, id := range ids {
			keys := []string{q.Key(id)}
			for _, s := range sub {
				keys = append(keys, q.Key(id)+s)
			}
			// had the key been there at the fence, the job would not have been added
			if d := dedup[i].Val(); d != "" {
				keys = append(keys, q.Key("de:"+d))
			}
			p.Unlink(ctx, keys...)
		}
	})
}
