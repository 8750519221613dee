package conformance

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"
)

var order = map[string]any{"targetingKey": "order-1"}

// stage asks for a routing flag, which every client must get before it is of any use.
var stage = question{"eval", "order-ingestion-stage", "string", "none", order}

// generation asks for the flag that the tests of failures change.
var generation = question{"eval", "generation", "number", -1, order}

// setGeneration gives that flag a new value.
func setGeneration(n int) map[string]json.RawMessage {
	return map[string]json.RawMessage{"generation": fmt.Appendf(nil,
		`{"state":"ENABLED","variants":{"v%d":%d},"defaultVariant":"v%d"}`, n, n, n)}
}

// awaitValue asks until the client gives the value; what it gives meanwhile must be
// allowed.
func awaitValue(t *testing.T, c client, q question, want any, meanwhile ...any) {
	t.Helper()
	began := time.Now()
	await(t, fmt.Sprintf("%s is %v", q.Flag, want), func() bool {
		a := c(q)
		if reflect.DeepEqual(a.Value, want) {
			return true
		}
		for _, m := range meanwhile {
			if reflect.DeepEqual(a.Value, m) {
				return false
			}
		}
		if len(meanwhile) > 0 {
			t.Fatalf("%s: %+v while waiting for %v; only %v is allowed", q.Flag, a,
				want, meanwhile)
		}
		return false
	})
	t.Logf("%s = %v after %s", q.Flag, want, time.Since(began).Round(time.Millisecond))
}

// each runs a test for each official client.
func each(t *testing.T, test func(t *testing.T, k kind)) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			test(t, k)
		})
	}
}

func TestOfficialClientsReadTheRoutingFlags(t *testing.T) {
	t.Parallel()
	p := newProgram(t, "")
	p.startAndWait()
	each(t, func(t *testing.T, k kind) {
		c := k.start(t, p.addr, p.syncAddr)
		awaitValue(t, c, stage, "off")
		for _, ask := range []struct {
			question
			want answer
		}{
			{stage, answer{Value: "off", Variant: "off", Reason: "STATIC"}},
			{
				question{"eval", "order-ingestion-ramp", "number", -1, order},
				answer{Value: 0., Variant: "0", Reason: "STATIC"},
			},
			{
				question{"eval", "order-ingestion-authority", "string", "none", order},
				answer{Value: "source", Variant: "source", Reason: "STATIC"},
			},
			{
				question{"eval", "source-endpoint", "string", "none", order},
				answer{Value: "standalone", Variant: "standalone", Reason: "STATIC"},
			},
			{
				question{"eval", "unheard-of", "string", "mine", order},
				answer{Value: "mine", Reason: "ERROR", ErrorCode: "FLAG_NOT_FOUND"},
			},
			{
				question{"eval", "order-ingestion-stage", "boolean", true, order},
				answer{Value: true, Reason: "ERROR", ErrorCode: "TYPE_MISMATCH"},
			},
		} {
			got := c(ask.question)
			if got.ErrorMessage = ""; !reflect.DeepEqual(plain(got), plain(ask.want)) {
				t.Errorf("%s as %s: %+v, want %+v", ask.Flag, ask.Type, got, ask.want)
			}
		}
	})
}

// plain leaves out the variant that a client may tell of a value it refuses.
func plain(a answer) answer {
	if a.ErrorCode != "" {
		a.Variant = ""
	}
	return a
}

