package conform_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/conform"
)

// app keeps the contract but for one breach of it.
type app struct {
	breach string

	mu     sync.Mutex
	events []map[string]any
	late   bool // single events were asked for: the canary is over
	ran    map[string]bool
}

func (a *app) is(breach string) bool { return a.breach == breach }

// note journals; the caller holds mu.
func (a *app) note(e map[string]any) {
	e["seq"], e["at"] = len(a.events)+1, time.Now().UnixMilli()
	if a.is("dated an hour ahead") {
		e["at"] = time.Now().Add(time.Hour).UnixMilli()
	}
	if a.is("leaves numbers out") && len(a.events) > 0 {
		e["seq"] = 2*len(a.events) + 1
	}
	if a.is("without times") {
		delete(e, "at")
	}
	a.events = append(a.events, e)
}

func (a *app) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	answer := func(status int, v any) {
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	refuse := func(status int) { answer(status, map[string]string{"error": "no"}) }
	allowed := r.Header.Get("Authorization") == "Bearer right" ||
		a.is("anybody reads the journal") && r.URL.Path == "/switchyard/journal" ||
		a.is("anybody adds canaries") && r.URL.Path == "/switchyard/canary" ||
		a.is("any token replays") && r.URL.Path == "/switchyard/replay" &&
			r.Header.Get("Authorization") != ""
	switch {
	case r.URL.Path == "/healthz":
		if a.is("not healthy") {
			refuse(http.StatusServiceUnavailable)
			return
		}
		answer(http.StatusOK, "ok")
	case !allowed:
		refuse(http.StatusUnauthorized)
	case r.URL.Path == "/switchyard/journal":
		a.journal(w, r, answer)
	case r.URL.Path == "/switchyard/canary":
		a.canary(r, answer)
	case r.URL.Path == "/switchyard/replay":
		if a.is("replays of anybody are taken") {
			answer(http.StatusOK, map[string]bool{"received": true})
			return
		}
		if a.is("refused replays are journaled") {
			var body struct{ ID string }
			_ = json.NewDecoder(r.Body).Decode(&body)
			a.note(map[string]any{"type": "delivery", "order": body.ID, "status": 400})
		}
		refuse(http.StatusBadRequest)
	case r.URL.Path == "/switchyard/drill":
		switch {
		case a.is("no drills"):
			refuse(http.StatusNotFound)
		case a.is("drills of any queue"):
			answer(http.StatusOK, map[string]bool{"ready": true})
		default:
			refuse(http.StatusUnprocessableEntity)
		}
	}
}

func (a *app) journal(w http.ResponseWriter, r *http.Request, answer func(int, any)) {
	if a.is("answers no JSON") {
		_, _ = w.Write([]byte("<html>"))
		return
	}
	number := func(name string, otherwise int) int {
		n, err := strconv.Atoi(r.URL.Query().Get(name))
		if err != nil {
			return otherwise
		}
		return n
	}
	from, limit := number("after", 0), number("limit", 1000)
	a.late = a.late || limit == 1
	for _, c := range r.URL.Query()["cursor"] {
		epoch, at, _ := strings.Cut(c, ":")
		if epoch == "e1" || a.is("any cursor is its own") {
			from, _ = strconv.Atoi(at)
		}
	}
	if a.is("cursors are not known") {
		from = number("after", 0)
	}
	if a.is("after is not known") && limit == 1 {
		from = 0
	}
	if a.is("limits are not known") {
		limit = 1000
	}
	all := a.events
	if a.is("loses what it had") && a.late && len(all) > 0 {
		all = all[:len(all)-1]
	}
	page := []map[string]any{}
	for _, e := range all[min(from, len(all)):] {
		if len(page) < limit {
			page = append(page, e)
		}
	}
	if a.is("out of order") && len(page) > 1 {
		slices.Reverse(page)
	}
	next := from
	if n := len(page); n > 0 {
		next, _ = page[n-1]["seq"].(int)
	}
	if a.is("next is beyond") && len(page) > 0 {
		next++
	}
	if a.is("changes what it said") && a.late && len(page) > 0 && from == 0 {
		first := map[string]any{}
		for k, v := range page[0] {
			first[k] = v
		}
		first["order"] = "another"
		page[0] = first
	}
	out := map[string]any{"epoch": "e1", "contract": 2, "instance": "web-1", "next": next, "events": page,
		"now": time.Now().UnixMilli()}
	switch {
	case a.is("of no version"):
		delete(out, "contract")
	case a.is("of an older version"):
		out["contract"] = 1
	case a.is("without an epoch"):
		delete(out, "epoch")
	case a.is("without its name"):
		delete(out, "instance")
	case a.is("without its clock"):
		delete(out, "now")
	case a.is("a clock of another zone"):
		out["now"] = time.Now().Add(time.Hour).UnixMilli()
	}
	answer(http.StatusOK, out)
}

