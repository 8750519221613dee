// Package live tells open pages that something changed.
//
// The stream says only that; the page then fetches itself again. So a message never holds what
// its reader may not see, losing one loses nothing, and a page that comes back after a pause
// needs no replay: one comparison of marks tells whether it is behind.
//
// A change is told at once, and those that follow within gap as one at its end. What readers have
// been told of bounds how old a page may be that several of them share: see Fresh.
package live

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/migration"
)

const (
	// beatEvery is the heartbeat: it finds dead readers, and ended sessions.
	beatEvery = 10 * time.Second
	// refreshEvery makes pages fetch themselves even when nothing happened: evidence grows
	// stale by itself.
	refreshEvery = 3 // heartbeats
	// gap bounds how often readers are told of a topic, and one reader of anything, to twice
	// a second.
	gap = 500 * time.Millisecond
	// writeTimeout is what a reader may take for the few bytes of a message. One that takes
	// longer is let go and comes back when it can: nothing waits for it, and nothing is kept
	// for it.
	writeTimeout = 10 * time.Second
	maxTopics    = 4
	// atOnce readers are told in the same moment. Where there are more, each is told a little
	// later by chance, eachLater for each of them and at most gap: the pages that all of them
	// fetch then come one after the other instead of waiting in a queue.
	atOnce    = 50
	eachLater = 400 * time.Microsecond
)

var topicPattern = regexp.MustCompile(
	`^(overview|flags|queues|guardrails|notifications|setup|audit|headline|run:[0-9A-Za-z-]{1,64}|` +
		`step:[a-z-]{1,64})$`)

// Headline is the topic that every page shows: a change of it is told to all.
const Headline = "headline"

// Hub tells open streams that a topic changed. Publishing never blocks and never queues: a
// stream is either up to date or behind.
type Hub struct {
	epoch string // of this process: marks of another one mean nothing here
	slow  atomic.Int64

	mu     sync.Mutex
	seq    uint64 // counts changes
	topics map[string]*topic
	subs   map[*subscriber]bool
	closed chan struct{}

	presence presence
}

type topic struct {
	changed uint64 // when it changed last
	told    uint64 // the change that readers may know of
	resting bool   // they were told within gap: what changes now is told at its end
}

type subscriber struct {
	topics []string
	dirty  chan struct{} // holds at most one: behind or not
}

// NewHub returns a hub without streams.
func NewHub() *Hub {
	return &Hub{
		epoch: rand.Text(), topics: map[string]*topic{},
		subs: map[*subscriber]bool{}, closed: make(chan struct{}),
	}
}

// Publish tells every stream of a topic that it changed.
func (h *Hub) Publish(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.topics[name]
	if t == nil {
		t = &topic{}
		h.topics[name] = t
	}
	h.seq++
	t.changed = h.seq
	if !t.resting {
		h.tell(name, t)
	}
}

// tell has every stream of a topic told, and the topic rest. The caller holds the lock.
func (h *Hub) tell(name string, t *topic) {
	t.told, t.resting = t.changed, true
	for sub := range h.subs {
		if slices.Contains(sub.topics, name) {
			sub.wake()
		}
	}
	time.AfterFunc(gap, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if t.resting = false; t.changed > t.told {
			h.tell(name, t)
		}
	})
}

func (sub *subscriber) wake() {
	select {
	case sub.dirty <- struct{}{}:
	default:
	}
}

// Moment is the present, as one may say later what had changed before it.
func (h *Hub) Moment() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.seq
}

// Mark writes a moment as a page remembers it.
func (h *Hub) Mark(moment uint64) string {
	return h.epoch + "-" + strconv.FormatUint(moment, 10)
}

// Fresh reports whether what was read from a moment on holds every change of the topics that a
// reader can know of. It need not hold one that is still to be told: who hears of that will ask
// again.
func (h *Hub) Fresh(topics []string, moment uint64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, name := range topics {
		if t := h.topics[name]; t != nil && t.told > moment {
			return false
		}
	}
	return true
}

// toldMark is the mark of a reader who has just been told of its topics. A change that is still
// to be told is after it, so that a reader who leaves before comes back as one who is behind.
func (h *Hub) toldMark(topics []string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	moment := h.seq
	for _, name := range topics {
		if t := h.topics[name]; t != nil && t.changed > t.told {
			moment = min(moment, t.told)
		}
	}
	return h.Mark(moment)
}

// subscribe starts telling about topics; a stream that is behind since its mark is told at once.
// Its page may show what is still to be told to others, and must never go back behind that.
func (h *Hub) subscribe(topics []string, since string) (*subscriber, func()) {
	sub := &subscriber{topics: topics, dirty: make(chan struct{}, 1)}
	epoch, seq, _ := strings.Cut(since, "-")
	seen, err := strconv.ParseUint(seq, 10, 64)
	h.mu.Lock()
	defer h.mu.Unlock()
	behind := epoch != h.epoch || err != nil
	for _, name := range topics {
		if t := h.topics[name]; t != nil {
			behind = behind || t.changed > seen
			if t.told < t.changed {
				h.tell(name, t)
			}
		}
	}
	if behind {
		sub.wake()
	}
	h.subs[sub] = true
	return sub, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.subs, sub)
	}
}

// Count gives the number of open streams.
func (h *Hub) Count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.subs)
}

// Slow gives how many streams were ended because their reader took nothing any more.
func (h *Hub) Slow() int64 { return h.slow.Load() }

