package ofrep

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/flags"
	"github.com/switchyard-dev/switchyard/fleet"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/server/servertest"
	"github.com/switchyard-dev/switchyard/server/site"
	"github.com/switchyard-dev/switchyard/workflows"
)

const (
	setA, setB  = "set-a", "set-b"
	workerToken = servertest.Canary + "-worker-token"
	tokenB      = servertest.Canary + "-token-b"
)

var bearerA = []string{"Authorization", "Bearer " + workerToken}

// running is a server that has flags and no Control.
type running struct {
	*Server
	app    *fiber.App
	url    string
	holder *flags.Holder
	fleet  *fleet.Fleet
	logs   *servertest.Log
}

// start serves no set yet; the worker token reads set A.
func start(t testing.TB, secret migration.Secret, origins ...string) *running {
	t.Helper()
	st := &running{logs: &servertest.Log{}, fleet: fleet.New(time.Now)}
	log := slog.New(slog.NewJSONHandler(st.logs, nil))
	st.holder = flags.NewHolder(flags.Options{
		Keys: []flags.Key{servertest.Key("worker-token", setA, workerToken, 0)}, Log: log,
	})
	st.Server = New(site.New(log, "test", false),
		workflows.Readers{Flags: st.holder, Fleet: st.fleet}, secret, origins)
	st.app = appOf(st.Server)
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	st.url = "http://" + ln.Addr().String()
	served := make(chan error, 1)
	go func() { served <- st.app.Listener(ln) }()
	t.Cleanup(func() {
		st.stop(t)
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return st
}

func (st *running) stop(t testing.TB) {
	t.Helper()
	st.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := st.app.ShutdownWithContext(ctx); err != nil {
		t.Error(err)
	}
}

// appOf mounts the routes on an app of their own, as package server does among all others.
func appOf(s *Server) *fiber.App {
	app := fiber.New(fiber.Config{
		Immutable: true, CaseSensitive: true, DisableStartupMessage: true,
		BodyLimit: site.BodyLimit, ErrorHandler: s.Fail,
	})
	app.Server().HeaderReceived = Receive
	app.Server().KeepHijackedConns = true
	app.Use(func(c *fiber.Ctx) error {
		if Is(c) && s.Enter(c) {
			return nil
		}
		err := c.Next()
		if err != nil {
			err = s.Fail(c, err)
		}
		s.Count(c, time.Microsecond)
		return err
	})
	admit := map[site.Access]func(*fiber.Ctx) error{
		site.Worker: s.AdmitKey, site.Reader: s.AdmitReader,
		site.Ticket: func(*fiber.Ctx) error { return nil },
	}
	for _, r := range s.Routes() {
		handle := func(c *fiber.Ctx) error {
			if err := admit[r.Who](c); err != nil {
				return err
			}
			return r.Handle(c)
		}
		if r.Method == fiber.MethodGet {
			app.Get(r.Path, handle)
		} else {
			app.Add(r.Method, r.Path, handle)
		}
	}
	return app
}

func (st *running) hold(t testing.TB, set string, revision int64) {
	t.Helper()
	if err := st.holder.Replace(servertest.Set(set, revision)); err != nil {
		t.Fatal(err)
	}
}

// serve serves sets A and B at revision 1.
func serve(t *testing.T) *running {
	t.Helper()
	return serveWith(t, "secret")
}

func serveWith(t *testing.T, secret migration.Secret, origins ...string) *running {
	t.Helper()
	st := start(t, secret, origins...)
	st.hold(t, setA, 1)
	st.hold(t, setB, 1)
	return st
}

// address gives the stream's address of a bulk answer.
func (st *running) address(t *testing.T, header ...string) string {
	t.Helper()
	r := servertest.Ask(t, "POST", st.url+bulkPath, "{}", append(header, bearerA...)...)
	var b struct {
		EventStreams []struct {
			Type     string
			Endpoint struct{ RequestURI string }
			Delay    int `json:"inactivityDelaySec"`
		}
	}
	err := json.Unmarshal([]byte(r.Text), &b)
	if err != nil || r.Status != 200 || len(b.EventStreams) != 1 ||
		b.EventStreams[0].Type != "sse" || b.EventStreams[0].Delay != inactivityDelay {
		t.Fatalf("%d %s %v", r.Status, r.Text, err)
	}
	return b.EventStreams[0].Endpoint.RequestURI
}

func (st *running) openStreams() int { return st.Traffic().Streams[setA] }

// bulk asks for all flags of set A; tag is what the reader holds, "" for nothing.
func (st *running) bulk(t *testing.T, tag string) servertest.Reply {
	t.Helper()
	header := bearerA
	if tag != "" {
		header = append([]string{"If-None-Match", tag}, bearerA...)
	}
	return servertest.Ask(t, "POST", st.url+bulkPath, "{}", header...)
}

func (st *running) get(t *testing.T, path string) servertest.Reply {
	t.Helper()
	return servertest.Ask(t, "GET", st.url+path, "")
}
