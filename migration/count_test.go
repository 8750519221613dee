package migration_test

import (
	"testing"

	"github.com/switchyard-dev/switchyard/migration"
)

func TestANounFollowsItsNumber(t *testing.T) {
	for want, got := range map[string]string{
		"0 orders":        migration.Count(0, "order"),
		"1 order":         migration.Count(1, "order"),
		"2 orders":        migration.Count(int64(2), "order"),
		"1 retry":         migration.Count(1, "retry"),
		"2 retries":       migration.Count(2, "retry"),
		"3 days":          migration.Count(3, "day"),
		"3 keys":          migration.Count(3, "key"),
		"2 addresses":     migration.Count(2, "address"),
		"1 order is late": migration.Count(1, "order is", "orders are") + " late",
		"4 orders are":    migration.Count(4, "order is", "orders are"),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
