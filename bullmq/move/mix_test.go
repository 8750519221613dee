package move_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/bullmq/bullmqtest"
	"github.com/switchyard-dev/switchyard/bullmq/move"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

// seedOf is the seed for a test's random choices: MOVE_SEED, or a new one each
// time. It is logged.
func seedOf(t *testing.T) uint64 {
	t.Helper()
	seed, err := strconv.ParseUint(os.Getenv("MOVE_SEED"), 10, 64)
	if err != nil {
		seed = uint64(time.Now().UnixNano() % 1_000_000_000)
	}
	t.Logf("MOVE_SEED=%d", seed)
	return seed
}

// mixed is what real BullMQ acknowledged and what its workers did.
type mixed struct {
	mixer *bullmqtest.Mixer

	mu      sync.Mutex
	owed    map[string]bool // key of each job that is to run once
	version map[string]int  // latest version of the job's data
	runs    map[string]int
	ran     map[string]int    // version that ran
	ticks   map[string]string // id of a scheduler's job -> side that ran it
	wrong   []string
	done    chan string
}

func (m *mixed) follow() {
	for l := range m.mixer.Lines {
		m.mu.Lock()
		switch {
		case l.Error != "":
			m.wrong = append(m.wrong, l.Queue+": "+l.Error)
		case l.Add != "":
			m.owed[l.Add] = true
		case l.Remove != "":
			delete(m.owed, l.Remove)
			m.runs[l.Remove] += 0
		case l.Update != "":
			m.version[l.Update] = l.V
		}
		m.mu.Unlock()
		if l.Done != "" {
			m.done <- l.Done + " " + l.Queue
		}
	}
}

func (m *mixed) work(w *bullmqtest.Worker, side string) {
	for e := range w.Jobs {
		var data struct {
			K string
			V int
		}
		_ = json.Unmarshal(e.Data, &data)
		m.mu.Lock()
		switch {
		case data.K == "tick":
			if other := m.ticks[e.ID]; other != "" && other != side {
				m.wrong = append(m.wrong, e.ID+" ran on both sides")
			}
			m.ticks[e.ID] = side
		case data.K == "" || data.K == "twice":
			m.wrong = append(m.wrong, fmt.Sprintf("%s ran with data %s", e.ID, e.Data))
		default:
			m.runs[data.K]++
			m.ran[data.K] = data.V
		}
		m.mu.Unlock()
	}
}

// tell sends the mixer a command and waits until it was executed.
func (m *mixed) tell(format string, args ...any) error {
	line := fmt.Sprintf(format, args...)
	if err := m.mixer.Tell("%s", line); err != nil {
		return err
	}
	select {
	case <-m.done:
		return nil
	case <-time.After(20 * time.Second):
		return fmt.Errorf("%q was not obeyed", line)
	}
}

// missing names jobs of a queue that did not run.
func (m *mixed) missing(queue string) (keys []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k := range m.owed {
		if strings.HasPrefix(k, queue+"_") && m.runs[k] == 0 {
			keys = append(keys, k)
		}
	}
	return keys
}

