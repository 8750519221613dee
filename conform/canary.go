package conform

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
)

func (t *trial) send(ctx context.Context, id, queue string) (int, []byte, error) {
	body, err := json.Marshal(map[string]string{"id": id, "queue": queue})
	if err != nil {
		return 0, nil, err
	}
	return t.call(ctx, http.MethodPost, "/switchyard/canary", t.Token.Reveal(), body)
}

func (t *trial) canary(ctx context.Context) (string, error) {
	status, body, err := t.send(ctx, t.id, t.Queue)
	if err != nil {
		return "", err
	}
	if status != http.StatusOK {
		return "", fmt.Errorf("status %d: %.300s", status, body)
	}
	var got struct{ Queue, Side, Endpoint string }
	if err := json.Unmarshal(body, &got); err != nil {
		return "", fmt.Errorf("the answer is no JSON: %.200s", body)
	}
	if got.Queue != t.Queue || got.Side != "source" && got.Side != "target" || got.Endpoint == "" {
		return "", fmt.Errorf("want queue %s, side source or target, and an endpoint: %.300s",
			t.Queue, body)
	}
	t.added = true
	return fmt.Sprintf("added on the %s (%s)", got.Side, got.Endpoint), nil
}

// ofCanary reads on until the canary's events satisfy enough, or patience is over.
func (t *trial) ofCanary(
	ctx context.Context, patience time.Duration, enough func([]ledger.Event) bool,
) ([]ledger.Event, error) {
	from := int64(0)
	if n := len(t.events); n > 0 {
		from = t.events[n-1].Seq
	}
	for until := time.Now().Add(patience); ; {
		raw, events, err := t.read(ctx, from)
		if err != nil {
			return nil, err
		}
		if err := judged(events, raw); err != nil {
			return nil, err
		}
		var own []ledger.Event
		for _, e := range events {
			if e.Order == t.id {
				own = append(own, e)
			}
		}
		if enough(own) || time.Now().After(until) {
			return own, nil
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// kinds counts a canary's events.
func kinds(own []ledger.Event) (delivered, enqueued, ran int) {
	for _, e := range own {
		switch {
		case e.Type == ledger.EventDelivery && e.Canary && e.Status == http.StatusOK:
			delivered++
		case e.Type == ledger.EventEnqueued && e.OK && e.Canary && !e.Shadow:
			enqueued++
		case e.Type == ledger.EventExecuted && e.Outcome == ledger.OutcomeCanary:
			ran++
		}
	}
	return delivered, enqueued, ran
}

func (t *trial) journaled(ctx context.Context) (string, error) {
	if !t.added {
		return "", unjudgedError("no canary was added")
	}
	var err error
	t.own, err = t.ofCanary(ctx, t.Patience, func(own []ledger.Event) bool {
		d, e, r := kinds(own)
		return d > 0 && e > 0 && r > 0
	})
	if err != nil {
		return "", err
	}
	if d, e, r := kinds(t.own); d != 1 || e != 1 || r != 1 {
		return "", fmt.Errorf("%d delivery with status 200, %d enqueued with ok, %d executed with "+
			"outcome canary, of order %s, after %s", d, e, r, t.id, t.Patience)
	}
	for _, e := range t.own {
		if e.Queue != "" && e.Queue != t.Queue {
			return "", fmt.Errorf("event %d is of queue %s", e.Seq, e.Queue)
		}
	}
	return "delivery, enqueued, executed", nil
}

// event gives the canary's event of a type.
func (t *trial) event(kind string) ledger.Event {
	for _, e := range t.own {
		if e.Type == kind {
			return e
		}
	}
	return ledger.Event{}
}

func (t *trial) digest(context.Context) (string, error) {
	added, ran := t.event(ledger.EventEnqueued), t.event(ledger.EventExecuted)
	switch {
	case added.Seq == 0 || ran.Seq == 0:
		return "", unjudgedError("no canary was added and run")
	case added.JobID != ran.JobID:
		return "", fmt.Errorf("job %s was added, and %s was run", added.JobID, ran.JobID)
	case added.Digest == "" || ran.Digest == "":
		return "", errors.New("no digest: of the job's data without its routing stamp")
	case added.Digest != ran.Digest:
		return "", fmt.Errorf("%s was added, and the worker got %s", added.Digest, ran.Digest)
	}
	return added.Digest, nil
}

func (t *trial) times(context.Context) (string, error) {
	if len(t.own) == 0 {
		return "", unjudgedError("no canary was added and run")
	}
	now := time.Now()
	for _, e := range t.own {
		at := time.UnixMilli(e.At)
		if at.Before(t.first.asked.Add(-maxOff)) || at.After(now.Add(maxOff)) {
			return "", fmt.Errorf("event %d has the time %s, and happened between %s and %s", e.Seq,
				at.UTC().Format(time.RFC3339), t.first.asked.UTC().Format(time.RFC3339),
				now.UTC().Format(time.RFC3339))
		}
	}
	return "between the request and now", nil
}

func (t *trial) again(ctx context.Context) (string, error) {
	if _, _, ran := kinds(t.own); ran != 1 {
		return "", unjudgedError("no canary was added and run")
	}
	status, body, err := t.send(ctx, t.id, t.Queue)
	if err != nil {
		return "", err
	}
	if status != http.StatusOK {
		return "", fmt.Errorf("status %d: %.300s", status, body)
	}
	own, err := t.ofCanary(ctx, t.Patience/10, func(own []ledger.Event) bool {
		_, _, ran := kinds(own)
		return ran > 1
	})
	if err != nil {
		return "", err
	}
	if _, _, ran := kinds(own); ran != 1 {
		return "", fmt.Errorf("run %d times: the job id must be made of the event's", ran)
	}
	return "run once", nil
}

// unchanged reports an error if the journal names an order.
func (t *trial) unchanged(ctx context.Context, order string) error {
	_, events, err := t.read(ctx, 0)
	if err != nil {
		return err
	}
	for _, e := range events {
		if e.Order == order {
			return fmt.Errorf("refused, and journaled all the same: event %d", e.Seq)
		}
	}
	return nil
}

func (t *trial) queue(ctx context.Context) (string, error) {
	id := t.id + "_elsewhere"
	status, body, err := t.send(ctx, id, "switchyard-conform-no-such-queue")
	if err != nil {
		return "", err
	}
	if status != http.StatusUnprocessableEntity {
		return "", fmt.Errorf("status %d: %.300s", status, body)
	}
	return "422", t.unchanged(ctx, id)
}

func (t *trial) body(ctx context.Context) (string, error) {
	for _, bad := range []string{"{", `{"id":7}`, `{"queue":"x"}`} {
		status, _, err := t.call(ctx, http.MethodPost, "/switchyard/canary", t.Token.Reveal(),
			[]byte(bad))
		if err != nil {
			return "", err
		}
		if status != http.StatusBadRequest {
			return "", fmt.Errorf("status %d to %s", status, bad)
		}
	}
	return "400", nil
}

func (t *trial) replay(ctx context.Context) (string, error) {
	id := t.id + "_replayed"
	body := fmt.Sprintf(`{"id":%q}`, id)
	status, answer, err := t.call(ctx, http.MethodPost,
		"/switchyard/replay?provider=switchyard-conform", t.Token.Reveal(), []byte(body))
	if err != nil {
		return "", err
	}
	if status != http.StatusBadRequest && status != http.StatusUnprocessableEntity {
		return "", fmt.Errorf("status %d: %.300s", status, answer)
	}
	return fmt.Sprint(status), t.unchanged(ctx, id)
}

func (t *trial) drill(ctx context.Context) (string, error) {
	const open = `{"op":"open","id":"conform","queue":"switchyard-conform-no-such-queue",` +
		`"url":"redis://127.0.0.1:1","intake":false}`
	status, answer, err := t.call(ctx, http.MethodPost, "/switchyard/drill", t.Token.Reveal(),
		[]byte(open))
	switch {
	case err != nil:
		return "", err
	case status == http.StatusNotFound:
		return "", unjudgedError("the app knows no drills: the breaker drill asks for them")
	case status != http.StatusUnprocessableEntity:
		return "", fmt.Errorf("status %d: %.300s", status, answer)
	}
	return "422", nil
}
