package server

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/switchyard-dev/switchyard/server/servertest"
	"github.com/switchyard-dev/switchyard/server/tracing"
)

func attributes(s tracetest.SpanStub) map[attribute.Key]string {
	m := map[attribute.Key]string{}
	for _, a := range s.Attributes {
		m[a.Key] = a.Value.String()
	}
	return m
}

func TestRequestsAreSpansOfTheirCallersTraceAndHoldNoSecret(t *testing.T) {
	t.Parallel()
	spans := tracetest.NewInMemoryExporter()
	provider := sdk.NewTracerProvider(sdk.WithSyncer(spans))
	st := serveFlags(t, func(o *Options) { o.Tracer = provider.Tracer("test") })
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	span := func(name string) tracetest.SpanStub {
		t.Helper()
		for _, s := range spans.GetSpans() {
			if s.Name == name {
				return s
			}
		}
		t.Fatalf("no span %q in %+v", name, spans.GetSpans())
		return tracetest.SpanStub{}
	}
	servertest.Ask(
		t, "POST", st.url+bulkPath+"/kill", "{}", "Traceparent", parent, bearerA[0],
		bearerA[1],
	)
	one := span("POST " + bulkPath + "/*")
	a := attributes(one)
	for k, want := range map[attribute.Key]string{
		"http.request.method": "POST", "http.response.status_code": "200",
		"url.path": bulkPath + "/kill", "feature_flag.key": "kill",
		"feature_flag.set.id": setA, "feature_flag.result.variant": "off",
		"feature_flag.result.reason": "static", "feature_flag.provider.name": "switchyard",
	} {
		if a[k] != want {
			t.Errorf("%s is %q, want %q", k, a[k], want)
		}
	}
	if one.SpanKind != trace.SpanKindServer ||
		one.Parent.TraceID().String() != "0af7651916cd43dd8448eb211c80319c" ||
		one.Parent.SpanID().String() != "b7ad6b7169203331" {
		t.Errorf("parent %v", one.Parent)
	}
	spans.Reset()
	servertest.Ask(t, "POST", st.url+bulkPath+"/none", "{}", bearerA...)
	if a := attributes(span("POST " + bulkPath + "/*")); a["error.type"] != "flag_not_found" ||
		a["feature_flag.result.reason"] != "error" {
		t.Errorf("%v", a)
	}
	address := st.stream(t)
	servertest.Ask(t, "GET", st.url+address+"x", "")
	servertest.Ask(t, "GET", st.url+"/healthz?token="+canary, "")
	if a := attributes(span("GET /healthz")); a["url.path"] != "/healthz" {
		t.Errorf("%v", a)
	}
	token := strings.TrimPrefix(address, streamPath+"?token=")
	for _, s := range spans.GetSpans() {
		for k, v := range attributes(s) {
			if strings.Contains(s.Name+v, canary) || strings.Contains(s.Name+v, token) {
				t.Errorf("span %q, %s: a secret", s.Name, k)
			}
		}
	}
}

// stream opens a stream, waits for its first byte, and gives its address.
func (st *flagsOnly) stream(t *testing.T) string {
	t.Helper()
	r := servertest.Ask(t, "POST", st.url+bulkPath, "{}", bearerA...)
	_, rest, _ := strings.Cut(r.Text, `"requestUri":"`)
	address, _, _ := strings.Cut(rest, `"`)
	req, err := http.NewRequestWithContext(t.Context(), "GET", st.url+address, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if n, err := resp.Body.Read(make([]byte, 1)); n != 1 {
		t.Fatalf("%d: %v", resp.StatusCode, err)
	}
	return address
}

func TestTracingIsSetUpOnlyWhenThereIsSomewhereToSendTo(t *testing.T) {
	sent := make(chan string, 10)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		sent <- r.URL.Path + " " + string(body)
	}))
	defer collector.Close()
	before := otel.GetTracerProvider()
	for _, env := range []map[string]string{
		{},
		{"OTEL_EXPORTER_OTLP_ENDPOINT": collector.URL, "OTEL_SDK_DISABLED": "true"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT": collector.URL, "OTEL_TRACES_EXPORTER": "none"},
	} {
		shutdown, err := tracing.Setup(
			t.Context(), "1.2.3", func(name string) string { return env[name] },
		)
		if err != nil || shutdown(t.Context()) != nil || tracing.New(nil) != (tracing.Requests{}) {
			t.Errorf("%v: %v", env, err)
		}
	}
	env := map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": collector.URL, "OTEL_TRACES_SAMPLER": "always_on",
	}
	for k, v := range env {
		t.Setenv(k, v) // the SDK reads it by itself
	}
	shutdown, err := tracing.Setup(
		t.Context(), "1.2.3", func(name string) string { return env[name] },
	)
	if err != nil {
		t.Fatal(err)
	}
	defer otel.SetTracerProvider(before)
	st := serveFlags(t)
	servertest.Ask(t, "POST", st.url+bulkPath+"/kill", "{}", bearerA...)
	if err := shutdown(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	if got := <-sent; !strings.HasPrefix(got, "/v1/traces ") ||
		!strings.Contains(got, "switchyard") ||
		!strings.Contains(got, "feature_flag.key") ||
		!strings.Contains(got, "1.2.3") {
		t.Errorf("sent %q", got)
	}
}
