package sentinel_test

import (
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/sentinel"
	"github.com/switchyard-dev/switchyard/sentinel/deploytest"
)

// A single server's data moves onto a generated deployment, whose users differ from
// the single server's; afterwards all checks pass.
func TestASingleServerMovesOntoAGeneratedDeployment(t *testing.T) {
	t.Parallel()
	spec := deploytest.Spec(t, t.TempDir(), 1)
	spec.PlainText = true
	d := deploytest.Start(t, spec, nil)
	c := sentinel.New(d.Endpoint())
	t.Cleanup(c.Close)
	d.AwaitReady(c)
	source := redistest.Start(t, redistest.Password("old"))
	if err := source.Client().Set(t.Context(), "bull:q:1", "x", 0).Err(); err != nil {
		t.Fatal(err)
	}
	watch, err := c.Suspend(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	master := c.Node(watch.Master)
	host, port, _ := strings.Cut(source.Addr(), ":")
	if err := sentinel.StartReplication(t.Context(), master, source.Client(), host, port,
		source.Endpoint().Credentials()); err != nil {
		t.Fatal(err)
	}
	if err := sentinel.WaitSynced(t.Context(), master, nil); err != nil {
		t.Fatal(err)
	}
	host, port, _ = strings.Cut(watch.Master, ":")
	if _, err := sentinel.Switch(t.Context(), master, source.Client(), host, port,
		d.Endpoint().Credentials()); err != nil {
		t.Fatal(err)
	}
	if err := c.Resume(t.Context(), watch); err != nil {
		t.Fatal(err)
	}
	c.Followers = []string{source.Addr()}
	d.AwaitReady(c)
	app, err := redisconn.Open(d.AppEndpoint())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = app.Close() })
	if v, err := app.Get(t.Context(), "bull:q:1").Result(); err != nil || v != "x" {
		t.Errorf("the application reads %q, %v", v, err)
	}
}

func TestASwapBetweenTLSAndPlainTextIsRefused(t *testing.T) {
	t.Parallel()
	d := redistest.Start(t, redistest.TLS(), redistest.Config("tls-replication yes"))
	source := redistest.Start(t)
	err := sentinel.StartReplication(t.Context(), d.Client(), source.Client(), source.Host, "1",
		redisconn.Credentials{})
	if migration.KindOf(err) != migration.Blocked ||
		!strings.Contains(err.Error(), "the source has no TLS") {
		t.Errorf("got %v", err)
	}
}
