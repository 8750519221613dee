package redisconn_test

import (
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
)

func TestParseSentinelURL(t *testing.T) {
	t.Parallel()
	e, err := redisconn.ParseSentinelURL(
		"rediss+sentinel://app:p%40ss@a:26379,[::1]:26380/orders", "ca.crt")
	if err != nil {
		t.Fatal(err)
	}
	if e.Username != "app" || e.Password.Reveal() != "p@ss" ||
		e.SentinelPassword != e.Password ||
		e.Address() != "orders@a:26379,[::1]:26380" || !e.TLS() {
		t.Errorf("got %s as %s", e.Address(), e.Username)
	}
	for rule, u := range map[string]migration.Secret{
		"another scheme":           "redis://:hunter2@a:1/m",
		"no master":                "redis+sentinel://:hunter2@a:1",
		"no port":                  "redis+sentinel://:hunter2@a/m",
		"no host":                  "redis+sentinel:///m",
		"TLS without an authority": "rediss+sentinel://:hunter2@a:1/m",
		"a bad escape":             "redis+sentinel://:hunter2%zz@a:1/m",
	} {
		if _, err := redisconn.ParseSentinelURL(u,
			""); migration.KindOf(err) != migration.Invalid ||
			strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", rule, err)
		}
	}
}
