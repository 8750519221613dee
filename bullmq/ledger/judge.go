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
	// SettledBy says what proves that no order was harmed, and SettledAt since when
	// (unix ms); "" and 0 while nothing does.
	SettledBy string `json:"settled_by,omitempty"`
	SettledAt int64  `json:"settled_at,omitempty"`
}

type exceptionKey struct {
	lifeKey
	verdict Verdict
}

// Facts is what the journal knows of a job.
type Facts struct {
	Known        bool // there is any record of it
	Acknowledged bool // the provider received a 2xx
	Applied      int  // how many times it took effect
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
	// Job gives the facts of one job: BullMQ counts ids from 1 in every queue.
	Job(queue, id string) Facts
	Since() int64 // unix ms of its first event; 0 while there is none
}

// Judge looks at every life that may have ended or is overdue, and folds those in
// order. A life is only folded once every lane of its queue has been read past it:
// while a server cannot be read, lives stay open. told is the time up to which the
// journal is known; nothing younger is judged by its absence from the journal. now
// is unix ms by the servers' clock, approximately. O(open lives).
func (st *Streams) Judge(now, told int64, j Record) {
	st.mu.Lock()
	defer st.mu.Unlock()
	linger := st.o.Linger.Milliseconds()
	upto := map[string]int64{} // by queue: how far its slowest lane has been read
	for at, ln := range st.lanes {
		if known, ok := upto[at.Queue]; !ok || ln.At < known {
			upto[at.Queue] = ln.At
		}
	}
	for k, life := range st.lives {
		st.judgeMissing(now, life, j, told)
		last := life.last()
		if life.Open() {
			deadline := cmp.Or(st.o.Deadlines[k.queue], st.o.Deadline).Milliseconds()
			if late, since := life.late(now, deadline); late {
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
		if upto[k.queue]-last < linger || told < last+linger/2 {
			continue // another lane may have more to say about it
		}
		st.judge(now, life, j)
		st.close(k, life)
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
		switch {
		case s.Unsure && (f.Applied > 0 || shadow):
			// Its end was among the missed entries; the journal says that it took
			// effect.
		case s.Unsure && told < s.Missing.MS+st.o.Deadline.Milliseconds() && f.Known:
			// it ended while nobody was reading: the journal has until the deadline
			// to say how
			continue
		case shadow:
			st.raise(now, life, Mismatch, fmt.Sprintf(
				"the shadow copy on %s is gone without having run: %s", Places[i], s.Why))
		default:
			st.raise(now, life, Loss,
				fmt.Sprintf("%s on %s, then %s", cmp.Or(s.State, "added"), Places[i], s.Why))
		}
		s.State, s.Missing = gone, nil
		ln.Open--
		ln.silent++
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
	took, harmless, failed, removed, lost := 0, 0, 0, 0, 0
	for i, s := range life.Stays {
		if s == nil || i%2 == 1 {
			continue
		}
		took += s.Completed
		harmless += s.Harmless
		switch s.State {
		case "failed":
			failed++
		case "removed":
			removed++
		case gone:
			lost++ // reported already
		}
	}
	if f.Canary {
		return
	}
	before := 0
	if life.Before {
		before = 1
	}
	if took > 0 && took+before > 1 {
		detail := fmt.Sprintf("completed %d times: %s", took, life.completions())
		if life.Before {
			detail += "; and once before that"
		}
		st.raise(now, life, Double, detail)
	}
	if took+harmless+before == 0 && failed == 0 && removed > 0 && lost == 0 {
		st.raise(now, life, Loss, "removed before it ran: "+life.ends())
	}
	if took+harmless+before == 0 && failed > 0 {
		st.raise(now, life, Late,
			"failed permanently: "+life.ends()+"; it runs again only if somebody retries it")
	}
	if took > 0 && !f.Known && !life.Partial && j.Since() > 0 && j.Since() <= life.first() {
		st.raise(now, life, Ghost, fmt.Sprintf(
			"ran (%s), although the application has no record of it", life.completions()))
	}
	for i, s := range life.Stays {
		if s == nil || s.Added == 0 || !f.Known {
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

// close folds a life. Only what took effect is remembered: a removed job may be
// added again.
func (st *Streams) close(k lifeKey, life *Life) {
	took := false
	for i, s := range life.Stays {
		if s == nil {
			continue
		}
		took = took || i%2 == 0 && s.Completed > 0
		if ln := st.lanes[laneAt(life.Queue, i)]; ln != nil {
			if s.open() {
				ln.Open--
				ln.silent++
			}
			ln.Retries += s.Retried
			ln.Closed++
			st.dirty.Lanes[ln.Lane] = true
		}
	}
	if took && !life.Before {
		st.markDone(k)
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
	if st.exceptions[k] != nil {
		return
	}
	st.exceptions[k] = &Exception{
		Queue:   life.Queue,
		Job:     life.Job,
		Verdict: v,
		At:      now,
		Detail:  detail,
	}
	st.dirty.exception(k)
}

// settle checks whether the journal proves by now that no order was harmed.
func (st *Streams) settle(now int64, j Record, told int64) {
	for k, e := range st.exceptions {
		if e.SettledBy != "" {
			continue
		}
		life := st.lives[k.lifeKey]
		f := j.Job(e.Queue, e.Job)
		switch {
		case e.Verdict == Late && life == nil && told > e.At &&
			(f.Applied > 0 || !f.Known && st.wasDone(k.lifeKey)):
			e.SettledBy = "it ended after all"
		case e.Verdict == Late && f.Applied == 1:
			e.SettledBy = "it took effect after all"
		case e.Verdict == Loss && f.Applied == 1:
			e.SettledBy = "the application's record: it took effect, once"
		case (e.Verdict == Double || e.Verdict == Stray || e.Verdict == Ghost) && f.Known &&
			f.Applied == 1 && told > e.At:
			e.SettledBy = "the application's record: it took effect once"
		default:
			continue
		}
		e.SettledAt = now
		st.dirty.exception(k)
	}
}
