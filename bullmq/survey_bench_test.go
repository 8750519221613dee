package bullmq_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

// surveyApp holds the address of the server that the application of BenchmarkSurvey
// uses: the test binary, run again in its own process, so that it measures the
// server and not our own scheduling.
const surveyApp = "SWITCHYARD_BENCH_SURVEY_APP"

func TestMain(m *testing.M) {
	if url := os.Getenv(surveyApp); url != "" {
		if err := feel(url, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// felt is what an application experienced since it was last asked: how long adding
// and taking a job took, in us.
type felt struct {
	N    int     `json:"n"`
	P50  float64 `json:"p50"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
}

// feel adds and takes a job 500 times a second until in ends. For each line
// received it reports what it felt since the last.
func feel(url string, in io.Reader, out io.Writer) error {
	o, err := redis.ParseURL(url)
	if err != nil {
		return err
	}
	c := redis.NewClient(o)
	defer func() { _ = c.Close() }()
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		for lines := bufio.NewScanner(in); lines.Scan(); {
			asked <- struct{}{}
		}
	}()
	var took []float64
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	ctx := context.Background()
	for id := 2_000_000; ; id++ {
		select {
		case _, more := <-asked:
			if !more {
				return nil
			}
			slices.Sort(took)
			at := func(share float64) float64 {
				if len(took) == 0 {
					return 0
				}
				return took[int(share*float64(len(took)-1))]
			}
			if err := json.NewEncoder(out).Encode(felt{len(took), at(0.5), at(0.99),
				at(0.999)}); err != nil {
				return err
			}
			took = took[:0]
		case <-tick.C:
		}
		started := time.Now()
		var next *redis.StringCmd
		if _, err := c.TxPipelined(ctx, func(p redis.Pipeliner) error {
			p.HSet(ctx, "bull:orders:"+strconv.Itoa(id), "name", "order", "data", `{"n":1}`,
				"opts", "{}", "timestamp", "1795500000000")
			p.LPush(ctx, "bull:orders:wait", id)
			next = p.RPop(ctx, "bull:orders:wait")
			return nil
		}); err != nil {
			return err
		}
		took = append(took, float64(time.Since(started).Microseconds()))
		c.Del(ctx, "bull:orders:"+next.Val())
	}
}

// application runs feel in a separate process. The function returns what it felt
// since it was last called.
func application(b *testing.B, url string) func() felt {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), surveyApp+"="+url)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	answers := json.NewDecoder(out)
	return func() (f felt) {
		b.Helper()
		if _, err := io.WriteString(in, "\n"); err != nil {
			b.Fatal(err)
		}
		if err := answers.Decode(&f); err != nil {
			b.Fatal(err)
		}
		return f
	}
}

// BenchmarkSurvey surveys a server with 1,000,000 jobs in one queue while an
// application in its own process adds and takes a job 500 times a second, and
// compares what that application experiences: p99 of one add and take, in us, in
// the minutes before, during and after the survey. SWITCHYARD_BENCH_JOBS makes it
// shorter.
func BenchmarkSurvey(b *testing.B) {
	srv := redistest.Start(b)
	c := srv.Client()
	jobs := 1_000_000
	if n, err := strconv.Atoi(os.Getenv("SWITCHYARD_BENCH_JOBS")); err == nil {
		jobs = n
	}
	for at := 0; at < jobs; at += 2000 {
		if _, err := c.Pipelined(b.Context(), func(p redis.Pipeliner) error {
			ids := make([]any, 0, 2000)
			for i := at + 1; i <= at+2000; i++ {
				p.HSet(b.Context(), fmt.Sprint("bull:orders:", i), "name", "order", "data",
					`{"n":1}`, "opts", "{}", "timestamp", "1795500000000")
				ids = append(ids, i)
			}
			p.LPush(b.Context(), "bull:orders:wait", ids...)
			return nil
		}); err != nil {
			b.Fatal(err)
		}
	}
	c.Set(b.Context(), "bull:orders:id", jobs, 0)
	quiet := time.Minute
	if jobs < 1_000_000 {
		quiet = 20 * time.Second
	}
	feels := application(b, srv.URL())
	settle := func(d time.Duration) felt {
		b.Helper()
		select {
		case <-time.After(d):
		case <-b.Context().Done():
			b.Fatal("out of time")
		}
		return feels()
	}
	for range b.N {
		settle(5 * time.Second)
		before := settle(quiet)
		s, err := bullmq.TakeSurvey(b.Context(), c, bullmq.SurveyOptions{})
		if err != nil {
			b.Fatal(err)
		}
		during := feels()
		settle(time.Second)
		after := settle(quiet)
		if q, ok := s.Queue(bullmq.Queue{Prefix: "bull", Name: "orders"}); !ok ||
			q.HashesWithoutIndex+q.IndexedWithoutHash > 0 {
			b.Errorf("a false alarm: %d jobs in no list, %d ids without a job",
				q.HashesWithoutIndex, q.IndexedWithoutHash)
		}
		for name, f := range map[string]felt{"before": before, "during": during,
			"after": after} {
			b.ReportMetric(f.P50, "p50-"+name+"-us")
			b.ReportMetric(f.P99, "p99-"+name+"-us")
			b.ReportMetric(f.P999, "p99.9-"+name+"-us")
		}
		b.ReportMetric(during.P99/((before.P99+after.P99)/2), "p99-ratio")
		b.ReportMetric(s.Took.Seconds(), "s/survey")
		b.ReportMetric(float64(s.Keys), "keys")
	}
	b.ReportMetric(rssMB(), "RSS-MB")
}

// rssMB returns this process's peak resident memory; 0 where /proc does not tell.
func rssMB() float64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	var kb float64
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			_, _ = fmt.Sscan(v, &kb)
		}
	}
	return kb / 1024
}