// Real BullMQ does everything it can with two queues at random (adds of every kind,
// flows, deduplication, schedulers, retries, updates, promotions, removals, pauses
// by others) and runs the jobs, while the mover is cut again and again at a random
// call on either side, before, after and in the middle of what the server did, and
// now and then takes the move back. Every job that was acknowledged and not removed
// runs exactly once, with its latest data; no removed job runs; no scheduler's job
// runs on both sides.
func TestNothingIsLostOrDoubledWhateverBullMQDoes(t *testing.T) {
	t.Parallel()
	const moves = 8
	seed := seedOf(t)
	random := newRandom(seed, 7)
	src, dst := redistest.Start(t), redistest.Start(t)
	var names, both []string
	for i := range moves {
		names = append(names, fmt.Sprint("m", i))
		both = append(both, names[i], names[i]+"-children")
	}
	m := &mixed{mixer: v6.Mix(t, src, strings.Join(names, ","), seed), owed: map[string]bool{},
		version: map[string]int{}, runs: map[string]int{}, ran: map[string]int{},
		ticks: map[string]string{},
		done:  make(chan string, 100)}
	go m.follow()
	go m.work(v6.Work(t, src, strings.Join(both, ",")), "source")
	go m.work(v6.Work(t, dst, strings.Join(both, ",")), "target")

	mine, faults := [2]redis.UniversalClient{src.Client(), dst.Client()},
		[2]*redistest.Fault{{}, {}}
	for i, c := range mine {
		c.AddHook(faults[i])
	}
	kills, backs := 0, 0
	for _, name := range names {
		o := move.Options{Run: "r-" + name, Queues: []bullmq.Queue{{Name: name},
			{Name: name + "-children"}}, Drain: 20 * time.Second}
		calm := false
		// What cannot follow a moved queue job by job (flows, schedulers) or at all
		// (a removal) stops before the queue stands still.
		o.Ready = func(move.Prediction) bool {
			if calm {
				return true
			}
			if err := m.tell("calm %s", name); err != nil {
				t.Error(err)
			}
			calm = true
			return false
		}
		if err := m.tell("go %s", name); err != nil {
			t.Fatal(err)
		}
		for try := 0; ; try++ {
			side, at := random.IntN(2), 1+random.IntN(50)
			if try > 14 {
				at = 0
			}
			faults[side].Arm(at, redistest.When(random.IntN(3)))
			var err error
			if try > 1 && try < 12 && random.IntN(5) == 0 {
				backs++
				if err = move.Back(t.Context(), mine[0], mine[1], o); err == nil {
					calm = false
					if err = m.tell("go %s", name); err != nil {
						t.Fatal(err)
					}
					err = redistest.ErrCut // start again
				} else if strings.Contains(err.Error(), "other direction") {
					err = redistest.ErrCut // it was activated: Move says so
				}
			} else {
				_, err = move.Move(t.Context(), mine[0], mine[1], o)
			}
			if faults[side].Hit() {
				kills++
			}
			if err == nil {
				break
			}
			if !errors.Is(err, redistest.ErrCut) {
				t.Fatalf("%s, try %d: %v", name, try, err)
			}
		}
		if err := m.tell("stop %s", name); err != nil {
			t.Fatal(err)
		}
		for {
			side := random.IntN(2)
			faults[side].Arm(1+random.IntN(20), redistest.When(random.IntN(3)))
			_, err := move.Sweep(t.Context(), mine[0], mine[1], o)
			if faults[side].Hit() {
				kills++
			}
			if err == nil {
				break
			}
			if !errors.Is(err, redistest.ErrCut) {
				t.Fatalf("%s: sweep: %v", name, err)
			}
		}
		for _, q := range o.Queues { // somebody may have had it paused when the move began
			if err := bullmq.Resume(t.Context(), mine[1], q); err != nil {
				t.Fatal(err)
			}
		}
		if err := m.tell("finish %s %d", name, dst.Port); err != nil {
			t.Fatal(err)
		}
		redistest.Eventually(t, 30*time.Second, func() error {
			if keys := m.missing(name); len(keys) > 0 {
				return fmt.Errorf("%s: %d jobs did not run: %s", name, len(keys),
					whereabouts(t.Context(), mine, o.Queues, keys[:min(5, len(keys))]))
			}
			return nil
		})
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for k, n := range m.runs {
		if want := 1; !m.owed[k] && n > 0 || n > want {
			t.Errorf("%s ran %d times, owed %v", k, n, m.owed[k])
		}
		if n > 0 && m.ran[k] != m.version[k] {
			t.Errorf("%s ran with version %d of its data, the last was %d", k, m.ran[k],
				m.version[k])
		}
	}
	for _, w := range m.wrong {
		t.Error(w)
	}
	t.Logf("%d kills in %d moves, %d times taken back, %d jobs, %d with changed data, %d ticks",
		kills, moves, backs, len(m.owed), len(m.version), len(m.ticks))
}

// whereabouts says which indexes of both sides hold jobs.
func whereabouts(
	ctx context.Context, sides [2]redis.UniversalClient, queues []bullmq.Queue,
	keys []string,
) string {
	var out strings.Builder
	for _, k := range keys {
		fmt.Fprintf(&out, "\n%s:", k)
		for i, c := range sides {
			for _, q := range queues {
				j, err := bullmq.FindJob(ctx, c, q, k)
				fmt.Fprintf(&out, " %s %s: %q %v;", [2]string{"source", "target"}[i], q.Name,
					j.State, err)
			}
		}
	}
	return out.String()
}
