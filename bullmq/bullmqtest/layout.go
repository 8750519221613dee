package bullmqtest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Writer writes keys as an application's libraries leave them, also under names that they
// accept and nobody should use, and remembers who made each.
type Writer struct {
	C redis.UniversalClient
	// Maker of each key: "prefix:name:" of a BullMQ queue, or the word for whatever else
	// made it.
	Maker map[string]string
}

// NewWriter writes to a server.
func NewWriter(c redis.UniversalClient) *Writer {
	return &Writer{C: c, Maker: map[string]string{}}
}

// Put runs commands on a key unless somebody else made it.
func (w *Writer) Put(t testing.TB, maker, key string, args ...any) bool {
	t.Helper()
	if was, taken := w.Maker[key]; taken && was != maker {
		return false
	}
	command := append([]any{args[0], key}, args[1:]...)
	if err := w.C.Do(context.WithoutCancel(t.Context()), command...).Err(); err != nil {
		t.Fatalf("%v: %v", command, err)
	}
	w.Maker[key] = maker
	return true
}

// Queue writes what BullMQ keeps of a queue besides its jobs. base is "prefix:name:".
func (w *Writer) Queue(t testing.TB, base string) {
	t.Helper()
	w.Put(t, base, base+"meta", "HSET", "opts.maxLenEvents", 10000, "version", "bullmq:6.7.0")
	w.Put(t, base, base+"id", "SET", 1000)
	w.Put(t, base, base+"events", "XADD", "*", "event", "added", "jobId", "1")
	w.Put(t, base, base+"marker", "ZADD", 0, "0")
	w.Put(t, base, base+"pc", "SET", 3)
	w.Put(t, base, base+"stalled-check", "SET", time.Now().UnixMilli(), "PX", 600_000)
	w.Put(t, base, base+"limiter", "SET", 1, "PX", 600_000)
	w.Put(t, base, base+"de:twice", "SET", "1")
	w.Put(t, base, base+"dn:twice", "HSET", "name", "n", "data", "{}", "opts", "{}", "jid", "5")
	w.Put(t, base, base+"metrics:completed", "HSET", "count", 1, "prevTS", 1, "prevCount", 1)
	w.Put(t, base, base+"metrics:completed:data", "LPUSH", 1)
	if w.Put(t, base, base+"repeat:tick", "HSET", "name", "tick", "every", 3000, "ic", 1) {
		next := time.Now().Add(time.Hour).UnixMilli()
		w.Put(t, base, base+"repeat", "ZADD", next, "tick")
		w.Job(t, base, "delayed", fmt.Sprintf("repeat:tick:%d", next))
	}
}

// Job writes a job in a state ("wait", "failed"), with its log.
func (w *Writer) Job(t testing.TB, base, state, id string) {
	t.Helper()
	if !w.Put(t, base, base+id, "HSET", "name", "order", "data", `{"of":"`+base+`"}`, "opts",
		"{}", "timestamp", time.Now().UnixMilli(), "delay", 0, "priority", 0) {
		return
	}
	w.Put(t, base, base+id+":logs", "RPUSH", "looked at")
	if state == "wait" {
		w.Put(t, base, base+state, "LPUSH", id)
	} else {
		w.Put(t, base, base+state, "ZADD", time.Now().Add(time.Hour).UnixMilli()*4096, id)
	}
}

// Flow writes a parent that waits for a child that is done and one that is not.
func (w *Writer) Flow(t testing.TB, base, id string) {
	t.Helper()
	w.Job(t, base, "waiting-children", id)
	w.Job(t, base, "wait", id+"-child")
	w.Put(t, base, base+id+":dependencies", "SADD", base+id+"-child")
	w.Put(t, base, base+id+":processed", "HSET", base+"gone", "{}")
}

// Others writes what is not BullMQ's: an application's own keys, some with names like
// BullMQ's under the queue at base, and queues of Bull 4 and bee-queue.
func (w *Writer) Others(t testing.TB, base string) {
	t.Helper()
	const app = "an application"
	for i := range 20 {
		w.Put(t, app, fmt.Sprintf("user:%d:meta", i), "HSET", "name", "ada", "version", 3)
		w.Put(t, app, fmt.Sprintf("cart:%d:id", i), "SET", i)
		w.Put(t, app, fmt.Sprintf("cart:%d:wait", i), "RPUSH", "milk")
		w.Put(t, app, fmt.Sprintf("shop:%d:events", i), "XADD", "*", "event", "completed")
	}
	w.Put(t, app, base+"lastSeen", "SET", 1)
	w.Put(t, app, base+"stats", "HSET", "n", 1)
	w.Put(t, app, base+"profile", "HSET", "name", "ada", "timestamp", 1)
	w.Put(t, app, base+"9:note", "SET", "x")
	w.Put(t, app, base+"nobody:logs", "RPUSH", "x")
	w.Put(t, app, base+"ranks", "ZADD", 1, "x")
	w.Put(t, app, base+"cache:meta", "HSET", "a", 1)
	w.Put(t, "Bull", "bull:old:id", "SET", 1)
	w.Put(t, "Bull", "bull:old:1", "HSET", "name", "__default__", "data", "{}", "opts", "{}",
		"timestamp", 1, "delay", 0, "priority", 0)
	w.Put(t, "Bull", "bull:old:wait", "LPUSH", "1")
	w.Put(t, "bee-queue", "bq:mail:jobs", "HSET", "1",
		`{"data":{},"options":{"timestamp":1},"status":"created"}`)
	w.Put(t, "bee-queue", "bq:mail:id", "SET", 1)
	w.Put(t, "bee-queue", "bq:mail:waiting", "LPUSH", "1")
}

// HostileNames are "prefix:name:" of queues that BullMQ 3 and 4 accept, of which one could
// be taken for another's, for a key of another's, or for a pattern.
var HostileNames = []string{"bull:orders:", "bull:orders:priority:",
	"bull:orders:priority:high:", "bull:orders:meta:", "bull:orders:wait:", "bull:orders:1:",
	"bull:orders:repeat:", "bull:orders:de:", "bull:orders*:", "bull:orders?:",
	"bull:ord[e]rs:", "bull:{orders}:", "bull:orders:{x}:", "bull:ördérs☃:", "bull:orders::",
	"bull:order:", `bull:orders\:`, "shop:orders:orders:", "bull:orders:delayed:id:"}
