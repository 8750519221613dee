package sentinel_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq/bullmqtest"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/sentinel"
	"github.com/switchyard-dev/switchyard/sentinel/deploytest"
)

// app is a BullMQ producer and a worker connected to the deployment, in processes
// of their own.
type app struct {
	stopProducer, stopWorker func()

	mu         sync.Mutex
	acked      map[string]int64 // ms when acknowledged, by job id
	times      []int64          // of the acknowledgements
	ran        map[string]int
	last       int64 // ms of the last execution
	firstError string
}

// appLine is what testdata/soak.mjs prints.
type appLine struct {
	ID    string `json:"id"`
	Error string `json:"error"`
	At    int64  `json:"at"`
}

// startApp runs the application; plain uses the options that BullMQ documents
// instead of the safe ones.
func startApp(
	t testing.TB, d *deploytest.Deployment, queue string, plain bool, replicas int,
) *app {
	t.Helper()
	a := &app{acked: map[string]int64{}, ran: map[string]int{}}
	type address struct {
		Host string `json:"host"`
		Port int    `json:"port"`
	}
	e := d.AppEndpoint()
	ca, err := os.ReadFile(e.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	var sentinels []address
	for _, s := range e.SentinelAddrs {
		host, port, _ := net.SplitHostPort(s)
		n, _ := strconv.Atoi(port)
		sentinels = append(sentinels, address{host, n})
	}
	text, err := json.Marshal(map[string]any{"queue": queue, "plain": plain,
		"replicas": replicas,
		"endpoint": map[string]any{"sentinels": sentinels, "name": e.MasterName,
			"username": e.Username, "password": e.Password.Reveal(),
			"sentinelUsername": e.SentinelUsername,
			"sentinelPassword": e.SentinelPassword.Reveal(), "ca": string(ca)}})
	if err != nil {
		t.Fatal(err)
	}
	env := []string{"SOAK=" + string(text)}
	script := filepath.Join("testdata", "soak.mjs")
	a.stopWorker = bullmqtest.Node(t, a.line(func(l appLine) {
		a.ran[l.ID]++
		a.last = l.At
	}), env, script, "work")
	a.stopProducer = bullmqtest.Node(t, a.line(func(l appLine) {
		if l.Error != "" {
			a.firstError = l.Error
			return
		}
		a.acked[l.ID] = l.At
		a.times = append(a.times, l.At)
	}), env, script, "produce")
	return a
}

func (a *app) line(note func(appLine)) func([]byte) {
	return func(b []byte) {
		var l appLine
		if json.Unmarshal(b, &l) != nil {
			return
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		note(l)
	}
}

// gap returns the longest time between two acknowledged adds that ended in the
// window.
func (a *app) gap(from, to time.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	var gap int64
	for i := 1; i < len(a.times); i++ {
		if a.times[i] >= from.UnixMilli() && a.times[i-1] <= to.UnixMilli() {
			gap = max(gap, a.times[i]-a.times[i-1])
		}
	}
	return time.Duration(gap) * time.Millisecond
}

// flows waits until jobs that were added after now are acknowledged and run.
func (a *app) flows(t testing.TB) {
	t.Helper()
	now := time.Now().UnixMilli()
	redistest.Eventually(t, 60*time.Second, func() error {
		a.mu.Lock()
		defer a.mu.Unlock()
		n := 0
		for id, at := range a.acked {
			if at > now && a.ran[id] > 0 {
				n++
			}
		}
		if n < 20 {
			return fmt.Errorf("%d of 20 new jobs were acknowledged and run; last "+
				"acknowledged %d ms ago, last run %d ms ago, last error %q", n,
				time.Now().UnixMilli()-slices.Max(append(a.times, 0)),
				time.Now().UnixMilli()-a.last, a.firstError)
		}
		return nil
	})
}

// settled stops the producer, waits until the worker has nothing left, and returns
// how many acknowledged jobs never ran and how many ran again.
func (a *app) settled(t testing.TB) (acknowledged, lost, again int) {
	t.Helper()
	a.stopProducer()
	// stalled jobs are picked up after 30 to 60 s
	deadline := time.Now().Add(60 * time.Second)
	for {
		a.mu.Lock()
		lost, again = 0, 0
		for id := range a.acked {
			if a.ran[id] == 0 {
				lost++
			}
		}
		for _, n := range a.ran {
			again += n - 1
		}
		acknowledged = len(a.acked)
		a.mu.Unlock()
		if lost == 0 || time.Now().After(deadline) {
			a.stopWorker()
			return acknowledged, lost, again
		}
		<-time.After(100 * time.Millisecond)
	}
}

// variant is an application's way to connect.
type variant struct {
	name string
	// the options that BullMQ documents, instead of the safe ones of clients/node
	plain    bool
	replicas int // that must confirm an add before it counts
}

// The applications of the soak. The safe options with WAIT 1 are what Switchyard
// recommends.
var (
	documented = variant{"documented options", true, 0}
	safe       = variant{"safe options", false, 0}
	confirmed  = variant{"safe options, WAIT 1", false, 1}
)

// measured is what failovers of one kind looked like to one application.
type measured struct {
	kind                         string
	election, gaps               []time.Duration
	acknowledged, lost, runAgain int
}

const tableHead = "| failover | application | runs | election s (min / median / max) | " +
	"longest time without an add s | acknowledged adds lost | jobs run again " +
	"|\n|---|---|---|---|---|---|---|"

func (m measured) String() string {
	spread := func(d []time.Duration) string {
		d = slices.Sorted(slices.Values(d))
		r := func(v time.Duration) string { return fmt.Sprintf("%.2f", v.Seconds()) }
		return r(d[0]) + " / " + r(d[len(d)/2]) + " / " + r(d[len(d)-1])
	}
	return fmt.Sprintf("| %s | %d | %s | %s | %d of %d | %d |", m.kind, len(m.gaps),
		spread(m.election), spread(m.gaps), m.lost, m.acknowledged, m.runAgain)
}

// soak fails over n times in one way, under BullMQ applications, and waits each
// time until all of them and the deployment are healthy again.
func soak(
	t testing.TB, d *deploytest.Deployment, c *sentinel.Cluster, kind string, n int,
	variants ...variant,
) []measured {
	t.Helper()
	out := make([]measured, len(variants))
	apps := make([]*app, len(variants))
	for i, v := range variants {
		out[i].kind = kind + " | " + v.name
		apps[i] = startApp(t, d, fmt.Sprintf("soak-%s-%d", strings.Fields(kind)[0], i),
			v.plain, v.replicas)
	}
	for _, a := range apps {
		a.flows(t)
	}
	for i := range n {
		d.AwaitReady(c)
		start := time.Now()
		var r sentinel.FailoverReport
		var err error
		switch {
		case kind == "planned":
			r, err = c.PlannedFailover(t.Context(), nil, nil)
		case i%2 == 0:
			r, err = c.ObserveFailover(t.Context(), nil, d.Kill)
		default:
			r, err = c.ObserveFailover(t.Context(), nil, d.Freeze)
		}
		if err != nil {
			t.Fatalf("%s failover %d: %v\n%+v", kind, i+1, err, r)
		}
		if kind == "planned" && r.LostAcknowledged > 0 {
			t.Errorf("%s failover %d lost %d of %d acknowledged canary writes", kind, i+1,
				r.LostAcknowledged, r.Acknowledged)
		}
		said := ""
		for j, a := range apps {
			a.flows(t)
			gap := a.gap(start, time.Now())
			out[j].election, out[j].gaps = append(out[j].election,
				time.Duration(r.ElectionMS)*time.Millisecond), append(out[j].gaps, gap)
			said += fmt.Sprintf(", %s %s", variants[j].name, gap)
		}
		t.Logf("%s %d: election %d ms, canary %d ms%s; recovered %d ms", kind, i+1,
			r.ElectionMS, r.BlockedMS, said, r.RecoveredMS)
	}
	for i, a := range apps {
		out[i].acknowledged, out[i].lost, out[i].runAgain = a.settled(t)
		out[i].judge(t)
	}
	return out
}

func (m measured) judge(t testing.TB) {
	t.Helper()
	if m.acknowledged < 100 {
		t.Errorf("%s: only %d adds were acknowledged", m.kind, m.acknowledged)
	}
	for _, e := range m.election {
		if e >= 5*time.Second {
			t.Errorf("%s: an election took %s", m.kind, e)
		}
	}
	for _, g := range m.gaps {
		if g >= 30*time.Second {
			t.Errorf("%s: the application stood still for %s", m.kind, g)
		}
	}
	if strings.HasPrefix(m.kind, "planned") && m.lost > 0 {
		t.Errorf("%s: %d of %d acknowledged adds were lost", m.kind, m.lost, m.acknowledged)
	}
}

func table(t testing.TB, rows []measured) {
	text := tableHead
	for _, m := range rows {
		text += "\n" + m.String()
	}
	t.Log("\n" + text)
}

// A BullMQ application continues after planned and unplanned failovers of the
// generated deployment; the planned ones lose nothing.
func TestABullMQApplicationOutlivesFailovers(t *testing.T) {
	t.Parallel()
	d, c := soaked(t)
	rows := soak(t, d, c, "planned", 2, documented, confirmed)
	table(t, append(rows, soak(t, d, c, "unplanned", 2, confirmed)...))
}

// The same 20 times each (make soak).
func BenchmarkFailoversUnderBullMQ(b *testing.B) {
	d, c := soaked(b)
	for b.Loop() {
		rows := soak(b, d, c, "planned", 20, documented, safe, confirmed)
		table(b, append(rows, soak(b, d, c, "unplanned", 20, documented, safe, confirmed)...))
	}
}

func soaked(t testing.TB) (*deploytest.Deployment, *sentinel.Cluster) {
	t.Helper()
	d := deploytest.Start(t, deploytest.Spec(t, t.TempDir(), 2), nil)
	c := sentinel.New(d.Endpoint())
	t.Cleanup(c.Close)
	d.AwaitReady(c)
	return d, c
}
