// Package live tells open pages that something changed.
//
// The stream says only that; the page then fetches itself again. So a message never holds what
// its reader may not see, losing one loses nothing, and a page that comes back after a pause
// needs no replay: one comparison of marks tells whether it is behind.
package live

import (
	"bufio"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"strconv"
	"strings"
	"sync"
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
	// gap bounds how often one page is told, to 4 times a second.
	gap          = 250 * time.Millisecond
	writeTimeout = 10 * time.Second
	maxTopics    = 4
)

var topicPattern = regexp.MustCompile(
	`^(overview|flags|queues|notifications|setup|audit|headline|run:[0-9A-Za-z-]{1,64}|` +
		`step:[a-z-]{1,64})$`)

// Headline is the topic that every page shows: a change of it is told to all.
const Headline = "headline"

// Hub tells open streams that a topic changed. Publishing never blocks and never queues: a
// stream is either up to date or behind.
type Hub struct {
	epoch string // of this process: marks of another one mean nothing here

	mu     sync.Mutex
	seq    uint64
	last   map[string]uint64 // topic -> when it changed last
	subs   map[*subscriber]bool
	closed chan struct{}

	presence presence
}

type subscriber struct {
	topics []string
	dirty  chan struct{} // holds at most one: behind or not
}

// NewHub returns a hub without streams.
func NewHub() *Hub {
	return &Hub{
		epoch: rand.Text(), last: map[string]uint64{},
		subs: map[*subscriber]bool{}, closed: make(chan struct{}),
	}
}

// Publish tells every stream of a topic that it changed.
func (h *Hub) Publish(topic string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seq++
	h.last[topic] = h.seq
	for sub := range h.subs {
		for _, t := range sub.topics {
			if t == topic || topic == Headline {
				sub.wake()
			}
		}
	}
}

func (sub *subscriber) wake() {
	select {
	case sub.dirty <- struct{}{}:
	default:
	}
}

// Mark is the present moment, as a page remembers it.
func (h *Hub) Mark() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.epoch + "-" + strconv.FormatUint(h.seq, 10)
}

// subscribe starts telling about topics; a stream that is behind since its mark is told at once.
func (h *Hub) subscribe(topics []string, since string) (*subscriber, func()) {
	sub := &subscriber{topics: topics, dirty: make(chan struct{}, 1)}
	epoch, seq, _ := strings.Cut(since, "-")
	seen, err := strconv.ParseUint(seq, 10, 64)
	h.mu.Lock()
	defer h.mu.Unlock()
	behind := epoch != h.epoch || err != nil || h.last[Headline] > seen
	for _, t := range topics {
		behind = behind || h.last[t] > seen
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
	since := c.Get("Last-Event-ID", c.Query("since"))
	c.Set(fiber.HeaderContentType, "text/event-stream")
	c.Set(fiber.HeaderConnection, "close")
	c.Set("X-Accel-Buffering", "no")
	enter := h.enter(c, topics)
	st := stream{hub: h, conn: c.Context().Conn(), allowed: allowed}
	// From here on nothing may touch c: the framework reuses it while the stream goes on.
	c.Context().SetBodyStreamWriter(func(w *bufio.Writer) {
		defer func() {
			if p := recover(); p != nil { // here a panic would end the process
				log.Error("panic in event stream", "panic", fmt.Sprint(p))
			}
		}()
		sub, done := h.subscribe(topics, since)
		defer done()
		defer enter()()
		st.run(w, sub)
	})
	return nil
}

// stream is one open event stream.
type stream struct {
	hub     *Hub
	conn    net.Conn
	allowed func() bool
}

func (st stream) run(w *bufio.Writer, sub *subscriber) {
	// A reader who leaves is noticed by reading: writing alone shows it only at the next
	// heartbeat, or never.
	gone := make(chan struct{})
	_ = st.conn.SetReadDeadline(time.Time{}) // the server's read timeout is for requests
	go func() {
		defer close(gone)
		var b [1]byte
		for {
			if _, err := st.conn.Read(b[:]); err != nil {
				return
			}
		}
	}()
	defer func() {
		_ = st.conn.SetReadDeadline(time.Now())
		<-gone
	}()
	// Headers leave with the first write.
	if !st.write(w, "retry: 1000\nevent: beat\ndata: {}\n\n") {
		return
	}
	beat := time.NewTicker(beatEvery)
	defer beat.Stop()
	for beats := 1; ; {
		select {
		case <-gone:
			return
		case <-st.hub.closed:
			return
		case <-beat.C:
			if !st.allowed() || !st.write(w, "event: beat\ndata: {}\n\n") {
				return
			}
			if beats++; beats%refreshEvery == 0 {
				sub.wake()
			}
		case <-sub.dirty:
			if !st.write(w, "id: "+st.hub.Mark()+"\nevent: update\ndata: {}\n\n") {
				return
			}
			select {
			case <-time.After(gap):
			case <-gone:
				return
			case <-st.hub.closed:
				return
			}
		}
	}
}

func (st stream) write(w *bufio.Writer, text string) bool {
	_ = st.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, err := w.WriteString(text)
	return err == nil && w.Flush() == nil
}
