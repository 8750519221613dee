package twin

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// writeConfig writes the configuration by which Switchyard knows this estate.
func (t *Twin) writeConfig() error {
	s := t.state
	settings := map[string]string{
		"quiet_window":          "6s",
		"fence_window":          "6s",
		"soak":                  "3s",
		"monitor_interval":      "3s",
		"min_validation_orders": "100",
		"order_deadline":        "90s",
	}
	for k, v := range t.cfg.Settings {
		settings[k] = v
	}
	var b strings.Builder
	w := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	w("# Written by the twin at every start.")
	w("addr: %s", s.Addr)
	w("sync_addr: %s", s.address("sync"))
	w("data_dir: %q", filepath.Join(t.cfg.Dir, "switchyard"))
	w("worker_token: %q", s.Secrets["worker"])
	w("first_run_users:")
	for _, a := range s.Accounts {
		w("  - {name: %s, role: %s, password: %q}", a.Name, a.Role, a.Password)
	}
	w("migration:")
	w("  name: UPW order pipeline")
	w("  event_date: %q", s.EventDate)
	for _, k := range []string{
		"quiet_window", "fence_window", "soak", "monitor_interval", "min_validation_orders",
		"order_deadline",
	} {
		w("  %s: %s", k, settings[k])
	}
	// Faults of a rehearsal are over before its next step, and webhooks come in bursts.
	w("  guardrails: {window: 5s, watch: 1m}")
	w("queues: [%s]", strings.Join(t.cfg.routed(), ", "))
	// Of the shop's other app, which runs as commands.
	w("drill: {scan_only: [reports, report-attachments]}")
	w("source:")
	if t.ByHand() {
		w("  machines: by-hand")
		w("  silent_for: 2s")
	}
	w("  standalone: {url: %q, %s}", t.endpoint("linode").URL.Reveal(), t.machineConfig(1))
	w("  sentinel:")
	w("    addrs: [%q, %q, %q]", s.address("sentinel-1"), s.address("sentinel-2"),
		s.address("sentinel-3"))
	w("    master: %s", masterName)
	w("    password: %q", s.Secrets["sentinel"])
	w("    nodes:")
	for id := 2; id <= 4; id++ {
		w("      - {%s}", t.machineConfig(id))
	}
	t.writeServices(w)
	w("stripe: {api: %q, key: %q}", "http://"+s.address("stripe-api"), s.Secrets["stripe-api"])
	vars := "heroku"
	if t.ByHand() {
		vars = "by-hand"
	}
	w("ingestion:")
	w("  url: %q", "http://"+s.address("ingestion"))
	if t.cfg.Fleet {
		w("  instances:")
		for _, i := range t.cfg.instances() {
			w("    - %q", "http://"+s.address(i.name))
		}
	}
	w("  token: %q", s.Secrets["ingestion"])
	w("  config_vars: %s", vars)
	return os.WriteFile(t.ConfigFile(), []byte(b.String()), 0o600)
}

// machineConfig is what the configuration says of a machine.
func (t *Twin) machineConfig(id int) string {
	m := machines[id]
	if !t.ByHand() {
		return fmt.Sprintf("linode_id: %d, linode_label: %s", id, m.label)
	}
	var addrs []string
	for _, name := range m.programs {
		addrs = append(addrs, fmt.Sprintf("%q", t.state.address(name)))
	}
	return fmt.Sprintf("machine: {label: %s, addrs: [%s], monthly_usd: 5, price_from: the twin}",
		m.label, strings.Join(addrs, ", "))
}

// writeServices writes who hosts the managed Redis, the machines and the app.
func (t *Twin) writeServices(w func(format string, args ...any)) {
	s := t.state
	w("target:")
	if t.ByHand() {
		w("  url: %q", t.managedEndpoint(s.Secrets["managed"]).URL.Reveal())
		w("  ca_file: %q", t.caFile)
		w("  plan:")
		w("    {service: Redis of the twin, title: Fixed 1 GB, region: us-east-1, monthly_usd: 20,")
		w("    max_bytes: 1073741824, max_connections: 10000, max_commands_per_second: 10000,")
		w("    max_request_bytes: 10485760, max_record_bytes: 209715200, bandwidth_bytes: 0}")
		return
	}
	w("  upstash: {api: %q, email: ops@example.com, api_key: %q,",
		"http://"+s.address("upstash")+"/v2", s.Secrets["upstash"])
	w("    database_name: orders-bullmq, platform: aws, primary_region: us-east-1, ca_file: %q}",
		t.caFile)
	w("linode: {api: %q, token: %q}", "http://"+s.address("linode-api"), s.Secrets["linode-api"])
	w("heroku: {api: %q, token: %q, app: %s}", "http://"+s.address("heroku"), s.Secrets["heroku"],
		herokuApp)
}
