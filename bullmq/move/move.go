// Package move takes whole BullMQ queues from one Redis server to another, exactly
// once, while producers keep adding and workers keep working: everything is copied
// while the queue is live, then the queue stands still only for what changed
// meanwhile. It knows BullMQ's keys and nothing of flags, people or schedules.
//
// The phases of a move, and what holds in each:
//
//	begin     the target's queue is paused and empty; a record on both servers
//	          says so
//	copy      jobs travel while the source works; the source reports which keys
//	          change (CLIENT TRACKING), and those travel again
//	pause     the source's workers take no further jobs; active ones finish
//	fence     one script renames every index of the source: nobody finds a job
//	          there any more. This is also the snapshot
//	settle    what changed since the copy travels, the indexes are staged on the
//	          target, both sides are read back and compared
//	activate  one script puts the indexes in place on the target and wakes its
//	          workers
//	sweep     jobs that producers still add on the source are carried over one
//	          by one
//
// Until activate, Back undoes everything. After it, the way back is the same move
// in the other direction. The scripts that do something also record it on the
// servers, so a mover that was killed is simply run again; only the list of changed
// keys is lost with it, and then every key travels once more while the queue stands
// still.
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
	// lateIDs is how many automatic ids the fence leaves unused, so that ids given
	// to late producers on the source do not collide with the target's.
	lateIDs = 1_000_000_000
	// headStart is how far above the source's counter the target's begins, for
	// producers that add there during the copy.
	headStart = 1_000_000
	// settledKeys is how few changed keys are worth standing still for;
	// settleRounds is how often the copy tries to get there.
	settledKeys  = 2000
	settleRounds = 20
	// longHold is how long the gate may hold the last round before it counts as a
	// pause.
	longHold = 100 * time.Millisecond
)

// Move carries out the move, or resumes it. If it cannot move the queues exactly it
// refuses (kind Blocked, with every reason) before changing anything; an error
// after that leaves the source as it is at that point, possibly paused or fenced:
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
	// job that counts attempts under old names -> its counters; while its batch is
	// in progress
	old    map[string]map[string]string
	pacer  *pace.Pacer
	path   keycopy.Path // Scan or Typed, as probed
	mirror *keycopy.Mirror
	// whose the keys on each server are; source is without what only the target knows
	own, there, source bullmq.Ownership
	alone              map[string]bool // keys of the target: see leaveAlone
	tracking           *redisconn.Tracking
	differ             []string // at the last look
	report             Report
	jobs               int64 // on the source at the beginning
	total              int64 // estimated number of content keys

	indexTime     time.Duration // of the trial
	indexCommands int64         // that the indexes take on the target
	perKey        time.Duration // how long one worker takes per key
	working       atomic.Int64  // ns that workers spent so far, including delays

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
		alone:   map[string]bool{},
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

// tellPace reports how the copy has progressed since the last round.
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
	// a server may also refuse later
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

// Begun reports whether a move to dst was begun there, and not taken back since.
func Begun(ctx context.Context, dst redis.UniversalClient, o Options) (bool, error) {
	m, err := newMover(dst, dst, o)
	if err != nil {
		return false, err
	}
	return m.noted(ctx, dst, "begun")
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

// copy brings the target as close to the live source as it can get.
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
		// The server cannot report changes: everything travels while the queue
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
			// The last time the gate is asked. If it held up the move, much may
			// have changed: another round makes our knowledge current again.
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

// measured updates how long a key takes a worker, without the delays that spared
// the source, if f holds enough keys to tell.
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
		return migration.Errorf(migration.Blocked, "the queue would stop for about %s "+
			"(limit %s): try when fewer jobs change, or raise the limit",
			migration.Words(time.Duration(m.report.PredictedMS)*time.Millisecond),
			migration.Words(limit))
	}
	return nil
}

// foreign refuses flows that reach outside the group: a child that completes on the
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
// those changed in between and are reported as well; one that was not is a fault,
// and is checked until the source stands still.
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

// changed returns the content keys of the group that changed since the last call.
func (m *mover) changed(ctx context.Context) ([]string, error) {
	keys, err := m.tracking.Changed(ctx)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(keys, func(k string) bool {
		_, may := m.mayBe(m.own, k)
		return !may
	}), nil
}
