package redisconn_test

import (
	"testing"

	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

func TestLoadTellsWhatClientsSentFromWhatScriptsRan(t *testing.T) {
	t.Parallel()
	c := redistest.Start(t).Client()
	ctx := t.Context()
	before, err := redisconn.ReadLoad(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Eval(ctx, `for i = 1, 100 do redis.call("INCR", "n") end return 1`,
		nil).Err(); err != nil {
		t.Fatal(err)
	}
	after, err := redisconn.ReadLoad(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	// EVALSHA or EVAL, and the two INFO commands of the previous reading; a new
	// connection of the pool may send HELLO and CLIENT SETINFO.
	if n := after.Commands - before.Commands; n < 101 || n > 115 {
		t.Errorf("%d commands", n)
	}
	if n := after.Calls - before.Calls; n < 1 || n > 10 {
		t.Errorf("%d calls", n)
	}
	if after.RunID == "" || after.RunID != before.RunID || after.NetBytes <= before.NetBytes ||
		after.UsedMemory <= 0 || after.Connections < 1 || after.PerSecond < 0 ||
		after.Uptime < 0 || len(after.Unknown) > 0 {
		t.Errorf("%+v", after)
	}
}
