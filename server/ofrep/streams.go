package ofrep

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/flags"
	"github.com/switchyard-dev/switchyard/fleet"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/server/live"
	"github.com/switchyard-dev/switchyard/workflows"
)

// The streams of /ofrep/v1/sse (OFREP, ADR-0008) say only that a set has changed; its
// reader then evaluates again. There may be many thousands, nearly always idle, so a stream
// is no goroutine and has no buffer: its connection is taken from the web framework, and
// one goroutine for each set writes to all of them, without ever waiting for one.
const (
	// maxStreamsPerKey bounds the streams that one key may hold open in this process.
	maxStreamsPerKey = 20_000
	// streamShards is how many parts the streams of a set are in: each streamTick one part
	// gets its heartbeat, so every stream does each 15 s.
	streamShards = 15
	streamTick   = time.Second
	// recently is how long a change counts as one that a stream which has just been opened
	// may have missed: between the evaluation that its address is from and its first byte.
	recently = 10 * time.Second
)

// streams are the open streams. Methods are safe for concurrent use.
type streams struct {
	readers workflows.Readers
	secret  []byte
	// sealed stands for the secret in entity tags: addresses that another one has signed are of
	// no use any more.
	sealed string
	log    *slog.Logger
	now    func() time.Time
	tick   time.Duration

	macs sync.Pool // of hash.Hash, keyed with secret

	mu     sync.Mutex
	topics map[string]*topic        // by set
	open   map[string]*atomic.Int64 // streams by key
	done   chan struct{}
	tasks  sync.WaitGroup
}

// newStreams derives the key that signs tickets, so that replicas with the same secret
// agree and a restart keeps them. Without a secret tickets are good for this process only.
func newStreams(readers workflows.Readers, secret migration.Secret, log *slog.Logger) *streams {
	base := []byte(secret.Reveal())
	if len(base) == 0 {
		base = make([]byte, sha256.Size)
		_, _ = rand.Read(base) // never fails, by its documentation
	}
	key, err := hkdf.Key(sha256.New, base, nil, "switchyard: tickets of flag streams", sha256.Size)
	if err != nil { // only for impossible lengths
		panic(err)
	}
	f := &streams{readers: readers, secret: key, log: log, now: time.Now, tick: streamTick,
		topics: map[string]*topic{}, open: map[string]*atomic.Int64{}, done: make(chan struct{})}
	f.sealed = "." + hex.EncodeToString(f.mac(nil, []byte("entity tags"))[:2]) + `"`
	return f
}

func (s *Server) stream(c *fiber.Ctx) error {
	f := s.streams
	t, r, err := f.verify(c.Query("token"))
	if err != nil {
		return err
	}
	c.Locals(readerKey, r)
	if err := s.allow(r); err != nil {
		return err
	}
	count := f.count(r.ID)
	if count.Load() >= maxStreamsPerKey {
		return migration.Errorf(migration.Unavailable, "this key has %d streams open in this "+
			"process, which is the most it may: close some, or evaluate now and then instead",
			maxStreamsPerKey)
	}
	c.Set(fiber.HeaderContentType, "text/event-stream")
	if c.Method() == fiber.MethodHead {
		return nil
	}
	t.who.Key, t.who.KeyID, t.who.Address = r.Name, r.ID, c.IP()
	st := &stream{key: r.ID, count: count, told: -1}
	if id, err := strconv.ParseInt(c.Get("Last-Event-ID"), 10, 64); err == nil && id >= 0 {
		st.told = id
	}
	head := live.StreamHead(c)
	topic := f.topic(r.Set, true)
	c.Context().HijackSetNoResponse(true)
	// From here on nothing may touch c: the framework reuses it while the stream goes on.
	c.Context().Hijack(func(conn net.Conn) {
		defer func() {
			if p := recover(); p != nil { // here a panic would end the process
				f.log.Error("panic in flag stream", "panic", fmt.Sprint(p))
				_ = conn.Close()
			}
		}()
		st.take(conn)
		st.line = f.readers.Fleet.Open(t.who, fleet.ViaSSE)
		count.Add(1)
		topic.join(st, head)
	})
	return nil
}

func (f *streams) count(key string) *atomic.Int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.open[key]
	if n == nil {
		n = &atomic.Int64{}
		f.open[key] = n
	}
	return n
}

// topic gives the streams of a set. It is there from the first address that is handed out,
// so that it knows of every change since. missed says that the caller may hold an address
// from before it, of another process for instance.
func (f *streams) topic(set string, missed bool) *topic {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.topics[set]
	if t != nil {
		return t
	}
	t = &topic{of: f, set: set, watch: f.readers.Flags.Watch(set)}
	for i := range t.shards {
		t.shards[i].streams = map[*stream]bool{}
	}
	held, _ := f.readers.Flags.Held(set)
	t.revision.Store(held.Revision)
	if missed {
		t.changed.Store(f.now().UnixNano())
	}
	f.topics[set] = t
	select {
	case <-f.done:
		t.close()
	default:
		f.tasks.Go(t.run)
	}
	return t
}

