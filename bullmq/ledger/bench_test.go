package ledger_test

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/bullmq/ledger"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/ingestion"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/store"
	"github.com/switchyard-dev/switchyard/workflows"
)

// The load of BenchmarkLedger, on both servers together.
const (
	loadRate  = 5000 // jobs a second
	loadTick  = 10 * time.Millisecond
	loadAlone = 20 * time.Second // without a ledger: what the load itself costs
	loadTime  = 60 * time.Second // with one
	loadEnv   = "SWITCHYARD_LEDGER_LOAD"
)

// TestMain is also the load of BenchmarkLedger, in a process of its own.
func TestMain(m *testing.M) {
	if ports := os.Getenv(loadEnv); ports != "" {
		if err := load(context.Background(), strings.Split(ports, ",")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// The scripts write what BullMQ 6 writes for one job that is added, run and removed
// when complete: 4 entries of the events stream and its keys. KEYS are the queue's
// prefix with its colon.
var (
	addScript = redis.NewScript(`local p, id = KEYS[1], ARGV[1]
redis.call("INCR", p .. "id")
redis.call("HMSET", p .. id, "name", "order", "data", ARGV[2], "opts", '{"attempts":8,"jobId":"' .. id .. '"}', "timestamp", ARGV[3], "delay", 0, "priority", 0)
redis.call("XADD", p .. "events", "MAXLEN", "~", 1000000, "*", "event", "added", "jobId", id, "name", "order")
redis.call("LPUSH", p .. "wait", id)
redis.call("ZADD", p .. "marker", 0, "0")
redis.call("XADD", p .. "events", "MAXLEN", "~", 1000000, "*", "event", "waiting", "jobId", id)`)
	takeScript = redis.NewScript(`local p = KEYS[1]
local id = redis.call("RPOPLPUSH", p .. "wait", p .. "active")
redis.call("SET", p .. id .. ":lock", "token", "PX", 30000)
redis.call("XADD", p .. "events", "MAXLEN", "~", 1000000, "*", "event", "active", "jobId", id, "prev", "waiting")
redis.call("HMSET", p .. id, "processedOn", ARGV[1], "pb", "worker")
redis.call("HINCRBY", p .. id, "ats", 1)
return {redis.call("HGETALL", p .. id), id}`)
	finishScript = redis.NewScript(`local p, id = KEYS[1], ARGV[1]
redis.call("LREM", p .. "active", -1, id)
redis.call("DEL", p .. id .. ":lock")
redis.call("SREM", p .. "stalled", id)
redis.call("HINCRBY", p .. id, "atm", 1)
redis.call("DEL", p .. id, p .. id .. ":logs", p .. id .. ":dependencies", p .. id .. ":processed")
redis.call("XADD", p .. "events", "MAXLEN", "~", 1000000, "*", "event", "completed", "jobId", id, "returnvalue", ARGV[2], "prev", "active")`)
)

// load adds and runs jobs on servers until its standard input ends, and serves the
// journal that an application would keep. It prints the journal's address first, and at
// the end how many jobs there were.
func load(ctx context.Context, ports []string) error {
	journal := &madeJournal{}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: journal, ReadHeaderTimeout: time.Second}
	go func() { _ = srv.Serve(ln) }()
	defer func() { _ = srv.Close() }()
	fmt.Println("http://" + ln.Addr().String())
	ctx, stop := context.WithCancel(ctx)
	failed := make(chan error, len(ports))
	var sides sync.WaitGroup
	var counts [2]int
	for i, port := range ports {
		side := []string{ledger.Source, ledger.Target}[i]
		sides.Go(func() {
			n, err := loadSide(ctx, redis.NewClient(&redis.Options{Addr: "127.0.0.1:" + port,
				Protocol: 2}), side, loadRate/len(ports), journal)
			counts[i] = n
			failed <- err
		})
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Scan() // the first line ends the load, the end of input the journal
	stop()
	sides.Wait()
	for range ports {
		if err := <-failed; err != nil {
			return err
		}
	}
	fmt.Println(counts[0] + counts[1])
	lines.Scan()
	return nil
}

// loadSide adds rate jobs a second; each runs a tick after it was added, and ends a
// tick later.
func loadSide(
	ctx context.Context, c *redis.Client, side string, rate int, j *madeJournal,
) (n int, err error) {
	defer func() { _ = c.Close() }()
	bg := context.WithoutCancel(ctx)
	for _, s := range []*redis.Script{addScript, takeScript, finishScript} {
		if err := s.Load(bg, c).Err(); err != nil {
			return 0, err
		}
	}
	key := []string{"bull:orders:"}
	value := func(id string) string {
		return `{"order":"` + id + `","outcome":"applied","result":"9f86d081884c7d65"}`
	}
	data := `{"order":{"id":"ord_0000000000","amount":1999,"currency":"eur","customer":"cus_000000000"},"_switchyard":{"authority":"source","stage":"live","revision":7}}`
	var waiting, active []string
	began := time.Now()
	for tick := time.NewTicker(loadTick); ; <-tick.C {
		var fresh []string
		for due := int(time.Since(began).Seconds() * float64(rate)); ctx.Err() == nil &&
			n < due; n++ {
			fresh = append(fresh, fmt.Sprintf("stripe_evt_%s_%09d", side, n))
		}
		now := time.Now().UnixMilli()
		_, err := c.Pipelined(bg, func(p redis.Pipeliner) error {
			for _, id := range active {
				finishScript.EvalSha(bg, p, key, id, value(id))
			}
			for range waiting {
				takeScript.EvalSha(bg, p, key, now)
			}
			for _, id := range fresh {
				addScript.EvalSha(bg, p, key, id, data, now)
			}
			return nil
		})
		if err != nil && err != redis.Nil {
			return n, err
		}
		for _, id := range fresh {
			j.add(ledger.Event{Type: ledger.EventEnqueued, Order: id, JobID: id, Side: side,
				OK: true, Stage: "off", Authority: side, Revision: 7,
				Digest: "44136fa355b3678a"})
			j.add(ledger.Event{Type: ledger.EventDelivery, Order: id, EventID: id,
				Provider: "stripe", Status: 200, MS: 4})
		}
		for _, id := range active {
			j.add(ledger.Event{
				Type:    ledger.EventExecuted,
				Order:   id,
				JobID:   id,
				Side:    side,
				Mode:    ledger.ModeAuthoritative,
				Outcome: ledger.OutcomeApplied,
				Result:  "9f86d081884c7d65",
				Attempt: 1,
				Digest:  "44136fa355b3678a",
			})
		}
		if len(fresh)+len(waiting)+len(active) == 0 && ctx.Err() != nil {
			return n, nil
		}
		waiting, active = fresh, waiting
	}
}

// madeJournal serves events as the ingestion app does.
type madeJournal struct {
	mu     sync.Mutex
	events []json.RawMessage
}

func (j *madeJournal) add(e ledger.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	e.Seq, e.At = int64(len(j.events)+1), time.Now().UnixMilli()
	b, err := json.Marshal(e)
	if err != nil {
		panic(err)
	}
	j.events = append(j.events, b)
}

func (j *madeJournal) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	after, _ := strconv.Atoi(r.URL.Query().Get("after"))
	limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
	j.mu.Lock()
	events := j.events[min(after, len(j.events)):min(after+limit, len(j.events))]
	j.mu.Unlock()
	_ = json.NewEncoder(w).Encode(ingestion.Journal{Epoch: "made",
		Next: int64(after + len(events)), Events: events})
}

// loader is the running load.
type loader struct {
	b       testing.TB
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Scanner
	journal string
}

func startLoad(b testing.TB, servers ...*redistest.Server) *loader {
	b.Helper()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	var ports []string
	for _, s := range servers {
		ports = append(ports, strconv.Itoa(s.Port))
	}
	l := &loader{b: b, cmd: exec.CommandContext(b.Context(), self)}
	l.cmd.Env, l.cmd.Stderr = append(os.Environ(),
		loadEnv+"="+strings.Join(ports, ",")), os.Stderr
	if l.in, err = l.cmd.StdinPipe(); err != nil {
		b.Fatal(err)
	}
	out, err := l.cmd.StdoutPipe()
	if err == nil {
		err = l.cmd.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	l.out = bufio.NewScanner(out)
	l.journal = l.line()
	return l
}

func (l *loader) line() string {
	if !l.out.Scan() {
		l.b.Fatalf("the load ended: %v", l.out.Err())
	}
	return l.out.Text()
}

// stop ends the load and gives how many jobs it ran. The journal stays until end.
func (l *loader) stop() int {
	if _, err := io.WriteString(l.in, "stop\n"); err != nil {
		l.b.Fatal(err)
	}
	n, err := strconv.Atoi(l.line())
	if err != nil {
		l.b.Fatal(err)
	}
	return n
}

func (l *loader) end() {
	_ = l.in.Close()
	if err := l.cmd.Wait(); err != nil {
		l.b.Error(err)
	}
}

// serverCPU is the seconds of processor that a server has used.
func serverCPU(b testing.TB, c redis.UniversalClient) float64 {
	b.Helper()
	info, err := c.Info(b.Context(), "cpu").Result()
	if err != nil {
		b.Fatal(err)
	}
	total := 0.0
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name == "used_cpu_sys" || name == "used_cpu_user" {
			v, err := strconv.ParseFloat(value, 64)
			if err != nil {
				b.Fatal(err)
			}
			total += v
		}
	}
	return total
}

func ownCPU(b testing.TB) float64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

// residentMB is the process' resident memory.
func residentMB(b testing.TB) float64 {
	b.Helper()
	status, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(status))[1])
	if err != nil {
		b.Fatal(err)
	}
	return float64(pages*os.Getpagesize()) / (1 << 20)
}

