package sentineltest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/ingestion"
	"github.com/switchyard-dev/switchyard/workflows/environment"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

func TestProbeTellsWhenTheAppTookJobsAgain(t *testing.T) {
	t.Parallel()
	start := time.Unix(1000, 0)
	at := func(sentMS, answeredMS int, ok bool) probed {
		return probed{"", "orders", start.Add(time.Duration(sentMS) * time.Millisecond), start.Add(time.Duration(answeredMS) * time.Millisecond), ok}
	}
	of := func(queue string, seen ...probed) []probed {
		for i := range seen {
			seen[i].queue = queue
		}
		return seen
	}
	refunds := func(seen ...probed) []probed { return append(of("refunds", seen...), at(0, 10, true)) }
	for _, tc := range []struct {
		rule string
		seen []probed
		want migration.Figure
	}{
		{"never interrupted", []probed{at(-50, -40, true), at(50, 60, true), at(160, 170, true)}, migration.Measured(0)},
		{"refused, then accepted", []probed{at(50, 60, true), at(160, 170, false), at(270, 280, false), at(900, 950, true), at(1000, 1010, true)}, migration.Measured(950)},
		{"a refusal before the start does not count", []probed{at(-50, -40, false), at(50, 60, true)}, migration.Measured(0)},
		{"one that was left waiting counts without a refusal", []probed{at(50, 60, true), at(160, 4200, true)}, migration.Measured(4200)},
		{"refused to the end", []probed{at(50, 60, true), at(160, 170, false)}, migration.AtLeast(170)},
		{"no answer at all", nil, migration.Figure{}},
		{"interrupted twice counts to the second return", []probed{at(10, 20, false), at(30, 40, true), at(50, 60, false), at(70, 80, true)}, migration.Measured(80)},
		{"the queue that is back last counts", refunds(at(50, 60, false), at(900, 950, true)), migration.Measured(950)},
		{"one queue is not taken again", refunds(at(50, 60, true), at(160, 170, false)), migration.AtLeast(170)},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			p := &probe{queues: []string{"orders"}, seen: tc.seen}
			if slices.ContainsFunc(tc.seen, func(s probed) bool { return s.queue == "refunds" }) {
				p.queues = append(p.queues, "refunds")
			}
			if got := p.backAfter(start); got != tc.want {
				t.Errorf("%+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestAProbeOfAQueueThatWasNotTriedKnowsNothing(t *testing.T) {
	t.Parallel()
	at := time.Unix(1000, 0)
	p := &probe{queues: []string{"orders", "refunds"}, seen: []probed{
		{queue: "orders", sent: at.Add(time.Second), answered: at.Add(2 * time.Second), ok: true}}}
	if got := p.backAfter(at); !got.IsZero() {
		t.Errorf("%+v", got)
	}
	if p.acceptedSince(at) {
		t.Error("a queue of which nothing was accepted is taken for one that is back")
	}
	p.seen = append(p.seen, probed{queue: "refunds", sent: at.Add(time.Second), ok: true})
	if !p.acceptedSince(at) {
		t.Error("both were accepted since")
	}
}

func TestProbeTellsWhatBecameOfAcceptedJobs(t *testing.T) {
	t.Parallel()
	ran := func(id string) string {
		return fmt.Sprintf(`{"seq":1,"at":1,"type":"executed","order":%q,"mode":"authoritative","outcome":"canary"}`, id)
	}
	for _, tc := range []struct {
		rule   string
		events []string
		epochs []string // of the answers, the last one for all further ones
		known  bool
		want   evidence.FailoverFacts
	}{
		{"each ran once", []string{ran("a"), ran("b")}, []string{"e"}, true, evidence.FailoverFacts{Adds: 2}},
		{"one never ran", []string{ran("a")}, []string{"e"}, true, evidence.FailoverFacts{Adds: 2, LostAdds: 1}},
		{"one ran three times", []string{ran("a"), ran("b"), ran("a"), ran("a")}, []string{"e"}, true, evidence.FailoverFacts{Adds: 2, RunAgain: 2}},
		{"shadow runs and other orders do not count", []string{ran("a"), ran("b"), ran("order_1"), strings.Replace(ran("a"), "authoritative", "shadow", 1)}, []string{"e"}, true, evidence.FailoverFacts{Adds: 2}},
		{"a refused one need not run", []string{ran("a"), ran("b")}, []string{"e"}, true, evidence.FailoverFacts{Adds: 2}},
		{"a journal that was replaced tells nothing", []string{ran("a"), ran("b")}, []string{"e", "other"}, false, evidence.FailoverFacts{}},
		{"an app that does not answer tells nothing", nil, nil, false, evidence.FailoverFacts{}},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			asked := 0
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if tc.epochs == nil {
					w.WriteHeader(http.StatusBadGateway)
					return
				}
				events := ""
				if r.URL.Query().Get("after") == "7" { // what came before the probe is not read
					events = strings.Join(tc.events, ",")
				}
				_, _ = fmt.Fprintf(w, `{"epoch":%q,"next":9,"events":[%s]}`, tc.epochs[min(asked, len(tc.epochs)-1)], events)
				asked++
			}))
			t.Cleanup(srv.Close)
			head := environment.Head{After: 7,
				Client: ingestion.New(srv.URL, "token", nil)}
			p := &probe{heads: []environment.Head{head}, seen: []probed{{id: "a", ok: true}, {id: "b", ok: true}, {id: "c"}}}
			var got evidence.FailoverFacts
			known, err := p.outcomes(t.Context(), 300*time.Millisecond, &got)
			if err != nil || known != tc.known || got != tc.want {
				t.Errorf("%+v, known %v, %v; want %+v, known %v", got, known, err, tc.want, tc.known)
			}
		})
	}
}

// The instance that takes a job need not be the one that runs it.
func TestAJobThatAnotherInstanceRanIsNotLost(t *testing.T) {
	t.Parallel()
	head := func(epoch, ran string) environment.Head {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			events := ""
			if r.URL.Query().Get("after") == "7" {
				events = fmt.Sprintf(`{"seq":8,"at":1,"type":"executed","order":%q,`+
					`"mode":"authoritative","outcome":"canary"}`, ran)
			}
			_, _ = fmt.Fprintf(w, `{"epoch":%q,"next":8,"events":[%s]}`, epoch, events)
		}))
		t.Cleanup(srv.Close)
		return environment.Head{After: 7,
			Client: ingestion.New(srv.URL, "token", nil)}
	}
	p := &probe{heads: []environment.Head{head("one", "a"), head("two", "b")},
		seen: []probed{{id: "a", ok: true}, {id: "b", ok: true}}}
	var got evidence.FailoverFacts
	known, err := p.outcomes(t.Context(), 300*time.Millisecond, &got)
	if want := (evidence.FailoverFacts{Adds: 2}); err != nil || !known || got != want {
		t.Errorf("%+v, known %v, %v; want %+v", got, known, err, want)
	}
}
