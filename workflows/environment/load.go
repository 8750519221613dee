package environment

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/switchyard-dev/switchyard/capacity"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/store"
)

// loadKept is how long hours of load are kept.
const loadKept = 90 * 24 * time.Hour

// Load measures what both sides of each migration do. Only the leader's monitor does.
type Load struct {
	servers *Servers
	now     func() time.Time

	mu  sync.Mutex
	all map[string]*meter // by migration and side
}

type meter struct {
	recorder capacity.Recorder
	err      string
}

// Sides are the two sides, by name.
var Sides = []string{"source", "target"}

// Measure reads the counters of both sides and saves the hour. A side that does not answer,
// or is not there, is a gap.
func (l *Load) Measure(ctx context.Context, mid string) error {
	for _, side := range Sides {
		bounded, cancel := context.WithTimeout(ctx, 3*time.Second)
		err := l.measureSide(bounded, mid, side)
		cancel()
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *Load) measureSide(ctx context.Context, mid, side string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	m := l.all[mid+" "+side]
	if m == nil {
		m = &meter{}
		begun, err := l.Hours(ctx, mid, side, now.Truncate(time.Hour))
		if err != nil {
			return err
		}
		if len(begun) > 0 {
			m.recorder.Resume(begun[0])
		}
		l.all[mid+" "+side] = m
	}
	client, _, err := l.servers.Side(ctx, mid, side)
	var load redisconn.Load
	if err == nil {
		load, err = redisconn.ReadLoad(ctx, client)
	}
	if err != nil {
		m.err = InWords(err)
		return nil // it is kept and shown: a side that cannot be read is a gap
	}
	m.err = ""
	hour := m.recorder.Add(
		capacity.Reading{
			At:          now,
			RunID:       load.RunID,
			Commands:    load.Commands,
			Calls:       load.Calls,
			NetBytes:    max(load.NetBytes, 0),
			Memory:      load.UsedMemory,
			Connections: load.Connections,
		},
	)
	body, err := json.Marshal(hour)
	if err != nil {
		return err
	}
	return l.servers.store.SaveLoadHour(
		ctx,
		mid,
		side,
		store.LoadHour{Start: hour.Start, Body: body},
		now.Add(-loadKept),
	)
}

// Hours gives the hours of a side since a time, oldest first.
func (l *Load) Hours(
	ctx context.Context,
	mid, side string,
	since time.Time,
) ([]capacity.Hour, error) {
	rows, err := l.servers.store.LoadHours(ctx, mid, side, since)
	if err != nil {
		return nil, err
	}
	out := make([]capacity.Hour, len(rows))
	for i, r := range rows {
		if err := json.Unmarshal(r.Body, &out[i]); err != nil {
			return nil, fmt.Errorf("load of %s at %s: %w", side, r.Start.Format(time.RFC3339), err)
		}
	}
	return out, nil
}

// ErrorOf says why nothing is measured on a side now; "" where it is.
func (l *Load) ErrorOf(mid, side string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if one := l.all[mid+" "+side]; one != nil {
		return one.err
	}
	return ""
}
