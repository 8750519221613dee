package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/migration"
)

const (
	bulkPath = "/ofrep/v1/evaluate/flags"
	// staticFlag is one of those by which cutover routes the orders of the only queue.
	staticFlag   = queue + "-ramp"
	targetedFlag = "bench-ends-with"
	killFlag     = "bench-kill"
	queue        = "order-ingestion"
	orderContext = `{"context":{"targetingKey":"order-1","email":"a@example.com"}}`

	startPatience = 60 * time.Second
	stopPatience  = 30 * time.Second
)

// benchFlags make ten of the four flags that route orders: half of them with targeting.
var benchFlags = map[string]json.RawMessage{
	killFlag: json.RawMessage(
		`{"state":"ENABLED","variants":{"on":true,"off":false},"defaultVariant":"on",` +
			`"metadata":{"type":"kill-switch"}}`,
	),
	targetedFlag: targeted(
		`{"if":[{"ends_with":[{"var":"email"},"@example.com"]},"on","off"]}`),
	"bench-starts-with": targeted(`{"if":[{"starts_with":[{"var":"email"},"a@"]},"on","off"]}`),
	"bench-in": targeted(
		`{"if":[{"in":[{"var":"email"},["b@example.com","a@example.com"]]},"on","off"]}`),
	"bench-equal": targeted(
		`{"if":[{"==":[{"var":"targetingKey"},"order-1"]},"on","off"]}`),
	"bench-fractional": targeted(`{"fractional":[["on",50],["off",50]]}`),
}

func targeted(rule string) json.RawMessage {
	return json.RawMessage(
		`{"state":"ENABLED","variants":{"on":true,"off":false},"defaultVariant":"off","targeting":` + rule + `}`,
	)
}

// server is one that this program has started, in a folder that goes with it.
type server struct {
	url, sync   string // base address of HTTP; host:port of gRPC
	pid         int
	worker      string // token
	session     string // token of an engineer
	migrationID string

	dir    string
	log    *os.File
	sink   *sink
	cancel context.CancelFunc
	ended  chan struct{} // closed after exit is set
	exit   error
}

// startServer returns a server that answers, with benchFlags in its set. It ends with
// ctx at the latest.
func startServer(ctx context.Context, binary, core string) (_ *server, err error) {
	s := &server{worker: rand.Text(), ended: make(chan struct{}), cancel: func() {}}
	if s.dir, err = os.MkdirTemp("", "switchyard-bench-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(s.explain(err), s.stop())
		}
	}()
	if s.sink, err = openSink(ctx); err != nil {
		return nil, err
	}
	if s.log, err = os.Create(filepath.Join(s.dir, "log")); err != nil {
		return nil, err
	}
	password := rand.Text()
	file, err := s.configure(ctx, password)
	if err != nil {
		return nil, err
	}
	running, cancel := context.WithCancel(ctx)
	s.cancel = cancel
	cmd := exec.CommandContext(running, "taskset", "-c", core, binary, "serve",
		"--config", file)
	cmd.Env = append(neutral(os.Environ()), "GOMAXPROCS=1",
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://"+s.sink.addr)
	cmd.Stdout, cmd.Stderr = s.log, s.log
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopPatience
	if err = cmd.Start(); err != nil {
		return nil, err
	}
	s.pid = cmd.Process.Pid // taskset becomes the server
	go func() {
		s.exit = cmd.Wait()
		close(s.ended)
		cancel()
	}()
	starting, done := context.WithTimeout(running, startPatience)
	defer done()
	return s, s.seed(starting, password)
}

// neutral leaves out what would configure the server otherwise than its file does.
func neutral(env []string) []string {
	var kept []string
	for _, e := range env {
		if !strings.HasPrefix(e, "SWITCHYARD_") && !strings.HasPrefix(e, "OTEL_") {
			kept = append(kept, e)
		}
	}
	return kept
}

// configure writes the least that a server needs. The order path is not there: nothing
// here asks it.
func (s *server) configure(ctx context.Context, password string) (file string, err error) {
	var addr [3]string
	for i := range addr {
		ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		defer ln.Close()
		addr[i] = ln.Addr().String()
	}
	s.url, s.sync = "http://"+addr[0], addr[1]
	file = filepath.Join(s.dir, "switchyard.yaml")
	return file, os.WriteFile(file, fmt.Appendf(nil, `addr: %s
sync_addr: %s
data_dir: %q
worker_token: %q
first_run_users:
  - {name: bench, role: engineer, password: %q}
migration: {event_date: "2026-12-24"}
queues: [%s]
source:
  standalone: {url: "redis://%s"}
ingestion: {url: "http://%[7]s"}
`, addr[0], addr[1], filepath.Join(s.dir, "data"), s.worker, password, queue, addr[2]), 0o600)
}

