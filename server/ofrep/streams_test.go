package ofrep

import (
	"bufio"
	"encoding/json"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/flags"
	"github.com/switchyard-dev/switchyard/fleet"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/server/servertest"
)

// reading is one open stream as its client sees it.
type reading struct {
	head   *http.Response
	events chan sse
	conn   net.Conn
}

// sse is one block of the stream.
type sse struct{ id, event, data, comment string }

// follow opens a stream over a connection of its own, whose events are read until it ends.
func follow(t *testing.T, base, address string, header ...string) *reading {
	t.Helper()
	conn := servertest.Dial(t, strings.TrimPrefix(base, "http://"))
	_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second)) // a test that hangs fails
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+address, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	if err := req.Write(conn); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	head, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(
		func() { _, _ = conn.Close(), head.Body.Close() },
	) // in this order: the body ends with the connection
	out := &reading{head: head, events: make(chan sse, 100), conn: conn}
	go func() {
		defer close(out.events)
		lines := bufio.NewScanner(head.Body)
		var e sse
		for lines.Scan() {
			name, value, _ := strings.Cut(lines.Text(), ":")
			value = strings.TrimPrefix(value, " ")
			switch {
			case lines.Text() == "":
				out.events <- e
				e = sse{}
			case name == "":
				e.comment += value
			case name == "id":
				e.id = value
			case name == "event":
				e.event = value
			case name == "data":
				e.data += value
			}
		}
	}()
	return out
}

