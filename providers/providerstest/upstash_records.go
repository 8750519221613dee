package providerstest

import (
	"crypto/rand"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

// Databases lists what exists, oldest first.
func (u *Upstash) Databases() []UpstashDatabase {
	var out []UpstashDatabase
	for _, r := range u.records() {
		out = append(out, UpstashDatabase{
			UpstashSpec: UpstashSpec{
				ID:        r.DB.ID,
				Name:      r.DB.Name,
				Region:    r.DB.PrimaryRegion,
				Plan:      r.Plan,
				DiskBytes: r.DB.DiskThreshold,
				Eviction:  r.DB.Eviction,
				TLS:       r.DB.TLS,
			},
			Endpoint: r.DB.Endpoint, Port: r.DB.Port, Password: migration.Secret(r.DB.Password),
		})
	}
	return out
}

// answer applies a change, saves it, and sends the body.
func (u *Upstash) answer(w http.ResponseWriter, change func(), body any) {
	u.mu.Lock()
	change()
	err := saveState(u.cfg.StatePath, u.dbs)
	u.mu.Unlock()
	if err != nil {
		upstashError(w, http.StatusInternalServerError, "state was not saved: "+err.Error())
		return
	}
	send(w, http.StatusOK, body)
}

func (u *Upstash) record(id string) (upstashRecord, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	r, ok := u.dbs[id]
	return r, ok
}

func (u *Upstash) records() []upstashRecord {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.SortedFunc(maps.Values(u.dbs), func(a, b upstashRecord) int {
		if a.DB.CreationTime != b.DB.CreationTime {
			return int(a.DB.CreationTime - b.DB.CreationTime)
		}
		return strings.Compare(a.DB.ID, b.DB.ID)
	})
}

func (r *upstashRecord) setPlan(name string) {
	p := upstashPlans[name]
	r.Plan, r.DB.Type, r.DB.DiskThreshold = name, p.kind, p.disk
	r.DB.MaxRequestSize, r.DB.MaxEntrySize, r.DB.CommandsPerSecond = p.maxRequest, p.maxItem, p.perSecond
}

func upstashError(w http.ResponseWriter, status int, message string) {
	send(
		w,
		status,
		map[string]string{
			"code":    strings.ToLower(strings.ReplaceAll(http.StatusText(status), " ", "_")),
			"message": message,
		},
	)
}

func uuid() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand aborts the program instead
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func (u *Upstash) stats(w http.ResponseWriter, r *http.Request) {
	s, err := u.cfg.Backend.Stats(r.Context(), r.PathValue("id"))
	if err != nil {
		upstashError(w, http.StatusInternalServerError, "stats are not available: "+err.Error())
		return
	}
	now := time.Now().UTC().String()
	point := func(y int64) []map[string]any { return []map[string]any{{"x": now, "y": y}} }
	send(w, http.StatusOK, map[string]any{
		"current_storage": s.StorageBytes, "connection_count": point(s.Connections), "keyspace": point(s.Keys), "diskusage": point(s.StorageBytes),
		"throughput": point(
			0,
		), "latency_99": point(0), "command_counts": []any{}, "total_monthly_bandwidth": 0,
		"total_monthly_requests": 0, "total_monthly_billing": 0, "queue_optimized": false,
	})
}
