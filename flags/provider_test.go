package flags_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/open-feature/go-sdk-contrib/providers/ofrep"
	"github.com/open-feature/go-sdk/openfeature"
	"github.com/open-feature/go-sdk/openfeature/isolated"

	"github.com/switchyard-dev/switchyard/flags"
)

// evaluator makes a client of the SDK over a provider, in an API of its own.
func evaluator(t *testing.T, p openfeature.FeatureProvider) *openfeature.Client {
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
		res := h.EvaluateOne(strings.TrimPrefix(r.URL.Path, path), body)
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

// Both ways to the same flags, ours in the process and the official OFREP provider over HTTP, must give the same evaluations.
func TestProvidersThroughTheSDK(t *testing.T) {
	t.Parallel()
	h := hold(t, routing(7))
	for name, p := range map[string]openfeature.FeatureProvider{"in process": flags.NewProvider(h), "official OFREP client": ofrep.NewProvider(serve(t, h))} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, ctx := evaluator(t, p), t.Context()
			for _, who := range []openfeature.EvaluationContext{{}, openfeature.NewEvaluationContext("worker-1", map[string]any{"queue": "order-ingestion", "n": 3})} {
				stage, err := client.StringValueDetails(ctx, "order-ingestion-stage", "off", who)
				if err != nil || stage.Value != "live" || stage.Reason != openfeature.StaticReason || stage.Variant != "live" {
					t.Errorf("string: %+v, %v", stage, err)
				}
				for key, want := range map[string]int64{"revision": 7, "flagSetRevision": 7} {
					if got := number(stage.FlagMetadata[key]); got != want {
						t.Errorf("metadata %s is %v", key, stage.FlagMetadata[key])
					}
				}
				ramp, err := client.IntValueDetails(ctx, "order-ingestion-ramp", 0, who)
				if err != nil || ramp.Value != 25 || ramp.Variant != "25" {
					t.Errorf("integer: %+v, %v", ramp, err)
				}
				if v, err := client.BooleanValue(ctx, "kill", true, who); err != nil || v {
					t.Errorf("boolean: %v, %v", v, err)
				}
				if v, err := client.FloatValue(ctx, "ratio", 0, who); err != nil || v != 1 {
					t.Errorf("float: %v, %v", v, err)
				}
			}
			missing, err := client.StringValueDetails(ctx, "nope", "off", openfeature.EvaluationContext{})
			if err == nil || missing.Value != "off" || missing.ErrorCode != openfeature.FlagNotFoundCode || missing.Reason != openfeature.ErrorReason {
				t.Errorf("unknown flag: %+v, %v", missing, err)
			}
			wrong, err := client.BooleanValueDetails(ctx, "order-ingestion-stage", true, openfeature.EvaluationContext{})
			if err == nil || !wrong.Value || wrong.ErrorCode != openfeature.TypeMismatchCode {
				t.Errorf("wrong type: %+v, %v", wrong, err)
			}
		})
	}
}

// number reads metadata, which is int64 in the process and float64 after JSON.
func number(v any) int64 {
	switch n := v.(type) {
	case int64:
		return n
	case float64:
		return int64(n)
	}
	return -1
}

func TestProvidersGiveTheDefaultWhileNothingIsKnown(t *testing.T) {
	t.Parallel()
	h := flags.NewHolder("")
	for name, c := range map[string]struct {
		provider openfeature.FeatureProvider
		code     openfeature.ErrorCode
	}{
		"in process":            {flags.NewProvider(h), openfeature.ProviderNotReadyCode},
		"official OFREP client": {ofrep.NewProvider(serve(t, h)), openfeature.GeneralCode},
	} {
		got, err := evaluator(t, c.provider).StringValueDetails(t.Context(), "order-ingestion-stage", "off", openfeature.EvaluationContext{})
		if err == nil || got.Value != "off" || got.ErrorCode != c.code {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestProviderObjectGivesAnyValue(t *testing.T) {
	t.Parallel()
	client := evaluator(t, flags.NewProvider(hold(t, routing(7))))
	if v, err := client.ObjectValue(t.Context(), "order-ingestion-ramp", nil, openfeature.EvaluationContext{}); err != nil || v != int64(25) {
		t.Errorf("got %v, %v", v, err)
	}
}
