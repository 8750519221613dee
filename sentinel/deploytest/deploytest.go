// Package deploytest runs a generated Sentinel deployment on loopback: the files
// that package deploy renders, with real servers.
package deploytest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/sentinel"
	"github.com/switchyard-dev/switchyard/sentinel/deploy"
)

// Deployment is a running deployment.
type Deployment struct {
	Spec   deploy.Spec
	Dir    string
	Nodes  map[string]*redistest.Server // data nodes, by address
	Guards map[string]*redistest.Server // sentinels, by address

	t testing.TB
}

// Spec returns a rehearsal of n replicas and three sentinels on three loopback
// addresses, with passwords, below dir.
func Spec(t testing.TB, dir string, replicas int) deploy.Spec {
	t.Helper()
	s := deploy.Spec{Rehearsal: true, MasterName: "orders", MaxMemory: "100mb",
		Secrets: deploy.Secrets{Admin: "admin-of-the-rehearsal", App: "app-of-the-rehearsal",
			Replica: "replica-of-the-rehearsal", Sentinel: "sentinel-of-the-rehearsal"}}
	if replicas == 1 {
		s.Prefer = deploy.PreferWrites
	}
	for i := range 3 {
		h := deploy.Host{Name: string(rune('a' + i)), Address: fmt.Sprint("127.0.0.", i+1),
			Zone: fmt.Sprint("zone-", i+1), Roles: []deploy.Role{deploy.Sentinel},
			RedisPort: redistest.FreePort(t), SentinelPort: redistest.FreePort(t),
			Dir: filepath.Join(dir, string(rune('a'+i)))}
		switch {
		case i == 0:
			h.Roles = append(h.Roles, deploy.Master)
		case i <= replicas:
			h.Roles = append(h.Roles, deploy.Replica)
		}
		s.Hosts = append(s.Hosts, h)
	}
	return s
}

// Start generates the deployment, puts its files where an operator would, and runs
// it until the test ends. programs, if not nil, names another redis-server for
// single hosts.
func Start(t testing.TB, s deploy.Spec, programs map[string]string) *Deployment {
	t.Helper()
	files, err := deploy.Generate(s)
	if err != nil {
		t.Fatal(err)
	}
	certs, err := deploy.Certificates(s, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	d := &Deployment{Spec: s, t: t, Nodes: map[string]*redistest.Server{},
		Guards: map[string]*redistest.Server{}}
	for _, f := range append(files, certs...) {
		text := string(f.Text)
		for _, h := range s.Hosts {
			if rest, ok := strings.CutPrefix(f.Path, "hosts/"+h.Name+"/"); ok {
				write(t, filepath.Join(h.Dir, rest), text)
			}
			if rest, ok := strings.CutPrefix(f.Path, "tls/"+h.Name+"/"); ok {
				write(t, filepath.Join(h.Dir, "tls", rest), text)
			}
		}
	}
	for _, h := range s.DataHosts() {
		server := d.server(h, h.RedisPort)
		server.Program = programs[h.Name]
		d.Nodes[h.RedisAddr()] = redistest.StartFile(t, server,
			filepath.Join(h.Dir, "redis.conf"))
	}
	for _, h := range s.SentinelHosts() {
		d.Guards[h.SentinelAddr()] = redistest.StartFile(t, d.server(h, h.SentinelPort),
			filepath.Join(h.Dir, "sentinel.conf"), "--sentinel")
	}
	return d
}

func (d *Deployment) server(h deploy.Host, port int) redistest.Server {
	s := redistest.Server{Host: h.Address, Port: port, Username: "switchyard",
		Password: d.Spec.Secrets.Admin.Reveal()}
	if !d.Spec.PlainText {
		s.CAFile = filepath.Join(h.Dir, "tls", "ca.crt")
	}
	return s
}

func write(t testing.TB, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Endpoint is how Switchyard reaches the deployment.
func (d *Deployment) Endpoint() redisconn.Endpoint {
	return d.endpoint("switchyard", d.Spec.Secrets.Admin)
}

// AppEndpoint is how an application reaches the deployment.
func (d *Deployment) AppEndpoint() redisconn.Endpoint {
	return d.endpoint("app", d.Spec.Secrets.App)
}

func (d *Deployment) endpoint(user string, password migration.Secret) redisconn.Endpoint {
	e := redisconn.Endpoint{Name: "sentinel", Kind: redisconn.Sentinel,
		MasterName: d.Spec.MasterName, Username: user, Password: password,
		SentinelUsername: user, SentinelPassword: password}
	for _, h := range d.Spec.SentinelHosts() {
		e.SentinelAddrs = append(e.SentinelAddrs, h.SentinelAddr())
	}
	if !d.Spec.PlainText {
		e.CAFile = filepath.Join(d.Spec.Hosts[0].Dir, "tls", "ca.crt")
	}
	return e
}

// Kill kills the master and starts it again after the time that the generated units
// wait; it fits sentinel.ObserveFailover.
func (d *Deployment) Kill(_ context.Context, master string) error {
	node := d.Nodes[master]
	node.Kill()
	d.later(node.Restart)
	return nil
}

// Freeze stops the master without closing its connections (SIGSTOP), and resumes it
// after the same time.
func (d *Deployment) Freeze(_ context.Context, master string) error {
	node := d.Nodes[master]
	node.Freeze()
	d.later(node.Thaw)
	return nil
}

// later runs f after the restart delay, unless the test ends first.
func (d *Deployment) later(f func()) {
	done := make(chan struct{})
	stop := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-time.After(deploy.RestartDelay):
			f()
		case <-stop:
		}
	}()
	d.t.Cleanup(func() { close(stop); <-done })
}

// AwaitReady waits until every readiness check passes.
func (d *Deployment) AwaitReady(c *sentinel.Cluster) {
	d.t.Helper()
	redistest.Eventually(d.t, time.Minute, func() error {
		checks, err := c.Readiness(d.t.Context())
		if err != nil {
			return err
		}
		for _, g := range migration.Failing(checks) {
			return fmt.Errorf("%s: %s (%s)", g.ID, g.Measured, g.Limit)
		}
		return nil
	})
}
