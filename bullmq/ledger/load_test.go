package ledger_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
	"github.com/switchyard-dev/switchyard/providers/ingestion"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

// The load of BenchmarkLedger, on both servers together.
const (
	loadRate  = 5000 // jobs a second
	loadTick  = 10 * time.Millisecond
	loadAlone = 20 * time.Second // without anybody following: what the load itself costs
	loadTime  = 60 * time.Second // with somebody following
	loadEnv   = "SWITCHYARD_LEDGER_LOAD"
)

// TestMain also runs the load of BenchmarkLedger, in a separate process.
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
// on completion: 4 entries of the events stream and the job's keys. KEYS holds the
// queue's prefix with its colon.
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
// journal that an application would keep. It prints the journal's address first and
// the number of jobs at the end.
func load(ctx context.Context, ports []string) error {
	journal := &madeJournal{}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
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
	lines.Scan() // the first line ends the load, the end of input ends the journal
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

// loadSide adds rate jobs a second; each runs one tick after it was added, and ends
// another tick later.
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
		if err != nil && !errors.Is(err, redis.Nil) {
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

func (l *loader) line() string {
	if !l.out.Scan() {
		l.b.Fatalf("the load ended: %v", l.out.Err())
	}
	return l.out.Text()
}

// stop ends the load and returns how many jobs it ran. The journal stays up until
// end.
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
