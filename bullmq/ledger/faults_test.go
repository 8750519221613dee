package ledger_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
)

// faults, each injected at a random moment of a random job's life.
var faults = map[string]func(w *world, job, side, shadow string){
	"the job's hash is deleted": func(w *world, job, side, shadow string) {
		w.intake(job, side, shadow)
		s := w.lanes[lane(side, false)]
		delete(s.hash, job)
		w.want[job] = []ledger.Verdict{ledger.Loss, ledger.Late}
	},
	"the id falls out of its list": func(w *world, job, side, shadow string) {
		w.intake(job, side, shadow)
		delete(w.lanes[lane(side, false)].state, job)
		w.want[job] = []ledger.Verdict{ledger.Loss, ledger.Late}
	},
	"hash and id are deleted": func(w *world, job, side, shadow string) {
		w.intake(job, side, shadow)
		s := w.lanes[lane(side, false)]
		delete(s.hash, job)
		delete(s.state, job)
		w.want[job] = []ledger.Verdict{ledger.Loss, ledger.Late}
	},
	"it is removed before it runs": func(w *world, job, side, shadow string) {
		w.intake(job, side, shadow)
		s := w.lanes[lane(side, false)]
		delete(s.hash, job)
		delete(s.state, job)
		w.event(lane(side, false), "removed", job, "prev", "wait")
		w.want[job] = []ledger.Verdict{ledger.Loss, ledger.Late}
		if shadow != "" {
			w.run(lane(shadow, true), job, "r")
		}
	},
	"it is added on the wrong side": func(w *world, job, side, shadow string) {
		w.tell(ledger.Event{Type: ledger.EventEnqueued, Order: job, JobID: job, Side: side,
			OK: true, Stage: "complete"})
		w.tell(ledger.Event{Type: ledger.EventDelivery, Order: job, Status: 200})
		w.add(lane(other(side), false), job)
		w.run(lane(other(side), false), job, "r")
		w.want[job] = []ledger.Verdict{ledger.Stray}
	},
	"it runs on both sides": func(w *world, job, side, shadow string) {
		w.intake(job, side, "")
		w.run(lane(side, false), job, "r")
		w.add(lane(other(side), false), job)
		w.run(lane(other(side), false), job, "r")
		w.want[job] = []ledger.Verdict{ledger.Double, ledger.Stray}
	},
	"it runs twice on one side": func(w *world, job, side, shadow string) {
		w.intake(job, side, "")
		w.run(lane(side, false), job, "r")
		w.add(lane(side, false), job)
		w.run(lane(side, false), job, "r")
		w.want[job] = []ledger.Verdict{ledger.Double}
	},
	"it runs again long after": func(w *world, job, side, shadow string) {
		w.intake(job, side, "")
		w.run(lane(side, false), job, "r")
		// the test adds the second run after the first life was closed
		w.want[job] = []ledger.Verdict{ledger.Double, ledger.Stray}
	},
	"nobody sent it": func(w *world, job, side, shadow string) {
		w.add(lane(side, false), job)
		s := lane(side, false)
		w.lanes[s].state[job] = "active"
		w.event(s, "active", job)
		w.event(s, "completed", job, "returnvalue", "null")
		delete(w.lanes[s].state, job)
		delete(w.lanes[s].hash, job)
		w.want[job] = []ledger.Verdict{ledger.Ghost}
	},
	"the shadow run gives something else": func(w *world, job, side, shadow string) {
		w.intake(job, side, other(side))
		w.run(lane(side, false), job, "r")
		w.run(lane(other(side), true), job, "q")
		w.want[job] = []ledger.Verdict{ledger.Mismatch}
	},
	"its data is changed on the way": func(w *world, job, side, shadow string) {
		w.digests = true
		w.intake(job, side, "")
		w.carries[lane(side, false).String()+job] = "changed"
		w.run(lane(side, false), job, "r")
		w.want[job] = []ledger.Verdict{ledger.Mismatch}
	},
	"the copy's data is changed on the way": func(w *world, job, side, shadow string) {
		w.digests = true
		w.intake(job, side, other(side))
		w.carries[lane(other(side), true).String()+job] = "changed"
		w.run(lane(side, false), job, "r")
		w.run(lane(other(side), true), job, "r")
		w.want[job] = []ledger.Verdict{ledger.Mismatch}
	},
	"its data is gone when it runs": func(w *world, job, side, shadow string) {
		w.digests = true
		w.intake(job, side, "")
		at := lane(side, false)
		w.event(at, "active", job)
		w.tell(ledger.Event{Type: ledger.EventFailed, JobID: job, Side: side,
			Mode: ledger.ModeAuthoritative, Digest: "nothing"})
		w.event(at, "failed", job, "failedReason", "no data")
		w.lanes[at].state[job] = "failed"
		w.want[job] = []ledger.Verdict{ledger.Mismatch, ledger.Late}
	},
	"it never ends": func(w *world, job, side, shadow string) {
		w.intake(job, side, "")
		w.want[job] = []ledger.Verdict{ledger.Late}
	},
	"it fails for good": func(w *world, job, side, shadow string) {
		w.intake(job, side, "")
		at := lane(side, false)
		w.event(at, "active", job)
		w.event(at, "failed", job, "failedReason", "no")
		w.lanes[at].state[job] = "failed"
		w.want[job] = []ledger.Verdict{ledger.Late}
	},
}