func (a *app) canary(r *http.Request, answer func(int, any)) {
	var in struct {
		ID    any
		Queue string
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil && !a.is("takes any body") {
		answer(http.StatusBadRequest, map[string]string{"error": "no JSON"})
		return
	}
	id, named := in.ID.(string)
	switch {
	case !named && !a.is("takes any body"):
		answer(http.StatusBadRequest, map[string]string{"error": "no id"})
		return
	case in.Queue != "orders" && !a.is("takes any queue"):
		if a.is("journals what it refuses") {
			a.note(map[string]any{"type": "delivery", "order": id, "status": 422, "canary": true})
		}
		answer(http.StatusUnprocessableEntity, map[string]string{"error": "another app's"})
		return
	case a.is("refuses canaries"):
		answer(http.StatusServiceUnavailable, map[string]string{"error": "Redis is gone"})
		return
	}
	out := map[string]any{"status": 200, "ms": 1, "queue": "orders", "side": "source",
		"endpoint": "standalone"}
	if a.is("does not say where") {
		delete(out, "side")
	}
	job := "switchyard_" + id
	enqueued := map[string]any{"type": "enqueued", "order": id, "jobId": job, "queue": "orders",
		"side": "source", "endpoint": "standalone", "shadow": false, "ok": true, "stage": "off",
		"revision": 1, "authority": "source", "canary": true, "digest": "00000000000000d1"}
	switch {
	case a.is("enqueues on a server of its own"):
		enqueued["endpoint"] = "production"
	case a.is("does not say at which stage"):
		delete(enqueued, "stage")
	case a.is("with a digest of its own"):
		enqueued["digest"] = "D1"

	case a.is("enqueues elsewhere"):
		enqueued["queue"] = "refunds"
	case a.is("without digests"):
		delete(enqueued, "digest")
	case a.is("of a type of its own"):
		enqueued["type"] = "added"
	case a.is("without the job's id"):
		delete(enqueued, "jobId")
	case a.is("acknowledges what failed"):
		enqueued["ok"] = false
	}
	if !a.is("journals no enqueue") {
		a.note(enqueued)
	}
	if !a.is("journals no delivery") {
		a.note(map[string]any{"type": "delivery", "order": id, "event": id, "status": 200,
			"canary": true})
	}
	if (!a.ran[job] || a.is("runs again")) && !a.is("never runs it") {
		a.ran[job] = true
		executed := map[string]any{"type": "executed", "order": id, "jobId": job, "queue": "orders",
			"side": "source", "endpoint": "standalone", "mode": "authoritative", "attempt": 1,
			"outcome": "canary", "result": "r", "digest": enqueued["digest"]}
		switch {
		case a.is("without digests"):
			executed["digest"] = "00000000000000d1"
		case a.is("counts attempts in words"):
			executed["attempt"] = "first"
		case a.is("yields no result"):
			delete(executed, "result")

		case a.is("another digest"):
			executed["digest"] = "00000000000000d2"
		case a.is("another job"):
			executed["jobId"] = "1"
		case a.is("applies the canary"):
			executed["outcome"] = "applied"
		}
		a.note(executed)
		if a.is("runs it twice") {
			more := map[string]any{}
			for k, v := range executed {
				more[k] = v
			}
			a.note(more)
		}
	}
	answer(http.StatusOK, out)
}

func try(t *testing.T, breach string) []conform.Result {
	t.Helper()
	a := &app{breach: breach, ran: map[string]bool{}}
	a.events = append(a.events, map[string]any{"seq": 1, "at": time.Now().UnixMilli(),
		"type": "delivery", "order": "1", "status": 200})
	s := httptest.NewServer(a)
	defer s.Close()
	patience := 2 * time.Second
	return conform.Run(t.Context(), conform.Options{URL: s.URL + "/", Token: "right",
		Queue: "orders", Patience: patience})
}

func TestAnAppThatKeepsTheContractPasses(t *testing.T) {
	t.Parallel()
	for _, r := range try(t, "") {
		if r.Verdict != conform.Kept || r.Said == "" {
			t.Errorf("%+v", r)
		}
	}
}

// Each breach is found by the rule that it breaks, first of all.
func TestEachBreachOfTheContractIsFoundByItsRule(t *testing.T) {
	t.Parallel()
	for breach, rule := range map[string]string{
		"not healthy":                     "health",
		"anybody reads the journal":       "token",
		"anybody adds canaries":           "token",
		"any token replays":               "token",
		"answers no JSON":                 "page",
		"without an epoch":                "page",
		"of no version":                   "contract",
		"enqueues on a server of its own": "form",
		"does not say at which stage":     "form",
		"with a digest of its own":        "form",
		"counts attempts in words":        "canary-journal",
		"yields no result":                "form",
		"leaves numbers out":              "canary-journal",
		"of an older version":             "contract",
		"without its name":                "page",
		"without its clock":               "clock",
		"a clock of another zone":         "clock",
		"next is beyond":                  "order",
		"out of order":                    "canary-journal",
		"refuses canaries":                "canary",
		"does not say where":              "canary",
		"enqueues elsewhere":              "canary-journal",
		"acknowledges what failed":        "canary-journal",
		"journals no enqueue":             "canary-journal",
		"journals no delivery":            "canary-journal",
		"never runs it":                   "canary-journal",
		"applies the canary":              "canary-journal",
		"runs it twice":                   "canary-journal",
		"of a type of its own":            "canary-journal",
		"without times":                   "canary-journal",
		"without the job's id":            "canary-journal",
		"without digests":                 "canary-digest",
		"another digest":                  "canary-digest",
		"another job":                     "canary-digest",
		"dated an hour ahead":             "canary-times",
		"runs again":                      "canary-again",
		"limits are not known":            "limit",
		"after is not known":              "after",
		"changes what it said":            "stable",
		"loses what it had":               "stable",
		"cursors are not known":           "cursor",
		"any cursor is its own":           "cursor",
		"takes any queue":                 "queue",
		"journals what it refuses":        "queue",
		"takes any body":                  "body",
		"replays of anybody are taken":    "replay",
		"refused replays are journaled":   "replay",
		"drills of any queue":             "drill",
	} {
		t.Run(breach, func(t *testing.T) {
			t.Parallel()
			all := try(t, breach)
			i := slices.IndexFunc(all, func(r conform.Result) bool {
				return r.Verdict == conform.Broken
			})
			if i < 0 || all[i].Rule != rule {
				t.Errorf("want %s, got\n%s", rule, told(all))
			}
		})
	}
}

func told(all []conform.Result) string {
	var out strings.Builder
	for _, r := range all {
		fmt.Fprintf(&out, "%s %s: %s\n", r.Verdict, r.Rule, r.Said)
	}
	return out.String()
}

func TestWhatCouldNotBeJudgedIsOpen(t *testing.T) {
	t.Parallel()
	all := try(t, "no drills")
	if broken, open := conform.Failed(all); broken != 0 || open != 1 {
		t.Errorf("%d, %d\n%s", broken, open, told(all))
	}
	all = try(t, "refuses canaries")
	if broken, open := conform.Failed(all); broken != 1 || open != 7 {
		t.Errorf("%d, %d\n%s", broken, open, told(all))
	}
}

func TestAnAppThatDoesNotAnswerFailsEveryRuleThatAsksIt(t *testing.T) {
	t.Parallel()
	all := conform.Run(t.Context(), conform.Options{URL: "http://127.0.0.1:1", Queue: "orders"})
	if broken, open := conform.Failed(all); broken+open != len(all) || broken < 8 {
		t.Errorf("%d, %d\n%s", broken, open, told(all))
	}
}

func TestATrialThatIsInterruptedEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	all := conform.Run(ctx, conform.Options{URL: "http://127.0.0.1:1", Tell: func(conform.Result) {
		cancel()
	}})
	if len(all) != 1 {
		t.Errorf("%d results", len(all))
	}
}