func TestOfficialClientsEvaluateOwnFlagsAlike(t *testing.T) {
	t.Parallel()
	p := newProgram(t, "")
	p.startAndWait()
	p.signIn()
	p.change(map[string]json.RawMessage{
		"new-checkout": json.RawMessage(
			`{"state":"ENABLED","variants":{"on":true,"off":false},"defaultVariant":"on"}`),
		"limits": json.RawMessage(`{"state":"ENABLED","variants":{"wide":{"orders":50,"tags":["a"]}},"defaultVariant":"wide"}`),
		"staff": json.RawMessage(`{"state":"ENABLED","variants":{"yes":"yes","no":"no"},"defaultVariant":"no",
			"targeting":{"if":[{"ends_with":[{"var":"email"},"@example.com"]},"yes",null]}}`),
		"half": json.RawMessage(`{"state":"ENABLED","variants":{"a":"a","b":"b"},"defaultVariant":"a","targeting":{"fractional":[["a",50],["b",50]]}}`),
	})
	halves := newHalves(t, p)
	each(t, func(t *testing.T, k kind) {
		c := k.start(t, p.addr, p.syncAddr)
		awaitValue(t, c, stage, "off")
		for _, ask := range []struct {
			question
			want answer
		}{
			{
				question{"eval", "new-checkout", "boolean", false, order},
				answer{Value: true, Variant: "on", Reason: "STATIC"},
			},
			{question{"eval", "limits", "object", map[string]any{}, order},
				answer{Value: map[string]any{"orders": 50., "tags": []any{"a"}},
					Variant: "wide", Reason: "STATIC"}},
			{question{"eval", "staff", "string", "none",
				map[string]any{"targetingKey": "1", "email": "ada@example.com"}},
				answer{Value: "yes", Variant: "yes", Reason: "TARGETING_MATCH"}},
			{question{"eval", "staff", "string", "none",
				map[string]any{"targetingKey": "1", "email": "eve@example.org"}},
				answer{Value: "no", Variant: "no", Reason: "DEFAULT"}},
		} {
			if got := c(ask.question); !reflect.DeepEqual(got, ask.want) {
				t.Errorf("%s for %v: %+v, want %+v", ask.Flag, ask.Context, got, ask.want)
			}
		}
		for key, want := range halves {
			got := c(question{"eval", "half", "string", "none",
				map[string]any{"targetingKey": key}})
			if got.Value != want || got.Reason != "TARGETING_MATCH" {
				t.Errorf("half for %s: %+v, the server says %s", key, got, want)
			}
		}
	})
}

// newHalves asks the server itself which half some keys belong to.
func newHalves(t *testing.T, p *program) map[string]any {
	t.Helper()
	halves, seen := map[string]any{}, map[any]bool{}
	for i := range 20 {
		key := fmt.Sprint("order-", i)
		_, body, err := post(t.Context(), p.url()+"/ofrep/v1/evaluate/flags/half", token, "",
			map[string]any{"context": map[string]any{"targetingKey": key}})
		var a answer
		if err != nil || json.Unmarshal(body, &a) != nil {
			t.Fatalf("%v %s", err, body)
		}
		halves[key] = a.Value
		seen[a.Value] = true
	}
	if !seen["a"] || !seen["b"] || len(seen) != 2 {
		t.Fatalf("not two halves: %v", halves)
	}
	return halves
}

func TestOfficialClientsGetChangesAndKeepTheirValuesWhileTheServerIsDead(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, k kind) {
		p := newProgram(t, "")
		p.startAndWait()
		p.signIn()
		p.change(setGeneration(1))
		c := k.start(t, p.addr, p.syncAddr)
		awaitValue(t, c, generation, 1.)
		p.change(setGeneration(2))
		awaitValue(t, c, generation, 2., 1.)

		p.kill()
		away(t, k, c, 2.)
		p.startAndWait()
		awaitValue(t, c, generation, 2., kept(k, 2.)...)
		p.change(setGeneration(3))
		awaitValue(t, c, generation, 3., kept(k, 2.)...)
	})
}

func TestOfficialClientsKeepTheirValuesWhileTheNetworkIsCut(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, k kind) {
		p := newProgram(t, "")
		p.startAndWait()
		p.signIn()
		p.change(setGeneration(1))
		http, sync := newCable(t, p.addr), newCable(t, p.syncAddr)
		c := k.start(t, http.addr, sync.addr)
		awaitValue(t, c, generation, 1.)

		http.cut()
		sync.cut()
		p.change(setGeneration(2))
		away(t, k, c, 1.)
		http.mend(t)
		sync.mend(t)
		awaitValue(t, c, generation, 2., kept(k, 1.)...)
	})
}

// kept are the values that a client may give until it gets the next one.
func kept(k kind, last any) []any {
	if k.caches {
		return []any{last}
	}
	return []any{last, float64(generation.Default.(int))}
}

// away checks what a client gives while the server cannot be reached: the last value
// when it keeps values, else the code's default.
func away(t *testing.T, k kind, c client, last any) {
	t.Helper()
	want := last
	if !k.caches {
		want = float64(generation.Default.(int))
	}
	for range 20 {
		if got := c(generation); got.Value != want || (got.ErrorCode == "") != k.caches {
			t.Fatalf("while the server is away: %+v, want %v", got, want)
		}
	}
}

func TestOfficialClientsThatStartBeforeTheServerGetTheirFlagsOnceItIsUp(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, k kind) {
		p := newProgram(t, "")
		c := k.start(t, p.addr, p.syncAddr)
		if got := c(stage); got.Value != stage.Default || got.ErrorCode == "" {
			t.Fatalf("without a server: %+v, want the code's default and an error", got)
		}
		p.startAndWait()
		awaitValue(t, c, stage, "off", stage.Default)
	})
}
