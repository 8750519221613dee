package ledger

import (
	"cmp"
	"fmt"
	"time"
)

// Verdict is what evidence amounts to. Only Met counts.
//
// The zero value is Unknown.
type Verdict string

// The verdicts. Loss and Double are red until they are resolved.
const (
	// added, never finished, and its server no longer has it, or has its ID without
	// the job
	Loss   Verdict = "loss"
	Double Verdict = "double" // took effect twice
	Stray  Verdict = "stray"  // added on a side to which the application did not send it
	Ghost  Verdict = "ghost"  // ran, although the application has no record of it
	// run and shadow run had different results, or a worker received other data
	// than was sent
	Mismatch Verdict = "mismatch"
	Late     Verdict = "late" // not finished within the deadline
)

// Verdicts lists them, the worst first.
var Verdicts = []Verdict{Loss, Double, Mismatch, Stray, Ghost, Late}

// Exception is one thing wrong with one job. It is kept forever, resolved or not.
type Exception struct {
	Queue   string  `json:"queue"`
	Job     string  `json:"job"`
	Verdict Verdict `json:"verdict"`
	At      int64   `json:"at"` // unix ms, when it was found
	Detail  string  `json:"detail"`
	// What a proof has to be about: the life that began then (unix ms), whether the job
	// had taken effect before that, and how many of its runs BullMQ told of.
	Began  int64 `json:"began,omitempty"`
	Before bool  `json:"before,omitempty"`
	Runs   int   `json:"runs,omitempty"`
	// SettledBy says what proves that no order was harmed, or who decided so, and
	// SettledAt since when (unix ms); "" and 0 while nothing does.
	SettledBy string `json:"settled_by,omitempty"`
	SettledAt int64  `json:"settled_at,omitempty"`
	// Decision is set when a person settled it, and not a proof.
	Decision *Ruling `json:"decision,omitempty"`
}

type exceptionKey struct {
	lifeKey
	verdict Verdict
}

// Facts is what the application's record tells of one job of one queue.
type Facts struct {
	Known        bool // there is any record of it
	Acknowledged bool // the provider received a 2xx
	Applied      int  // how many times it took effect
	Caught       int  // how many further runs were recognised as such and did nothing
	Canary       bool
	// Sent marks the places, as in Life.Stays, to which an add was attempted; a
	// failed add may have landed all the same. All false means no longer known.
	Sent [4]bool
	// Different says which data differ, see Event.Digest; "" when none do or the
	// app reports no digests.
	Different string
}

// Record is what Streams needs to know from the application; Journal implements it.
type Record interface {
	// Job returns what is known of a job. An id alone names nothing: BullMQ counts
	// from 1 in every queue.
	Job(queue, id string) Facts
	Since() int64 // unix ms of its first event; 0 while there is none
}

// covers reports whether a record reaches back to a time (unix ms). What began before a
// record did may be another job of the same id.
func covers(j Record, began int64) bool { return j.Since() != 0 && j.Since() <= began }

// reach is how far the lanes of one queue have been read.
type reach struct {
	upto  int64    // unix ms by our clock: the slowest of them
	skews [4]int64 // by place: how far the server's clock is ahead of ours
	any   bool
}

// reaches returns that of every queue; lanes whose server was let go hold nobody up.
func (st *Streams) reaches() map[string]*reach {
	out := map[string]*reach{}
	for at, ln := range st.lanes {
		r := out[at.Queue]
		if r == nil {
			r = &reach{}
			out[at.Queue] = r
		}
		r.skews[at.place()] = ln.Skew
		if ln.DroppedAt != 0 {
			continue
		}
		if upto := ln.At - ln.Skew; !r.any || upto < r.upto {
			r.any, r.upto = true, upto
		}
	}
	return out
}

