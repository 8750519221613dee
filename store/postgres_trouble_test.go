package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/store/pgtest"
)

func TestAPostgresThatCannotBeUsedIsUnavailableAndNoErrorTellsThePassword(t *testing.T) {
	t.Parallel()
	closed, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // loopback does not hang
	ok(t, err)
	ok(t, closed.Close())
	good, err := url.Parse(pgtest.Database(t).Reveal())
	ok(t, err)
	for rule, c := range map[string]struct {
		url  string
		kind migration.Kind
		says string
	}{
		"nobody listens": {"postgres://ada:CANARY@" + closed.Addr().String() + "/orders",
			migration.Unavailable, "connection refused"},
		"nobody answers": {"postgres://ada:CANARY@" + silent(t) + "/orders",
			migration.Unavailable, "no answer in time"},
		"no such host": {"postgresql://ada:CANARY@db.invalid/orders",
			migration.Unavailable, "lookup"},
		"a wrong password": {"postgres://tester:CANARY@" + good.Host + "/orders",
			migration.Unavailable, "28P01"},
		"no such database": {strings.Replace(good.String(), good.Path, "/no-such-database",
			1), migration.Unavailable, "3D000"},
		"no TLS": {strings.Replace(good.String(), "sslmode=disable",
			"sslmode=require", 1), migration.Unavailable, "TLS"},
		"a URL that is none": {"postgres://ada:CANARY@[/orders", migration.Invalid,
			"cannot be read"},
		"a bad parameter": {"postgres://ada:CANARY@127.0.0.1/orders?connect_timeout=CANARY",
			migration.Invalid, "cannot be read"},
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			password, _ := good.User.Password()
			_, err := Open(t.Context(), c.url)
			wantKind(t, err, c.kind)
			if !strings.Contains(err.Error(), c.says) {
				t.Errorf("does not say %q: %v", c.says, err)
			}
			if text := fmt.Sprintf("%v %+v %#v", err, err, err); strings.Contains(text,
				"CANARY") || strings.Contains(text, password) {
				t.Errorf("tells the password: %s", text)
			}
		})
	}
}

func TestAServerThatStopsAnsweringIsUnavailable(t *testing.T) {
	t.Parallel()
	client, server := net.Pipe()
	t.Cleanup(func() { _, _ = client.Close(), server.Close() })
	c := &patientConn{Conn: client, patience: time.Millisecond}
	_, err := c.Read(make([]byte, 1))
	if !isTimeout(err) || !lost(err) {
		t.Fatalf("got %v", err)
	}
	go func() { _, _ = server.Write([]byte{1}) }()
	c.patience = long
	if n, err := c.Read(make([]byte, 1)); n != 1 || err != nil {
		t.Fatalf("an answer in time: %d, %v", n, err)
	}
	// A context that ends while we wait counts, also one that ended before.
	for _, asked := range []time.Time{time.Now(), time.Now().Add(time.Millisecond)} {
		ok(t, c.SetDeadline(asked))
		if _, err := c.Read(make([]byte, 1)); !isTimeout(err) {
			t.Fatalf("got %v", err)
		}
	}
}

func TestAQueryEndsWithItsContextAndALockThatIsHeldTooLongIsUnavailable(t *testing.T) {
	t.Parallel()
	a, b := twoReplicas(t)
	tx, err := a.SQL().BeginTx(t.Context(), nil)
	ok(t, err)
	defer func() { _ = tx.Rollback() }()
	_, err = tx.ExecContext(t.Context(), "SELECT id FROM flag_sets FOR UPDATE")
	ok(t, err)
	change := func(ctx context.Context, s *Store) error {
		_, err := s.ReviseFlagSet(ctx, mid, 0,
			func(json.RawMessage, int64) (json.RawMessage, error) {
				return json.RawMessage(`{}`), nil
			}, "ada", "", "", noon)
		return err
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := change(ctx, b); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	impatient := openURL(t, a.URL().Reveal()+"&lock_timeout=50")
	wantKind(t, change(t.Context(), impatient), migration.Unavailable)
	ok(t, tx.Rollback())
	ok(t, change(t.Context(), b))
}

func TestATransactionThatTheServerGaveUpIsTriedAgain(t *testing.T) {
	t.Parallel()
	a, _ := twoReplicas(t)
	_, err := a.SQL().ExecContext(t.Context(), `CREATE SEQUENCE tries;
		CREATE FUNCTION collide() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF nextval('tries') < NEW.at THEN RAISE EXCEPTION 'collision' USING ERRCODE = 'deadlock_detected'; END IF;
			RETURN NEW;
		END $$;
		CREATE TRIGGER collide BEFORE INSERT ON flag_set_revisions FOR EACH ROW EXECUTE FUNCTION collide()`)
	ok(t, err)
	calls := 0
	change := func(needed int64) error {
		_, err := a.ReviseFlagSet(t.Context(), mid, 0,
			func(json.RawMessage, int64) (json.RawMessage, error) {
				calls++
				return fmt.Appendf(nil, `{"n":%d}`, calls), nil
			}, "ada", "", "", time.UnixMilli(needed))
		return err
	}
	ok(t, change(3))
	if calls != 3 {
		t.Fatalf("tried %d times", calls)
	}
	if err := change(1000); !isCollision(err) || calls != 3+5 {
		t.Fatalf("got %v after %d tries", err, calls-3)
	}
}
