package redisconn

import (
	"context"
	"net"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// conn is a client that counts the commands it sends, per server, so that our own
// use of a server can be told from others'.
type conn struct {
	*redis.Client
	used *usage
}

func newConn(c *redis.Client, server string) *conn {
	u, _ := usages.LoadOrStore(server,
		&usage{issued: map[string]int64{}, answered: map[string]int64{}})
	return counted(c, u.(*usage))
}

// counted gives a client whose commands count as used.
func counted(c *redis.Client, used *usage) *conn {
	c.AddHook(contextual{})
	c.AddHook(used)
	return &conn{Client: c, used: used}
}

// usages holds one usage per server address this process has opened.
var usages sync.Map

// usage counts this process's commands on one server, by lower-case name: when they
// are issued and when they are answered.
type usage struct {
	mu               sync.Mutex
	issued, answered map[string]int64
}

func (u *usage) count(m map[string]int64, cmds ...redis.Cmder) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, c := range cmds {
		m[strings.ToLower(c.Name())]++
	}
}

// copyOf returns a copy of one of the counts.
func (u *usage) copyOf(m map[string]int64) map[string]int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	out := make(map[string]int64, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

// DialHook implements redis.Hook.
func (u *usage) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		return next(ctx, network, addr)
	}
}

// ProcessHook implements redis.Hook.
func (u *usage) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		u.count(u.issued, cmd)
		err := next(ctx, cmd)
		if err == nil || isReply(err) {
			u.count(u.answered, cmd)
		}
		return err
	}
}

// ProcessPipelineHook implements redis.Hook.
func (u *usage) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		u.count(u.issued, cmds...)
		err := next(ctx, cmds)
		if err == nil || isReply(err) {
			u.count(u.answered, cmds...)
		}
		return err
	}
}
