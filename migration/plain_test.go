package migration

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
)

func TestPlainPutsLowLevelErrorsIntoWords(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"dial tcp 127.0.0.1:1: connect: connection refused": "connection refused by 127.0.0.1:1",
		"dial tcp 10.0.0.9:6379: i/o timeout":               "no answer from 10.0.0.9:6379 in time",
		"read tcp 127.0.0.1:53412->127.0.0.1:6379: i/o timeout": "no answer from " +
			"127.0.0.1:6379 in time",
		"write tcp 127.0.0.1:53412->127.0.0.1:6379: write: broken pipe": "the connection to " +
			"127.0.0.1:6379 failed",
		"read tcp 127.0.0.1:1->127.0.0.1:2: read: connection reset by peer": "the connection " +
			"to 127.0.0.1:2 failed",
		"dial tcp: lookup redis.example on 127.0.0.53:53: no such host": "the host name " +
			"redis.example is unknown",
		`Get "http://127.0.0.1:1/journal?key=CANARY": dial tcp 127.0.0.1:1: connect: ` +
			"connection refused": "connection refused by 127.0.0.1:1",
		`Post "https://h/x": context deadline exceeded (Client.Timeout exceeded while ` +
			"awaiting headers)": "no answer in time",
		"context deadline exceeded":                      "no answer in time",
		"evidence: database is locked (5) (SQLITE_BUSY)": "evidence: the database is busy",
		"SQL logic error: no such table: runs (1) (SQLITE_ERROR)": "the " +
			"database refused it",
		"run: ERROR: relation \"runs\" does not exist (SQLSTATE 42P01)": "run: the database " +
			"refused it",
		"FATAL: terminating connection due to administrator command (SQLSTATE 57P01)": "the " +
			"database refused it",
		"failed to connect to `user=ada database=x`: 127.0.0.1:5432 (127.0.0.1): dial error: " +
			"dial tcp 127.0.0.1:5432: connect: connection refused": "the database does not answer",
		"pq: password authentication failed for user \"ada\"": "the database refused it",
		"journal: unexpected EOF":                             "journal: the connection broke off",
		"EOF":                                                 "the connection broke off",
		"the ledger shows 0 lost, 1 processed twice":          "the ledger shows 0 lost, 1 processed twice",
	} {
		if got := Plain(raw); got != want {
			t.Errorf("Plain(%q)\n got %q\nwant %q", raw, got, want)
		}
	}
}

func TestAnErrorForPeopleKeepsItsCauseAndNotItsText(t *testing.T) {
	t.Parallel()
	for _, cause := range []error{context.DeadlineExceeded, io.EOF, io.ErrUnexpectedEOF} {
		err := Errorf(Unavailable, "the app does not answer: %w", fmt.Errorf("get: %w", cause))
		if !errors.Is(err, cause) {
			t.Errorf("%v is lost", cause)
		}
		if text := err.Error(); text != Plain(text) {
			t.Errorf("a person is told %q", text)
		}
		if text := Errorf(Internal, "x: %w", cause).Error(); text != "x: "+cause.Error() {
			t.Errorf("the log is told %q", text)
		}
	}
}
