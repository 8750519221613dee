package providerstest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"time"
)

// Kind is what goes wrong with one request.
type Kind string

// Kinds of faults. "Effect" is what the request does when nothing goes wrong.
const (
	// None lets the request through.
	None Kind = ""
	// Throttled answers 429, without effect.
	Throttled Kind = "429"
	// ErrorBefore answers 500, without effect.
	ErrorBefore Kind = "500 without effect"
	// ErrorAfter answers 500 after the effect.
	ErrorAfter Kind = "500 after the effect"
	// BadGateway answers 502 with an HTML page after the effect, as a proxy does that has
	// lost the answer.
	BadGateway Kind = "502 after the effect"
	// CutBefore closes the connection, without effect.
	CutBefore Kind = "cut without effect"
	// CutAfter closes the connection after the effect, without an answer.
	CutAfter Kind = "cut after the effect"
	// Truncated sends half of the answer after the effect.
	Truncated Kind = "truncated answer"
	// Silent never answers after the effect: the client runs into its own timeout.
	Silent Kind = "no answer after the effect"
	// Late closes the connection, and the effect comes only before the Fault.After-th
	// request from then on: a client that looks at once does not see it.
	Late Kind = "effect after the client gave up"
)

// Fault is one thing that goes wrong.
type Fault struct {
	Kind  Kind
	After int // of Late: how many requests later, 1 or more
	// RetryAfter is what Throttled asks the client to wait, in seconds; below 0 it does not say.
	RetryAfter int
}

// Request is a request as faults are chosen by: the nth (from 0) of that method, in all.
type Request struct {
	Method, Path string
	N            int
}

// Faults makes a stand-in go wrong. The zero value lets everything through.
type Faults struct {
	mu     sync.Mutex
	choose func(Request) Fault
	counts map[string]int
	late   []*lateEffect
	seen   []string
}

type lateEffect struct {
	left int
	do   func()
}

// Limit makes the next n authenticated requests fail with 429 and the header Retry-After in
// seconds; below zero leaves the header out.
func (f *Faults) Limit(n, retryAfter int) {
	f.Inject(func(Request) Fault {
		if n <= 0 {
			return Fault{}
		}
		n--
		return Fault{Kind: Throttled, RetryAfter: retryAfter}
	})
}

// Inject has choose say what happens to each authenticated request, in the order of their
// coming; nil ends it.
func (f *Faults) Inject(choose func(Request) Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.choose = choose
}

// Land lets the effects come that are still under way.
func (f *Faults) Land() {
	f.mu.Lock()
	late := f.late
	f.late = nil
	f.mu.Unlock()
	for _, l := range late {
		l.do()
	}
}

// Seen lists what has gone wrong so far: method, path and kind.
func (f *Faults) Seen() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.seen...)
}

// Take chooses the fault of a request, for a stand-in that does not speak HTTP and makes it happen
// itself. What is late by now has happened when it returns.
func (f *Faults) Take(method, path string) Fault {
	fault, due := f.next(method, path)
	for _, do := range due {
		do()
	}
	return fault
}

// next chooses the fault of a request and gives the late effects that are due before it.
func (f *Faults) next(method, path string) (Fault, []func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var due []func()
	var waiting []*lateEffect
	for _, l := range f.late {
		if l.left--; l.left <= 0 {
			due = append(due, l.do)
		} else {
			waiting = append(waiting, l)
		}
	}
	f.late = waiting
	if f.counts == nil {
		f.counts = map[string]int{}
	}
	n := f.counts[method]
	f.counts[method]++
	if f.choose == nil {
		return Fault{}, due
	}
	fault := f.choose(Request{method, path, n})
	if fault.Kind != None {
		f.seen = append(f.seen, fmt.Sprintf("%s %s: %s", method, path, fault.Kind))
	}
	return fault, due
}

// serve answers a request with handle, or as its fault wants. refuse is the provider's
// error form. It must be called with nothing locked.
func (f *Faults) serve(
	w http.ResponseWriter,
	r *http.Request,
	refuse func(w http.ResponseWriter, status int, message string),
	handle http.HandlerFunc,
) {
	fault, due := f.next(r.Method, r.URL.Path)
	for _, do := range due {
		do()
	}
	effect := func() *httptest.ResponseRecorder {
		rec := httptest.NewRecorder()
		handle(rec, r)
		return rec
	}
	switch fault.Kind {
	case None:
		handle(w, r)
	case Throttled:
		if fault.RetryAfter >= 0 {
			w.Header().Set("Retry-After", strconv.Itoa(fault.RetryAfter))
		}
		refuse(w, http.StatusTooManyRequests, "too many requests")
	case ErrorBefore:
		refuse(w, http.StatusInternalServerError, "internal server error")
	case ErrorAfter:
		effect()
		refuse(w, http.StatusInternalServerError, "internal server error")
	case BadGateway:
		effect()
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusBadGateway)
		_, _ = w.Write([]byte("<html>Bad gateway</html>")) // the client may be gone
	case CutBefore:
		panic(http.ErrAbortHandler)
	case CutAfter:
		effect()
		panic(http.ErrAbortHandler)
	case Truncated:
		rec := effect()
		w.Header().Set("Content-Type", rec.Header().Get("Content-Type"))
		w.Header().Set("Content-Length", strconv.Itoa(rec.Body.Len()))
		w.WriteHeader(rec.Code)
		_, _ = w.Write(rec.Body.Bytes()[:rec.Body.Len()/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case Silent:
		effect()
		// the server notices that a client has left once the request was read
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-r.Context().Done():
		case <-time.After(time.Minute): // a client without a timeout
		}
		panic(http.ErrAbortHandler)
	case Late:
		var body bytes.Buffer
		_, _ = body.ReadFrom(r.Body) // the request is gone when the effect comes
		again := r.Clone(context.WithoutCancel(r.Context()))
		f.mu.Lock()
		f.late = append(f.late, &lateEffect{max(fault.After, 1), func() {
			again.Body = http.NoBody
			if body.Len() > 0 {
				again.Body = io.NopCloser(&body)
			}
			handle(httptest.NewRecorder(), again)
		}})
		f.mu.Unlock()
		panic(http.ErrAbortHandler)
	default:
		panic("providerstest: no such fault: " + string(fault.Kind))
	}
}
