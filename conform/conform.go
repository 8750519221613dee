// Package conform drives an app, in whatever language, through the contract of its
// /switchyard/* addresses, and says of each rule whether the app keeps it. It adds canaries, which
// change nothing, to the app's own queue, and nothing else.
//
// The contract is docs/contract.md.
package conform

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
	"github.com/switchyard-dev/switchyard/migration"
)

// Verdict of a rule.
type Verdict string

// Verdicts. A rule is open when one that it builds on is broken, or when there was nothing to
// judge it by.
const (
	Kept   Verdict = "pass"
	Broken Verdict = "FAIL"
	Open   Verdict = "open"
)

// Result is what one rule came to.
type Result struct {
	Rule    string  `json:"rule"`
	Verdict Verdict `json:"verdict"`
	Must    string  `json:"must"` // what the contract asks for
	Said    string  `json:"said"` // what the app did
}

// Options of a trial.
type Options struct {
	URL   string
	Token migration.Secret
	Queue string // that the app adds orders to, without its prefix
	// Patience is how long the app may take to run a canary and to journal it; a tenth of it is
	// how long a second run is waited for. 0: 30 s.
	Patience time.Duration
	HTTP     *http.Client
	Tell     func(Result) // called with each result as it comes; nil: nobody wants them
}

// Bounds of what an app may answer.
const (
	pageSize  = 1000
	maxPages  = 1000
	maxAnswer = 4 << 20
	// maxOff is how far the app's clock may be from ours, beyond the time that the answer took.
	maxOff = 2 * time.Second
)

// Run tries every rule, in an order in which each builds on those before.
func Run(ctx context.Context, o Options) []Result {
	if o.Patience == 0 {
		o.Patience = 30 * time.Second
	}
	if o.HTTP == nil {
		o.HTTP = &http.Client{Timeout: o.Patience}
	}
	form, err := readForm()
	t := &trial{Options: o, form: form, misformed: err, id: "canary_conform_" + strings.ToLower(rand.Text()[:12])}
	t.URL = strings.TrimSuffix(t.URL, "/")
	var out []Result
	for _, r := range rules {
		res := Result{Rule: r.id, Must: r.must, Verdict: Kept}
		said, err := r.try(t, ctx)
		switch {
		case errors.As(err, new(unjudgedError)):
			res.Verdict, said = Open, err.Error()
		case err != nil:
			res.Verdict, said = Broken, err.Error()
		}
		res.Said = said
		out = append(out, res)
		if t.Tell != nil {
			t.Tell(res)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return out
}

// Failed counts the rules that are not kept, and those that are open.
func Failed(all []Result) (broken, open int) {
	for _, r := range all {
		switch r.Verdict {
		case Broken:
			broken++
		case Open:
			open++
		}
	}
	return broken, open
}

// unjudgedError is why a rule is open.
type unjudgedError string

func (n unjudgedError) Error() string { return string(n) }

// trial is an app that is tried.
type trial struct {
	Options
	id      string // of the canary
	first   page   // from the beginning of the journal
	events  []ledger.Event
	raw     []json.RawMessage
	earlier []json.RawMessage // what raw was before the canary
	added   bool              // the canary was acknowledged
	own     []ledger.Event    // of the canary
	form    form
	answers int
	// misformed is the first answer that is not as the document says.
	misformed error
}

// page is an answer of the journal.
type page struct {
	Epoch    string            `json:"epoch"`
	Contract int               `json:"contract"`
	Instance string            `json:"instance"`
	Next     *int64            `json:"next"`
	Now      int64             `json:"now"`
	Events   []json.RawMessage `json:"events"`

	asked, answered time.Time
}

// call sends a request, and gives the answer's status and body.
func (t *trial) call(
	ctx context.Context, method, path, token string, body []byte,
) (status int, answer []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, method, t.URL+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := t.HTTP.Do(req)
	if err != nil {
		return 0, nil, fmt.Errorf("%s %s: no answer: %w", method, path, err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return 0, nil, fmt.Errorf("%s %s: the answer breaks off: %w", method, path, err)
	}
	if len(answer) > maxAnswer {
		return 0, nil, fmt.Errorf("%s %s: the answer is longer than 4 MiB", method, path)
	}
	t.answers++
	if err := t.form.judge(method, path, resp.StatusCode, answer); err != nil && t.misformed == nil {
		t.misformed = err
	}
	return resp.StatusCode, answer, nil
}

// journal reads a page.
func (t *trial) journal(ctx context.Context, query url.Values) (page, error) {
	p := page{asked: time.Now()}
	path := "/switchyard/journal?" + query.Encode()
	status, body, err := t.call(ctx, http.MethodGet, path, t.Token.Reveal(), nil)
	p.answered = time.Now()
	if err != nil {
		return p, err
	}
	if status != http.StatusOK {
		return p, fmt.Errorf("GET %s: status %d, want 200: %.200s", path, status, body)
	}
	if err := json.Unmarshal(body, &p); err != nil {
		return p, fmt.Errorf("GET %s: no page of a journal: %w", path, err)
	}
	return p, nil
}

func after(n int64, limit int) url.Values {
	return url.Values{"after": {strconv.FormatInt(n, 10)}, "limit": {strconv.Itoa(limit)}}
}

// read goes through the journal from an event on, and gives its events.
func (t *trial) read(ctx context.Context, from int64) ([]json.RawMessage, []ledger.Event, error) {
	var raw []json.RawMessage
	var events []ledger.Event
	for range maxPages {
		p, err := t.journal(ctx, after(from, pageSize))
		if err != nil {
			return nil, nil, err
		}
		if p.Next == nil {
			return nil, nil, errors.New("a page has no next")
		}
		if len(p.Events) == 0 {
			return raw, events, nil
		}
		for _, one := range p.Events {
			var e ledger.Event
			if err := json.Unmarshal(one, &e); err != nil {
				return nil, nil, fmt.Errorf("behind event %d: no event: %.120s", from, one)
			}
			if e.Seq != from+1 {
				return nil, nil, fmt.Errorf("event %d comes behind event %d", e.Seq, from)
			}
			from = e.Seq
			raw, events = append(raw, one), append(events, e)
		}
		if *p.Next != from {
			return nil, nil, fmt.Errorf("next is %d behind event %d", *p.Next, from)
		}
	}
	return nil, nil, fmt.Errorf("the journal does not end within %d pages", maxPages)
}
