// Package ledger accounts for every order by id over both sides: from what the
// application promised and did (its journal, see Orders), and from what BullMQ itself
// says happened (the events streams of both servers, see Ledger). Neither is believed
// alone: the journal does not see what an application that has crashed no longer told,
// the streams do not see what a payment provider was promised.
//
// Everything is folded as it arrives. What has come to its end and is in order becomes
// counters, a digest and eight bytes that recognise the job if it should ever run
// again; what is not in order keeps its id for good.
package ledger

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Verdict is what is wrong with a job, or worth knowing.
type Verdict string

// The verdicts. Loss and Double are red until they are settled.
const (
	// added, not ended, and its server has not got it any more, or has its id without
	// the job
	Loss   Verdict = "loss"
	Double Verdict = "double" // took effect twice
	Stray  Verdict = "stray"  // added on a side to which the application did not send it
	Ghost  Verdict = "ghost"  // ran, although the application has no record of it
	// run and shadow run came to different results, or a worker got other data than was
	// sent
	Mismatch Verdict = "mismatch"
	Late     Verdict = "late" // not ended within the deadline
)

// Verdicts lists them, the worst first.
var Verdicts = []Verdict{Loss, Double, Mismatch, Stray, Ghost, Late}

// Exception is one thing that is wrong with one job. It is kept for good, settled or not.
type Exception struct {
	Queue   string  `json:"queue"`
	Job     string  `json:"job"`
	Verdict Verdict `json:"verdict"`
	At      int64   `json:"at"` // unix ms, when it was found
	Detail  string  `json:"detail"`
	// SettledBy says what shows that no order came to harm, and SettledAt when (unix
	// ms); "" and 0 while nothing does.
	SettledBy string `json:"settled_by,omitempty"`
	SettledAt int64  `json:"settled_at,omitempty"`
}

// Options of a ledger. The zero value of a field takes the default in brackets.
type Options struct {
	Deadline time.Duration // within which an order has to end [5 min]
	// Deadlines are those of single queues, by Lane.Queue.
	Deadlines map[string]time.Duration
	// how long after its last event a life may still get news before it is judged and
	// folded [10 s]
	Linger time.Duration
	// lives that may be open at once; more make windows inconclusive [200,000]
	Open int
	// ended lives that are recognised when they come again, at least; twice as many at
	// most [500,000]
	Done   int
	Recent int // ended lives that are kept whole [20,000]
}

func (o Options) withDefaults() Options {
	o.Deadline = cmp.Or(o.Deadline, 5*time.Minute)
	o.Linger = cmp.Or(o.Linger, 10*time.Second)
	o.Open = cmp.Or(o.Open, 200_000)
	o.Done = cmp.Or(o.Done, 500_000)
	o.Recent = cmp.Or(o.Recent, 20_000)
	return o
}

// Stay is what one lane saw of one job. Times are unix ms by that server's clock.
type Stay struct {
	// State is of the last event: waiting, active, delayed, waiting-children; or its
	// end: completed, failed, removed; gone without a word; released with its server.
	State   string `json:"state"`
	At      int64  `json:"at"` // of the last event
	AddedAt int64  `json:"added_at,omitempty"`
	Due     int64  `json:"due,omitempty"` // while delayed
	Added   int    `json:"added,omitempty"`
	Active  int    `json:"active,omitempty"` // attempts begun
	// completions that were to take effect: all but those whose outcome says otherwise
	Completed int `json:"completed,omitempty"`
	// completions whose outcome says that nothing was done, see Outcome…
	Harmless int `json:"harmless,omitempty"`
	// moved to failed, for good unless somebody retries
	Failed  int    `json:"failed,omitempty"`
	Retried int    `json:"retried,omitempty"` // attempts after the first
	Stalled int    `json:"stalled,omitempty"`
	Result  string `json:"result,omitempty"`
	// Unsure: entries were missed while the job was here, so State may be old.
	Unsure bool `json:"unsure,omitempty"`
	// Missing is the stream's end at a moment when the server had not got the job as it
	// should; what the stream says up to there decides.
	Missing *Position `json:"missing,omitempty"`
	Why     string    `json:"why,omitempty"` // of Missing
}

