package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// connections is how many wrk keeps open, each with one request under way: enough to
// keep the server's core busy all the time.
const connections = 16

// row is one kind of request to one server.
type row struct {
	Name     string  `json:"name"`
	Server   string  `json:"server"`
	Requests int64   `json:"requests"`
	PerSec   float64 `json:"requests_per_second"`
	CPU      float64 `json:"cpu_us_per_request"`
	// Busy is the share of the time in which the server was running, in percent. Far
	// below 100 something else kept the cores busy, and the other figures are worse
	// than the server is.
	Busy  float64 `json:"server_busy_percent"`
	P50   float64 `json:"p50_ms"`
	P99   float64 `json:"p99_ms"`
	RSS   float64 `json:"rss_mb"`
	Limit float64 `json:"limit_cpu_us,omitempty"`
	// CPURatio and P99Ratio are a peer's figures by ours: above 1 we are cheaper, or
	// faster.
	CPURatio float64 `json:"cpu_ratio,omitempty"`
	P99Ratio float64 `json:"p99_ratio,omitempty"`
	Skipped  string  `json:"skipped,omitempty"` // why nothing was measured
}

// target is a server to be loaded.
type target struct {
	name, url, token string
	pid              int
	static, targeted string
}

// kinds are the requests, with the most CPU time that one may take, in microseconds.
var kinds = []struct {
	name  string
	limit float64
	path  func(target) string
	held  bool // If-None-Match names what is served
}{
	{"single, static", 15, func(t target) string { return bulkPath + "/" + t.static }, false},
	{"single, targeted", 15, func(t target) string {
		return bulkPath + "/" + t.targeted
	}, false},
	{"bulk", 25, func(target) string { return bulkPath }, false},
	{"bulk, not modified", 8, func(target) string { return bulkPath }, true},
}

// limitRSS is the most memory of a server under this load, in 10⁶ bytes.
const limitRSS = 60.0

func (s settings) rows(ctx context.Context, srv *server, r *report) error {
	own := target{"switchyard", srv.url, srv.worker, srv.pid, staticFlag, targetedFlag}
	if err := s.export(ctx, srv); err != nil {
		return err
	}
	reference, stop, err := startReference(ctx, own, s.serverCore, srv.dir)
	if err != nil {
		return err
	}
	defer stop()
	for i, k := range kinds {
		ours, err := s.load(ctx, own, i, srv.dir)
		if err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
		if ours.Skipped != "" {
			return fmt.Errorf("%s: %s", k.name, ours.Skipped)
		}
		ours.Limit = k.limit
		r.Rows = append(r.Rows, ours)
		for _, p := range append([]peer{reference}, s.peers...) {
			theirs, err := s.load(ctx,
				target{p.name, p.url, srv.worker, p.pid, p.static, p.targeted}, i, srv.dir)
			if err != nil {
				return fmt.Errorf("%s of %s: %w", k.name, p.name, err)
			}
			if theirs.Skipped == "" && ours.CPU > 0 && ours.P99 > 0 {
				theirs.CPURatio, theirs.P99Ratio = theirs.CPU/ours.CPU, theirs.P99/ours.P99
			}
			r.Rows = append(r.Rows, theirs)
		}
	}
	return nil
}

// export writes the flags that are measured, for peers to hold.
func (s settings) export(ctx context.Context, srv *server) error {
	a, err := send(ctx, "GET", srv.url+"/api/v1/flags/definition", srv.worker, "", nil)
	if err != nil {
		return err
	}
	if a.status != http.StatusOK {
		return fmt.Errorf("flag definition: %d %s", a.status, a.body)
	}
	return os.WriteFile(filepath.Join(s.out, "bench-flags.json"), a.body, 0o600)
}

