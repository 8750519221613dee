package workflows

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/notify"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

// Nothing about a connection without a name says that it is harmless.
func TestAnAppWithoutANameOnTheOldServerIsAnIncident(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	b, id := openReal(t, s.URL(), slog.New(slog.DiscardHandler))
	_, err := b.env.Routing.Set(t.Context(), id, migration.Routing{Stage: migration.StageOff,
		Source: migration.SourceSentinel}, "test", "test", "")
	ok(t, err)
	app := s.Foreign("").Conn()
	defer func() { _ = app.Close() }()
	ok(t, app.Ping(t.Context()).Err())
	redistest.Eventually(t, patience, func() error {
		all, err := b.Alerts(t.Context(), id)
		if err != nil {
			return err
		}
		for _, a := range all.Alerts {
			if strings.HasPrefix(a.Key, id+"/stranded/") && a.Severity == string(notify.Critical) {
				if !strings.Contains(a.Title, "a client without a name on "+s.Addr()) {
					return fmt.Errorf("%+v", a)
				}
				if h := b.Headline(id); h.Level != migration.Incident {
					return fmt.Errorf("%+v", h)
				}
				return nil
			}
		}
		return fmt.Errorf("%+v", all.Alerts)
	})
}
