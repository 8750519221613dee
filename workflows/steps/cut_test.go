package steps_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/redisconn"
)

// reads are kinds of commands that leave nothing on a server.
var reads = []string{
	"acl", "auth", "client getname", "client id", "client info", "client list", "client setinfo",
	"client setname", "client tracking", "command", "config get", "dbsize", "dump", "eval_ro",
	"evalsha_ro", "exists", "get", "hello", "hexists", "hget", "hgetall", "hlen", "hmget",
	"hstrlen", "info", "latency", "lindex", "llen", "lpos", "lrange", "memory", "mget", "object",
	"pexpiretime", "ping", "pttl", "randomkey", "role", "scan", "scard", "script exists",
	"script load", "select", "sentinel ckquorum", "sentinel get-master-addr-by-name",
	"sentinel master", "sentinel masters", "sentinel myid", "sentinel replicas",
	"sentinel sentinels", "slowlog", "smembers", "strlen", "time", "ttl", "type", "wait", "xinfo",
	"xlen", "xrange", "xread", "xrevrange", "zcard", "zcount", "zrange", "zscore",
}

// kind is a command by its name and, where there is one, its subcommand, setting or script.
func kind(cmd redis.Cmder) string {
	words := []string{strings.ToLower(cmd.Name())}
	more := map[string]int{"client": 1, "config": 2, "evalsha": 1, "script": 1, "sentinel": 1}
	for _, arg := range cmd.Args()[1:min(len(cmd.Args()), 1+more[words[0]])] {
		words = append(words, strings.ToLower(fmt.Sprint(arg)))
	}
	return strings.Join(words, " ")
}

func changes(cmd redis.Cmder) bool {
	said := kind(cmd)
	return !slices.ContainsFunc(reads, func(read string) bool {
		return said == read || strings.HasPrefix(said, read+" ")
	})
}

// cut is a redis.Hook of the commands of one action: it ends the process after the first
// command that changes something, with -writes the first of each kind, before anything learns
// of it. From then on the action gets nothing done any more, as a killed process would not,
// whatever it still tries.
type cut struct {
	y     *ways
	ended context.Context //nolint:containedctx // the action's, of which commands have children
	at    string          // the action
	dead  atomic.Bool
}

// cutting gives a context whose commands end the process.
func (y *ways) cutting(ctx context.Context, at string) context.Context {
	return redisconn.WithHook(ctx, &cut{y: y, ended: ctx, at: at})
}

// after ends the process, if it is to end after the first of those that changes something.
func (c *cut) after(cmds ...redis.Cmder) error {
	if i := slices.IndexFunc(cmds, changes); i >= 0 {
		at := c.at + ", a write"
		if *writes {
			at = c.at + ", " + kind(cmds[i])
		}
		if c.y.kills(at) && c.dead.CompareAndSwap(false, true) {
			c.y.reached <- at
		}
	}
	return c.end()
}

// end waits where the process is being ended.
func (c *cut) end() error {
	if !c.dead.Load() {
		return nil
	}
	<-c.ended.Done()
	return context.Cause(c.ended)
}

// DialHook implements redis.Hook.
func (c *cut) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook implements redis.Hook.
func (c *cut) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if err := c.end(); err != nil {
			return err
		}
		if err := next(ctx, cmd); err != nil {
			return err
		}
		return c.after(cmd)
	}
}

// ProcessPipelineHook implements redis.Hook.
func (c *cut) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := c.end()
		if err == nil {
			err = next(ctx, cmds)
		}
		if err == nil {
			err = c.after(cmds...)
		}
		if err != nil {
			for _, cmd := range cmds {
				cmd.SetErr(err)
			}
		}
		return err
	}
}
