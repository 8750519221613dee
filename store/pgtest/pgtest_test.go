package pgtest

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

func TestAMissingServerSaysWhatToInstall(t *testing.T) {
	t.Parallel()
	if _, err := program("no-such-program-of-postgres"); err == nil ||
		!strings.Contains(err.Error(), "make setup-test") {
		t.Fatalf("got %v", err)
	}
}

func TestAKilledServerHasItsDataAfterARestart(t *testing.T) {
	t.Parallel()
	s := Start(t)
	database := s.Database(t).Reveal()
	exec := func(statement string) {
		t.Helper()
		conn, err := pgx.Connect(t.Context(), database)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close(t.Context()) }()
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	exec("CREATE TABLE kept (n INTEGER)")
	for range 2 {
		s.Kill(t)
		s.Restart(t)
		exec("INSERT INTO kept VALUES (1)")
	}
}