// later is how long to wait before a reader is told: nothing while there are few.
func (h *Hub) later() time.Duration {
	n := h.Count()
	if n <= atOnce {
		return 0
	}
	//nolint:gosec // spreads requests, guards nothing
	return mathrand.N(min(gap, time.Duration(n)*eachLater))
}

// Close ends every stream.
func (h *Hub) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case <-h.closed:
	default:
		close(h.closed)
	}
}

// Serve answers with a stream of the topics that the request names, for as long as its reader
// stays and is allowed.
func (h *Hub) Serve(c *fiber.Ctx, log *slog.Logger, allowed func() bool) error {
	var topics []string
	for _, t := range c.Context().QueryArgs().PeekMulti("topic") {
		topics = append(topics, string(t))
	}
	if len(topics) == 0 || len(topics) > maxTopics {
		return migration.Errorf(migration.Invalid, "give 1 to %d topics", maxTopics)
	}
	for _, t := range topics {
		if !topicPattern.MatchString(t) {
			return migration.Errorf(migration.Invalid, "unknown topic: overview, flags, queues, "+
				"notifications, setup, audit, run:<id> and step:<id> are known")
		}
	}
	if !slices.Contains(topics, Headline) {
		topics = append(topics, Headline)
	}
	since := c.Get("Last-Event-ID", c.Query("since"))
	c.Set(fiber.HeaderContentType, "text/event-stream")
	if c.Method() == fiber.MethodHead {
		return nil
	}
	enter := h.enter(c, topics)
	head := StreamHead(c)
	c.Context().HijackSetNoResponse(true)
	// From here on nothing may touch c: the framework reuses it while the stream goes on. Taking
	// the connection over costs a third of the memory that a body which is written bit by bit does.
	c.Context().Hijack(func(conn net.Conn) {
		if held, ok := conn.(interface{ UnsafeConn() net.Conn }); ok {
			conn = held.UnsafeConn() // without the buffer that the request was read with
		}
		// In a goroutine of its own, so that this one gives back what the request took.
		go func() {
			defer conn.Close()
			defer survive(log)
			sub, done := h.subscribe(topics, since)
			defer done()
			defer enter()()
			stream{hub: h, conn: conn, log: log, allowed: allowed}.run(head, sub)
		}()
	})
	return nil
}

// survive is for goroutines in which a panic would end the process.
func survive(log *slog.Logger) {
	if p := recover(); p != nil {
		log.Error("panic in event stream", "panic", fmt.Sprint(p))
	}
}

// StreamHead is the head of an answer that goes on until its connection ends, with the headers
// set so far. It has neither a length nor chunks.
func StreamHead(c *fiber.Ctx) []byte {
	b := []byte("HTTP/1.1 200 OK\r\nConnection: close\r\nX-Accel-Buffering: no\r\n")
	for k, v := range c.Response().Header.All() {
		if name := string(k); name != fiber.HeaderContentLength && name != fiber.HeaderConnection {
			b = append(append(append(append(b, k...), ": "...), v...), "\r\n"...)
		}
	}
	return append(b, "\r\n"...)
}

// stream is one open event stream.
type stream struct {
	hub     *Hub
	conn    net.Conn
	log     *slog.Logger
	allowed func() bool
	gone    chan struct{} // closed when its reader has left
}

const beatEvent = "event: beat\ndata: {}\n\n"

func (st stream) run(head []byte, sub *subscriber) {
	// A reader who leaves is noticed by reading: writing alone shows it only at the next
	// heartbeat, or never.
	st.gone = make(chan struct{})
	_ = st.conn.SetReadDeadline(time.Time{}) // the server's read timeout is for requests
	go func() {
		defer close(st.gone)
		var b [1]byte
		for {
			if _, err := st.conn.Read(b[:]); err != nil {
				return
			}
		}
	}()
	defer func() {
		_ = st.conn.SetReadDeadline(time.Now())
		<-st.gone
	}()
	if !st.write(string(head) + "retry: 1000\n" + beatEvent) {
		return
	}
	beat := time.NewTicker(beatEvery)
	defer beat.Stop()
	for beats := 1; ; {
		select {
		case <-st.gone:
			return
		case <-st.hub.closed:
			return
		case <-beat.C:
			if !st.stillAllowed() || !st.write(beatEvent) {
				return
			}
			if beats++; beats%refreshEvery == 0 {
				sub.wake()
			}
		case <-sub.dirty:
			if !st.wait(st.hub.later()) ||
				!st.write("id: "+st.hub.toldMark(sub.topics)+"\nevent: update\ndata: {}\n\n") ||
				!st.wait(gap) {
				return
			}
		}
	}
}

// stillAllowed asks in a goroutine of its own: what it takes of stack goes back at once, instead
// of staying with a stream that sleeps.
func (st stream) stillAllowed() bool {
	answer := make(chan bool, 1)
	go func() {
		defer close(answer) // which is a no
		defer survive(st.log)
		answer <- st.allowed()
	}()
	return <-answer
}

// wait reports whether the stream goes on after d.
func (st stream) wait(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-st.gone:
		return false
	case <-st.hub.closed:
		return false
	}
}

func (st stream) write(text string) bool {
	_ = st.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, err := st.conn.Write([]byte(text))
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
		st.hub.slow.Add(1)
	}
	return err == nil
}
