package environment

import (
	"errors"
	"testing"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

func TestWhoUsesTheServerThatTheSourceHasLeftIsSeen(t *testing.T) {
	t.Parallel()
	r, s := onServer(t)
	ok(t, r.store.CreateFlagSet(t.Context(), migration.FlagSet{ID: mid, MigrationID: mid,
		CreatedBy: "test", CreatedAt: r.clk.now()}))
	at := func(source migration.SourceEndpoint) {
		t.Helper()
		_, err := r.Routing.Set(t.Context(), mid, migration.Routing{Stage: migration.StageOff,
			Source: source}, "test", "test", "")
		ok(t, err)
	}
	sees := func(left bool, keys ...string) error {
		found, is, err := r.Clients.Stranded(t.Context(), mid)
		if err != nil || is != left || len(found.Clients) != len(keys) {
			return errors.Join(err, errors.New(migration.Count(len(found.Clients), "client")))
		}
		for i, m := range found.Clients {
			if m.Key != "client:"+s.Addr()+"/"+keys[i] {
				return errors.New(m.Key)
			}
		}
		return nil
	}
	_, _, end := app(t, s, "mailer")
	at(migration.SourceStandalone)
	ok(t, sees(false))
	at(migration.SourceSentinel)
	ok(t, sees(true, "127.0.0.1/mailer"))
	s.Freeze()
	if _, _, err := r.Clients.Stranded(t.Context(), mid); err == nil {
		t.Error("nobody is seen on a server that does not answer")
	}
	s.Thaw()
	end()
	redistest.Eventually(t, patience, func() error { return sees(true) })
	at(migration.SourceNone)
	ok(t, sees(false))
}