// BenchmarkLedger follows 5,000 jobs a second on two servers, with their journal, into
// a SQLite file, as the control plane does. It fails when the ledger does not keep up,
// raises anything, has a minute that proves nothing, or adds 5 % of a core to a server.
func BenchmarkLedger(b *testing.B) {
	for range b.N {
		servers := []*redistest.Server{redistest.Start(b), redistest.Start(b)}
		clients := []redis.UniversalClient{servers[0].Client(), servers[1].Client()}
		alone := measureCPU(b, clients, servers, loadAlone, func(*loader) func(int) {
			return nil
		})
		f := &following{b: b, servers: servers, clients: clients}
		with := measureCPU(b, clients, servers, loadTime, f.start)
		for i, side := range []string{"source", "target"} {
			added := with[i] - alone[i]
			b.ReportMetric(alone[i], side+"-load-%")
			b.ReportMetric(added, side+"-added-%")                   // of a core
			b.ReportMetric(added/alone[i]*100, side+"-added/load-%") // of what the load takes
			if added >= 5 {
				b.Errorf("the ledger adds %.1f %% of a core to the %s, the limit is 5 %%; "+
					"the load itself takes %.1f %%", added, side, alone[i])
			}
		}
	}
}

// measureCPU runs the load for d and gives the percentage of a core that each server
// took. follow may begin something beside it, and gets the number of jobs at the end.
func measureCPU(
	b *testing.B, clients []redis.UniversalClient, servers []*redistest.Server,
	d time.Duration, follow func(*loader) func(jobs int),
) [2]float64 {
	b.Helper()
	for _, c := range clients {
		if err := c.FlushAll(b.Context()).Err(); err != nil {
			b.Fatal(err)
		}
	}
	l := startLoad(b, servers...)
	defer l.end()
	done := follow(l)
	var before, after [2]float64
	for i, c := range clients {
		before[i] = serverCPU(b, c)
	}
	began := time.Now()
	<-time.After(d)
	for i, c := range clients {
		after[i] = serverCPU(b, c)
	}
	took := time.Since(began).Seconds()
	jobs := l.stop()
	if done != nil {
		done(jobs)
	}
	for i := range after {
		after[i] = (after[i] - before[i]) / took * 100
	}
	return after
}