func (s *Stay) open() bool {
	if s == nil {
		return false
	}
	switch s.State {
	case "completed", "failed", "removed", gone, "released":
		return false
	}
	return true
}

// Life is everything the streams said of one job: a stay for each lane it was in, by
// Lane.place.
type Life struct {
	Queue string `json:"queue"`
	Job   string `json:"job"`
	// a job of this id took effect before this life began
	Before bool `json:"before,omitempty"`
	// Partial: it was met without an "added", so what was before is not known; or it
	// was moved here.
	Partial bool     `json:"partial,omitempty"`
	Stays   [4]*Stay `json:"stays"` // source, source shadow, target, target shadow
	saved   bool
}

// Places names the stays of a life.
var Places = [4]string{"source", "source (shadow)", "target", "target (shadow)"}

// Open reports whether any of its stays has not ended.
func (l *Life) Open() bool { return slices.ContainsFunc(l.Stays[:], (*Stay).open) }

// copiesOnly: what is open are shadow copies. They may wait for ever where no worker
// runs them, and must not keep the rest from being judged.
func (l *Life) copiesOnly() bool { return !l.Stays[0].open() && !l.Stays[2].open() }

// first is when it was added, as far as that is known.
func (l *Life) first() (at int64) {
	for _, s := range l.Stays {
		if s != nil && s.AddedAt != 0 && (at == 0 || s.AddedAt < at) {
			at = s.AddedAt
		}
	}
	return at
}

func (l *Life) last() (at int64) {
	for _, s := range l.Stays {
		if s != nil {
			at = max(at, s.At)
		}
	}
	return at
}

// gone is the state of a stay that ended without an entry.
const gone = "gone"

type lifeKey struct{ queue, job string }

// Streams folds both sides' streams. It is safe for concurrent use.
type Streams struct {
	mu    sync.Mutex
	o     Options
	lives map[lifeKey]*Life
	lanes map[Lane]*lane
	// done are hashes of ended jobs that took effect, in two generations: when the
	// younger is full, the older is forgotten.
	done, older map[uint64]struct{}
	recent      []*Life // a ring
	recentAt    int
	exceptions  map[exceptionKey]*Exception // not settled, or not saved yet
	dirty       changes
}

type exceptionKey struct {
	lifeKey
	verdict Verdict
}

// NewStreams makes an empty ledger.
func NewStreams(o Options) *Streams {
	return &Streams{o: o.withDefaults(), lives: map[lifeKey]*Life{}, lanes: map[Lane]*lane{},
		done: map[uint64]struct{}{}, older: map[uint64]struct{}{},
		exceptions: map[exceptionKey]*Exception{}, dirty: newChanges()}
}

// hash recognises a job. It is stable over restarts, since it is kept in the database.
func hash(k lifeKey) uint64 {
	// FNV-1a, 64 bits, over length, queue and job, so that no two pairs are the same
	// bytes.
	const prime = 1099511628211
	h := uint64(14695981039346656037)
	for _, s := range [2]string{k.queue, k.job} {
		var n [4]byte
		binary.LittleEndian.PutUint32(n[:], uint32(len(s)))
		for _, b := range n {
			h = (h ^ uint64(b)) * prime
		}
		for i := range len(s) {
			h = (h ^ uint64(s[i])) * prime
		}
	}
	return h
}

func (l *Streams) wasDone(k lifeKey) bool {
	h := hash(k)
	if _, ok := l.done[h]; ok {
		return true
	}
	_, ok := l.older[h]
	return ok
}

func (l *Streams) markDone(k lifeKey) {
	if len(l.done) >= l.o.Done {
		l.done, l.older = map[uint64]struct{}{}, l.done
	}
	h := hash(k)
	l.done[h] = struct{}{}
	l.dirty.Done = append(l.dirty.Done, h)
}