// counts gives the number of open streams by set.
func (f *streams) counts() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := map[string]int{}
	for set, t := range f.topics {
		for i := range t.shards {
			n[set] += t.shards[i].len()
		}
	}
	return n
}

// close ends every stream; their readers come back to another process or evaluate now and then.
func (f *streams) close() {
	f.mu.Lock()
	select {
	case <-f.done:
	default:
		close(f.done)
	}
	f.mu.Unlock()
	f.tasks.Wait()
}

// topic is the streams of one set.
type topic struct {
	of       *streams
	set      string
	watch    *flags.Watch
	revision atomic.Int64 // the last one told
	changed  atomic.Int64 // when it changed, Unix nanoseconds; 0: not since the start
	shards   [streamShards]shard
	next     atomic.Uint32 // the shard of the next stream
}

// shard is a part of a topic's streams. A stream is written to only under its shard's lock.
type shard struct {
	mu      sync.Mutex
	streams map[*stream]bool
	closed  bool
}

func (sh *shard) len() int {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return len(sh.streams)
}

func (t *topic) close() {
	t.watch.Close()
	for i := range t.shards {
		t.shards[i].close()
	}
}

func (t *topic) run() {
	defer t.close()
	ticker := time.NewTicker(t.of.tick)
	defer ticker.Stop()
	for i := 0; ; {
		select {
		case <-t.of.done:
			return
		case <-t.watch.C:
			t.tell()
		case <-ticker.C:
			t.shards[i].each(t.stillAllowed(), (*stream).beat)
			i = (i + 1) % streamShards
		}
	}
}

// tell tells every stream of the present revision, and ends those whose key was revoked.
func (t *topic) tell() {
	held, ok := t.of.readers.Flags.Held(t.set)
	if !ok {
		return
	}
	if held.Revision > t.revision.Load() {
		t.changed.Store(t.of.now().UnixNano())
		t.revision.Store(held.Revision)
	}
	event := t.event(held.Revision)
	var parts sync.WaitGroup
	for i := range t.shards {
		parts.Go(func() {
			t.shards[i].each(
				t.stillAllowed(),
				func(st *stream) bool { return st.tell(held.Revision, event) },
			)
		})
	}
	parts.Wait()
}

// stillAllowed tells whose key was not revoked; it looks each key up once. Not knowing keys
// ends no stream.
func (t *topic) stillAllowed() func(key string) bool {
	known := map[string]bool{}
	return func(key string) bool {
		allowed, ok := known[key]
		if !ok {
			_, err := t.of.readers.Flags.Reader(key)
			allowed = err == nil || migration.KindOf(err) != migration.Unauthenticated
			known[key] = allowed
		}
		return allowed
	}
}

// event is the notification of a revision. Its id is the revision, so that a stream which
// comes back can be told at once.
func (t *topic) event(revision int64) []byte {
	data, _ := json.Marshal(struct { // strings and a number
		Type         string `json:"type"`
		ETag         string `json:"etag"`
		LastModified int64  `json:"lastModified"`
	}{"refetchEvaluation", fmt.Sprintf(`"%d"`, revision), t.of.now().Unix()})
	return fmt.Appendf(nil, "id: %d\nevent: message\ndata: %s\n\n", revision, data)
}

// join sends a stream its head, and what it missed, and tells it of changes from then on.
// The shard's lock leaves no gap between the two.
func (t *topic) join(st *stream, head []byte) {
	sh := &t.shards[t.next.Add(1)%streamShards]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	held, _ := t.of.readers.Flags.Held(t.set)
	behind := st.told < held.Revision
	if st.told < 0 { // never told anything: it is behind only when something has just changed
		behind = t.of.now().UnixNano()-t.changed.Load() < int64(recently)
	}
	st.told = max(st.told, held.Revision)
	// The id tells a reader that is cut off before the first event where it was. All come
	// back at different moments.
	//nolint:gosec // spreads reconnections, guards nothing
	b := fmt.Appendf(head, ": switchyard\nretry: %d\nid: %d\n\n", 1000+mathrand.IntN(2000), st.told)
	if behind {
		b = append(b, t.event(held.Revision)...)
	}
	if sh.closed || !st.write(b) {
		st.end()
		return
	}
	st.line.Sent(st.told)
	sh.streams[st] = true
}

// each does something with every stream, and ends those where it fails or whose key was
// revoked.
func (sh *shard) each(allowed func(key string) bool, do func(*stream) bool) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for st := range sh.streams {
		if !allowed(st.key) || !do(st) {
			delete(sh.streams, st)
			st.end()
		}
	}
}

func (sh *shard) close() {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.closed = true
	for st := range sh.streams {
		st.end()
	}
	clear(sh.streams)
}
