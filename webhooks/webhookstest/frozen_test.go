package webhookstest

import (
	"context"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/webhooks"
)

// A frozen server takes the add, does not answer, and carries it out when it goes on:
// the provider was told 503, and the order is queued.
func TestAnAddThatTimedOutAndWasDoneAllTheSameIsNotDoubledByTheRetry(t *testing.T) {
	t.Parallel()
	timeline := webhooks.NewTimeline(begin)
	server := redistest.Start(t)
	queue := Queue{server.Client()}
	frozen := false
	app := &App{Now: timeline.Now, Secrets: map[string][]migration.Secret{},
		Enqueue: func(ctx context.Context, j Job) error {
			if frozen {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, 100*time.Millisecond)
				defer cancel()
			}
			return queue.Add(ctx, j)
		}}
	// A connection each and the script loaded: an add on a fresh connection would wait
	// for the greeting instead.
	for range 2 {
		if err := queue.Add(t.Context(), Job{ID: "warm"}); err != nil {
			t.Fatal(err)
		}
	}
	web := httptest.NewServer(app)
	defer web.Close()
	var senders []*webhooks.Simulator
	for _, p := range webhooks.Senders() {
		app.Secrets[p.ID] = secretsOf(p.ID)
		s := &webhooks.Simulator{Sender: p, Timeline: timeline,
			Secrets: func(time.Time) []migration.Secret {
				return secretsOf(p.ID)
			},
			Address: func(time.Time) string { return web.URL + "/webhooks/" + p.ID }}
		s.Send([]webhooks.Order{{ID: p.ID + "_1", At: begin}})
		senders = append(senders, s)
	}
	server.Freeze()
	frozen = true
	if err := timeline.Run(t.Context(), begin); err != nil {
		t.Fatal(err)
	}
	server.Thaw()
	frozen = false
	done := 0
	redistest.Eventually(t, 10*time.Second, func() error {
		ids, err := queue.Waiting(t.Context())
		done = len(ids) - 1
		return err
	})
	if err := timeline.Run(t.Context(), begin.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	for _, s := range senders {
		tr := s.Traces()[0]
		if tr.Outcome != webhooks.Delivered || len(tr.Attempts) < 2 ||
			tr.Attempts[0].Status != 503 {
			t.Errorf("%s: %s, %+v", tr.Order.ID, tr.Outcome, tr.Attempts)
		}
	}
	ids, err := queue.Waiting(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, id := range ids {
		seen[id]++
	}
	if len(ids) != len(senders)+1 || len(seen) != len(ids) {
		t.Errorf("queued %v", seen)
	}
	if done < 1 {
		t.Errorf(
			"no add was carried out by the server that was frozen: the test proves nothing")
	}
	t.Logf("%d of %d orders were queued although the provider was told 503", done, len(senders))
}
