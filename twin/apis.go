package twin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"time"

	"github.com/switchyard-dev/switchyard/providers/providerstest"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/webhooks/webhookstest"
)

// herokuApp is the ingestion app's name at its host.
const herokuApp = "ingestion"

// machines are the Linodes and the programs that run on each.
var machines = map[int]struct {
	label    string
	programs []string
}{
	1: {"redis-linode", []string{"linode"}},
	2: {"sentinel-1", []string{"sentinel-1", "node-1"}},
	3: {"sentinel-2", []string{"sentinel-2", "node-2"}},
	4: {"sentinel-3", []string{"sentinel-3", "node-3"}},
}

// serveAPIs starts the stand-ins of the paid services' APIs.
func (t *Twin) serveAPIs() error {
	t.stripe = &webhookstest.Stripe{Key: t.state.Secrets["stripe-api"], Now: time.Now}
	handlers := map[string]http.Handler{"stripe-api": t.stripe}
	if !t.ByHand() {
		if err := t.makePaid(); err != nil {
			return err
		}
		handlers["upstash"], handlers["linode-api"] = t.upstash, t.linode
		handlers["heroku"] = t.heroku
	}
	for name, handler := range handlers {
		l, err := net.Listen("tcp", t.state.address(name)) //nolint:noctx // at once
		if err != nil {
			return fmt.Errorf("%s stand-in: %w", name, err)
		}
		srv := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
		t.apis = append(t.apis, srv)
		go func() { _ = srv.Serve(l) }() // ends with Close
	}
	return nil
}

// makePaid makes the stand-ins of the services that an account is needed for.
func (t *Twin) makePaid() (err error) {
	kept := func(name string) string { return filepath.Join(t.cfg.Dir, name+".json") }
	t.upstash, err = providerstest.NewUpstash(providerstest.UpstashConfig{
		Email: "ops@example.com", Key: t.state.Secrets["upstash"], Backend: upstashBackend{t},
		StatePath: kept("upstash"),
	})
	if err != nil {
		return err
	}
	var instances []providerstest.LinodeInstance
	for id := 1; id <= len(machines); id++ {
		instances = append(instances, providerstest.LinodeInstance{
			ID: id, Label: machines[id].label, Status: "running", IPv4: []string{"127.0.0.1"},
			Type: "g6-nanode-1", Region: "us-east",
			// Of the others there is no snapshot.
			Backups: providerstest.LinodeBackups{Enabled: id == 1},
		})
	}
	t.linode, err = providerstest.NewLinode(providerstest.LinodeConfig{
		Token: t.state.Secrets["linode-api"], Instances: instances, Backend: linodeBackend{t},
		StatePath: kept("linode"),
	})
	if err != nil {
		return err
	}
	t.heroku, err = providerstest.NewHeroku(providerstest.HerokuConfig{
		Token:   t.state.Secrets["heroku"],
		Apps:    map[string]map[string]string{herokuApp: t.appConfig()},
		Backend: herokuBackend{t}, StatePath: kept("heroku"),
	})
	return err
}

type upstashBackend struct{ t *Twin }

func (b upstashBackend) CreateDatabase(
	ctx context.Context,
	_ providerstest.UpstashSpec,
) (string, int, string, error) {
	if len(b.t.upstash.Databases()) > 0 {
		return "", 0, "", errors.New(
			"this twin has one managed server, and it holds a database: delete that first",
		)
	}
	password := random(16)
	// A database is new and empty, whatever a deleted one left behind.
	if err := b.t.forgetServer("managed"); err != nil {
		return "", 0, "", err
	}
	if err := b.t.startManaged(ctx, password); err != nil {
		return "", 0, "", err
	}
	return "127.0.0.1", b.t.state.Ports["managed"], password, nil
}

func (b upstashBackend) DeleteDatabase(context.Context, string) error {
	return b.t.forgetServer("managed")
}

func (b upstashBackend) Stats(ctx context.Context, _ string) (providerstest.UpstashStats, error) {
	var stats providerstest.UpstashStats
	for _, db := range b.t.upstash.Databases() {
		c, err := redisconn.Open(b.t.managedEndpoint(db.Password.Reveal()))
		if err != nil {
			return stats, err
		}
		facts, err := redisconn.Inspect(ctx, c)
		_ = c.Close()
		if err != nil {
			return stats, err
		}
		stats = providerstest.UpstashStats{
			StorageBytes: facts.UsedMemory,
			Connections:  facts.ConnectedClients,
			Keys:         facts.Keys,
		}
	}
	return stats, nil
}

type linodeBackend struct{ t *Twin }

func (b linodeBackend) Shutdown(_ context.Context, id int) error {
	for _, name := range machines[id].programs {
		b.t.program(name).stop(5 * time.Second)
	}
	return nil
}

func (b linodeBackend) Boot(_ context.Context, id int) error {
	for _, name := range machines[id].programs {
		if err := b.t.program(name).start(); err != nil {
			return err
		}
	}
	return nil
}

func (b linodeBackend) Delete(_ context.Context, id int) error {
	for _, name := range machines[id].programs {
		if err := b.t.forgetServer(name); err != nil {
			return err
		}
	}
	return nil
}

type herokuBackend struct{ t *Twin }

// ConfigChanged restarts the app with the new variables, as Heroku restarts every dyno.
func (b herokuBackend) ConfigChanged(_ context.Context, _ string, vars map[string]string) error {
	b.t.mu.Lock()
	b.t.appVars = vars
	b.t.mu.Unlock()
	go func() {
		if err := b.t.restartApps(); err != nil {
			b.t.log.Error("an app does not start", "err", err)
		}
	}()
	return nil
}

// appConfig is the app's configuration as it is before the managed Redis exists.
func (t *Twin) appConfig() map[string]string {
	s := t.state
	vars := map[string]string{
		"PORT":             strconv.Itoa(s.Ports["ingestion"]),
		"SOURCE_REDIS_URL": t.endpoint("linode").URL.Reveal(),
		"SENTINEL_ADDRS": s.address("sentinel-1") + "," + s.address(
			"sentinel-2",
		) + "," + s.address("sentinel-3"),
		"SENTINEL_MASTER":         masterName,
		"SENTINEL_REDIS_PASSWORD": s.Secrets["sentinel"],
		"TARGET_REDIS_CA":         t.caFile,
		"SWITCHYARD_URL":          "http://" + s.Addr,
		"SWITCHYARD_TOKEN":        s.Secrets["worker"],
		"INGESTION_TOKEN":         s.Secrets["ingestion"],
		"DATA_DIR":                filepath.Join(t.cfg.Dir, "ingestion"),
		"INSTANCE_ID":             "ingestion-1",
	}
	maps.Copy(vars, t.webhookVars())
	return vars
}

// webhookVars is what the app verifies webhooks with.
func (t *Twin) webhookVars() map[string]string {
	vars := map[string]string{}
	for id, secret := range t.state.webhookSecrets() {
		vars[webhookVar(id)] = secret.Reveal()
	}
	return vars
}
