package environment

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/providers/linode"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// Host is where the old servers' machines are rented.
type Host struct {
	API      *linode.Client
	Machines []Machine
	servers  *Servers
}

// Machine is one rented machine; it is acted on only when both fit.
type Machine struct {
	ID    int
	Label string
}

func machinesOf(s config.Source) []Machine {
	var out []Machine
	if s.Standalone.LinodeID != 0 {
		out = append(out, Machine{s.Standalone.LinodeID, s.Standalone.LinodeLabel})
	}
	for _, n := range s.Sentinel.Nodes {
		out = append(out, Machine{n.LinodeID, n.LinodeLabel})
	}
	return out
}

// Each does something to every old machine that still exists.
func (h *Host) Each(do func(Machine) error) error {
	for _, m := range h.Machines {
		if err := do(m); err != nil && !linode.NotFound(err) {
			return fmt.Errorf("%s (Linode %d): %w", m.Label, m.ID, err)
		}
	}
	return nil
}

// oldAddresses is remembered for the time when the servers cannot be asked any more.
const oldAddresses = "old-servers"

// RememberOld keeps the addresses of the old servers for the time when they cannot be asked
// any more.
func (h *Host) RememberOld(ctx context.Context, addresses []string) error {
	return h.servers.store.SetSetting(ctx, oldAddresses, addresses)
}

// Off looks at every old server: what its host says of it, and whether anything answers at
// its address.
func (h *Host) Off(ctx context.Context) (evidence.OffFacts, error) {
	var facts evidence.OffFacts
	for _, m := range h.Machines {
		inst, err := h.API.Instance(ctx, m.ID)
		switch {
		case linode.NotFound(err):
			inst.Status = "deleted"
		case err != nil:
			return facts, fmt.Errorf("%s (Linode %d): %w", m.Label, m.ID, err)
		}
		facts.Servers = append(
			facts.Servers,
			evidence.ServerOff{Label: m.Label, Status: inst.Status},
		)
	}
	var addrs []string
	if ok, err := h.servers.store.Setting(ctx, oldAddresses, &addrs); err != nil || !ok {
		return facts, engine.OrMissing(err, "the addresses of the old servers are not known")
	}
	for _, a := range addrs {
		facts.Servers = append(
			facts.Servers,
			evidence.ServerOff{
				Label:     "Redis",
				Address:   a,
				Status:    "offline",
				Reachable: answers(ctx, a),
			},
		)
	}
	return facts, nil
}

// answers reports whether anything accepts a connection at an address.
func answers(ctx context.Context, address string) bool {
	d := net.Dialer{Timeout: 2 * time.Second}
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}
