package deploy_test

import (
	"errors"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/sentinel"
	"github.com/switchyard-dev/switchyard/sentinel/deploytest"
)

// Real servers from the generated files, with TLS and access control lists: a
// failover works, the application finds its master again, and it may not do what
// only an administrator may.
func TestTheGeneratedDeploymentFailsOver(t *testing.T) {
	t.Parallel()
	d := deploytest.Start(t, deploytest.Spec(t, t.TempDir(), 2), nil)
	c := sentinel.New(d.Endpoint())
	t.Cleanup(c.Close)
	d.AwaitReady(c)
	app, err := redisconn.Open(d.AppEndpoint())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = app.Close() })
	if err := app.Set(t.Context(), "bull:q:1", "x", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if err := app.FlushAll(t.Context()).Err(); err == nil {
		t.Error("the application may wipe the database")
	}
	old, err := c.Master(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d.Nodes[old].Kill()
	killed := time.Now()
	redistest.Eventually(t, 10*time.Second, func() error {
		now, err := c.Master(t.Context())
		if err == nil && now == old {
			err = errors.New("the master is still the one that died")
		}
		return err
	})
	t.Logf("elected after %s", time.Since(killed))
	redistest.Eventually(t, 10*time.Second, func() error {
		return app.Set(t.Context(), "bull:q:2", "x", 0).Err()
	})
	t.Logf("the application writes after %s", time.Since(killed))
}
