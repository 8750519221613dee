package server

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/switchyard-dev/switchyard/flags"
	"github.com/switchyard-dev/switchyard/fleet"
	"github.com/switchyard-dev/switchyard/workflows"
)

func benchServer(b *testing.B) (*Server, *flags.Holder) {
	b.Helper()
	log := slog.New(slog.DiscardHandler)
	h := flags.NewHolder(flags.Options{Keys: []flags.Key{key("worker-token", setA, workerToken, 0)}, Log: log})
	if err := h.Replace(definition(setA, 1)); err != nil {
		b.Fatal(err)
	}
	return New(Options{Readers: workflows.Readers{Flags: h, Fleet: fleet.New(time.Now)}, Addr: "127.0.0.1:0", Log: log}), h
}

// BenchmarkEvaluation is what a request costs in this process besides reading and sending it: routing, key, evaluation, fleet, metrics.
func BenchmarkEvaluation(b *testing.B) {
	s, _ := benchServer(b)
	handle := s.app.Handler()
	request := func(path, tag string) *fasthttp.RequestCtx {
		var c fasthttp.RequestCtx
		c.Init(&fasthttp.Request{}, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}, nil)
		c.Request.Header.SetMethod("POST")
		c.Request.SetRequestURI(path)
		for k, v := range map[string]string{"Content-Type": "application/json", "Authorization": "Bearer " + workerToken, "X-Worker-Service": "ingestion", "X-Worker-Instance": "web.1", "If-None-Match": tag} {
			if v != "" {
				c.Request.Header.Set(k, v)
			}
		}
		c.Request.SetBodyString(`{"context":{"targetingKey":"worker-1","queue":"order-ingestion"}}`)
		return &c
	}
	first := request(bulkPath, "")
	handle(first)
	for name, c := range map[string]*fasthttp.RequestCtx{"single": request(bulkPath+"/kill", ""), "bulk": request(bulkPath, ""), "304": request(bulkPath, string(first.Response.Header.Peek("ETag")))} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.Response.Reset()
				c.ResetUserValues()
				handle(c)
			}
			if status := c.Response.StatusCode(); status != 200 && status != 304 {
				b.Fatalf("%d %s", status, c.Response.Body())
			}
		})
	}
}

// BenchmarkChangeToStreams opens as many streams as the limit of open files allows, at most 10,000, and measures how long after a change
// 99 % of them have been told.
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
	s, h := benchServer(b)
	ln, err := s.Bind(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	go func() { _ = s.Serve(ln) }()
	defer func() { _ = s.Shutdown(b.Context()) }()
	r, err := h.Reader("worker-token")
	if err != nil {
		b.Fatal(err)
	}
	who := fleet.Who{Set: setA}
	_, rest, _ := strings.Cut(string(s.streams.advertise(r, who, s.streams.window(who))), `"requestUri":"`)
	address, _, _ := strings.Cut(rest, `"`)
	told := make(chan time.Time, n)
	var ready sync.WaitGroup
	places := make(chan bool, 100) // connections under way
	for range n {
		places <- true
		conn := dial(b, ln.Addr().String())
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
		if err := h.Replace(definition(setA, revision)); err != nil {
			b.Fatal(err)
		}
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
