package server

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/migration"
)

// The stream says only that something changed; the page then fetches itself again. So a message never holds what its reader may not see,
// losing one loses nothing, and a page that comes back after a pause needs no replay: one comparison of marks tells whether it is behind.
const (
	// beatEvery is the heartbeat: it finds dead readers, and ended sessions.
	beatEvery = 10 * time.Second
	// refreshEvery makes pages fetch themselves even when nothing happened: evidence grows stale by itself.
	refreshEvery = 3 // heartbeats
	// gap bounds how often one page is told, to 4 times a second.
	gap          = 250 * time.Millisecond
	writeTimeout = 10 * time.Second
	maxTopics    = 4
)

var topicPattern = regexp.MustCompile(`^(overview|flags|queues|notifications|run:[0-9A-Za-z-]{1,64})$`)

// hub tells open streams that a topic changed. Publishing never blocks and never queues: a stream is either up to date or behind.
type hub struct {
	epoch string // of this process: marks of another one mean nothing here

	mu     sync.Mutex
	seq    uint64
	last   map[string]uint64 // topic -> when it changed last
	subs   map[*subscriber]bool
	closed chan struct{}
}

type subscriber struct {
	topics []string
	dirty  chan struct{} // holds at most one: behind or not
}

func newHub() *hub {
	return &hub{epoch: newID(), last: map[string]uint64{}, subs: map[*subscriber]bool{}, closed: make(chan struct{})}
}

func (h *hub) publish(topic string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seq++
	h.last[topic] = h.seq
	for sub := range h.subs {
		for _, t := range sub.topics {
			if t == topic {
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

// mark is the present moment, as a page remembers it.
func (h *hub) mark() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.epoch + "-" + strconv.FormatUint(h.seq, 10)
}

// subscribe starts telling about topics; a stream that is behind since its mark is told at once.
func (h *hub) subscribe(topics []string, since string) (*subscriber, func()) {
	sub := &subscriber{topics: topics, dirty: make(chan struct{}, 1)}
	epoch, seq, _ := strings.Cut(since, "-")
	seen, err := strconv.ParseUint(seq, 10, 64)
	h.mu.Lock()
	defer h.mu.Unlock()
	behind := epoch != h.epoch || err != nil
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

func (h *hub) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.subs)
}

func (h *hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case <-h.closed:
	default:
		close(h.closed)
	}
}

func (s *Server) events(c *fiber.Ctx) error {
	var topics []string
	for _, t := range c.Context().QueryArgs().PeekMulti("topic") {
		topics = append(topics, string(t))
	}
	if len(topics) == 0 || len(topics) > maxTopics {
		return migration.Errorf(migration.Invalid, "give 1 to %d topics", maxTopics)
	}
	for _, t := range topics {
		if !topicPattern.MatchString(t) {
			return migration.Errorf(migration.Invalid, "unknown topic: overview, flags, queues, notifications and run:<id> are known")
		}
	}
	since := c.Get("Last-Event-ID", c.Query("since"))
	c.Set(fiber.HeaderContentType, "text/event-stream")
	c.Set(fiber.HeaderConnection, "close")
	c.Set("X-Accel-Buffering", "no")
	st := stream{server: s, conn: c.Context().Conn(), token: identityOf(c).token}
	// From here on nothing may touch c: the framework reuses it while the stream goes on.
	c.Context().SetBodyStreamWriter(func(w *bufio.Writer) {
		defer func() {
			if p := recover(); p != nil { // here a panic would end the process
				s.log.Error("panic in event stream", "panic", fmt.Sprint(p))
			}
		}()
		sub, done := s.hub.subscribe(topics, since)
		defer done()
		st.run(w, sub)
	})
	return nil
}

// stream is one open event stream.
type stream struct {
	server *Server
	conn   net.Conn
	token  string
}

func (st stream) run(w *bufio.Writer, sub *subscriber) {
	// A reader who leaves is noticed by reading: writing alone shows it only at the next heartbeat, or never.
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
		case <-st.server.hub.closed:
			return
		case <-beat.C:
			if !st.stillSignedIn() || !st.write(w, "event: beat\ndata: {}\n\n") {
				return
			}
			if beats++; beats%refreshEvery == 0 {
				sub.wake()
			}
		case <-sub.dirty:
			if !st.write(w, "id: "+st.server.hub.mark()+"\nevent: update\ndata: {}\n\n") {
				return
			}
			select {
			case <-time.After(gap):
			case <-gone:
				return
			case <-st.server.hub.closed:
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

// stillSignedIn ends the stream of a session that was ended; while the database does not answer, the stream goes on.
func (st stream) stillSignedIn() bool {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_, err := st.server.control.Authenticate(ctx, st.token)
	return migration.KindOf(err) != migration.Unauthenticated || err == nil
}
