package twin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/ingestion"
	"github.com/switchyard-dev/switchyard/webhooks"
)

// instance is one process of an app that takes orders.
type instance struct {
	name           string // of the process, its port and its folder
	id             string // as it attests itself
	service, queue string
	senders        []string // whose webhooks it takes
}

// others are the senders whose webhooks the second app of a fleet takes.
var others = []string{"shopify"}

// instances are the processes that take orders: one, or with Fleet two of the same app, which share
// a journal, and one of another app, whose queue and journal are others.
func (c Config) instances() []instance {
	first := instance{name: "ingestion", id: "ingestion-1", service: "ingestion",
		queue: "order-ingestion", senders: webhooks.SenderIDs()}
	if !c.Fleet {
		return []instance{first}
	}
	first.senders = slices.DeleteFunc(first.senders, func(id string) bool {
		return slices.Contains(others, id)
	})
	second := first
	second.name, second.id = "ingestion-2", "ingestion-2"
	return []instance{first, second, {name: "shop", id: "shop-1", service: "shop",
		queue: "shop:orders", senders: others}}
}

// routed are the queues that flags route.
func (c Config) routed() []string {
	var queues []string
	for _, i := range c.instances() {
		if len(queues) == 0 || queues[len(queues)-1] != i.queue {
			queues = append(queues, i.queue)
		}
	}
	return queues
}

// vars are an instance's own variables; one that is empty is none.
func (t *Twin) vars(i instance) map[string]string {
	vars := t.webhookVars()
	for _, id := range webhooks.SenderIDs() {
		if !slices.Contains(i.senders, id) {
			vars[webhookVar(id)] = ""
		}
	}
	if t.cfg.Fleet {
		maps.Copy(vars, map[string]string{
			"PORT": fmt.Sprint(t.state.Ports[i.name]), "INSTANCE_ID": i.id,
			"SERVICE": i.service, "QUEUE": i.queue,
			"DATA_DIR": filepath.Join(t.cfg.Dir, i.name),
			"SINK_DIR": filepath.Join(t.cfg.Dir, i.service+"-sink"),
		})
		if i.service == "ingestion" {
			vars["JOURNAL_URL"] = t.endpoint(journalServer).URL.Reveal()
		}
	}
	return vars
}

func (t *Twin) startApps(ctx context.Context, main string) error {
	main, err := filepath.Abs(main)
	if err != nil {
		return err
	}
	for _, i := range t.cfg.instances() {
		if err := t.startApp(i, main); err != nil {
			return err
		}
	}
	for _, i := range t.cfg.instances() {
		if err := poll(ctx, 20*time.Second, "the app (see logs/"+i.name+".log)",
			t.client(i).Healthy); err != nil {
			return err
		}
	}
	return nil
}

func (t *Twin) startApp(i instance, main string) error {
	env := func() []string {
		t.mu.Lock()
		defer t.mu.Unlock()
		e := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}
		for k, v := range t.appVars {
			e = append(e, k+"="+v)
		}
		// The last value counts: Switchyard's address may differ from the one at the time
		// when the variables were kept, and providers may be new since.
		for k, v := range t.vars(i) {
			e = append(e, k+"="+v)
		}
		if t.cfg.DurableIntake {
			e = append(e, "INTAKE=durable")
		}
		return append(e, "SWITCHYARD_URL="+t.URL())
	}
	app := t.process(i.name, "", 500*time.Millisecond,
		func() []string { return []string{"node", main} }, env)
	t.mu.Lock()
	t.apps = append(t.apps, app)
	t.mu.Unlock()
	return app.start()
}

// restartApps starts every instance anew with the variables as they are now, as a hosting
// service does with each of its processes.
func (t *Twin) restartApps() error {
	t.mu.Lock()
	apps := t.apps
	t.mu.Unlock()
	var errs []error
	for _, app := range apps {
		if err := app.again(15 * time.Second); err != nil && !errors.Is(err, errRetired) {
			errs = append(errs, fmt.Errorf("restart %s: %w", app.name, err))
		}
	}
	return errors.Join(errs...)
}

func (t *Twin) client(i instance) *ingestion.Client {
	return ingestion.New("http://"+t.state.address(i.name),
		migration.Secret(t.state.Secrets["ingestion"]), nil)
}

// doors gives where a sender delivers, in turn where several instances take it.
func (t *Twin) doors() func(webhooks.Sender) string {
	var turn atomic.Uint64
	return func(s webhooks.Sender) string {
		var all []string
		for _, i := range t.cfg.instances() {
			if slices.Contains(i.senders, s.ID) {
				all = append(all, "http://"+t.state.address(i.name))
			}
		}
		return all[turn.Add(1)%uint64(len(all))]
	}
}

// webhookVar names the variable that holds what a sender signs with.
func webhookVar(sender string) string {
	if sender == "stripe" {
		return "WEBHOOK_SECRET"
	}
	return strings.ToUpper(sender) + "_WEBHOOK_SECRET"
}
