package redisconn_test

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

// A connection that breaks between the two commands is no managed service that keeps its
// commandstats to itself: taken for one, it made a whole hour's count unknown.
func TestALoadThatIsCutOffIsAnErrorAndARefusedOneIsNot(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer error
		fails  bool
	}{
		"cut off": {io.EOF, true}, "refused": {refusal("NOPERM no commandstats"), false},
	} {
		client := redistest.Start(t).Client()
		client.AddHook(answering{c.answer})
		l, err := redisconn.ReadLoad(t.Context(), client)
		if (err != nil) != c.fails || c.fails && !errors.Is(err, c.answer) {
			t.Errorf("%s: %v", name, err)
		}
		if !c.fails && (l.Calls != redisconn.Unreported || l.Commands < 0) {
			t.Errorf("%s: %+v", name, l)
		}
	}
}

type refusal string

func (r refusal) Error() string { return string(r) }
func (refusal) RedisError()     {}

// answering gives an error for INFO commandstats and leaves everything else to the server.
type answering struct{ err error }

func (answering) DialHook(next redis.DialHook) redis.DialHook { return next }

func (answering) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (a answering) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if args := cmd.Args(); len(args) == 2 && args[1] == "commandstats" {
			cmd.SetErr(a.err)
			return a.err
		}
		return next(ctx, cmd)
	}
}
