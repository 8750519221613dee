package workflows

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/webhooks"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
	"github.com/switchyard-dev/switchyard/workflows/steps/breaker"
)

// mostFindings bounds a submitted scan.
const mostFindings = 5000

// SubmitScan keeps what a scan of an app's source found as evidence: attested by whoever
// submits it. Engineers only. Invalid when it cannot be one.
func (c *Control) SubmitScan(
	ctx context.Context,
	a migration.Actor,
	mid string,
	f evidence.ScanFacts,
) error {
	err := c.submitScan(ctx, a, mid, f)
	c.audit(
		ctx,
		a,
		"scan",
		fmt.Sprintf("%.200s %.60s", f.Source, f.Commit),
		fmt.Sprintf("%d findings", len(f.Findings)),
		err,
	)
	return err
}

func (c *Control) submitScan(
	ctx context.Context,
	a migration.Actor,
	mid string,
	f evidence.ScanFacts,
) error {
	err := engineer(a)
	if err != nil {
		return err
	}
	if _, err := c.store.Migration(ctx, mid); err != nil {
		return err
	}
	if f.Source == "" || len(f.Source) > 200 || len(f.Commit) > 100 || f.Files < 0 {
		return migration.Errorf(
			migration.Invalid,
			"a scan says what was scanned: source, up to 200 characters; commit, up to 100",
		)
	}
	if len(f.Findings) > mostFindings {
		return migration.Errorf(
			migration.Invalid,
			"the scan has %d findings; %d is the limit: scan the app's folder, not the whole "+
				"repository",
			len(f.Findings),
			mostFindings,
		)
	}
	seen := map[string]bool{}
	for i, x := range f.Findings {
		switch {
		case x.ID == "" || x.At == "" || seen[x.ID]:
			return migration.Errorf(
				migration.Invalid,
				"finding %d of the scan: an id of its own and a place are needed",
				i+1,
			)
		case x.Verdict != "PASS" && x.Verdict != "FAIL" && x.Verdict != "REVIEW":
			return migration.Errorf(
				migration.Invalid,
				"finding %d of the scan: the verdict %.20q is none of PASS, FAIL, REVIEW",
				i+1,
				x.Verdict,
			)
		case x.DecidedBy != "" && (x.DecidedUntil.IsZero() || x.DecidedUntil.After(c.now().Add(367*24*time.Hour))):
			return migration.Errorf(
				migration.Invalid,
				"finding %d of the scan: a decision holds until a day within a year",
				i+1,
			)
		}
		seen[x.ID] = true
	}
	if f.Findings, err = c.confirmed(ctx, a, mid, f.Findings); err != nil {
		return err
	}
	f.SubmittedBy, f.Routed = a.Name, c.cfg.Queues
	return c.engine.Record(
		ctx,
		mid,
		"",
		evidence.Scan,
		migration.Attested,
		"switchyard scan, submitted by "+a.Name,
		f,
	)
}

// confirmed says by whom each decision of a submitted scan counts: by the account that
// submits it when it is the one named, else by who confirmed the same decision before.
// Anybody can write a name into a file.
func (c *Control) confirmed(
	ctx context.Context, a migration.Actor, mid string, findings []evidence.ScanFinding,
) ([]evidence.ScanFinding, error) {
	before, _, err := c.lastScan(ctx, mid)
	if err != nil {
		return nil, err
	}
	out := slices.Clone(findings)
	for i, x := range out {
		out[i].ConfirmedBy = ""
		if x.DecidedBy == "" {
			continue
		}
		if x.DecidedBy == a.Name {
			out[i].ConfirmedBy = a.Name
			continue
		}
		for _, was := range before.Findings {
			if was.ID == x.ID && was.Expr == x.Expr && was.DecidedBy == x.DecidedBy &&
				was.DecidedUntil.Equal(x.DecidedUntil) {
				out[i].ConfirmedBy = was.ConfirmedBy
			}
		}
	}
	return out, nil
}

func (c *Control) lastScan(ctx context.Context, mid string) (evidence.ScanFacts, bool, error) {
	var f evidence.ScanFacts
	latest, err := c.store.LatestEvidence(ctx, mid)
	if err != nil {
		return f, false, err
	}
	e, ok := latest[evidence.Scan]
	if !ok || json.Unmarshal(e.Facts, &f) != nil { // of another version: submitted again
		return evidence.ScanFacts{}, false, nil //nolint:nilerr // what cannot be read is as good as none
	}
	return f, true, nil
}

// ConfirmScanDecision makes a decision count that the last submitted scan has from its file:
// the engineer who is signed in stands by it, until the day that it names.
func (c *Control) ConfirmScanDecision(
	ctx context.Context, a migration.Actor, mid, finding string,
) error {
	err := c.confirmScanDecision(ctx, a, mid, finding)
	c.audit(ctx, a, "scan-confirm", finding, "", err)
	return err
}

