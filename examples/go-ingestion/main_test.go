package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v85/webhook"

	"github.com/switchyard-dev/switchyard/conform"
	"github.com/switchyard-dev/switchyard/providers/ingestion"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/scan"
)

const (
	switchyards = "switchyards-token"
	secret      = "whsec_test"
	asProgram   = "GO_INGESTION_TEST_AS_PROGRAM"
)

// The test binary is the program too, so that it is a process of its own.
func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// estate is a Redis, the door and the program.
type estate struct {
	*testing.T
	redis         *redistest.Server
	env           []string
	door, program *exec.Cmd
	url, doorURL  string
	dir           string
}

func start(t *testing.T) *estate {
	t.Helper()
	e := &estate{T: t, dir: t.TempDir(), redis: redistest.Start(t,
		redistest.Config("appendonly yes", "appendfsync always"))}
	port, doorPort := redistest.FreePort(t), redistest.FreePort(t)
	e.url = "http://127.0.0.1:" + strconv.Itoa(port)
	e.doorURL = "http://127.0.0.1:" + strconv.Itoa(doorPort)
	e.env = append(os.Environ(), asProgram+"=1",
		"PORT="+strconv.Itoa(port), "APP_URL="+e.url, "DOOR_PORT="+strconv.Itoa(doorPort),
		"DOOR_URL="+e.doorURL, "DOOR_TOKEN=between-the-two",
		"INGESTION_TOKEN="+switchyards, "WEBHOOK_SECRET="+secret, "DATA_DIR="+e.dir,
		"SOURCE_REDIS_URL=redis://"+e.redis.Addr(), "INSTANCE_ID=web.1",
		"SWITCHYARD_URL=http://127.0.0.1:1", "SWITCHYARD_TOKEN=none")
	e.startDoor()
	e.program = e.run(os.Args[0])
	return e
}

func (e *estate) startDoor() { e.door = e.run("node", "door.mjs") }

// run starts one of the two until the test ends, and waits until it listens.
func (e *estate) run(program string, args ...string) *exec.Cmd {
	e.Helper()
	cmd := exec.Command(program, args...) //nolint:noctx // ended in Cleanup
	cmd.Env, cmd.Stderr = e.env, os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		e.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		e.Fatal(err)
	}
	e.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if strings.Contains(lines.Text(), `"listening"`) {
			return cmd
		}
	}
	e.Fatalf("%s ended before it listened: is the kit built (make node)?", program)
	return nil
}

func event(n int) []byte {
	return fmt.Appendf(nil, `{"id":"evt_%d","type":"checkout.session.completed","data":{"object":`+
		`{"id":"cs_%d","amount_total":1990,"currency":"eur"}}}`, n, n)
}

// deliver sends an event as Stripe does, once, and gives the status and what Retry-After says.
func (e *estate) deliver(body []byte, with string) (status int, later string) {
	e.Helper()
	req, err := http.NewRequestWithContext(e.Context(), http.MethodPost,
		e.url+"/webhooks/stripe", bytes.NewReader(body))
	if err != nil {
		e.Fatal(err)
	}
	signed := webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: body,
		Secret: with})
	req.Header.Set("Stripe-Signature", signed.Header)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		e.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode, resp.Header.Get("Retry-After")
}

// delivered sends it again, as Stripe does, until it is taken.
func (e *estate) delivered(n int) {
	e.Helper()
	redistest.Eventually(e, 30*time.Second, func() error {
		if got, _ := e.deliver(event(n), secret); got != http.StatusOK {
			return fmt.Errorf("event %d: status %d", n, got)
		}
		return nil
	})
}

func (e *estate) refused(n int) {
	e.Helper()
	got, later := e.deliver(event(n), secret)
	if got != http.StatusServiceUnavailable || later == "" {
		e.Errorf("event %d: status %d, Retry-After %q", n, got, later)
	}
}