// fold takes one entry of a lane in. The caller holds the lock.
func (l *Streams) fold(at Lane, ln *lane, e Entry) {
	ln.note(e)
	if e.Job == "" {
		return
	}
	state := e.Event
	switch e.Event {
	case "added":
		state = "waiting"
	case "waiting", "active", "delayed", "waiting-children", "completed", "failed", "removed",
		"stalled", "prioritized":
	default:
		// progress, duplicated, deduplicated, debounced, retries-exhausted: the job
		// stays where it is
		return
	}
	k := lifeKey{at.Queue, e.Job}
	life := l.lives[k]
	if life == nil {
		if e.Event == "removed" || e.Event == "stalled" {
			// of a job that ended before, mostly: completed jobs are removed by hand or
			// by the app
			return
		}
		if len(l.lives) >= l.o.Open {
			ln.overflow++
			return
		}
		life = &Life{Queue: at.Queue, Job: e.Job, Before: l.wasDone(k)}
		l.lives[k] = life
	}
	l.dirty.life(k)
	place := at.place()
	s := life.Stays[place]
	fresh := s == nil
	if fresh {
		s = &Stay{}
		life.Stays[place] = s
	}
	was := !fresh && s.open()
	s.step(e, state)
	life.Partial = life.Partial || fresh && e.Event != "added"
	switch is := s.open(); {
	case is && !was:
		ln.Open++
		if e.Event != "added" {
			// it came into the queue before it was watched, was moved here, or is
			// retried by hand
			ln.arrivals++
		}
	case was && !is:
		ln.Open--
	case !was && !is && fresh:
		ln.arrivals++ // it was there, unknown, and has ended
	}
}

// step moves a stay on by an entry.
func (s *Stay) step(e Entry, state string) {
	if e.Event == "stalled" {
		s.Stalled++
		s.At = e.At.MS
		return
	}
	if state == "removed" && !s.open() && s.State != "" {
		return // its end was seen: what is removed is history
	}
	s.State, s.At, s.Due, s.Unsure = state, e.At.MS, e.Due, false
	s.Missing, s.Why = nil, ""
	switch e.Event {
	case "added":
		s.Added++
		s.AddedAt = cmp.Or(s.AddedAt, e.At.MS)
	case "active":
		if s.Active > 0 {
			s.Retried++
		}
		s.Active++
	case "completed":
		switch e.Outcome {
		case OutcomeSuppressed, OutcomeCompared, OutcomeMisrouted, OutcomeCanary:
			s.Harmless++
		default:
			s.Completed++
		}
		s.Result = cmp.Or(s.Result, e.Result)
	case "failed":
		s.Failed++
	}
}

// Facts is what the journal knows of a job.
type Facts struct {
	Known        bool // there is any record of it
	Acknowledged bool // the provider was answered 2xx
	Applied      int  // how often it took effect
	Canary       bool
	// Sent are the places, as in Life.Stays, to which an add was tried; one that failed
	// may have landed all the same. All false: not known any more.
	Sent [4]bool
	// Different says which data differ, see Event.Digest; "" when none do or nothing is
	// told.
	Different string
}

// Record is what the streams ask of what the application says; Journal is one.
type Record interface {
	Job(id string) Facts
	Since() int64 // unix ms of its first event; 0 while there is none
}

// Judge looks at every life that may have come to its end, or is overdue, and folds
// what is in order. Nothing is folded that any lane of its queue was not read beyond:
// while a server cannot be read, lives stay open. told is up to when the journal is
// known: nothing younger is judged by what it does not hold. now is unix ms by the
// servers' clock, or near it. O(open lives).
func (l *Streams) Judge(now, told int64, j Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	linger := l.o.Linger.Milliseconds()
	upto := map[string]int64{} // by queue: when the lane that was read the least far was
	for at, ln := range l.lanes {
		if known, ok := upto[at.Queue]; !ok || ln.At < known {
			upto[at.Queue] = ln.At
		}
	}
	for k, life := range l.lives {
		l.judgeMissing(now, life, j, told)
		last := life.last()
		if life.Open() {
			deadline := cmp.Or(l.o.Deadlines[k.queue], l.o.Deadline).Milliseconds()
			if late, since := life.late(now, deadline); late {
				l.raise(now, life, Late,
					fmt.Sprintf("not ended %s after it was added or due, the limit is %s: %s",
						(time.Duration(now-since)*time.Millisecond).Round(time.Second),
						time.Duration(deadline)*time.Millisecond, life.where()))
			}
			if !life.copiesOnly() || now-last < deadline {
				continue
			}
		}
		if upto[k.queue]-last < linger || told < last+linger/2 {
			continue // what another lane says of it may not be read yet
		}
		l.judge(now, life, j)
		l.close(k, life)
	}
	l.settle(now, j, told)
}

