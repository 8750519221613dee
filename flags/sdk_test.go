package flags_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/open-feature/go-sdk-contrib/providers/ofrep"
	"github.com/open-feature/go-sdk/openfeature"
	"github.com/open-feature/go-sdk/openfeature/isolated"

	"github.com/switchyard-dev/switchyard/flags"
	"github.com/switchyard-dev/switchyard/migration"
)

// sdkClient makes a client of the SDK over a provider, in an API of its own.
func sdkClient(t *testing.T, p openfeature.FeatureProvider) *openfeature.Client {
	t.Helper()
	api := isolated.NewAPI()
	if err := api.SetProviderAndWait(t.Context(), p, openfeature.WithDomain("switchyard")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := api.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return api.NewClient(openfeature.WithDomain("switchyard"))
}

// serve puts the answers on a real socket, as the web layer does.
func serve(t *testing.T, h *flags.Holder) string {
	t.Helper()
	const path = "/ofrep/v1/evaluate/flags/"
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		res := h.EvaluateOne("m1", strings.TrimPrefix(r.URL.Path, path), body)
		w.Header().Set("Content-Type", res.ContentType)
		if res.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(res.RetryAfter))
		}
		w.WriteHeader(res.Status)
		if _, err := w.Write(res.Body); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

const forProviders = `{"flags":{
	"stage":{"state":"ENABLED","variants":{"live":"live","off":"off"},"defaultVariant":"off","targeting":{"if":[{"and":[{"==":[{"var":"n"},3]},{"==":[{"var":"targetingKey"},"worker-1"]}]},"live"]}},
	"ramp":{"state":"ENABLED","variants":{"25":25},"defaultVariant":"25"},
	"kill":{"state":"ENABLED","variants":{"on":true,"off":false},"defaultVariant":"off"},
	"ratio":{"state":"ENABLED","variants":{"half":0.5},"defaultVariant":"half"},
	"broken":{"state":"ENABLED","variants":{"a":"A"},"targeting":{"in":[1,"x"]}},
	"out":{"state":"DISABLED","variants":{"a":"A"},"defaultVariant":"a"},
	"code":{"state":"ENABLED","variants":{"a":"A"}}}}`

func TestEvaluationsThroughTheSDK(t *testing.T) {
	t.Parallel()
	h := hold(t, flags.Options{}, at(t, 7, forProviders))
	client, ctx := sdkClient(t, ofrep.NewProvider(serve(t, h))), t.Context()
	nobody, worker := openfeature.EvaluationContext{}, openfeature.NewEvaluationContext("worker-1", map[string]any{"queue": "orders", "n": 3})
	for variant, c := range map[string]struct {
		who    openfeature.EvaluationContext
		reason openfeature.Reason
	}{"off": {nobody, openfeature.DefaultReason}, "live": {worker, openfeature.TargetingMatchReason}} {
		got, err := client.StringValueDetails(ctx, "stage", "default", c.who)
		if err != nil || got.Value != variant || got.Variant != variant || got.Reason != c.reason || got.FlagMetadata["flagSetRevision"] != 7.0 || got.FlagMetadata["revision"] != 7.0 {
			t.Errorf("string: %+v, %v", got, err)
		}
	}
	ramp, err := client.IntValueDetails(ctx, "ramp", 0, worker)
	if err != nil || ramp.Value != 25 || ramp.Variant != "25" || ramp.Reason != openfeature.StaticReason {
		t.Errorf("integer: %+v, %v", ramp, err)
	}
	if v, err := client.BooleanValue(ctx, "kill", true, worker); err != nil || v {
		t.Errorf("boolean: %v, %v", v, err)
	}
	if v, err := client.FloatValue(ctx, "ratio", 0, worker); err != nil || v != 0.5 {
		t.Errorf("float: %v, %v", v, err)
	}
	if out, err := client.StringValueDetails(ctx, "out", "mine", worker); err != nil || out.Value != "mine" || out.Reason != openfeature.DisabledReason {
		t.Errorf("disabled: %+v, %v", out, err)
	}
	for key, code := range map[string]openfeature.ErrorCode{"nope": openfeature.FlagNotFoundCode, "broken": openfeature.ParseErrorCode, "ramp": openfeature.TypeMismatchCode} {
		got, err := client.StringValueDetails(ctx, key, "mine", worker)
		if err == nil || got.Value != "mine" || got.ErrorCode != code || got.Reason != openfeature.ErrorReason {
			t.Errorf("%s: %+v, %v", key, got, err)
		}
	}
}

func TestTheSDKGivesTheDefaultWhileNothingIsKnown(t *testing.T) {
	t.Parallel()
	h := flags.NewHolder(flags.Options{})
	client := sdkClient(t, ofrep.NewProvider(serve(t, h)))
	got, err := client.StringValueDetails(t.Context(), "stage", "off", openfeature.EvaluationContext{})
	if err == nil || got.Value != "off" || got.ErrorCode != openfeature.GeneralCode {
		t.Errorf("%+v, %v", got, err)
	}
}

// The routing of an order by any OpenFeature client is that of clients/node, which buckets by itself.
func TestRoutingFlagsBucketByTheOrdersKey(t *testing.T) {
	t.Parallel()
	d := &flags.Document{Flags: flags.RoutingFlags("orders", routingLive(30))}
	d = parse(t, string(d.JSON()))
	if err := flags.CheckChange(nil, d); err == nil {
		t.Error("a migration flag was added at live")
	}
	target := 0
	for i := range 10000 {
		switch v := d.Evaluate("orders-authority", map[string]any{"targetingKey": "order-" + strconv.Itoa(i)}, noTime); v.Value {
		case "target":
			target++
		case "source":
		default:
			t.Fatalf("%+v", v)
		}
	}
	if target < 2800 || target > 3200 {
		t.Errorf("%d of 10000 orders have their authority at the target, want about 3000", target)
	}
	if v := d.Evaluate("orders-authority", nil, noTime); v.Variant != "source" && v.Variant != "target" {
		t.Errorf("without a key: %+v", v)
	}
}

var noTime time.Time

func routingLive(ramp int) migration.Routing {
	return migration.Routing{Stage: migration.StageLive, Ramp: ramp}
}