// seed waits for the server, signs in and makes the flags.
func (s *server) seed(ctx context.Context, password string) error {
	c := api.New(s.url, "").WithPatience(startPatience)
	if _, err := c.SignIn(ctx, "bench", migration.Secret(password)); err != nil {
		return err
	}
	s.session = c.Token().Reveal()
	all, err := c.Migrations(ctx)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return errors.New("the server has no migration")
	}
	s.migrationID = all[0].ID
	_, err = s.change(ctx, "changes", migration.FlagEdit{Reason: "bench", Flags: benchFlags})
	return err
}

// change asks for a change of flags and says when it was asked for and when the answer
// began.
func (s *server) change(ctx context.Context, verb string, in any) (t changed, err error) {
	body, err := json.Marshal(in)
	if err != nil {
		return t, err
	}
	trace := &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) {
		t.asked = time.Now()
	}, GotFirstResponseByte: func() { t.answered = time.Now() }}
	a, err := send(httptrace.WithClientTrace(ctx, trace), "POST",
		s.url+"/api/v1/migrations/"+s.migrationID+"/flags/"+verb, s.session, "", body)
	if err != nil {
		return t, err
	}
	if a.status != http.StatusCreated {
		return t, fmt.Errorf("flags/%s: %d %s", verb, a.status, a.body)
	}
	var rev migration.FlagSetRevision
	err = json.Unmarshal(a.body, &rev)
	t.revision = rev.Revision
	return t, err
}

type changed struct {
	asked, answered time.Time
	revision        int64
}

type answer struct {
	status int
	etag   string
	body   []byte
}

// send makes one request. tag is what If-None-Match says; empty: nothing.
func send(ctx context.Context, method, url, token, tag string, body []byte) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	if tag != "" {
		req.Header.Set("If-None-Match", tag)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header.Get("ETag"), text}, err
}

// stop ends the server and removes what it wrote.
func (s *server) stop() error {
	s.cancel()
	var err error
	if s.pid != 0 {
		<-s.ended
	}
	if s.sink != nil {
		err = s.sink.close()
	}
	if s.log != nil {
		err = errors.Join(err, s.log.Close())
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

// explain adds to an error whether the server has ended by itself, and the end of its
// log.
func (s *server) explain(err error) error {
	if s.pid != 0 {
		select {
		case <-s.ended:
			//nolint:errorlint // nil where it ended well, and then there is nothing to wrap
			err = fmt.Errorf("%w\nthe server has ended: %v", err, s.exit)
		default:
		}
	}
	text, readErr := os.ReadFile(filepath.Join(s.dir, "log"))
	if readErr != nil {
		return err // it has not been started
	}
	return fmt.Errorf("%w\nthe server's log ends with:\n%s", err, text[max(0, len(text)-2000):])
}

// sink takes the server's traces and forgets them.
type sink struct {
	addr     string
	requests atomic.Int64
	http     *http.Server
	ended    chan error
}

func openSink(ctx context.Context) (*sink, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &sink{addr: ln.Addr().String(), ended: make(chan error, 1)}
	s.http = &http.Server{ReadHeaderTimeout: startPatience,
		Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			s.requests.Add(1)
		})}
	go func() { s.ended <- s.http.Serve(ln) }()
	return s, nil
}

func (s *sink) close() error {
	err := s.http.Close()
	<-s.ended //nolint:errcheck // Serve always ends with an error, here ErrServerClosed
	return err
}

// cpuTime is what a process has used so far, of user and system time.
func cpuTime(pid int) (time.Duration, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, err
	}
	return parseCPUTime(string(text))
}

// parseCPUTime reads fields 14 and 15 of /proc/<pid>/stat. The name, field 2, may hold
// spaces and parentheses.
func parseCPUTime(stat string) (time.Duration, error) {
	const tick = time.Second / 100 // what the kernel tells programs, on every architecture
	f := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(f) < 13 {
		return 0, fmt.Errorf("unreadable process status %q", stat)
	}
	user, err1 := strconv.ParseInt(f[11], 10, 64)
	system, err2 := strconv.ParseInt(f[12], 10, 64)
	return time.Duration(user+system) * tick, errors.Join(err1, err2)
}

// residentMB is the memory of a process that is in use, in units of 10⁶ bytes.
func residentMB(pid int) (float64, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	var kib float64
	_, err = fmt.Sscan(rest, &kib)
	return kib * 1024 / 1e6, err
}
