package server

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// readersEnv has a child of the benchmark be the readers: address, path, how many, sessions.
const readersEnv = "SWITCHYARD_BENCH_READERS"

const (
	// benchIdle is long enough for what comes once a minute, charts' times, to come as often as it
	// does in an hour, and for the looks that follow a run to be a small part of it.
	benchIdle = 2 * time.Minute
	benchBusy = 20 * time.Second
)

// BenchmarkDashboards has N overviews open in a process of their own, over real connections: a
// stream each, and a kept one over which the main part is fetched whenever the stream says so.
// First nothing happens but what the monitor observes; then runs follow each other without pause,
// which changes the overview all the time. CPU and memory are those of the server's process.
func BenchmarkDashboards(b *testing.B) {
	for _, n := range []int{200, 1000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			for b.Loop() {
				measureDashboards(b, n)
			}
		})
	}
}

func measureDashboards(b *testing.B, n int) {
	moreFiles(b)
	st := serve(b)
	var sessions []string
	for name, password := range map[string]string{
		"ada": enginePass, "linus": secondPass, "grace": viewerPass,
	} {
		sessions = append(sessions, st.as(b, name, password).Token().Reveal())
	}
	st.runAudit(b)
	before := residentBytes(b)
	r := startReaders(b, st.url, n, sessions)
	r.next(b) // connected, and each has fetched the page once
	time.Sleep(benchIdle)
	idle := r.next(b)
	each := float64(residentBytes(b)-before) / float64(n)

	rendered, _ := st.Fragments()
	cpu, began := cpuTime(b), time.Now()
	for time.Since(began) < benchBusy {
		st.runAudit(b)
	}
	took := time.Since(began).Seconds()
	used := (cpuTime(b) - cpu).Seconds()
	now, _ := st.Fragments()
	busy := r.next(b)
	if busy.Failed+idle.Failed > 0 || len(busy.Micros) == 0 || st.Live.Count() != n {
		b.Fatalf("%d failures, %d refetches, %d streams of %d",
			busy.Failed+idle.Failed, len(busy.Micros), st.Live.Count(), n)
	}
	slices.Sort(busy.Micros)
	at := func(share float64) float64 {
		return float64(busy.Micros[int(float64(len(busy.Micros)-1)*share)]) / 1000
	}
	b.ReportMetric(0, "ns/op") // the length of the phases is ours
	b.ReportMetric(at(0.50), "ms-p50")
	b.ReportMetric(at(0.99), "ms-p99")
	b.ReportMetric(float64(len(busy.Micros))/took, "refetches/s")
	b.ReportMetric(float64(now-rendered)/took, "renders/s")
	b.ReportMetric(100*used/took, "%-of-a-core")
	b.ReportMetric(float64(busy.Pages)/float64(max(1, busy.Full)), "B/refetch")
	b.ReportMetric(100*float64(len(busy.Micros)-busy.Full)/float64(len(busy.Micros)), "%-unchanged")
	b.ReportMetric(each/1000, "kB/reader")
	b.ReportMetric(float64(idle.Bytes)/float64(n)/benchIdle.Seconds(), "B/s-idle")
}

func moreFiles(b *testing.B) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		b.Fatal(err)
	}
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		b.Fatal(err)
	}
}

// residentBytes is the memory of this process without what it would give back.
func residentBytes(b *testing.B) int64 {
	for range 3 { // each look halves a stack that has become too large
		debug.FreeOSMemory()
	}
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Skip("memory is measured by /proc")
	}
	pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// heard is what readers counted since they were asked last. Bytes are those of answers, with
// their heads and what the streams said.
type heard struct {
	Micros []int64
	Full   int // answers with a page; the others said that nothing changed
	Pages  int64
	Bytes  int64
	Failed int
}

type readers struct {
	in  io.Writer
	out *bufio.Reader
}

type readersOf struct {
	Address, Path string
	N             int
	Sessions      []string
}

func startReaders(b *testing.B, url string, n int, sessions []string) *readers {
	as, err := json.Marshal(readersOf{strings.TrimPrefix(url, "http://"), "/m/" + mid, n, sessions})
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.CommandContext(b.Context(), os.Args[0], "-test.run", "^TestReadersOfTheBenchmark$")
	cmd.Env = append(os.Environ(), readersEnv+"="+string(as))
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
	return &readers{in, bufio.NewReader(out)}
}