func (c *Control) confirmScanDecision(
	ctx context.Context, a migration.Actor, mid, finding string,
) error {
	if err := engineer(a); err != nil {
		return err
	}
	f, ok, err := c.lastScan(ctx, mid)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(f.Findings, func(x evidence.ScanFinding) bool {
		return x.ID == finding && x.DecidedBy != ""
	})
	if !ok || i < 0 {
		return migration.Errorf(migration.NotFound,
			"the last scan has no decision about a finding %.40q", finding)
	}
	f.Findings[i].ConfirmedBy = a.Name
	return c.engine.Record(ctx, mid, "", evidence.Scan, migration.Attested,
		"switchyard scan, submitted by "+f.SubmittedBy, f)
}

// BreakerProof is what shows, queue by queue, that an add fails at once when Redis does:
// the source, the running app, and faults.
type BreakerProof struct {
	Queues  []QueueProof    `json:"queues"`
	Faults  []FaultColumn   `json:"faults"` // columns of the matrix
	Scan    *ScanProof      `json:"scan"`   // nil: none was submitted
	DrillAt *time.Time      `json:"drill_at"`
	Live    []DrillRow      `json:"live" nullable:"true"` // faults of the real source
	Limits  []DeadlineProof `json:"deadlines"`
}

// QueueProof is one queue.
type QueueProof struct {
	Queue       string `json:"queue"`
	Static      Proven `json:"static"`
	Attestation Proven `json:"attestation"`
	// by fault; a fault that is missing was not tried
	Bench map[string]BenchCell `json:"bench"`
	// the same with a durable intake before the producer; of an app that has none, nothing
	Intake map[string]BenchCell `json:"intake,omitempty"`
	// Exempt: the configuration has it under drill.scan_only, and no app attests a producer of it:
	// it is neither drilled nor attested.
	Exempt bool `json:"exempt,omitempty"`
	// Refused is why the app let nothing be tried on the queue.
	Refused string `json:"refused,omitempty"`
	// Instance is which of the app's instances the faults were tried on, where it tells.
	Instance string `json:"instance,omitempty"`
}

// Proven is one kind of proof: its verdict, and what it rests on.
type Proven struct {
	Verdict migration.Verdict `json:"verdict"`
	Text    string            `json:"text"`
}

// BenchCell is one fault tried on one queue's options.
type BenchCell struct {
	OK   bool               `json:"ok"`
	Why  string             `json:"why,omitempty"`
	Case evidence.BenchCase `json:"case"`
	// TooLate are the providers that would have given up waiting by then.
	TooLate []string `json:"too_late,omitempty"`
}

// FaultColumn is one fault of the matrix.
type FaultColumn struct {
	ID      string `json:"id"`
	Title   string `json:"title"`
	Meaning string `json:"meaning"`
}

// ScanProof is the last submitted scan.
type ScanProof struct {
	At    time.Time          `json:"at"`
	By    string             `json:"by"`
	Facts evidence.ScanFacts `json:"facts"`
}

// DrillRow is one fault of the real source.
type DrillRow struct {
	Case    evidence.DrillCase `json:"case"`
	OK      bool               `json:"ok"`
	TooLate []string           `json:"too_late,omitempty"`
}

// DeadlineProof is how long a provider waits for an answer.
type DeadlineProof struct {
	Provider string      `json:"provider"`
	MS       int64       `json:"ms"`
	Source   SourcedText `json:"source"`
}

