package adminpages

import (
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/web/ui"
	"github.com/switchyard-dev/switchyard/workflows"
)

// Audit is a page of the audit log.
type Audit struct {
	MigrationID string
	Entries     []migration.AuditEntry
	Filter      workflows.AuditFilter
	// Since and Until are the times of the filter as they were typed.
	Since, Until string
	Steps        []string // ids of steps, which subjects name
	Older        int64    // sequence number to go on from; 0: none
	ExportMost   int      // how many entries one file has at most
}

func (v Audit) filtered() bool {
	f := v.Filter
	return f.Actor != "" || f.Action != "" || f.Subject != "" || f.Result != "" ||
		v.Since != "" || v.Until != ""
}

// address is that of the log with the filter; more is names with values in turn.
func (v Audit) address(page string, more ...string) string {
	q := url.Values{}
	pairs := append([]string{
		"person", v.Filter.Actor, "action", v.Filter.Action, "subject", v.Filter.Subject,
		"result", v.Filter.Result, "since", v.Since, "until", v.Until,
	}, more...)
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	u := ui.URL(v.MigrationID, "audit")
	if page != "" {
		u = ui.URL(v.MigrationID, "audit", page)
	}
	if len(q) > 0 {
		u += "?" + q.Encode()
	}
	return u
}

// command is the same on the command line.
func (v Audit) command() string {
	return migration.AuditLogCommand([2]string{"person", v.Filter.Actor},
		[2]string{"action", v.Filter.Action}, [2]string{"subject", v.Filter.Subject},
		[2]string{"result", v.Filter.Result}, [2]string{"since", v.Since},
		[2]string{"until", v.Until})
}

func (v Audit) olderURL() string {
	return v.address("", "before", strconv.FormatInt(v.Older, 10))
}

var runID = regexp.MustCompile(`\b[0-9a-f]{10}\b`)

// about is the page of what an entry is about: its run, its step or the flags; "": none is
// known.
func (v Audit) about(e migration.AuditEntry) (label, address string) {
	if id := runOf(e); id != "" {
		if strings.Contains(e.Subject, id) || strings.Contains(detailOf(e), id) {
			return "Open run", ui.URL(v.MigrationID, "runs", id)
		}
		return "Run " + id, ui.URL(v.MigrationID, "runs", id)
	}
	switch {
	case strings.HasPrefix(e.Action, "flag"):
		return "Flags", ui.URL(v.MigrationID, "flags")
	case strings.HasPrefix(e.Action, "key-"):
		return "Keys", ui.URL(v.MigrationID, "flags", "keys")
	case e.Action == "start" || e.Action == "finish":
		step, _, _ := strings.Cut(e.Subject, " ")
		if slices.Contains(v.Steps, step) {
			return "Open step", ui.URL(v.MigrationID, "steps", step)
		}
	}
	return "", ""
}

// detailOf is what the row says beside its subject: what the link to the run says is not said
// twice, and neither is the subject.
func detailOf(e migration.AuditEntry) string {
	if e.Detail == runOf(e) || e.Detail == e.Subject {
		return ""
	}
	return e.Detail
}

// runOf gives the id of the run that an entry is about; "": none.
func runOf(e migration.AuditEntry) string {
	switch e.Action {
	case "start":
		if e.Result == "ok" && runID.FindString(e.Detail) == e.Detail {
			return e.Detail
		}
	case "finish":
		if rest, ok := strings.CutPrefix(e.Detail, "run "); ok {
			return runID.FindString(rest)
		}
	case "approve", "reject", "cancel", "pause", "resume", "rollback":
		return runID.FindString(e.Subject)
	}
	return ""
}

func auditResultChoices() []string {
	return []string{"ok", "refused", "succeeded", "failed", "cancelled"}
}

var auditResults = map[string]string{
	"ok": "Accepted", "refused": "Refused", "succeeded": "Run done", "failed": "Run failed",
	"cancelled": "Run cancelled",
}