// load measures one kind of request. That the answers are what they should be is looked
// at before and after: a new entity tag in between would turn the cheapest request into
// another one, so then it is measured again.
func (s settings) load(ctx context.Context, t target, kind int, dir string) (row, error) {
	k := kinds[kind]
	out, url := row{Name: k.name, Server: t.name}, t.url+k.path(t)
	for try := 1; ; try++ {
		tag, want := "", http.StatusOK
		a, err := send(ctx, "POST", url, t.token, "", []byte(orderContext))
		if err != nil {
			return out, err
		}
		if out.Name == "bulk" {
			out.Name = bulkName(a.body)
		}
		if k.held {
			tag, want = a.etag, http.StatusNotModified
		}
		check := func() (string, error) {
			a, err := send(ctx, "POST", url, t.token, tag, []byte(orderContext))
			if err == nil && a.status != want {
				return fmt.Sprintf("answers %d instead of %d", a.status, want), nil
			}
			return "", err
		}
		if out.Skipped, err = check(); err != nil || out.Skipped != "" {
			return out, err
		}
		script := filepath.Join(dir, "load.lua")
		if err := os.WriteFile(script, []byte(luaScript(t.token, tag)), 0o600); err != nil {
			return out, err
		}
		if _, err := wrk(ctx, url, script, s.warmUp); err != nil {
			return out, err
		}
		if err := out.measure(ctx, t.pid, url, script, s.seconds); err != nil {
			return out, err
		}
		if out.Skipped, err = check(); err != nil || out.Skipped == "" || try == 2 {
			return out, err
		}
	}
}

func (r *row) measure(ctx context.Context, pid int, url, script string, seconds int) error {
	before, err := cpuTime(pid)
	if err != nil {
		return err
	}
	w, err := wrk(ctx, url, script, seconds)
	if err != nil {
		return err
	}
	after, err := cpuTime(pid)
	if err != nil {
		return err
	}
	used, took := after-before, time.Duration(w.Micros)*time.Microsecond
	r.Requests, r.PerSec = w.Requests, float64(w.Requests)/took.Seconds()
	r.CPU, r.Busy = float64(used.Microseconds())/float64(w.Requests),
		100*used.Seconds()/took.Seconds()
	r.P50, r.P99 = w.P50/1000, w.P99/1000
	r.RSS, err = residentMB(pid)
	return err
}

// bulkName says how many flags a bulk answer holds.
func bulkName(body []byte) string {
	var a struct{ Flags []struct{ Reason string } }
	_ = json.Unmarshal(body, &a) // its status is looked at
	matched := 0
	for _, f := range a.Flags {
		if f.Reason == "TARGETING_MATCH" {
			matched++
		}
	}
	return fmt.Sprintf("bulk, %d flags, %d targeted", len(a.Flags), matched)
}

// wrkResult is what luaScript prints, times in microseconds.
type wrkResult struct {
	Requests, Micros, Failed int64
	P50, P99                 float64
}

// luaScript tells wrk what to send, and to end with one line of JSON.
func luaScript(token, tag string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "wrk.method = \"POST\"\nwrk.body = %q\n", orderContext)
	fmt.Fprintf(&b, "wrk.headers[\"Content-Type\"] = "+
		"\"application/json\"\nwrk.headers[\"Authorization\"] = %q\n", "Bearer "+token)
	if tag != "" {
		fmt.Fprintf(&b, "wrk.headers[\"If-None-Match\"] = %q\n", tag)
	}
	b.WriteString(`done = function(s, latency)
  local e = s.errors
  io.write(string.format('\n{"requests":%d,"micros":%d,"failed":%d,"p50":%.0f,"p99":%.0f}\n', s.requests, s.duration,
    e.connect + e.read + e.write + e.status + e.timeout, latency:percentile(50), latency:percentile(99)))
end
`)
	return b.String()
}

func wrk(ctx context.Context, url, script string, seconds int) (wrkResult, error) {
	var r wrkResult
	cmd := exec.CommandContext(ctx, "wrk", "-t1", "-c"+strconv.Itoa(connections),
		"-d"+strconv.Itoa(seconds)+"s", "--latency", "-s", script, url)
	text, err := cmd.CombinedOutput()
	if err != nil {
		return r, fmt.Errorf("wrk: %w: %s", err, text)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &r); err != nil {
		return r, fmt.Errorf("wrk ended with %q: %w", lines[len(lines)-1], err)
	}
	if r.Failed > 0 || r.Requests == 0 {
		return r, fmt.Errorf("%d of %d requests failed:\n%s", r.Failed, r.Requests, text)
	}
	return r, nil
}