// told awaits the next notification and gives its revision; 0 when the stream ended.
func (r *reading) told(t *testing.T) int64 {
	t.Helper()
	for e := range r.events {
		if e.data == "" {
			continue
		}
		var data struct {
			Type         string
			ETag         string
			LastModified int64
		}
		if err := json.Unmarshal([]byte(e.data), &data); err != nil ||
			data.Type != "refetchEvaluation" ||
			data.ETag == "" ||
			data.LastModified < 1_700_000_000 ||
			e.event != "message" {
			t.Fatalf("event %+v: %v", e, err)
		}
		n, err := strconv.ParseInt(e.id, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	return 0
}

// first awaits what a stream begins with.
func (r *reading) first(t *testing.T) sse {
	t.Helper()
	e, ok := <-r.events
	if !ok || r.head.StatusCode != 200 ||
		r.head.Header.Get("Content-Type") != "text/event-stream" ||
		r.head.Header.Get("Cache-Control") != "no-store" ||
		e.comment == "" ||
		e.data != "" {
		t.Fatalf("%v %v %+v", r.head.Status, r.head.Header, e)
	}
	return e
}

func TestAStreamTellsOfEachChangeOnce(t *testing.T) {
	t.Parallel()
	st := serve(t)
	r := follow(t, st.url, st.address(t, "X-Worker-Service", "shop", "X-Worker-Instance", "tab-1"))
	if e := r.first(t); e.id != "1" {
		t.Errorf("it begins with %+v", e)
	}
	for revision := int64(2); revision < 5; revision++ {
		st.hold(t, setA, revision)
		if got := r.told(t); got != revision {
			t.Fatalf("told of revision %d, want %d", got, revision)
		}
	}
	st.hold(t, setB, 9)
	st.hold(t, setA, 5)
	if got := r.told(t); got != 5 {
		t.Errorf("told of revision %d: a change of another set, or nothing", got)
	}
	if n := st.openStreams(); n != 1 {
		t.Errorf("%d streams are counted", n)
	}
	i := slices.IndexFunc(
		st.fleet.Workers(), func(w migration.Worker) bool { return w.Instance == "tab-1" },
	)
	if i < 0 {
		t.Fatalf("the stream is nobody's: %+v", st.fleet.Workers())
	}
	if w := st.fleet.Workers()[i]; !slices.Contains(w.Via, fleet.ViaSSE) || w.Service != "shop" ||
		w.Key != "key worker-token" ||
		w.Address != "127.0.0.1" ||
		w.Set != setA {
		t.Errorf("%+v", w)
	}
}

func TestAStreamThatComesBackIsToldAtOnceWhenItIsBehind(t *testing.T) {
	t.Parallel()
	st := serve(t)
	address := st.address(t)
	st.hold(t, setA, 2)
	late := follow(t, st.url, address, "Last-Event-ID", "1")
	late.first(t)
	if got := late.told(t); got != 2 {
		t.Errorf("behind: told of %d", got)
	}
	// Up to date, and ahead of this replica.
	for last, next := range map[string]int64{"2": 3, "9": 10} {
		st := serve(t)
		address := st.address(t)
		st.hold(t, setA, 2)
		r := follow(t, st.url, address, "Last-Event-ID", last)
		r.first(t)
		st.hold(t, setA, next)
		if got := r.told(t); got != next {
			t.Errorf("after %s: told of %d, want %d", last, got, next)
		}
	}
}

func TestANewStreamIsToldOnlyOfWhatItMayHaveMissed(t *testing.T) {
	t.Parallel()
	st := serve(t)
	address := st.address(t)
	quiet := follow(t, st.url, address)
	quiet.first(t)
	st.hold(t, setA, 2)
	if got := quiet.told(t); got != 2 {
		t.Errorf("nothing had changed since its evaluation, so the first it hears of is the "+
			"change: %d", got)
	}
	late := follow(t, st.url, address) // as if the change had come between evaluation and stream
	late.first(t)
	if got := late.told(t); got != 2 {
		t.Errorf("told of %d", got)
	}
	other := serve(t) // another replica, which does not know when the address was given out
	moved := follow(t, other.url, address)
	moved.first(t)
	if got := moved.told(t); got != 1 {
		t.Errorf("told of %d", got)
	}
}

func TestTheAddressOfAStreamIsGoodForAnHourAtMostAndOnlyWithItsKey(t *testing.T) {
	t.Parallel()
	now := time.Now()
	var mu sync.Mutex
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	st := serve(t)
	st.streams.now = clock
	address := st.address(t)
	tag := st.bulk(t, "").Header.Get("ETag")
	if again := st.address(t); again != address {
		t.Error("an open stream would be given up: the address has changed with nothing else")
	}
	if r := st.bulk(t, tag); r.Status != 304 {
		t.Errorf("%d", r.Status)
	}
	refused := func(what, address string) {
		t.Helper()
		r := st.get(t, address)
		if r.Status != 401 || !r.IsOFREPError("") || strings.Contains(r.Text, "token=") {
			t.Errorf("%s: %d %s", what, r.Status, r.Text)
		}
	}
	token := strings.TrimPrefix(address, streamPath+"?token=")
	refused("no token", streamPath)
	refused("empty", streamPath+"?token=")
	refused("nonsense", streamPath+"?token=x")
	refused("not base64", streamPath+"?token=%00")
	refused("cut", address[:len(address)-4])
	refused("changed", streamPath+"?token="+token[:50]+flip(token[50])+token[51:])
	refused("a key of flags instead", streamPath+"?token="+workerToken)
	other := serveWith(t, "another")
	if r := other.get(t, address); r.Status != 401 {
		t.Errorf("another installation takes it: %d", r.Status)
	}
	if r := other.bulk(t, tag); r.Status != 200 {
		t.Errorf("after another secret was set, who holds an address of the former one gets no "+
			"other: %d", r.Status)
	}
	mu.Lock()
	now = now.Add(time.Hour + time.Second)
	mu.Unlock()
	refused("expired", address)
	r := st.bulk(t, tag)
	if r.Status != 200 || strings.Contains(r.Text, token) ||
		!strings.Contains(r.Text, "eventStreams") {
		t.Errorf("who holds the flags of then gets no new address: %d", r.Status)
	}
	if r := servertest.Ask(t, "HEAD", st.url+st.address(t), ""); r.Status != 200 ||
		r.Header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("HEAD: %d %v", r.Status, r.Header)
	}
	if strings.Contains(st.logs.String(), token) ||
		strings.Contains(st.logs.String(), servertest.Canary) {
		t.Error("a token is in the log")
	}
}

func flip(b byte) string {
	if b == 'A' {
		return "B"
	}
	return "A"
}

func TestATagNamesNoLaterRevisionThanTheReaderHolds(t *testing.T) {
	t.Parallel()
	st := serve(t)
	st.hold(t, setA, 2)
	later := st.bulk(t, "").Header.Get("ETag")
	behind := serve(t) // a replica that holds revision 1
	r := behind.bulk(t, later)
	if r.Status != 304 || flags.HeldRevision(r.Header.Get("ETag")) != 2 {
		t.Errorf("%d %v: something older would replace what it holds", r.Status, r.Header)
	}
}

func TestStreamsEndWithTheirKeyTheirReaderAndTheServer(t *testing.T) {
	t.Parallel()
	st := start(t, "secret")
	st.streams.tick = time.Millisecond
	st.hold(t, setA, 1)
	second := servertest.Key("a2", setA, tokenB, 0)
	if err := st.holder.ReplaceKeys([]flags.Key{second}); err != nil {
		t.Fatal(err)
	}
	var b struct {
		EventStreams []struct{ Endpoint struct{ RequestURI string } }
	}
	all := servertest.Ask(t, "POST", st.url+bulkPath, "{}", "X-API-Key", tokenB)
	if err := json.Unmarshal([]byte(all.Text), &b); err != nil {
		t.Fatal(err)
	}
	byKey := follow(t, st.url, b.EventStreams[0].Endpoint.RequestURI)
	byKey.first(t)
	leaves, stays := follow(t, st.url, st.address(t)), follow(t, st.url, st.address(t))
	leaves.first(t)
	stays.first(t)
	servertest.Eventually(t, "three streams", func() bool { return st.openStreams() == 3 })
	if err := st.holder.ReplaceKeys(nil); err != nil {
		t.Fatal(err)
	}
	if got := byKey.told(t); got != 0 {
		t.Errorf("the stream of a revoked key goes on: %d", got)
	}
	if r := st.get(t, b.EventStreams[0].Endpoint.RequestURI); r.Status != 401 {
		t.Errorf("and can be opened again: %d", r.Status)
	}
	_ = leaves.conn.Close()
	servertest.Eventually(t, "one stream", func() bool { return st.openStreams() == 1 })
	servertest.Eventually(t, "its key may open others", func() bool {
		return st.streams.count("worker-token").Load() == 1 && st.streams.count("a2").Load() == 0
	})
	st.Close()
	if got := stays.told(t); got != 0 {
		t.Errorf("told of %d after the end", got)
	}
	for _, w := range st.fleet.Workers() {
		if w.Live && slices.Equal(w.Via, []string{fleet.ViaSSE}) {
			t.Errorf("still live: %+v", w)
		}
	}
}

func TestOneKeyCannotTakeAllStreams(t *testing.T) {
	t.Parallel()
	st := serve(t)
	address := st.address(t)
	st.streams.count("worker-token").Add(maxStreamsPerKey)
	if r := st.get(t, address); r.Status != 503 || !r.IsOFREPError("") ||
		r.Header.Get("Retry-After") == "" {
		t.Errorf("%d %s", r.Status, r.Text)
	}
}

func TestAPageOfAnAllowedSiteMayReadTheStream(t *testing.T) {
	t.Parallel()
	st := serveWith(t, "secret", "https://shop.example")
	r := follow(t, st.url, st.address(t), "Origin", "https://shop.example")
	r.first(t)
	if got := r.head.Header.Get("Access-Control-Allow-Origin"); got != "https://shop.example" {
		t.Errorf("%v", r.head.Header)
	}
}

func TestAReaderThatDoesNotKeepUpIsLetGoAndHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	servertest.Dial(t, ln.Addr().String()) // and never reads
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	var st stream
	st.take(conn)
	if !st.beat() {
		t.Fatal("the first heartbeat was not taken")
	}
	block, full := make([]byte, 64<<10), false
	for range 10_000 {
		if full = !st.write(block); full {
			break
		}
	}
	if !full {
		t.Error("640 MB were taken")
	}
}

func TestAllOfFiveHundredStreamsAreTold(t *testing.T) {
	t.Parallel()
	st := serve(t)
	const n = 500
	all := make([]*reading, n)
	for i := range all {
		all[i] = follow(
			t, st.url,
			st.address(t, "X-Worker-Service", "shop", "X-Worker-Instance", strconv.Itoa(i)),
		)
		all[i].first(t)
	}
	servertest.Eventually(t, "all open", func() bool { return st.openStreams() == n })
	for revision := int64(2); revision < 4; revision++ {
		st.hold(t, setA, revision)
		for i, r := range all {
			if got := r.told(t); got != revision {
				t.Fatalf("stream %d was told of %d, want %d", i, got, revision)
			}
		}
	}
}
