package api

import (
	"bytes"
	"context"
	"encoding/csv"
	"strconv"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows"
)

func peopleOperations() []Operation {
	return []Operation{{
		ID: "getPeople", Route: "GET " + ofMigration + "/people", Access: AccessSession,
		Summary: "Accounts, and the keys of programs, without anything that lets in",
		Answer:  People{},
	}}
}

// People is who can sign in, and the programs that have a key: see workflows.People.
type People = workflows.People

// People lists accounts, and the keys that are not revoked.
func (c *Client) People(ctx context.Context, mid string) (People, error) {
	var p People
	err := c.get(ctx, at(mid, "people"), &p)
	return p, err
}

// AuditQuery says which lines of the audit log; empty fields are any.
type AuditQuery struct {
	Before  int64 // sequence number to continue before; 0: from the newest
	Person  string
	Action  string
	Subject string // a part of the subject or of the detail
	Result  string
	Since   string // RFC 3339, or a date in UTC
	Until   string // the same; a date is included
	Limit   int
}

// Audit lists the audit log, newest first.
func (c *Client) Audit(ctx context.Context, q AuditQuery) (AuditPage, error) {
	var p AuditPage
	err := c.get(ctx, "/api/v1/audit"+query("before", number(q.Before), "person", q.Person,
		"action", q.Action, "subject", q.Subject, "result", q.Result, "since", q.Since,
		"until", q.Until, "limit", number(int64(q.Limit))), &p)
	return p, err
}

// AuditCSV writes lines of the audit log as comma-separated values. What a spreadsheet would take
// for a formula gets an apostrophe in front, which makes it text.
func AuditCSV(entries []migration.AuditEntry) []byte {
	var b bytes.Buffer
	w := csv.NewWriter(&b) // writing to memory does not fail
	_ = w.Write([]string{"seq", "at", "actor", "action", "subject", "detail", "result", "hash"})
	for _, e := range entries {
		_ = w.Write([]string{
			strconv.FormatInt(e.Seq, 10), e.At.UTC().Format(time.RFC3339Nano), inert(e.Actor),
			inert(e.Action), inert(e.Subject), inert(e.Detail), inert(e.Result), e.Hash,
		})
	}
	w.Flush()
	return b.Bytes()
}

func inert(cell string) string {
	if cell != "" && strings.ContainsRune("=+-@\t\r\n", rune(cell[0])) {
		return "'" + cell
	}
	return cell
}
