package ofrep

import (
	"bufio"
	"io"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/fleet"
	"github.com/switchyard-dev/switchyard/server/servertest"
)

// BenchmarkChangeToStreams opens as many streams as the limit of open files allows, at most
// 10,000, and measures how long after a change 99 % of them have been told.
func BenchmarkChangeToStreams(b *testing.B) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		b.Fatal(err)
	}
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		b.Fatal(err)
	}
	n := int(min(10_000, (limit.Cur-200)/2)) // both ends are in this process
	st := start(b, "secret")
	st.hold(b, setA, 1)
	r, err := st.holder.Reader("worker-token")
	if err != nil {
		b.Fatal(err)
	}
	who := fleet.Who{Set: setA}
	_, rest, _ := strings.Cut(
		string(st.streams.advertise(r, who, st.streams.window(who))), `"requestUri":"`,
	)
	address, _, _ := strings.Cut(rest, `"`)
	told := make(chan time.Time, n)
	var ready sync.WaitGroup
	places := make(chan bool, 100) // connections under way
	for range n {
		places <- true
		conn := servertest.Dial(b, strings.TrimPrefix(st.url, "http://"))
		ready.Add(1)
		go func() {
			_, _ = io.WriteString(conn, "GET "+address+" HTTP/1.1\r\nHost: x\r\n\r\n")
			lines := bufio.NewScanner(conn)
			lines.Buffer(make([]byte, 512), 4096)
			for lines.Scan() {
				switch {
				case strings.HasPrefix(lines.Text(), "retry:"):
					<-places
					ready.Done()
				case strings.HasPrefix(lines.Text(), "data:"):
					told <- time.Now()
				}
			}
		}()
	}
	ready.Wait()
	revision := int64(1)
	var worst []time.Duration
	for b.Loop() {
		revision++
		began, all := time.Now(), make([]time.Duration, 0, n)
		st.hold(b, setA, revision)
		for range n {
			all = append(all, (<-told).Sub(began))
		}
		slices.Sort(all)
		worst = append(worst, all[len(all)*99/100])
	}
	slices.Sort(worst)
	b.ReportMetric(float64(worst[len(worst)/2].Microseconds())/1000, "ms-p99")
	b.ReportMetric(float64(n), "streams")
}