// Judge looks at every life that may have ended or is overdue, and folds those in
// order. A life is only folded once every lane of its queue has been read past it:
// while a server cannot be read, lives stay open. told is the time up to which the
// record is known; nothing younger is judged by its absence from there. now and told
// are unix ms by our clock, to which the servers' times are brought. O(open lives).
func (st *Streams) Judge(now, told int64, j Record) {
	st.mu.Lock()
	defer st.mu.Unlock()
	linger := st.o.Linger.Milliseconds()
	reaches := st.reaches()
	for k, life := range st.lives {
		r := reaches[k.queue]
		if r == nil {
			r = &reach{}
		}
		st.judgeMissing(now, life, j, told)
		last := life.last(r.skews)
		if life.Open() {
			deadline := cmp.Or(st.o.Deadlines[k.queue], st.o.Deadline).Milliseconds()
			if late, since := life.late(now, deadline, r.skews); late {
				st.raise(now, life, Late,
					fmt.Sprintf(
						"not finished %s after it was added or due, the limit is %s: %s",
						(time.Duration(now-since)*time.Millisecond).Round(time.Second),
						time.Duration(deadline)*time.Millisecond, life.where()))
			}
			if !life.copiesOnly() || now-last < deadline {
				continue
			}
		}
		if r.upto-last < linger || told < last+linger/2 || st.unasked(life) {
			continue // another lane, or the server, may have more to say about it
		}
		st.judge(now, life, j)
		st.close(now, k, life)
	}
	st.settle(now, j, told)
}

// judgeMissing decides on stays whose job the server does not have: once the stream
// has been read past that moment without telling of an end, there was none.
func (st *Streams) judgeMissing(now int64, life *Life, j Record, told int64) {
	for i, s := range life.Stays {
		if !s.open() || s.Missing == nil {
			continue
		}
		ln := st.lanes[laneAt(life.Queue, i)]
		if ln == nil || ln.Upto.Before(*s.Missing) {
			continue
		}
		shadow := i%2 == 1
		f := j.Job(life.Queue, life.Job)
		missing := s.Missing.MS - ln.Skew
		switch {
		case s.Unsure && shadow:
			// its end was among the missed entries, which are reported as such
		case s.Unsure && f.Applied > 0 && !life.Before && covers(j, life.Began):
			// ... and the record says that it took effect
		case s.Unsure && told < missing+st.o.Deadline.Milliseconds() && f.Known:
			// it ended while nobody was reading: the record has until the deadline
			// to say how
			continue
		case life.Scheduled && s.State == "delayed":
			// a scheduler that changes replaces its pending job, without an entry
		case shadow:
			st.raise(now, life, Mismatch, fmt.Sprintf(
				"the shadow copy on %s is gone without having run: %s", Places[i], s.Why))
		default:
			st.raise(now, life, Loss,
				fmt.Sprintf("%s on %s, then %s", cmp.Or(s.State, "added"), Places[i], s.Why))
		}
		s.State, s.Missing = gone, nil
		st.silent(ln)
		st.dirty.life(lifeKey{life.Queue, life.Job})
	}
}

func laneAt(queue string, place int) Lane {
	at := Lane{Side: Source, Queue: queue, Shadow: place%2 == 1}
	if place >= 2 {
		at.Side = Target
	}
	return at
}

// judge says what is wrong with a life that has ended.
func (st *Streams) judge(now int64, life *Life, j Record) {
	f := j.Job(life.Queue, life.Job)
	if f.Canary {
		return
	}
	st.judgeEnd(now, life)
	if life.runs() > 0 && !f.Known && !life.Partial && !life.Scheduled && covers(j, life.Began) {
		st.raise(now, life, Ghost, fmt.Sprintf(
			"ran (%s), although the application has no record of it", life.completions()))
	}
	for i, s := range life.Stays {
		if s == nil || s.Added == 0 {
			continue
		}
		if f.Sent != [4]bool{} && !f.Sent[i] {
			st.raise(now, life, Stray,
				fmt.Sprintf("added on %s, to which the application did not send it", Places[i]))
		}
	}
	different := f.Different
	if real, shadow, differ := life.results(); differ {
		if different != "" {
			different += "; "
		}
		different += fmt.Sprintf("the run gave %.40q, the shadow run %.40q", real, shadow)
	}
	if different != "" {
		st.raise(now, life, Mismatch, different)
	}
}