// following is a ledger fed as the control plane feeds it.
type following struct {
	b       *testing.B
	servers []*redistest.Server
	clients []redis.UniversalClient
}

func (f *following) start(load *loader) func(int) {
	b := f.b
	dir := b.TempDir()
	st, err := store.Open(b.Context(), filepath.Join(dir, "switchyard.db"))
	if err != nil {
		b.Fatal(err)
	}
	if err := st.CreateMigration(b.Context(), migration.Migration{ID: "m", Name: "Bench",
		CreatedBy: "bench", CreatedAt: time.Now()}); err != nil {
		b.Fatal(err)
	}
	l := ledger.NewStreams(ledger.Options{})
	orders := ledger.NewJournal()
	ctx, cancel := context.WithCancel(b.Context())
	var tasks sync.WaitGroup
	now := func() int64 { return time.Now().UnixMilli() }
	lanes := []ledger.Lane{lane(ledger.Source, false), lane(ledger.Target, false),
		lane(ledger.Source, true), lane(ledger.Target, true)}
	for i, at := range lanes {
		q := bullmq.Queue{Prefix: "bull", Name: "orders"}
		if at.Shadow {
			q.Name = "orders-shadow"
		}
		tasks.Go(func() {
			if err := l.Follow(ctx, f.clients[i%2], q, at, now); ctx.Err() == nil {
				b.Errorf("following %s: %v", at, err)
			}
		})
	}
	var mu sync.Mutex
	var told int64
	app := ingestion.New(load.journal, "token", nil)
	tasks.Go(func() {
		for next := int64(0); ctx.Err() == nil; {
			began := now()
			page, err := app.Journal(ctx, next, 2000)
			if err != nil {
				if ctx.Err() == nil {
					b.Error(err)
				}
				return
			}
			for _, raw := range page.Events {
				var e ledger.Event
				if err := json.Unmarshal(raw, &e); err != nil {
					b.Error(err)
				}
				orders.Apply(e)
			}
			next = page.Next
			if len(page.Events) == 2000 {
				continue
			}
			mu.Lock()
			told = began
			mu.Unlock()
			select {
			case <-ctx.Done():
			case <-time.After(250 * time.Millisecond):
			}
		}
	})
	var lags []int64 // ms, of what was folded last
	tasks.Go(func() {
		for tick := time.NewTicker(10 * time.Millisecond); ctx.Err() == nil; <-tick.C {
			for _, at := range lanes[:2] {
				if upto := l.After(at); upto.MS != 0 {
					lags = append(lags, now()-upto.MS)
				}
			}
		}
	})
	var saves []float64 // ms
	db := newRecorder()
	var rss float64
	save := func() {
		mu.Lock()
		upto := told
		mu.Unlock()
		l.Judge(now(), upto, orders)
		began := time.Now()
		c := l.Changes()
		state, err := workflows.LedgerState(c)
		if err == nil {
			err = st.SaveLedger(b.Context(), "m", state, now()-7*24*3600*1000, 1_000_000)
		}
		if err != nil {
			b.Error(err)
		}
		saves = append(saves, float64(time.Since(began).Microseconds())/1000)
		c.Done = nil // counted by the cursors
		db.save(c)
		rss = max(rss, residentMB(b))
	}
	began, cpu := time.Now(), ownCPU(b)
	halt := make(chan struct{})
	var saving sync.WaitGroup
	saving.Go(func() {
		for tick := time.NewTicker(time.Second); ; {
			select {
			case <-halt:
				return
			case <-tick.C:
				save()
			}
		}
	})
	return func(jobs int) {
		took, used := time.Since(began).Seconds(), ownCPU(b)-cpu
		lagged := slices.Clone(lags)
		close(halt)
		saving.Wait()
		closed := func() (n int64) {
			for _, c := range db.cursors {
				n += c.Closed
			}
			return n
		}
		for end := time.Now().Add(time.Minute); closed() < int64(jobs) &&
			time.Now().Before(end); {
			<-time.After(200 * time.Millisecond)
			save()
		}
		cancel()
		tasks.Wait()
		if got := closed(); got != int64(jobs) {
			b.Errorf("%d of %d jobs were folded", got, jobs)
		}
		if len(db.exceptions) > 0 || len(db.lives) > 0 {
			b.Errorf("%d exceptions, such as %+v; %d lives open", len(db.exceptions),
				first(db.exceptions), len(db.lives))
		}
		for _, w := range db.windows {
			if w.State == ledger.Inconclusive &&
				!slices.Equal(w.Reasons, []string{ledger.Began}) {
				b.Errorf("a minute of %s proves nothing: %v", w.Lane, w.Reasons)
			}
		}
		if s := orders.Summary(time.Now(), time.Minute); s.Orders != jobs ||
			s.Fulfilled != jobs || s.Lost+s.Duplicated+s.Mismatches+s.Pending != 0 {
			b.Errorf("the journal's side: %+v", s)
		}
		var entries int64
		for _, c := range db.cursors {
			entries += c.Entries
		}
		slices.Sort(lagged)
		slices.Sort(saves)
		runtime.GC()
		b.ReportMetric(float64(jobs)/loadTime.Seconds(), "jobs/s")
		b.ReportMetric(float64(entries)/loadTime.Seconds(), "entries/s")
		b.ReportMetric(float64(lagged[len(lagged)/2]), "lag-p50-ms")
		b.ReportMetric(float64(lagged[len(lagged)*99/100]), "lag-p99-ms")
		b.ReportMetric(float64(lagged[len(lagged)-1]), "lag-max-ms")
		b.ReportMetric(saves[len(saves)/2], "save-p50-ms")
		b.ReportMetric(saves[len(saves)-1], "save-max-ms")
		b.ReportMetric(used/took*100, "own-cpu-%")
		b.ReportMetric(rss, "RSS-MB")
		if err := st.Close(); err != nil {
			b.Error(err)
		}
		b.ReportMetric(fileMB(b, dir), "database-MB")
		if limit := int64(5000); lagged[len(lagged)-1] > limit {
			b.Errorf("the ledger was up to %d ms behind, the limit is %d ms",
				lagged[len(lagged)-1], limit)
		}
	}
}

func first[K cmp.Ordered, V any](m map[K]V) (v V) {
	for _, v = range m {
		break
	}
	return v
}

func fileMB(b testing.TB, dir string) float64 {
	b.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		b.Fatal(err)
	}
	total := int64(0)
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			b.Fatal(err)
		}
		total += info.Size()
	}
	return float64(total) / (1 << 20)
}