// Every fault is found by its job's ID, and nothing else is raised, whatever the
// order of events across lanes, the size of readings, and restarts from what was
// saved at any moment.
func TestEveryFaultIsFoundAndNothingElseInAThousandWorlds(t *testing.T) {
	t.Parallel()
	names := slices.Sorted(maps.Keys(faults))
	for seed := range worlds(1000) {
		w := newWorld(seed)
		opts := ledger.Options{Deadline: time.Minute, Linger: time.Second,
			Done: 10_000, Recent: 5}
		l, db := ledger.NewStreams(opts), newRecorder()
		for _, at := range allLanes { // everything is followed from the start
			w.read(l, at, 100)
		}
		w.now += 61_000
		fault := names[w.rnd.IntN(len(names))]
		again := ""
		cut := map[ledger.Lane]int{} // for how many rounds a lane cannot be read
		type open struct{ job, side, shadow string }
		var running []open
		judge := func(advance int64) {
			w.now += advance
			w.tell(ledger.Event{Type: ledger.EventDelivery, Order: "tick", Status: 500})
			for _, at := range allLanes {
				// the connection is down: nothing is read, so nothing may be judged
				if cut[at] > 0 {
					cut[at]--
					l.Failed(at, errors.New("connection reset by peer"))
					continue
				}
				if w.rnd.IntN(40) == 0 {
					cut[at] = 1 + w.rnd.IntN(5)
				}
				w.read(l, at, 1+w.rnd.IntN(50))
				for _, job := range l.Overdue(at, w.now, 2*time.Second, 20) {
					l.Seen(at, job, w.now, w.lanes[at].look(job))
				}
			}
			l.Judge(w.now, w.now, w.journal)
			if w.rnd.IntN(3) == 0 {
				db.save(l.Changes())
			}
			if w.rnd.IntN(10) == 0 {
				// killed: whatever came after the last save is read again
				l = ledger.RestoreStreams(opts, db.checkpoint(t))
			}
		}
		faultAt := w.rnd.IntN(60)
		for n := range 60 {
			side := []string{ledger.Source, ledger.Target}[w.rnd.IntN(2)]
			shadow := ""
			if w.rnd.IntN(2) == 0 {
				shadow = other(side)
			}
			if n == faultAt {
				job := fmt.Sprint("bad-", n)
				faults[fault](w, job, side, shadow)
				if fault == "it runs again long after" {
					again = job
				}
			}
			o := open{fmt.Sprint("evt-", n), side, shadow}
			w.intake(o.job, o.side, o.shadow)
			if w.rnd.IntN(8) == 0 {
				w.intake(o.job, o.side, o.shadow) // the provider delivers again
			}
			running = append(running, o)
			for len(running) > 0 && w.rnd.IntN(3) > 0 {
				i := w.rnd.IntN(len(running))
				o := running[i]
				running = slices.Delete(running, i, i+1)
				w.run(lane(o.side, false), o.job, "r")
				if o.shadow != "" {
					w.run(lane(o.shadow, true), o.job, "r")
				}
			}
			if w.rnd.IntN(4) == 0 {
				judge(int64(w.rnd.IntN(1500)))
			}
		}
		for _, o := range running {
			w.run(lane(o.side, false), o.job, "r")
			if o.shadow != "" {
				w.run(lane(o.shadow, true), o.job, "r")
			}
		}
		for range 40 {
			judge(1100)
		}
		if again != "" {
			w.add(allLanes[0], again)
			w.run(allLanes[0], again, "r")
		}
		for range 100 {
			judge(1100)
		}
		clear(cut)
		for range 5 {
			for _, at := range allLanes {
				w.read(l, at, 1000)
			}
			w.now += 1100
			l.Judge(w.now, w.now, w.journal)
		}
		db.save(l.Changes())
		db.judged(t, fmt.Sprintf("seed %d, %s", seed, fault), w.want)
		for _, win := range db.windows {
			if win.State == ledger.Inconclusive && !slices.Contains(win.Reasons,
				"reading began in this minute") && !touchesCounters(fault) {
				t.Errorf("seed %d, %s: %v of %d is inconclusive: %v", seed, fault, win.Lane,
					win.From, win.Reasons)
			}
		}
		if t.Failed() {
			return
		}
	}
}