// judgeEnd says whether a life took effect once. Copies have none to take.
func (st *Streams) judgeEnd(now int64, life *Life) {
	took, ended, idle := life.runs(), 0, 0
	states := map[string]int{}
	for i, s := range life.Stays {
		if s == nil || i%2 == 1 {
			continue
		}
		ended += s.Completed + s.Harmless - s.Misrouted
		idle += s.Misrouted
		states[s.State]++
	}
	if took > 0 && (took > 1 || life.Before) {
		detail := fmt.Sprintf("completed %d times: %s", took, life.completions())
		if life.Before {
			detail += "; and once before that"
		}
		st.raise(now, life, Double, detail)
	}
	if ended > 0 || life.Before || states[gone] > 0 { // gone was reported already
		return
	}
	switch {
	case states["failed"] > 0 && !life.Scheduled:
		st.raise(now, life, Late,
			"failed permanently: "+life.ends()+"; it runs again only if somebody retries it")
	case states["released"] > 0:
		st.raise(now, life, Loss,
			"its server was let go before it ran: "+life.ends())
	case idle > 0:
		st.raise(now, life, Late, "ended without an effect, since its worker's side was not "+
			"primary: "+life.ends())
	case states["removed"] > 0 && !life.Scheduled: // a scheduler removes its pending job
		st.raise(now, life, Loss, "removed before it ran: "+life.ends())
	}
}

// close folds a life. Only what took effect is remembered: a removed job may be
// added again.
func (st *Streams) close(now int64, k lifeKey, life *Life) {
	for i, s := range life.Stays {
		if s == nil {
			continue
		}
		if ln := st.lanes[laneAt(life.Queue, i)]; ln != nil {
			if s.open() {
				st.silent(ln)
			}
			ln.Retries += s.Retried
			ln.Closed++
			st.dirty.Lanes[ln.Lane] = true
		}
	}
	if life.runs() > 0 && !life.Before {
		st.markDone(k)
	}
	if life.ended() {
		late := exceptionKey{k, Late}
		if e := st.exceptions[late]; e != nil && e.SettledBy == "" {
			st.settled(now, late, "it ended after all")
		}
	}
	for _, v := range Verdicts {
		if e := (exceptionKey{k, v}); st.exceptions[e] != nil && !st.dirty.exceptions[e] &&
			st.exceptions[e].SettledBy != "" {
			delete(st.exceptions, e) // it is saved, and no judgement can raise it again
		}
	}
	delete(st.lives, k)
	// one that began and ended since the last save never reaches the database
	delete(st.dirty.lives, k)
	if life.saved {
		st.dirty.ended[k] = true
	}
	if len(st.recent) < st.o.Recent {
		st.recent = append(st.recent, life)
		return
	}
	st.recent[st.recentAt] = life
	st.recentAt = (st.recentAt + 1) % len(st.recent)
}

func (st *Streams) raise(now int64, life *Life, v Verdict, detail string) {
	k := exceptionKey{lifeKey{life.Queue, life.Job}, v}
	// What settled one settles it for its life, and for no later one of the same id.
	if e := st.exceptions[k]; e != nil && (e.SettledBy == "" || e.Began == life.Began) {
		return
	}
	runs := life.runs()
	if life.Before {
		runs++
	}
	st.exceptions[k] = &Exception{
		Queue:   life.Queue,
		Job:     life.Job,
		Verdict: v,
		At:      now,
		Detail:  detail,
		Began:   life.Began,
		Before:  life.Before,
		Runs:    runs,
	}
	st.dirty.exception(k)
}

// settle checks whether the record proves by now that no order was harmed.
func (st *Streams) settle(now int64, j Record, told int64) {
	for k, e := range st.exceptions {
		if e.SettledBy != "" || told <= e.At || !covers(j, e.Began) {
			continue
		}
		if e.provenBy(j.Job(e.Queue, e.Job)) {
			st.settled(now, k, "the application's record: it took effect once")
		}
	}
}

// provenBy reports whether a record that covers the life proves that no order was harmed.
// It must know this job of this queue, and of one effect. Where it took effect before this
// life, that one is not this one's; where BullMQ told of several runs, each is accounted
// for, since a run that the record missed may have been a second effect. Nothing proves
// that different data or results did no harm.
func (e *Exception) provenBy(f Facts) bool {
	if !f.Known || f.Canary || f.Applied != 1 {
		return false
	}
	switch e.Verdict {
	case Loss, Late:
		return !e.Before
	case Double, Stray, Ghost:
		return f.Applied+f.Caught >= e.Runs
	}
	return false
}

func (st *Streams) settled(now int64, k exceptionKey, by string) {
	e := st.exceptions[k]
	e.SettledBy, e.SettledAt = by, now
	st.dirty.exception(k)
}
