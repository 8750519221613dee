package evidence

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

// Scan is the id of the check of the app's source code.
const Scan = "breaker-scan"

var scanCheck = New(Check{
	ID:      Scan,
	Title:   "Source scan",
	Limit:   "every producer passes or has an accepted exception",
	Next:    "scan the app's source code: " + migration.ScanCommand + " (from CI or your machine)",
	Outside: true,
	Before:  migration.StageDualWrite,
	MaxAge:  30 * day,
	About:   []migration.Aspect{migration.AspectApp},
	expires: scanExpires,
}, coverScan, judgeScan)

// ScanFacts is what a scan of an app's source found.
//
// It is the evidence of CheckScan.
type ScanFacts struct {
	// Source is what was scanned, such as the repository's name.
	Source   string        `json:"source"`
	Commit   string        `json:"commit,omitempty"` // of the source
	Files    int           `json:"files"`
	Findings []ScanFinding `json:"findings"`
	// Routed are the queues that flags routed when it was submitted; no file can say it. null: a
	// scan of a version that did not ask for them.
	Routed []string `json:"routed,omitempty"`
	// SubmittedBy is the account that was signed in; no file can say it.
	SubmittedBy string `json:"submitted_by,omitempty"`
}

// ScanFinding is one place that makes a producer, or one that could not be read.
type ScanFinding struct {
	ID      string   `json:"id"`
	Role    string   `json:"role" required:"false"`
	Verdict string   `json:"verdict" enum:"PASS,FAIL,REVIEW"`
	Queue   string   `json:"queue,omitempty"` // empty: the source does not tell
	At      string   `json:"at"`              // as file:line
	Expr    string   `json:"expression" required:"false"`
	Reasons []string `json:"reasons,omitempty"`
	Fix     string   `json:"fix,omitempty"`
	// DecidedBy is who settles a REVIEW until a day, as the file says. It counts once that
	// account itself, or a signed-in engineer, stands by it.
	DecidedBy string `json:"decided_by,omitempty"`
	// ConfirmedBy is the account that was signed in and stands by it; no file can say so.
	ConfirmedBy string `json:"confirmed_by,omitempty"`
	// DecidedUntil is the moment from which it counts no more.
	DecidedUntil time.Time `json:"decided_until,omitzero"`
}

// Open says whether the finding blocks: it fails, or is to be reviewed and nobody who was
// signed in decided.
func (f ScanFinding) Open() bool {
	decided := f.DecidedBy != "" && f.ConfirmedBy != ""
	return f.Verdict != "PASS" && (f.Verdict != "REVIEW" || !decided)
}

// Unconfirmed reports whether a decision is in the file alone.
func (f ScanFinding) Unconfirmed() bool {
	return f.Verdict == "REVIEW" && f.DecidedBy != "" && f.ConfirmedBy == ""
}

func (f ScanFinding) unconfirmed() string {
	if !f.Unconfirmed() {
		return ""
	}
	return fmt.Sprintf(" (accepted by %s, as the file says: it counts once %s submits it, or an "+
		"engineer confirms it)", f.DecidedBy, f.DecidedBy)
}

// Unplaced are the routed queues for which nothing in the source makes a producer, by its name
// or by one that the source does not tell: it is the source of something else.
func (f ScanFacts) Unplaced() (queues []string) {
	for _, q := range f.Routed {
		if !slices.ContainsFunc(f.Findings, func(x ScanFinding) bool {
			return (x.Queue == q || x.Queue == "") && x.Role != "worker"
		}) {
			queues = append(queues, q)
		}
	}
	return queues
}

func coverScan(f ScanFacts) migration.Coverage {
	c := migration.Coverage{Of: "place", Found: "the source of " + f.Source}
	for _, x := range f.Findings {
		c.Members = append(c.Members, migration.Member{Key: "place:" + f.Source + "/" + x.ID,
			Name: x.At, Verdict: migration.Truth(!x.Open()), Why: x.Verdict})
	}
	for _, q := range f.Unplaced() {
		c.Members = append(c.Members, migration.Member{Key: "scanned:" + q, Name: q,
			Why: "no place in " + f.Source + " makes its producer"})
	}
	return c
}

func judgeScan(f ScanFacts) (bool, string, error) {
	if len(f.Findings) == 0 {
		return false, "", fmt.Errorf("no place that makes a producer was found in %d files of "+
			"%s: that proves nothing",
			f.Files, f.Source)
	}
	decided := 0
	for _, v := range []string{"FAIL", "REVIEW", ""} {
		for _, x := range f.Findings {
			if x.Open() && (x.Verdict == v || v == "") {
				return false, fmt.Sprintf("%s: %s %s%s",
					x.At, x.Verdict, strings.Join(x.Reasons, "; "), x.unconfirmed()), nil
			}
			if v == "" && x.DecidedBy != "" {
				decided++
			}
		}
	}
	if left := f.Unplaced(); len(left) > 0 {
		return false, "", fmt.Errorf("no place in %s makes a producer of %s: scan the source of the "+
			"app that does", f.Source, list(left))
	}
	text := fmt.Sprintf("%d places in %s make a producer, and each fails when Redis does",
		len(f.Findings), f.Source)
	if decided > 0 {
		text += fmt.Sprintf(" (accepted exceptions: %d)", decided)
	}
	return true, text, nil
}

// scanExpires is when the first decision expires.
func scanExpires(raw json.RawMessage) time.Time {
	var f ScanFacts
	var first time.Time
	if json.Unmarshal(raw, &f) != nil {
		return first
	}
	for _, x := range f.Findings {
		if !x.DecidedUntil.IsZero() && (first.IsZero() || x.DecidedUntil.Before(first)) {
			first = x.DecidedUntil
		}
	}
	return first
}