// BreakerProof gathers the latest evidence of criterion circuit-breaker by queue.
func (c *Control) BreakerProof(ctx context.Context, mid string) (BreakerProof, error) {
	latest, err := c.store.LatestEvidence(ctx, mid)
	if err != nil {
		return BreakerProof{}, err
	}
	if _, err := c.store.Migration(ctx, mid); err != nil {
		return BreakerProof{}, err
	}
	out := BreakerProof{}
	for _, f := range breaker.Faults {
		out.Faults = append(out.Faults, FaultColumn{f.ID, f.Title, f.Meaning})
	}
	var waits []webhooks.Sender
	for _, p := range webhooks.Senders() {
		waits = append(waits, p)
		out.Limits = append(
			out.Limits,
			DeadlineProof{
				p.Name,
				p.Deadline.Total.Milliseconds(),
				SourcedText{
					Text:  migration.Words(p.Deadline.Total),
					Level: string(p.Deadline.Level),
					URL:   p.Deadline.URL,
					Note:  p.Deadline.Note,
				},
			},
		)
	}
	tooLate := func(ms int64, answered bool) (names []string) {
		for _, p := range waits {
			if !answered || ms > p.Deadline.Total.Milliseconds() {
				names = append(names, p.Name)
			}
		}
		return names
	}
	var drilled evidence.DrillFacts
	if e, ok := latest[evidence.Drill]; ok && json.Unmarshal(e.Facts, &drilled) == nil {
		out.DrillAt = &e.ObservedAt
	}
	for _, k := range drilled.Cases {
		out.Live = append(
			out.Live,
			DrillRow{
				Case:    k,
				OK:      k.Status == 503 && k.MS <= k.LimitMS,
				TooLate: tooLate(k.MS, k.Status != 0),
			},
		)
	}
	var scanned evidence.ScanFacts
	if e, ok := latest[evidence.Scan]; ok && json.Unmarshal(e.Facts, &scanned) == nil {
		out.Scan = &ScanProof{
			At:    e.ObservedAt,
			By:    strings.TrimPrefix(e.Source, "switchyard scan, submitted by "),
			Facts: scanned,
		}
	}
	attested := c.env.Workers.Producers(mid)
	names := slices.Clone(c.cfg.Queues)
	for _, k := range drilled.Bench {
		names = append(names, k.Queue)
	}
	for _, p := range attested.Producers {
		names = append(names, p.Queue)
	}
	for _, f := range scanned.Findings {
		if f.Queue != "" {
			names = append(names, f.Queue)
		}
	}
	slices.Sort(names)
	for _, q := range slices.Compact(names) {
		row := QueueProof{
			Queue:       q,
			Static:      staticProof(out.Scan, q),
			Attestation: attestedProof(attested, q),
			Bench:       map[string]BenchCell{},
		}
		if slices.Contains(c.cfg.Drill.ScanOnly, q) &&
			row.Attestation.Verdict == migration.Unknown {
			row.Exempt = true
			row.Attestation.Text = "Short-lived command (per configuration): source scan only"
		}
		for _, k := range drilled.Bench {
			if k.Queue != q {
				continue
			}
			ok, why := k.OK()
			cell := BenchCell{OK: ok, Why: why, Case: k, TooLate: tooLate(k.MS, k.Status != 0)}
			row.Instance = k.Instance
			switch {
			case k.Refused != "":
				row.Refused = k.Refused
			case !k.Intake:
				row.Bench[k.Fault] = cell
			case row.Intake == nil:
				row.Intake = map[string]BenchCell{k.Fault: cell}
			default:
				row.Intake[k.Fault] = cell
			}
		}
		out.Queues = append(out.Queues, row)
	}
	return out, nil
}

// staticProof is what the source says of a queue: the places that name it, else those that
// name none and may be it.
func staticProof(s *ScanProof, queue string) Proven {
	if s == nil {
		return Proven{migration.Unknown, "no scan submitted"}
	}
	named := slices.DeleteFunc(
		slices.Clone(s.Facts.Findings),
		func(f evidence.ScanFinding) bool { return f.Queue != queue },
	)
	how := "at "
	if len(named) == 0 {
		named = slices.DeleteFunc(
			slices.Clone(s.Facts.Findings),
			func(f evidence.ScanFinding) bool { return f.Queue != "" || strings.Contains(f.Role, "flow") },
		)
		how = "queue name set at run time, at "
	}
	if len(named) == 0 {
		return Proven{migration.Unknown, "no producer in the source code"}
	}
	slices.SortStableFunc(named, func(a, b evidence.ScanFinding) int { // what is open first
		switch {
		case a.Open() == b.Open():
			return 0
		case a.Open():
			return -1
		}
		return 1
	})
	first := named[0]
	switch {
	case first.Verdict == "FAIL":
		return Proven{migration.Unmet, how + first.At + ": " + strings.Join(first.Reasons, "; ")}
	case first.Open():
		return Proven{migration.Unknown, how + first.At + ": to be reviewed"}
	}
	places := make([]string, len(named))
	for i, f := range named {
		places[i] = f.At
	}
	return Proven{migration.Met, how + strings.Join(places[:min(3, len(places))], ", ")}
}

func attestedProof(f evidence.AttestationFacts, queue string) Proven {
	var own evidence.AttestationFacts
	for _, p := range f.Producers {
		if p.Queue == queue {
			own.Producers = append(own.Producers, p)
		}
	}
	if len(own.Producers) == 0 {
		return Proven{migration.Unknown, "no live worker reports a producer"}
	}
	raw, err := json.Marshal(own)
	if err != nil {
		return Proven{migration.Unknown, migration.PlainError(err)}
	}
	check, _ := evidence.Of(evidence.Attestation)
	met, text, err := check.Judge(raw)
	switch {
	case err != nil:
		return Proven{migration.Unknown, migration.PlainError(err)}
	case !met:
		return Proven{migration.Unmet, text}
	}
	return Proven{migration.Met, text}
}
