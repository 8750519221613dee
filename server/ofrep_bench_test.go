package server

import (
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/switchyard-dev/switchyard/flags"
	"github.com/switchyard-dev/switchyard/fleet"
	"github.com/switchyard-dev/switchyard/server/servertest"
	"github.com/switchyard-dev/switchyard/workflows"
)

func benchServer(b *testing.B) (*Server, *flags.Holder) {
	b.Helper()
	log := slog.New(slog.DiscardHandler)
	h := flags.NewHolder(
		flags.Options{
			Keys: []flags.Key{servertest.Key("worker-token", setA, workerToken, 0)},
			Log:  log,
		},
	)
	if err := h.Replace(servertest.Set(setA, 1)); err != nil {
		b.Fatal(err)
	}
	return New(
		Options{
			Readers: workflows.Readers{Flags: h, Fleet: fleet.New(time.Now)},
			Log:     log,
		},
	), h
}

// BenchmarkEvaluation is what a request costs in this process besides reading and sending
// it: routing, key, evaluation, fleet, metrics.
func BenchmarkEvaluation(b *testing.B) {
	s, _ := benchServer(b)
	handle := s.app.Handler()
	request := func(path, tag string) *fasthttp.RequestCtx {
		var c fasthttp.RequestCtx
		c.Init(&fasthttp.Request{}, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}, nil)
		c.Request.Header.SetMethod("POST")
		c.Request.SetRequestURI(path)
		for k, v := range map[string]string{
			"Content-Type": "application/json", "Authorization": "Bearer " + workerToken,
			"X-Worker-Service": "ingestion", "X-Worker-Instance": "web.1",
			"If-None-Match": tag,
		} {
			if v != "" {
				c.Request.Header.Set(k, v)
			}
		}
		c.Request.SetBodyString(`{"context":{"targetingKey":"worker-1","queue":"order-ingestion"}}`)
		return &c
	}
	first := request(bulkPath, "")
	handle(first)
	for name, c := range map[string]*fasthttp.RequestCtx{
		"single": request(bulkPath+"/kill", ""), "bulk": request(bulkPath, ""),
		"304": request(bulkPath, string(first.Response.Header.Peek("ETag"))),
	} {
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
