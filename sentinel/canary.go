package sentinel

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/redisconn"
)

const (
	canaryEvery = 5 * time.Millisecond
	// one attempt; a frozen master must not delay the next one
	canaryTimeout = 500 * time.Millisecond
	canaryKeep    = time.Hour // the key expires by itself if we die
)

// canary is a miniature application: through a failover client it adds unique
// members to a set, one after the other, and counts a write as acknowledged once a
// replica has it too (WAIT 1). It remembers what was acknowledged, to look for it
// after a failover.
type canary struct {
	key    string
	client redis.UniversalClient
	stop   context.CancelFunc
	done   chan struct{}

	mu     sync.Mutex
	acked  map[string]struct{}
	times  []time.Time // of each acknowledgement
	failed int
}

func startCanary(ctx context.Context, e redisconn.Endpoint) (*canary, error) {
	client, err := redisconn.Open(e)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	w := &canary{
		key:    "switchyard:canary:" + rand.Text(),
		client: client,
		stop:   stop,
		done:   make(chan struct{}),
		acked:  map[string]struct{}{},
	}
	go w.run(ctx)
	return w, nil
}

func (w *canary) run(ctx context.Context) {
	defer close(w.done)
	tick := time.NewTicker(canaryEvery)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		member := fmt.Sprintf("%08d", n)
		ok := w.write(ctx, member)
		w.mu.Lock()
		if ok {
			w.acked[member] = struct{}{}
			w.times = append(w.times, time.Now())
		} else {
			w.failed++
		}
		w.mu.Unlock()
	}
}

// write is one attempt. Anything but a clear yes is a no: the member may be stored
// all the same, which does not count.
func (w *canary) write(ctx context.Context, member string) bool {
	ctx, cancel := context.WithTimeout(ctx, canaryTimeout)
	defer cancel()
	p := w.client.Pipeline() // SADD and WAIT on one connection
	added := p.SAdd(ctx, w.key, member)
	p.Expire(ctx, w.key, canaryKeep)
	replicas := redis.NewIntCmd(ctx, "wait", 1, (canaryTimeout / 2).Milliseconds())
	_ = p.Process(ctx, replicas)
	if _, err := p.Exec(ctx); err != nil {
		return false
	}
	return added.Val() == 1 && replicas.Val() >= 1
}

// count returns how many writes were acknowledged.
func (w *canary) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.times)
}

// firstAfter returns when the first write after t was acknowledged.
func (w *canary) firstAfter(t time.Time) (time.Time, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, at := range w.times {
		if at.After(t) {
			return at, true
		}
	}
	return time.Time{}, false
}

// longestGap returns the longest time between two acknowledged writes from t on,
// including the last one before t.
func (w *canary) longestGap(t time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	var gap time.Duration
	for i := 1; i < len(w.times); i++ {
		if w.times[i].After(t) {
			gap = max(gap, w.times[i].Sub(w.times[i-1]))
		}
	}
	return gap
}

// finish stops writing, counts the acknowledged members that are missing, and
// deletes the key.
func (w *canary) finish(ctx context.Context) (acknowledged, lost int, err error) {
	w.stop()
	<-w.done
	there, err := w.client.SMembersMap(ctx, w.key).Result()
	if err != nil {
		return 0, 0, fmt.Errorf("count the canary's writes: %w", redisconn.Explain(err))
	}
	for member := range w.acked {
		if _, ok := there[member]; !ok {
			lost++
		}
	}
	if err := w.client.Unlink(ctx, w.key).Err(); err != nil {
		return len(w.acked), lost,
			fmt.Errorf("delete the canary's writes: %w", redisconn.Explain(err))
	}
	return len(w.acked), lost, nil
}

// close ends the canary without counting.
func (w *canary) close() {
	w.stop()
	<-w.done
	_ = w.client.Close()
}