// handed gives the door an order, as the program does.
func (e *estate) handed(n int, token string) int {
	e.Helper()
	o, err := fromStripe(event(n))
	if err != nil {
		e.Fatal(err)
	}
	body, err := json.Marshal(o)
	if err != nil {
		e.Fatal(err)
	}
	req, err := http.NewRequestWithContext(e.Context(), http.MethodPost, e.doorURL+"/orders",
		bytes.NewReader(body))
	if err != nil {
		e.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		e.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// journaled counts an order's events by what happened.
func (e *estate) journaled(order string) map[string]int {
	e.Helper()
	page, err := ingestion.New(e.url, switchyards, nil).Journal(e.Context(), 0, 1000)
	if err != nil {
		e.Fatal(err)
	}
	out := map[string]int{}
	for _, raw := range page.Events {
		text, err := json.Marshal(raw)
		var ev struct {
			Type, Order, Outcome string
			Status               int
			OK                   bool
		}
		if err != nil || json.Unmarshal(text, &ev) != nil {
			e.Fatal(err, string(text))
		}
		if ev.Order == order {
			what := map[string]string{"delivery": strconv.Itoa(ev.Status),
				"enqueued": strconv.FormatBool(ev.OK)}[ev.Type]
			out[strings.TrimSpace(ev.Type+" "+or(what, ev.Outcome))]++
		}
	}
	return out
}

// applied waits until an order took effect, and reports one that did so twice.
func (e *estate) applied(order string) {
	e.Helper()
	redistest.Eventually(e, 30*time.Second, func() error {
		if n := e.journaled(order)["executed applied"]; n != 1 {
			return fmt.Errorf("%s took effect %d times", order, n)
		}
		return nil
	})
}

func TestAnAppInGoKeepsTheContractThroughItsDoor(t *testing.T) {
	t.Parallel()
	e := start(t)
	for range 2 {
		for _, r := range conform.Run(t.Context(), conform.Options{URL: e.url,
			Token: switchyards, Queue: "orders"}) {
			if r.Verdict != conform.Kept {
				t.Errorf("%s %s: %s; must: %s", r.Verdict, r.Rule, r.Said, r.Must)
			}
		}
	}
}

func TestAnOrderOfTheGoAppTakesEffectOnceThroughOutages(t *testing.T) {
	t.Parallel()
	e := start(t)
	if got, _ := e.deliver(event(1), "another"); got != http.StatusBadRequest {
		t.Errorf("a signature of somebody else's: %d", got)
	}
	e.delivered(1)
	e.delivered(1) // a second delivery is the same job
	e.applied("cs_1")
	job, err := e.redis.Client().HGetAll(t.Context(), "bull:orders:stripe_evt_1").Result()
	if err != nil || !strings.Contains(job["data"], `"id":"cs_1"`) || job["finishedOn"] == "" {
		t.Errorf("the job is %v: %v", job, err)
	}

	e.redis.Kill()
	e.refused(2)
	e.redis.Restart()
	e.delivered(2)
	e.applied("cs_2")

	_ = e.door.Process.Kill()
	_ = e.door.Wait()
	e.refused(3)
	app := ingestion.New(e.url, switchyards, nil)
	if err := app.Healthy(t.Context()); err == nil {
		t.Error("healthy without a door")
	}
	e.startDoor()
	e.delivered(3)
	e.applied("cs_3")

	// A job that runs while the program is gone is tried again.
	_ = e.program.Process.Kill()
	_ = e.program.Wait()
	for token, want := range map[string]int{"": 401, switchyards: 401, "between-the-two": 200} {
		if got := e.handed(5, token); got != want {
			t.Errorf("the door answers %d to %q", got, token)
		}
	}
	redistest.Eventually(t, 10*time.Second, func() error {
		made, err := e.redis.Client().HGet(t.Context(), "bull:orders:stripe_evt_5", "atm").Result()
		if made == "" || err != nil {
			return fmt.Errorf("no attempt was made: %w", err)
		}
		return nil
	})
	e.program = e.run(os.Args[0])
	e.applied("cs_5")

	for provider, want := range map[string]int{"stripe": 200, "shopify": 422} {
		got, reason, err := app.Replay(t.Context(), provider, event(4))
		if got != want || err != nil {
			t.Errorf("a replay of %s: %d %s %v", provider, got, reason, err)
		}
	}
	e.applied("cs_4")

	if got := e.journaled("cs_1"); got["delivery 200"] != 2 || got["enqueued true"] != 2 {
		t.Errorf("%v", got)
	}
	if got := e.journaled("cs_2"); got["delivery 503"] == 0 || got["delivery 200"] != 1 {
		t.Errorf("%v", got)
	}
	files, err := os.ReadDir(filepath.Join(e.dir, "orders"))
	if err != nil || len(files) != 5 {
		t.Errorf("%d orders took effect: %v", len(files), err)
	}
}

func TestAnOrderIsEnteredOnceWhateverItsID(t *testing.T) {
	t.Parallel()
	b, err := open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"a", "a", "../a", "../a", ""} {
		if err := b.enter(order{ID: id}); err != nil {
			t.Error(err)
		}
	}
	if files, err := os.ReadDir(string(b)); len(files) != 3 || err != nil {
		t.Errorf("%d files: %v", len(files), err)
	}
}

func TestTheScanKnowsTheDoorsProducers(t *testing.T) {
	t.Parallel()
	report, err := scan.Run(t.Context(), ".", scan.Options{})
	if err != nil || !report.Green() {
		t.Errorf("%+v: %v", report, err)
	}
}
