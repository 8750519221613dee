package ledger_test

import (
	"cmp"
	"context"
	"encoding/json"
	"os"
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
	"github.com/switchyard-dev/switchyard/workflows/environment"
)

// serverCPU returns the seconds of CPU time a server has used.
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

// residentMB returns the process's resident memory.
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
				b.Errorf("following adds %.1f %% of a core to the %s, the limit is 5 %%; "+
					"the load itself takes %.1f %%", added, side, alone[i])
			}
		}
	}
}

// measureCPU runs the load for d and returns the percentage of a core that each
// server took. follow may start something beside it, and receives the number of
// jobs at the end.
func measureCPU(
	b *testing.B, clients []redis.UniversalClient, servers []*redistest.Server,
	d time.Duration, follow func(*loader) func(jobs int),
) [2]float64 {
	b.Helper()
	for _, c := range clients {
		redistest.Empty(b, c)
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
	journal := ledger.NewJournal("orders")
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
				journal.Apply(e)
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
	var lags []int64 // ms, age of what was last folded
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
		l.Judge(now(), upto, journal)
		began := time.Now()
		c := l.Changes()
		state, err := environment.LedgerState(c)
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
		if s := journal.Summary(time.Now(), time.Minute); s.Orders != jobs ||
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