// late: an open stay whose job should have ended, by when it was added or, if it was
// delayed, by when it was due.
func (life *Life) late(now, deadline int64) (bool, int64) {
	for i, s := range life.Stays {
		if i%2 == 1 || !s.open() {
			continue
		}
		since := max(cmp.Or(s.AddedAt, s.At), s.Due)
		if now-since > deadline {
			return true, since
		}
	}
	return false, 0
}

func (life *Life) where() string {
	out := ""
	for i, s := range life.Stays {
		if s.open() {
			out += fmt.Sprintf("%s on %s; ", s.State, Places[i])
		}
	}
	return cmp.Or(trim(out), "nowhere open")
}

func trim(s string) string {
	if len(s) > 2 {
		return s[:len(s)-2]
	}
	return s
}

// judgeMissing decides on stays that their server has not got: once the stream was read
// past that moment and has told no end, there is none.
func (l *Streams) judgeMissing(now int64, life *Life, j Record, told int64) {
	for i, s := range life.Stays {
		if !s.open() || s.Missing == nil {
			continue
		}
		ln := l.lanes[laneAt(life.Queue, i)]
		if ln == nil || ln.Upto.Before(*s.Missing) {
			continue
		}
		shadow := i%2 == 1
		f := j.Job(life.Job)
		switch {
		case s.Unsure && (f.Applied > 0 || shadow):
			// Its end was among the entries that were missed; the journal says that it
			// took effect.
		case s.Unsure && told < s.Missing.MS+l.o.Deadline.Milliseconds() && f.Known:
			// it ended while nobody looked: the journal has until the deadline to say
			// how
			continue
		case shadow:
			l.raise(now, life, Mismatch, fmt.Sprintf(
				"the shadow copy on %s is gone without having run: %s", Places[i], s.Why))
		default:
			l.raise(now, life, Loss,
				fmt.Sprintf("%s on %s, then %s", cmp.Or(s.State, "added"), Places[i], s.Why))
		}
		s.State, s.Missing = gone, nil
		ln.Open--
		ln.silent++
		l.dirty.life(lifeKey{life.Queue, life.Job})
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
func (l *Streams) judge(now int64, life *Life, j Record) {
	f := j.Job(life.Job)
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
			lost++ // said already
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
			detail += "; and once before, in a life that was closed"
		}
		l.raise(now, life, Double, detail)
	}
	if took+harmless+before == 0 && failed == 0 && removed > 0 && lost == 0 {
		l.raise(now, life, Loss, "removed before it ran: "+life.ends())
	}
	if took+harmless+before == 0 && failed > 0 {
		l.raise(now, life, Late,
			"failed for good: "+life.ends()+"; it runs when somebody retries it")
	}
	if took > 0 && !f.Known && !life.Partial && j.Since() > 0 && j.Since() <= life.first() {
		l.raise(now, life, Ghost, fmt.Sprintf(
			"ran (%s), although the application has no record of it", life.completions()))
	}
	for i, s := range life.Stays {
		if s == nil || s.Added == 0 || !f.Known {
			continue
		}
		if f.Sent != [4]bool{} && !f.Sent[i] {
			l.raise(now, life, Stray,
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
		l.raise(now, life, Mismatch, different)
	}
}

func (life *Life) completions() string {
	out := ""
	for i, s := range life.Stays {
		if s != nil && i%2 == 0 && s.Completed > 0 {
			out += fmt.Sprintf("%d on %s; ", s.Completed, Places[i])
		}
	}
	return trim(out)
}

func (life *Life) ends() string {
	out := ""
	for i, s := range life.Stays {
		if s != nil {
			out += fmt.Sprintf("%s on %s; ", s.State, Places[i])
		}
	}
	return trim(out)
}

func (life *Life) results() (real, shadow string, differ bool) {
	for i, s := range life.Stays {
		if s == nil || s.Result == "" {
			continue
		}
		if i%2 == 1 {
			shadow = cmp.Or(shadow, s.Result)
		} else {
			real = cmp.Or(real, s.Result)
		}
	}
	return real, shadow, real != "" && shadow != "" && real != shadow
}

// close folds a life. Only what took effect is remembered: a job that was removed may
// be added again.
func (l *Streams) close(k lifeKey, life *Life) {
	took := false
	for i, s := range life.Stays {
		if s == nil {
			continue
		}
		took = took || i%2 == 0 && s.Completed > 0
		if ln := l.lanes[laneAt(life.Queue, i)]; ln != nil {
			if s.open() {
				ln.Open--
				ln.silent++
			}
			ln.Retries += s.Retried
			ln.Closed++
			l.dirty.Lanes[ln.Lane] = true
		}
	}
	if took && !life.Before {
		l.markDone(k)
	}
	delete(l.lives, k)
	// one that began and ended since the last save never touches the database
	delete(l.dirty.lives, k)
	if life.saved {
		l.dirty.ended[k] = true
	}
	if len(l.recent) < l.o.Recent {
		l.recent = append(l.recent, life)
		return
	}
	l.recent[l.recentAt] = life
	l.recentAt = (l.recentAt + 1) % len(l.recent)
}

func (l *Streams) raise(now int64, life *Life, v Verdict, detail string) {
	k := exceptionKey{lifeKey{life.Queue, life.Job}, v}
	if l.exceptions[k] != nil {
		return
	}
	l.exceptions[k] = &Exception{
		Queue:   life.Queue,
		Job:     life.Job,
		Verdict: v,
		At:      now,
		Detail:  detail,
	}
	l.dirty.exception(k)
}

// settle looks whether the journal shows by now that an order came to no harm.
func (l *Streams) settle(now int64, j Record, told int64) {
	for k, e := range l.exceptions {
		if e.SettledBy != "" {
			continue
		}
		life := l.lives[k.lifeKey]
		f := j.Job(e.Job)
		switch {
		case e.Verdict == Late && life == nil && told > e.At &&
			(f.Applied > 0 || !f.Known && l.wasDone(k.lifeKey)):
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
		l.dirty.exception(k)
	}
}

// Find gives what is known of a job of any queue: its life while it is open or recent,
// its exceptions that are not settled, and whether a job of that id is known to have
// taken effect.
func (l *Streams) Find(job string) (lives []Life, done bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	queues := map[string]bool{}
	for at := range l.lanes {
		queues[at.Queue] = true
	}
	for q := range queues {
		k := lifeKey{q, job}
		done = done || l.wasDone(k)
		if life := l.lives[k]; life != nil {
			lives = append(lives, life.copy())
		}
	}
	for _, life := range l.recent {
		if life.Job == job {
			lives = append(lives, life.copy())
		}
	}
	return lives, done
}

func (life *Life) copy() Life {
	out := *life
	for i, s := range life.Stays {
		if s != nil {
			c := *s
			out.Stays[i] = &c
		}
	}
	return out
}

// Overdue gives up to n jobs of a lane that have been open for longer than grace
// without news, those first that were not looked at for longest: whoever watches the
// lane looks at them on the server and tells Seen.
func (l *Streams) Overdue(at Lane, now int64, grace time.Duration, n int) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	ln := l.lanes[at]
	if ln == nil {
		return nil
	}
	place := at.place()
	type due struct {
		job  string
		when int64
	}
	var found []due
	for k, life := range l.lives {
		s := life.Stays[place]
		if k.queue != at.Queue || !s.open() || now-s.At < grace.Milliseconds() && !s.Unsure ||
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

// Look is what a server has of a job at one moment.
type Look struct {
	Hash  bool     // the job itself
	State string   // the list that holds its id; "" none
	End   Position // of the stream at that moment
}

// Seen tells what a lane's server has of a job. A job that is not there as it should be
// is missing from then on: Judge decides when the stream was read up to that moment.
func (l *Streams) Seen(at Lane, job string, now int64, look Look) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ln, life := l.lanes[at], l.lives[lifeKey{at.Queue, job}]
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
		s.State, s.Unsure = look.State, false // its end was missed, and is seen here
		if look.State == "completed" {
			s.Completed++
		}
		ln.Open--
		ln.silent++
	case look.Hash && look.State != "":
		if s.Unsure && look.State != "completed" && look.State != "failed" {
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
	l.dirty.life(lifeKey{at.Queue, job})
}
