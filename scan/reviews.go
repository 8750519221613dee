package scan

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/switchyard-dev/switchyard/migration"
)

// ReviewsFile holds decisions on what the scan could not tell, in the scanned
// folder.
const ReviewsFile = ".switchyard-reviews.yaml"

// longestDecision bounds how far ahead a decision may be valid.
const longestDecision = 366 * 24 * time.Hour

// Decision settles one REVIEW for a limited time.
type Decision struct {
	ID string `yaml:"id" json:"id"`
	// "safe": somebody looked, and it fails as it should
	Decision string `yaml:"decision" json:"decision"`
	By       string `yaml:"by" json:"by"`
	Reason   string `yaml:"reason" json:"reason"`
	// the last day on which it is valid, 2006-01-02, UTC
	Until string `yaml:"until" json:"until"`

	until time.Time
}

func readReviews(files fs.FS) ([]Decision, error) {
	b, err := fs.ReadFile(files, ReviewsFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, migration.Errorf(migration.Invalid, "%s: %v", ReviewsFile, err)
	}
	var doc struct {
		Reviews []Decision `yaml:"reviews"`
	}
	if err := yaml.NewDecoder(bytes.NewReader(b), yaml.Strict()).Decode(&doc); err != nil {
		return nil, migration.Errorf(migration.Invalid, "%s: %v", ReviewsFile, err)
	}
	for i := range doc.Reviews {
		d := &doc.Reviews[i]
		at := fmt.Sprintf("%s: review %d (%s)", ReviewsFile, i+1, d.ID)
		if d.ID == "" || d.By == "" || d.Reason == "" {
			return nil, migration.Errorf(migration.Invalid,
				"%s: id, by and reason are required", at)
		}
		if d.Decision != "safe" {
			return nil, migration.Errorf(migration.Invalid,
				"%s: the decision is %q; only safe is allowed; fix anything else in the source",
				at, d.Decision)
		}
		if d.until, err = time.Parse(time.DateOnly, d.Until); err != nil {
			return nil, migration.Errorf(migration.Invalid,
				"%s: until is %q, and must be a date such as 2026-12-31", at, d.Until)
		}
		if slices.ContainsFunc(doc.Reviews[:i], func(o Decision) bool { return o.ID == d.ID }) {
			return nil, migration.Errorf(migration.Invalid, "%s: the id occurs twice", at)
		}
	}
	return doc.Reviews, nil
}

// decide applies decisions to reviews, and reports which are not valid and why.
func (r *Report) decide(ds []Decision, now time.Time) {
	for _, d := range ds {
		i := slices.IndexFunc(r.Findings, func(f Finding) bool { return f.ID == d.ID })
		note := func(format string, a ...any) {
			r.Notes = append(r.Notes,
				"decision "+d.ID+" of "+d.By+" "+fmt.Sprintf(format, a...))
		}
		switch end := d.until.Add(24 * time.Hour); {
		case i < 0:
			note("is for something that is no longer there: remove it")
		case r.Findings[i].Verdict == Fail:
			note("is not valid: %s fails and has to be fixed", r.Findings[i].At)
		case r.Findings[i].Verdict == Pass:
			note("is not needed: %s passes", r.Findings[i].At)
		case !now.Before(end):
			note("expired on %s: %s is open again", d.Until, r.Findings[i].At)
		case end.Sub(now) > longestDecision:
			note("is not valid: it runs until %s, and the maximum is a year", d.Until)
		default:
			r.Findings[i].Decision = &d
		}
	}
}
