// Package tracing makes spans of requests and sends them over OTLP.
package tracing

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// sampledShare is how many requests are traced where neither the caller nor OTEL_TRACES_SAMPLER
// decides: one in a hundred, because every worker polls every second.
const sampledShare = 0.01

const tracerName = "github.com/switchyard-dev/switchyard/server"

// Setup sends spans over OTLP/HTTP as the standard OTEL_* variables say, which the SDK reads by
// itself: endpoint, headers, timeouts, sampler, resource, batch sizes. Without an endpoint, with
// OTEL_TRACES_EXPORTER=none or OTEL_SDK_DISABLED=true nothing is set up. Call it before New.
// shutdown sends what is left; its error says what could not be sent.
func Setup(
	ctx context.Context, version string, getenv func(string) string,
) (shutdown func(context.Context) error, err error) {
	nothing := func(context.Context) error { return nil }
	endpoint := cmp.Or(
		getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), getenv("OTEL_EXPORTER_OTLP_ENDPOINT"))
	if endpoint == "" || getenv("OTEL_TRACES_EXPORTER") == "none" ||
		strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") {
		return nothing, nil
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nothing, fmt.Errorf("set up tracing: %w", err)
	}
	about, err := resource.Merge(
		resource.NewSchemaless(
			semconv.ServiceName("switchyard"), semconv.ServiceVersion(version)),
		resource.Environment())
	if err != nil {
		return nothing, fmt.Errorf("set up tracing: OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	opts := []sdk.TracerProviderOption{sdk.WithBatcher(exporter), sdk.WithResource(about)}
	share := 1.0
	if getenv("OTEL_TRACES_SAMPLER") == "" {
		share = sampledShare
		opts = append(opts, sdk.WithSampler(sdk.ParentBased(sdk.AlwaysSample())))
	}
	provider := sdk.NewTracerProvider(opts...)
	otel.SetTracerProvider(tracerProvider{provider, share})
	return provider.Shutdown, nil
}

// tracerProvider says which share of the requests without a parent get a span at all. The SDK's
// own sampler decides only after it has made up most of a span, which costs more than evaluating
// a flag.
type tracerProvider struct {
	*sdk.TracerProvider
	share float64
}

// Requests makes spans of requests. The zero value makes none, and costs nothing.
type Requests struct {
	tracer trace.Tracer
	share  float64 // of the requests without a parent that get a span
}

// New uses a tracer for every request; nil: the one that Setup has set up, or none.
func New(tracer trace.Tracer) Requests {
	if tracer != nil {
		return Requests{tracer, 1}
	}
	if p, ok := otel.GetTracerProvider().(tracerProvider); ok {
		return Requests{p.Tracer(tracerName), p.share}
	}
	return Requests{}
}

// carrier reads the W3C headers of a request.
type carrier struct{ *fasthttp.RequestHeader }

func (h carrier) Get(key string) string { return string(h.Peek(key)) }
func (h carrier) Set(string, string)    {}
func (h carrier) Keys() []string        { return nil }

var headerTraceparent = []byte("Traceparent")

var asServer = trace.WithSpanKind(trace.SpanKindServer)

// Start begins the span of a request, as a child of the caller's; nil when nothing is traced.
// What is inside finds it in the context.
func (r Requests) Start(c *fiber.Ctx) trace.Span {
	if r.tracer == nil {
		return nil
	}
	parent := trace.SpanContext{}
	if h := &c.Request().Header; len(h.PeekCanonical(headerTraceparent)) > 0 {
		parent = trace.SpanContextFromContext(
			propagation.TraceContext{}.Extract(context.Background(), carrier{h}))
	}
	if !parent.IsValid() && rand.Float64() >= r.share { // #nosec G404 -- a sample is no secret
		return nil
	}
	ctx := c.UserContext()
	if parent.IsValid() {
		ctx = trace.ContextWithRemoteSpanContext(ctx, parent)
	}
	ctx, span := r.tracer.Start(ctx, c.Method(), asServer)
	if span.IsRecording() {
		c.SetUserContext(ctx)
	}
	return span
}

// End says what became of the request; more adds what else is known of it, nil for nothing. A
// span never holds the query, which may hold a stream's token, nor any header.
func End(c *fiber.Ctx, span trace.Span, more func(*fiber.Ctx) []attribute.KeyValue) {
	if span == nil {
		return
	}
	defer span.End()
	if !span.IsRecording() {
		return
	}
	route, status := c.Route().Path, c.Response().StatusCode()
	span.SetName(c.Method() + " " + route)
	span.SetAttributes(
		semconv.HTTPRequestMethodKey.String(c.Method()), semconv.HTTPRoute(route),
		semconv.URLPath(c.Path()), semconv.HTTPResponseStatusCode(status))
	if status >= 500 {
		span.SetStatus(codes.Error, "")
	}
	if more != nil {
		span.SetAttributes(more(c)...)
	}
}
