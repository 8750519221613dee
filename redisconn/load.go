package redisconn

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Load is what a server has done since its start and what it holds now. What it
// does not report is Unreported.
type Load struct {
	RunID string // changes with each start; "" if not reported
	// INFO stats: total_commands_processed; since Redis 7 including what scripts
	// run
	Commands int64
	// of Commands, those that only a client can have sent: see clientOnly. INFO
	// commandstats
	Calls       int64
	NetBytes    int64 // total_net_input_bytes + total_net_output_bytes
	UsedMemory  int64 // bytes
	Connections int64 // connected_clients
	// commands, averaged by the server over the last moments:
	// instantaneous_ops_per_sec
	PerSecond int64
	Uptime    int64 // seconds
	// Unknown lists those of the above, by their INFO names, that the server did
	// not report.
	Unknown []string
}

// clientOnly are the commands that no script runs: scripts themselves, blocking
// pops, and commands about the connection. Redis refuses each of them in a script
// (flag noscript of COMMAND INFO). What BullMQ sends besides scripts and is not
// listed, such as HGETALL, cannot be told from what scripts run.
var clientOnly = map[string]bool{"eval": true, "evalsha": true, "eval_ro": true,
	"evalsha_ro": true, "fcall": true, "fcall_ro": true, "bzpopmin": true, "bzpopmax": true,
	"blpop": true, "brpop": true,
	"brpoplpush": true, "blmove": true, "blmpop": true, "bzmpop": true, "multi": true,
	"exec": true, "hello": true, "auth": true, "client": true, "script": true,
	"subscribe": true, "psubscribe": true, "watch": true}

// ReadLoad reads a server's counters: two INFO commands.
func ReadLoad(ctx context.Context, c redis.UniversalClient) (Load, error) {
	text, err := c.Info(ctx).Result()
	if err != nil {
		return Load{}, fmt.Errorf("load: %w", Explain(err))
	}
	i := infoReader{values: ParseInfo(text)}
	l := Load{RunID: i.values["run_id"], Commands: i.number("total_commands_processed",
		"total_commands_processed"), UsedMemory: i.number("used_memory", "used_memory"),
		Connections: i.number("connected_clients", "connected_clients"),
		PerSecond:   i.number("instantaneous_ops_per_sec", "instantaneous_ops_per_sec"),
		Uptime:      i.number("uptime_in_seconds", "uptime_in_seconds"),
		Calls:       Unreported, NetBytes: Unreported}
	if in, out := i.number("total_net_input_bytes", "total_net_input_bytes"),
		i.number("total_net_output_bytes", "total_net_output_bytes"); in >= 0 && out >= 0 {
		l.NetBytes = in + out
	}
	l.Unknown = i.unknown
	text, err = c.Info(ctx, "commandstats").Result()
	if _, answered := errors.AsType[redis.Error](err); err != nil && !answered {
		return Load{}, fmt.Errorf("load: %w", Explain(err))
	}
	if err != nil || !strings.Contains(text, "cmdstat_") {
		return l, nil //nolint:nilerr // a managed service refuses commandstats or leaves it empty
	}
	l.Calls = 0
	for k, v := range ParseInfo(text) {
		name, _, _ := strings.Cut(strings.TrimPrefix(k, "cmdstat_"), "|")
		if !clientOnly[name] {
			continue
		}
		calls, _, _ := strings.Cut(strings.TrimPrefix(v, "calls="), ",")
		if n, err := strconv.ParseInt(calls, 10, 64); err == nil {
			l.Calls += n
		}
	}
	return l, nil
}