// next gives what was heard since the last time.
func (r *readers) next(b *testing.B) (h heard) {
	b.Helper()
	if _, err := io.WriteString(r.in, "next\n"); err != nil {
		b.Fatal(err)
	}
	line, err := r.out.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &h)
	}
	if err != nil {
		b.Fatal(err)
	}
	return h
}

// TestReadersOfTheBenchmark is the other process of BenchmarkDashboards.
func TestReadersOfTheBenchmark(t *testing.T) {
	var as readersOf
	if json.Unmarshal([]byte(os.Getenv(readersEnv)), &as) != nil {
		t.Skip("a part of BenchmarkDashboards")
	}
	d := &dashboards{readersOf: as}
	var ready sync.WaitGroup
	places := make(chan bool, 50)
	for i := range as.N {
		places <- true
		ready.Add(1)
		go func() {
			if err := d.look(as.Sessions[i%len(as.Sessions)], func() { <-places; ready.Done() }); err != nil {
				d.count(func(h *heard) { h.Failed++ })
				fmt.Fprintln(os.Stderr, "reader:", err)
			}
		}()
	}
	ready.Wait()
	for ask := bufio.NewScanner(os.Stdin); ask.Scan(); {
		d.count(func(h *heard) {
			line, _ := json.Marshal(h)
			fmt.Printf("%s\n", line)
			*h = heard{}
		})
	}
}

type dashboards struct {
	readersOf
	mu    sync.Mutex
	heard heard
}

func (d *dashboards) count(f func(*heard)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f(&d.heard)
}

// look is one open page. The heads are as long as those of Chromium.
func (d *dashboards) look(session string, ready func()) error {
	ask := func(path, more string) []byte {
		return []byte("GET " + path + " HTTP/1.1\r\nHost: " + d.Address + "\r\n" +
			"Cookie: switchyard_session=" + session + "\r\nAccept-Encoding: gzip, deflate, br\r\n" +
			"User-Agent: " + strings.Repeat("x", 120) + "\r\nAccept-Language: en-GB,en;q=0.9\r\n" +
			more + "\r\n")
	}
	kept, err := new(net.Dialer).DialContext(context.Background(), "tcp", d.Address)
	if err != nil {
		return err
	}
	answers := bufio.NewReader(kept)
	tag, err := d.fetch(kept, answers, ask(d.Path, "HX-Request: true\r\n"))
	if err != nil {
		return err
	}
	stream, err := new(net.Dialer).DialContext(context.Background(), "tcp", d.Address)
	if err != nil {
		return err
	}
	if _, err := stream.Write(ask("/events?topic=overview", "")); err != nil {
		return err
	}
	lines := bufio.NewReader(stream)
	for open := false; ; {
		line, err := lines.ReadSlice('\n')
		if err != nil {
			return err
		}
		d.count(func(h *heard) { h.Bytes += int64(len(line)) })
		if !open && bytes.HasPrefix(line, []byte("retry:")) {
			open = true
			ready()
		}
		if !bytes.Equal(line, []byte("event: update\n")) {
			continue
		}
		tag, err = d.fetch(kept, answers, ask(d.Path, "HX-Request: true\r\nIf-None-Match: "+tag+"\r\n"))
		if err != nil {
			return err
		}
	}
}

// fetch gives the tag of what the page shows then.
func (d *dashboards) fetch(kept net.Conn, from *bufio.Reader, request []byte) (string, error) {
	began := time.Now()
	if _, err := kept.Write(request); err != nil {
		return "", err
	}
	var status, length, size int
	tag := ""
	for {
		line, err := from.ReadString('\n')
		if err != nil {
			return "", err
		}
		size += len(line)
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case name == "HTTP/1.1":
			status, _ = strconv.Atoi(value[:3])
		case strings.EqualFold(name, "Content-Length:"):
			length, _ = strconv.Atoi(value)
		case strings.EqualFold(name, "ETag:"):
			tag = value
		}
		if name == "" {
			break
		}
	}
	if status == http.StatusNotModified {
		length = 0
	}
	if n, err := from.Discard(length); err != nil || status != 200 && status != 304 {
		return "", fmt.Errorf("status %d, %d bytes of %d: %w", status, n, length, err)
	}
	took := time.Since(began)
	d.count(func(h *heard) {
		h.Micros = append(h.Micros, took.Microseconds())
		h.Bytes += int64(size + length)
		if status == http.StatusOK {
			h.Full, h.Pages = h.Full+1, h.Pages+int64(size+length)
		}
	})
	return tag, nil
}
