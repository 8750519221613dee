package redisconn

import (
	"context"

	"github.com/redis/go-redis/v9"
)

type hookKey struct{}

// WithHook gives a context whose commands, on whichever client of this package, data node or
// sentinel, pass through h: a test ends a process between two commands of one action with it,
// and leaves everybody else's alone. h's DialHook is not used.
func WithHook(ctx context.Context, h redis.Hook) context.Context {
	return context.WithValue(ctx, hookKey{}, h)
}

// contextual passes a command through the hook of its context.
type contextual struct{}

// DialHook implements redis.Hook.
func (contextual) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook implements redis.Hook.
func (contextual) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if h, ok := ctx.Value(hookKey{}).(redis.Hook); ok {
			return h.ProcessHook(next)(ctx, cmd)
		}
		return next(ctx, cmd)
	}
}

// ProcessPipelineHook implements redis.Hook.
func (contextual) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if h, ok := ctx.Value(hookKey{}).(redis.Hook); ok {
			return h.ProcessPipelineHook(next)(ctx, cmds)
		}
		return next(ctx, cmds)
	}
}
