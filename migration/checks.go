package migration

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Check judges one kind of evidence. Its rule is code, named from the plan, so that a plan can combine checks but not invent them.
type Check struct {
	Title string // what is checked
	Limit string // what must hold
	Next  string // what to do when it does not
	// Judge says whether the facts satisfy the limit and what was measured, in words. An error means that the facts are
	// unreadable or inconclusive, which is Unknown, never Met.
	Judge func(facts json.RawMessage) (met bool, measured string, err error)
}

// CheckIDs lists the ids of all checks, sorted.
func CheckIDs() []string {
	ids := make([]string, 0, len(checks))
	for id := range checks {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// CheckOf returns the check of that id.
func CheckOf(id string) (Check, bool) { c, ok := checks[id]; return c, ok }

// judge adapts a rule over typed facts to Check.Judge; facts that do not decode, or hold fields nobody knows, are an error.
func judge[T any](rule func(T) (bool, string, error)) func(json.RawMessage) (bool, string, error) {
	return func(raw json.RawMessage) (bool, string, error) {
		var facts T
		d := json.NewDecoder(strings.NewReader(string(raw)))
		d.DisallowUnknownFields()
		if err := d.Decode(&facts); err != nil {
			return false, "", err
		}
		return rule(facts)
	}
}

// Ids of the checks, as plans and steps name them.
const (
	CheckPolicy      = "maxmemory-policy"
	CheckReadiness   = "sentinel-readiness"
	CheckFailover    = "failover-test"
	CheckTargetPlan  = "target-plan"
	CheckTargetConn  = "target-connection"
	CheckAttestation = "breaker-attestation"
	CheckDrill       = "breaker-drill"
	CheckRetries     = "webhook-retries"
	CheckDualWrite   = "dual-write"
	CheckRollback    = "rollback-rehearsed"
	CheckResidue     = "source-residue"
	CheckLedger      = "order-ledger"
	CheckQuiet       = "source-quiet"
	CheckFence       = "source-fenced"
	CheckBackup      = "source-backup"
	CheckOff         = "source-off"
	CheckAudit       = "redis-audit"
	CheckScan        = "breaker-scan"
	CheckIntake      = "durable-intake"
)

// FailoverLimitMS is the initiative's limit from losing the master to the first acknowledged write, in milliseconds.
const FailoverLimitMS = 30_000

var checks = map[string]Check{
	CheckPolicy: {"Eviction policy", "noeviction on every node that holds jobs", "run the step Fix the eviction policy", judge(judgePolicy)},
	CheckReadiness: {"Sentinel readiness", "every readiness check passes", "mend what the failing check names, then wait for the monitor",
		judge(judgeReadiness)},
	CheckFailover: {"Automatic failover", "writes resume within 30 s, no acknowledged write lost", "run the step Sentinel failover test",
		judge(judgeFailover)},
	CheckTargetPlan: {"Managed plan", "Fixed 1 GB, eviction off, TLS on, active", "run the step Provision the managed Redis", judge(judgeTargetPlan)},
	CheckTargetConn: {"Managed connection", "verified TLS, and every command BullMQ needs answers", "run the step Provision the managed Redis",
		judge(judgeTargetConn)},
	CheckAttestation: {"Breaker options", "enableOfflineQueue is false, commandTimeout is set and skipWaitingForReady is on for every producer, and none is of a queue that the drill or the attestation leaves out", "set the safe producer options in the app",
		judge(judgeAttestation)},
	CheckDrill: {"Breaker drill", "503 before the provider's deadline for every fault, on every queue with a producer", "run the step Circuit-breaker drill", judge(judgeDrill)},
	CheckRetries: {"Webhook retries", "every order refused with a 503 came back, or was kept by durable intake, and was applied once", "run the step Webhook-retry test",
		judge(judgeRetries)},
	CheckDualWrite: {"Dual-write validation", "every order on both sides, every result equal", "run the step Dual-write validation", judge(judgeDualWrite)},
	CheckRollback: {"Rollback rehearsal", "a stage was rolled back and every live worker followed", "roll a stage back once, before live",
		judge(judgeRollback)},
	CheckResidue: {"Source residue", "no job left on the source", "run the step Move what is left", judge(judgeResidue)},
	CheckLedger: {"Order ledger", "every acknowledged order applied exactly once", "look at the orders that the ledger names",
		judge(judgeLedger)},
	CheckQuiet:  {"Quiet source", "nobody uses it for a whole window, nothing is queued, no new event", "stop or repoint who uses it, then run the step Decommission", judge(judgeQuiet)},
	CheckFence:  {"Fenced source", "writes are refused, and nobody knocks for a whole window", "stop or repoint who knocks; the window starts again by itself", judge(judgeFence)},
	CheckBackup: {"Final backup", "complete, and equal to the source when read back", "run the step Decommission", judge(judgeBackup)},
	CheckAudit:  {"Redis audit", "no critical or high problem on any node that holds jobs", "look at the audit's findings, and run the step Fix the eviction policy for what it can set", judge(judgeAudit)},
	CheckOff:    {"Source off", "every old server powered off and unreachable", "run the step Decommission", judge(judgeOff)},
	CheckIntake: {"Durable intake", "every app that takes orders keeps them on disk before it acknowledges them, none was refused or damaged", "start the app with DurableIntake of @switchyard/bullmq",
		judge(judgeIntake)},
	CheckScan: {"Source scan", "every place that makes a producer passes, or was decided on", "run switchyard scan DIR --submit over the app's source, in CI or by hand", judge(judgeScan)},
}

// outside are checks whose evidence no step gathers: their Next says who brings it.
var outside = map[string]bool{CheckScan: true}

// expiries say from when on facts count no more by themselves, such as a decision that was taken for a time; the zero time: never.
var expiries = map[string]func(facts json.RawMessage) time.Time{CheckScan: scanUntil}

// expired is how long ago facts stopped counting by themselves.
func expired(check string, facts json.RawMessage, now time.Time) (ago time.Duration, yes bool) {
	until := expiries[check]
	if until == nil {
		return 0, false
	}
	at := until(facts)
	return now.Sub(at), !at.IsZero() && !now.Before(at)
}

// NodePolicy is the eviction policy of one server.
type NodePolicy struct {
	Node        string `json:"node"` // address without credentials
	Policy      string `json:"policy"`
	ReadBy      string `json:"read_by"`      // CONFIG GET or INFO memory
	EvictedKeys int64  `json:"evicted_keys"` // since the server started
	RunID       string `json:"run_id,omitempty"`
	// EvictedBefore is what EvictedKeys was at the first look, or when the policy was last fixed; 0 after a restart. Nil: it is not known.
	EvictedBefore *int64 `json:"evicted_before,omitempty"`
}

// After carries on what was known of the same node before. With noeviction nothing is evicted, so a counter that grew means that the policy was another
// one in between, maybe where nobody looked.
func (n NodePolicy) After(last PolicyFacts) NodePolicy {
	now := n.EvictedKeys
	if now < 0 { // the server does not tell
		return n
	}
	n.EvictedBefore = &now
	for _, l := range last.Nodes {
		if l.Node != n.Node || l.EvictedBefore == nil {
			continue
		}
		if before := *l.EvictedBefore; l.RunID == n.RunID {
			n.EvictedBefore = &before
		} else { // it counts from 0 again
			n.EvictedBefore = new(int64)
		}
	}
	return n
}

// PolicyFacts is the evidence of CheckPolicy: the servers that hold jobs, now.
type PolicyFacts struct {
	Nodes []NodePolicy `json:"nodes"`
}

func judgePolicy(f PolicyFacts) (bool, string, error) {
	if len(f.Nodes) == 0 {
		return false, "", fmt.Errorf("no server was read")
	}
	var bad, good []string
	for _, n := range f.Nodes {
		if n.Policy == "noeviction" && n.EvictedBefore != nil && n.EvictedKeys > *n.EvictedBefore {
			bad = append(bad, fmt.Sprintf("%s is noeviction, but has evicted %d keys since the first look or the last fix: jobs may be lost", n.Node, n.EvictedKeys-*n.EvictedBefore))
			continue
		}
		if n.Policy == "noeviction" {
			good = append(good, n.Node)
			continue
		}
		policy := n.Policy
		if policy == "" {
			policy = "not readable"
		}
		bad = append(bad, fmt.Sprintf("%s is %s (%d keys evicted since it started)", n.Node, policy, n.EvictedKeys))
	}
	if len(bad) > 0 {
		return false, "maxmemory-policy: " + strings.Join(bad, ", "), nil
	}
	return true, "maxmemory-policy is noeviction on " + strings.Join(good, ", "), nil
}

// ReadinessFacts is the evidence of CheckReadiness.
type ReadinessFacts struct {
	Master string `json:"master"`
	Checks []Gate `json:"checks"`
}

func judgeReadiness(f ReadinessFacts) (bool, string, error) {
	if len(f.Checks) == 0 {
		return false, "", fmt.Errorf("no readiness check ran")
	}
	if bad := Failing(f.Checks); len(bad) > 0 {
		return false, fmt.Sprintf("%s: %s (want %s)", bad[0].Title, bad[0].Measured, bad[0].Limit), nil
	}
	return true, fmt.Sprintf("all %d readiness checks of Sentinel pass, master %s", len(f.Checks), f.Master), nil
}

// FailoverFacts is the evidence of CheckFailover. Times are milliseconds from the moment the master stopped answering.
type FailoverFacts struct {
	Kind             string `json:"kind"` // automatic: Sentinel noticed by itself; planned: asked for
	OldMaster        string `json:"old_master"`
	NewMaster        string `json:"new_master"`
	DetectMS         int64  `json:"detect_ms"`
	ElectionMS       int64  `json:"election_ms"`
	FirstWriteMS     int64  `json:"first_write_ms"`
	FirstAddMS       int64  `json:"first_add_ms"`           // first job accepted by the ingestion app through BullMQ; 0: never interrupted
	BlockedMS        int64  `json:"blocked_ms,omitempty"`   // longest time without an acknowledged canary write
	RecoveredMS      int64  `json:"recovered_ms,omitempty"` // until the old master was a healthy replica
	Acknowledged     int    `json:"acknowledged"`
	LostAcknowledged int    `json:"lost_acknowledged"`
	// Of canary jobs that the app accepted through BullMQ meanwhile; Adds is 0 where the app's journal could not tell.
	Adds     int `json:"adds,omitempty"`
	LostAdds int `json:"lost_adds,omitempty"` // never run
	RunAgain int `json:"run_again,omitempty"` // runs beyond the first: the completion was not replicated
}

func judgeFailover(f FailoverFacts) (bool, string, error) {
	switch {
	case f.Kind != "automatic":
		return false, "", fmt.Errorf("a %s failover does not show that Sentinel notices a dead master", f.Kind)
	case f.NewMaster == "" || f.NewMaster == f.OldMaster:
		return false, "no new master was elected", nil
	case f.Acknowledged == 0:
		return false, "", fmt.Errorf("the canary acknowledged no write, so nothing is shown")
	case f.LostAcknowledged > 0:
		return false, fmt.Sprintf("%d of %d acknowledged writes were lost", f.LostAcknowledged, f.Acknowledged), nil
	case f.LostAdds > 0:
		return false, fmt.Sprintf("%d of %d jobs that BullMQ acknowledged never ran", f.LostAdds, f.Adds), nil
	case f.FirstWriteMS > FailoverLimitMS || f.FirstAddMS > FailoverLimitMS:
		return false, fmt.Sprintf("writes resumed after %s, BullMQ adds after %s (limit 30 s)", seconds(f.FirstWriteMS), seconds(f.FirstAddMS)), nil
	}
	return true, fmt.Sprintf("new master elected in %s, writes resumed in %s, BullMQ adds in %s, 0 of %d acknowledged writes lost",
		seconds(f.ElectionMS), seconds(f.FirstWriteMS), seconds(f.FirstAddMS), f.Acknowledged), nil
}

func seconds(ms int64) string { return fmt.Sprintf("%d.%d s", ms/1000, ms%1000/100) }

// TargetPlanFacts is the evidence of CheckTargetPlan: what the managed service's API says of the database.
type TargetPlanFacts struct {
	Provider   string `json:"provider"`
	DatabaseID string `json:"database_id"`
	Name       string `json:"name"`
	Region     string `json:"region"`
	Fixed1GB   bool   `json:"fixed_1gb"`
	PlanNote   string `json:"plan_note"` // how the plan was told
	Eviction   bool   `json:"eviction"`
	TLS        bool   `json:"tls"`
	State      string `json:"state"`
	// AutoUpgrade: a full database moves to a larger plan, and price, by itself.
	AutoUpgrade bool `json:"auto_upgrade,omitempty"`
	// SameName are the ids of other databases of that name, which somebody pays for.
	SameName []string `json:"same_name,omitempty"`
}

func judgeTargetPlan(f TargetPlanFacts) (bool, string, error) {
	var bad []string
	if !f.Fixed1GB {
		bad = append(bad, "plan is not Fixed 1 GB ("+f.PlanNote+")")
	}
	if f.Eviction {
		bad = append(bad, "eviction is on")
	}
	if !f.TLS {
		bad = append(bad, "TLS is off")
	}
	if f.State != "active" {
		bad = append(bad, "state is "+f.State)
	}
	if f.AutoUpgrade {
		bad = append(bad, "automatic upgrades are on")
	}
	if len(f.SameName) > 0 {
		bad = append(bad, "there are others of that name, which are billed too: "+strings.Join(f.SameName, ", "))
	}
	if len(bad) > 0 {
		return false, f.Name + ": " + strings.Join(bad, ", "), nil
	}
	return true, fmt.Sprintf("%s database %s in %s is Fixed 1 GB, eviction off, TLS on, active", f.Provider, f.Name, f.Region), nil
}

// TargetConnFacts is the evidence of CheckTargetConn.
type TargetConnFacts struct {
	Address     string   `json:"address"`
	TLSVerified bool     `json:"tls_verified"`
	Answered    []string `json:"answered"`   // commands that BullMQ needs and that worked
	Refused     []string `json:"refused"`    // commands that BullMQ needs and that did not
	LatencyUS   int64    `json:"latency_us"` // median of Pings
	LatencyP99  int64    `json:"latency_p99_us,omitempty"`
	Pings       int      `json:"pings,omitempty"`
	// TriedAt is when the commands were tried. Looks soon after it measure the latency only.
	TriedAt *time.Time `json:"tried_at,omitempty"`
	// RequestBytes is the largest request that was sent, and taken.
	RequestBytes int64 `json:"request_bytes,omitempty"`
	// WakeUS is how long a worker that waits for a job takes to hear of one that another connection adds, microseconds.
	WakeUS int64 `json:"wake_us,omitempty"`
}

func judgeTargetConn(f TargetConnFacts) (bool, string, error) {
	switch {
	case !f.TLSVerified:
		return false, "the TLS certificate of " + f.Address + " was not verified", nil
	case len(f.Refused) > 0:
		return false, "commands that BullMQ needs were refused: " + strings.Join(f.Refused, ", "), nil
	case len(f.Answered) == 0:
		return false, "", fmt.Errorf("no command was tried")
	}
	measured := fmt.Sprintf("%s answers over verified TLS, %d of %d commands work, round trip %s", f.Address, len(f.Answered), len(f.Answered), millis(f.LatencyUS))
	if f.Pings > 1 {
		measured += fmt.Sprintf(" (median of %d, the slowest in a hundred %s)", f.Pings, millis(f.LatencyP99))
	}
	return true, measured, nil
}

func millis(us int64) string { return fmt.Sprintf("%d.%d ms", us/1000, us%1000/100) }

// ProducerOptions is what a running app attests about one producer connection.
type ProducerOptions struct {
	Instance           string `json:"instance"`
	Queue              string `json:"queue"`
	Side               string `json:"side"`
	Endpoint           string `json:"endpoint"`
	EnableOfflineQueue *bool  `json:"enable_offline_queue"`
	CommandTimeoutMS   int64  `json:"command_timeout_ms"`
	// SkipWaitingForReady: BullMQ does not wait for the connection when the app starts while Redis is down.
	SkipWaitingForReady *bool `json:"skip_waiting_for_ready"`
}

// AttestationFacts is the evidence of CheckAttestation.
type AttestationFacts struct {
	Producers []ProducerOptions `json:"producers"`
	// Undrilled are queues of these producers that the last breaker drill did not try; none before the first.
	Undrilled []string `json:"undrilled,omitempty"`
	// Unattested are queues of which the scanned source makes a producer, and of which no app attests one, now or at the last drill.
	Unattested []string `json:"unattested,omitempty"`
	// ScanOnly are such queues too, but of commands that end, by the configuration.
	ScanOnly []string `json:"scan_only,omitempty"`
}

func judgeAttestation(f AttestationFacts) (bool, string, error) {
	if len(f.Producers) == 0 {
		return false, "", fmt.Errorf("no live worker attests a producer connection")
	}
	for _, p := range f.Producers {
		where := fmt.Sprintf("%s on %s of %s", p.Queue, p.Endpoint, p.Instance)
		switch {
		case p.EnableOfflineQueue == nil:
			return false, "", fmt.Errorf("%s does not say whether enableOfflineQueue is off", where)
		case *p.EnableOfflineQueue:
			return false, where + " has enableOfflineQueue on: an add waits instead of failing when Redis is down", nil
		case p.CommandTimeoutMS <= 0:
			return false, where + " has no commandTimeout: an add hangs on a frozen server", nil
		case p.SkipWaitingForReady == nil:
			return false, "", fmt.Errorf("%s does not say whether skipWaitingForReady is on", where)
		case !*p.SkipWaitingForReady:
			return false, where + " has skipWaitingForReady off: an add hangs when the app starts while Redis is down", nil
		}
	}
	if len(f.Undrilled) > 0 {
		return false, "a producer is attested that the last drill did not try (" + strings.Join(f.Undrilled, ", ") + "): run the step Circuit-breaker drill again", nil
	}
	if len(f.Unattested) > 0 {
		return false, "the source makes producers that no app attests (" + strings.Join(f.Unattested, ", ") + "): attest them and run the step Circuit-breaker drill, or name queues of commands that end under drill.scan_only", nil
	}
	measured := fmt.Sprintf("producer connections that attest enableOfflineQueue: false with a commandTimeout, and skipWaitingForReady: %d", len(f.Producers))
	if len(f.ScanOnly) > 0 {
		measured += "; neither attested nor drilled, by the configuration: " + strings.Join(f.ScanOnly, ", ")
	}
	return true, measured, nil
}

// IntakeFacts is the evidence of CheckIntake: what running apps that take orders attest.
type IntakeFacts struct {
	Instances []IntakeInstance `json:"instances"`
}

// IntakeInstance is the durable intake of one process.
type IntakeInstance struct {
	Instance string `json:"instance"`
	Durable  bool   `json:"durable"` // it has one
	Backlog  int    `json:"backlog"`
	OldestMS int64  `json:"oldest_ms"` // how long the oldest of the backlog has waited
	Bytes    int64  `json:"bytes"`
	MaxBytes int64  `json:"max_bytes"`
	Accepted int64  `json:"accepted"` // since the process began
	Refused  int64  `json:"refused"`
	Damaged  int64  `json:"damaged"` // lines on its disk that cannot be read
}

// Totals sums the intakes up. all is whether every instance has one; then an order is acknowledged without Redis, whoever gets it.
func (f IntakeFacts) Totals() (sum IntakeInstance, all bool) {
	all = len(f.Instances) > 0
	for _, i := range f.Instances {
		all = all && i.Durable
		sum.Backlog += i.Backlog
		sum.OldestMS = max(sum.OldestMS, i.OldestMS)
		sum.Bytes += i.Bytes
		sum.MaxBytes += i.MaxBytes
		sum.Accepted += i.Accepted
		sum.Refused += i.Refused
		sum.Damaged += i.Damaged
	}
	sum.Durable = all
	return sum, all
}

func judgeIntake(f IntakeFacts) (bool, string, error) {
	if len(f.Instances) == 0 {
		return false, "", fmt.Errorf("no live app that takes orders attests")
	}
	for _, i := range f.Instances {
		switch {
		case !i.Durable:
			return false, i.Instance + " acknowledges an order only once it is in Redis: an outage that is longer than a provider's retries loses orders", nil
		case i.MaxBytes <= 0:
			return false, "", fmt.Errorf("%s does not say how much its intake may hold", i.Instance)
		case i.Damaged > 0:
			return false, fmt.Sprintf("%d kept orders of %s cannot be read any more: their files are kept, look at its log", i.Damaged, i.Instance), nil
		case i.Refused > 0:
			return false, fmt.Sprintf("%s has refused %d orders since it started: its disk is full or fails", i.Instance, i.Refused), nil
		}
	}
	sum, _ := f.Totals()
	return true, fmt.Sprintf("%d of %d instances keep orders on disk before they are acknowledged; %d wait there, %d MiB of %d MiB used", len(f.Instances), len(f.Instances), sum.Backlog,
		sum.Bytes>>20, sum.MaxBytes>>20), nil
}

// DrillCase is one fault and what a webhook got meanwhile.
type DrillCase struct {
	Fault   string `json:"fault"`
	Side    string `json:"side"`
	Queue   string `json:"queue"`
	Status  int    `json:"status"` // HTTP status; 0: no answer
	MS      int64  `json:"ms"`
	LimitMS int64  `json:"limit_ms"`
	Note    string `json:"note,omitempty"`
}

// ScanFacts is what a scan of an app's source found.
//
// It is the evidence of CheckScan.
type ScanFacts struct {
	Source   string        `json:"source"`           // what was scanned, such as the repository's name
	Commit   string        `json:"commit,omitempty"` // of the source
	Files    int           `json:"files"`
	Findings []ScanFinding `json:"findings"`
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
	// DecidedBy settles a REVIEW until a day.
	DecidedBy    string    `json:"decided_by,omitempty"`
	DecidedUntil time.Time `json:"decided_until,omitzero"` // the moment from which it counts no more
}

// Open says whether the finding blocks: it fails, or is to be reviewed and nobody decided.
func (f ScanFinding) Open() bool {
	return f.Verdict != "PASS" && (f.Verdict != "REVIEW" || f.DecidedBy == "")
}

func judgeScan(f ScanFacts) (bool, string, error) {
	if len(f.Findings) == 0 {
		return false, "", fmt.Errorf("no place that makes a producer was found in %d files of %s: that proves nothing", f.Files, f.Source)
	}
	decided := 0
	for _, v := range []string{"FAIL", "REVIEW", ""} {
		for _, x := range f.Findings {
			if x.Open() && (x.Verdict == v || v == "") {
				return false, fmt.Sprintf("%s: %s %s", x.At, x.Verdict, strings.Join(x.Reasons, "; ")), nil
			}
			if v == "" && x.DecidedBy != "" {
				decided++
			}
		}
	}
	text := fmt.Sprintf("%d places in %s make a producer, and each fails when Redis does", len(f.Findings), f.Source)
	if decided > 0 {
		text += fmt.Sprintf(" (%d by somebody's decision)", decided)
	}
	return true, text, nil
}

// scanUntil is when the first decision expires.
func scanUntil(raw json.RawMessage) time.Time {
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

// BenchCase is one fault of a server of the drill's own, and what the app's own options made of it there.
type BenchCase struct {
	Queue       string `json:"queue"`
	Fault       string `json:"fault"`            // id, such as cold-start; "" with Refused
	Title       string `json:"title"`            //
	Intake      bool   `json:"intake,omitempty"` // with a durable intake before the producer: the answer comes from disk, the job later
	Status      int    `json:"status"`           // HTTP status; 0: no answer
	MS          int64  `json:"ms"`
	LimitMS     int64  `json:"limit_ms"`
	Hung        bool   `json:"hung"`             // no answer as long as the drill waited
	Enqueued    bool   `json:"enqueued"`         // the job was there in the end, whatever was answered
	Strays      int    `json:"strays,omitempty"` // jobs in the end under ids that nobody gave them
	Left        int    `json:"left,omitempty"`   // events on the intake's disk in the end
	RecoveredMS int64  `json:"recovered_ms"`     // after the fault, until a job was accepted again or the intake had delivered; -1: not as long as the drill waited
	Note        string `json:"note,omitempty"`
	Instance    string `json:"instance,omitempty"` // of the app, where it tells
	Refused     string `json:"refused,omitempty"`  // why the app let nothing be tried on this queue
}

// OK says whether a provider would have got what makes it deliver again, and why not. After a lost reply an answer of 200 is right when the
// job is there: the app has asked again by itself. From an intake 200 is right at once, when the job is there in the end.
func (c BenchCase) OK() (ok bool, why string) {
	switch {
	case c.Refused != "":
		return false, "not tried, the app refuses it: " + c.Refused
	case c.Hung:
		return false, fmt.Sprintf("no answer within %d ms", c.MS)
	case c.Intake && c.Status != 200:
		return false, fmt.Sprintf("status %d (want 200: the event is kept on disk)", c.Status)
	case c.Left > 0:
		return false, fmt.Sprintf("events still on disk after the fault: %d (%s)", c.Left, c.Note)
	case c.Status == 200 && !c.Enqueued:
		return false, "answered 200, but the job is not there: the order is lost"
	case c.Strays > 0:
		return false, fmt.Sprintf("jobs under ids that nobody gave them: %d; an order that is delivered again is applied twice", c.Strays)
	case c.Status != 503 && c.Status != 200:
		return false, fmt.Sprintf("status %d (want 503)", c.Status)
	case c.MS > c.LimitMS:
		return false, fmt.Sprintf("status %d after %d ms (limit %d ms)", c.Status, c.MS, c.LimitMS)
	case c.RecoveredMS < 0:
		return false, "no job was accepted again after the fault"
	}
	return true, ""
}

// Name is the case for people.
func (c BenchCase) Name() string {
	name := c.Queue
	if c.Title != "" {
		name += ", " + c.Title
	}
	if c.Intake {
		name += ", durable intake"
	}
	return name
}

// DrillFacts is the evidence of CheckDrill.
type DrillFacts struct {
	Cases     []DrillCase `json:"cases"`
	Recovered bool        `json:"recovered"` // 200 again after the last fault
	// Bench are the faults that no real server is put through.
	Bench []BenchCase `json:"bench"`
	// Attested are the queues for which a live worker attested a producer when the drill ended; null: a drill of a version that did not look.
	Attested []string `json:"attested"`
}

// Untried are queues of a list that have no case in Bench.
func (f DrillFacts) Untried(queues []string) (out []string) {
	for _, q := range queues {
		if !slices.ContainsFunc(f.Bench, func(c BenchCase) bool { return c.Queue == q }) {
			out = append(out, q)
		}
	}
	return out
}

func judgeDrill(f DrillFacts) (bool, string, error) {
	if len(f.Cases) == 0 {
		return false, "", fmt.Errorf("no fault was injected")
	}
	var worst int64
	for _, c := range f.Cases {
		if c.Status != 503 || c.MS > c.LimitMS {
			return false, fmt.Sprintf("%s: status %d after %d ms (want 503 within %d ms)", c.Fault, c.Status, c.MS, c.LimitMS), nil
		}
		worst = max(worst, c.MS)
	}
	if !f.Recovered {
		return false, "the app did not accept jobs again after the drill", nil
	}
	if len(f.Bench) == 0 {
		return false, "cold start, packet loss and a full memory were not tried: the drill is of an older version, run it again", nil
	}
	durable := 0
	for _, c := range f.Bench {
		if ok, why := c.OK(); !ok {
			return false, c.Name() + ": " + why, nil
		}
		worst = max(worst, c.MS)
		if c.Intake {
			durable++
		}
	}
	if f.Attested == nil {
		return false, "whether the app has producers of other queues was not looked at: the drill is of an older version, run it again", nil
	}
	if left := f.Untried(f.Attested); len(left) > 0 {
		return false, "not tried, though the app attests a producer: " + strings.Join(left, ", "), nil
	}
	text := fmt.Sprintf("%d faults answered with 503, the slowest after %d ms; accepted again afterwards", len(f.Cases)+len(f.Bench)-durable, worst)
	if durable > 0 {
		text += fmt.Sprintf("; %d more acknowledged from disk and delivered once", durable)
	}
	return true, text, nil
}

// RetryFacts is the evidence of CheckRetries.
type RetryFacts struct {
	Refused      int               `json:"refused"`   // orders answered 503 during the test
	Recovered    int               `json:"recovered"` // of those, delivered again by the provider and acknowledged
	AppliedOnce  int               `json:"applied_once"`
	AppliedTwice int               `json:"applied_twice"`
	Kept         int               `json:"kept,omitempty"`         // orders that the app's durable intake acknowledged during the test, while they could not be enqueued
	KeptApplied  int               `json:"kept_applied,omitempty"` // of those, enqueued afterwards and applied once
	KeptMS       int64             `json:"kept_ms,omitempty"`      // the longest that one of them waited for its job
	Missing      []string          `json:"missing,omitempty"`
	LongestMS    int64             `json:"longest_ms"` // from the 503 to the acknowledged retry
	Providers    []ProviderRetries `json:"providers"`  // everybody whose orders were refused, or who sends orders here
	// Live is what the provider itself says of its deliveries since the test began; nil when it was not asked.
	Live *LiveDeliveries `json:"live,omitempty"`
}

// ProviderRetries is what was seen of one provider's retries, and what is known of how long it would go on.
type ProviderRetries struct {
	Provider      string `json:"provider"` // its name
	Refused       int    `json:"refused"`  // 0: it sends orders here, and its retries were not tried
	Kept          int    `json:"kept,omitempty"`
	Recovered     int    `json:"recovered"`
	AppliedOnce   int    `json:"applied_once"`
	LongestMS     int64  `json:"longest_ms"`
	WindowSeconds int64  `json:"window_seconds"` // from the first try to the last; 0: nobody states it
	Proof         string `json:"proof"`          // who states the window: documented (by the provider), observed, community or assumed
}

// window says how long the provider would go on, by whom. It is never observed here.
func (p ProviderRetries) window() string {
	length := fmt.Sprintf("%d min", p.WindowSeconds/60)
	if p.WindowSeconds%3600 == 0 {
		length = fmt.Sprintf("%d h", p.WindowSeconds/3600)
	}
	switch {
	case p.WindowSeconds == 0:
		return "window not documented"
	case p.Proof == "documented":
		return length + " documented"
	default:
		return fmt.Sprintf("window not documented, %s: %s", p.Proof, length)
	}
}

// LiveDeliveries is what a provider's own API says.
type LiveDeliveries struct {
	Provider    string   `json:"provider"`
	Undelivered int      `json:"undelivered"` // events that an endpoint has not taken
	Events      []string `json:"events,omitempty"`
}

func judgeRetries(f RetryFacts) (bool, string, error) {
	switch {
	case f.Refused == 0 && f.Kept == 0:
		return false, "", fmt.Errorf("no order was refused, so no retry was seen")
	case f.AppliedTwice > 0:
		return false, fmt.Sprintf("%d orders were applied twice", f.AppliedTwice), nil
	case f.Recovered < f.Refused || f.AppliedOnce < f.Refused:
		return false, fmt.Sprintf("%d of %d refused orders came back, %d were applied", f.Recovered, f.Refused, f.AppliedOnce), nil
	case f.KeptApplied < f.Kept:
		return false, fmt.Sprintf("%d of %d orders that the durable intake kept were applied", f.KeptApplied, f.Kept), nil
	}
	if f.Live != nil && f.Live.Undelivered > 0 {
		return false, fmt.Sprintf("%s says that %d events since then are not delivered: %s", f.Live.Provider, f.Live.Undelivered, strings.Join(f.Live.Events, ", ")), nil
	}
	var tried, kept, untried []string
	for _, p := range f.Providers {
		if p.Kept > 0 {
			kept = append(kept, fmt.Sprintf("%s %d", p.Provider, p.Kept))
		}
		if p.Refused == 0 {
			if p.Kept == 0 {
				untried = append(untried, p.Provider)
			}
			continue
		}
		tried = append(tried, fmt.Sprintf("%s %d (slowest after %s; %s)", p.Provider, p.Refused, seconds(p.LongestMS), p.window()))
	}
	if len(tried) == 0 && len(kept) == 0 {
		return false, "", fmt.Errorf("whose orders were refused is not told: the test is of an older version, run it again")
	}
	var parts []string
	if len(tried) > 0 {
		parts = append(parts, fmt.Sprintf("%d orders refused with 503, all delivered again and applied once: %s. First retries were observed, no window was", f.Refused, strings.Join(tried, ", ")))
	}
	if len(kept) > 0 {
		parts = append(parts, fmt.Sprintf("%d orders acknowledged from the durable intake while none could be enqueued, all enqueued within %s and applied once: %s", f.Kept, seconds(f.KeptMS), strings.Join(kept, ", ")))
	}
	measured := strings.Join(parts, ". ")
	if len(untried) > 0 {
		measured += ". NOT TRIED: " + strings.Join(untried, ", ") + " (orders come from there, but none was refused; run the step again when some do)"
	}
	if f.Live != nil {
		measured += "; " + f.Live.Provider + " itself says that nothing is undelivered"
	}
	return true, measured, nil
}

// DualWriteFacts is the evidence of CheckDualWrite.
type DualWriteFacts struct {
	Orders        int   `json:"orders"`     // authoritative adds in the window
	MinOrders     int   `json:"min_orders"` // fewer shows too little
	Copied        int   `json:"copied"`     // with a shadow copy on the other side
	Compared      int   `json:"compared"`   // whose copy ran and was compared
	Mismatches    int   `json:"mismatches"`
	Duplicated    int   `json:"duplicated"`
	Lost          int   `json:"lost"`
	WindowSeconds int64 `json:"window_seconds"`
}

func judgeDualWrite(f DualWriteFacts) (bool, string, error) {
	switch {
	case f.Mismatches > 0 || f.Lost > 0 || f.Duplicated > 0:
		return false, fmt.Sprintf("%d results differ, %d orders lost, %d applied twice", f.Mismatches, f.Lost, f.Duplicated), nil
	case f.Orders == 0 || f.Orders < f.MinOrders:
		return false, "", fmt.Errorf("only %d orders in the window, %d are needed", f.Orders, f.MinOrders)
	case f.Copied < f.Orders || f.Compared < f.Orders:
		return false, fmt.Sprintf("of %d orders %d were copied and %d compared", f.Orders, f.Copied, f.Compared), nil
	}
	return true, fmt.Sprintf("%d orders in %d s on both sides, %d results compared, 0 differ", f.Orders, f.WindowSeconds, f.Compared), nil
}

// RollbackFacts is the evidence of CheckRollback.
type RollbackFacts struct {
	From       string `json:"from"`
	To         string `json:"to"`
	RollbackMS int64  `json:"rollback_ms"` // from the flag change to the acknowledgement of every live worker
	Workers    int    `json:"workers"`
}

func judgeRollback(f RollbackFacts) (bool, string, error) {
	if f.Workers == 0 {
		return false, "", fmt.Errorf("no live worker took part")
	}
	return true, fmt.Sprintf("%s rolled back to %s in %s, acknowledged by %d workers", f.From, f.To, seconds(f.RollbackMS), f.Workers), nil
}

// ResidueFacts is the evidence of CheckResidue.
type ResidueFacts struct {
	Queues []QueueResidue `json:"queues"`
}

// QueueResidue is what is left in one queue of the source.
type QueueResidue struct {
	Queue   string `json:"queue"`
	Pending int64  `json:"pending"`
	Moved   int    `json:"moved"`
}

func judgeResidue(f ResidueFacts) (bool, string, error) {
	if len(f.Queues) == 0 {
		return false, "", fmt.Errorf("no queue was looked at")
	}
	moved := 0
	for _, q := range f.Queues {
		if q.Pending > 0 {
			return false, fmt.Sprintf("%d jobs are left in %s", q.Pending, q.Queue), nil
		}
		moved += q.Moved
	}
	var names []string
	for _, q := range f.Queues {
		names = append(names, q.Queue)
	}
	return true, fmt.Sprintf("nothing is left on the source in %s (jobs moved: %d)", strings.Join(names, ", "), moved), nil
}

// LedgerFacts is what the whole journal of the ingestion app says of its orders.
//
// It is the evidence of CheckLedger.
type LedgerFacts struct {
	Orders       int `json:"orders"`
	Acknowledged int `json:"acknowledged"`
	Fulfilled    int `json:"fulfilled"`
	Pending      int `json:"pending"` // acknowledged, not yet applied, still within its time
	// PendingSource are those of the pending orders that were put on the source: they must be gone before it is.
	PendingSource int      `json:"pending_source"`
	Held          int      `json:"held,omitempty"`      // of the pending orders, those that wait in the app's durable intake
	HeldLate      int      `json:"held_late,omitempty"` // of those, the ones that have waited for longer than an order may take
	Lost          int      `json:"lost"`
	Duplicated    int      `json:"duplicated"`
	Examples      []string `json:"examples,omitempty"` // ids of lost or duplicated orders
}

func judgeLedger(f LedgerFacts) (bool, string, error) {
	switch {
	case f.Lost > 0 || f.Duplicated > 0:
		return false, fmt.Sprintf("%d orders lost, %d applied twice: %s", f.Lost, f.Duplicated, strings.Join(f.Examples, ", ")), nil
	case f.Acknowledged == 0:
		return false, "", fmt.Errorf("no order was acknowledged, so nothing is shown")
	case f.PendingSource > 0:
		return false, "", fmt.Errorf("%d acknowledged orders that were put on the source are still under way", f.PendingSource)
	case f.HeldLate > 0:
		return false, "", fmt.Errorf("%d acknowledged orders wait in the app's durable intake for longer than an order may take: see why it cannot enqueue them", f.HeldLate)
	}
	held := ""
	if f.Held > 0 {
		held = fmt.Sprintf(" (%d of them in the app's durable intake)", f.Held)
	}
	return true, fmt.Sprintf("%d orders acknowledged, %d applied, %d under way on the target%s, 0 lost, 0 twice", f.Acknowledged, f.Fulfilled, f.Pending, held), nil
}

// BackupFacts is the evidence of CheckBackup.
type BackupFacts struct {
	File        string    `json:"file"`             // name within the data folder
	Method      string    `json:"method,omitempty"` // replication: an RDB file; dump: a file of Switchyard's own, as before there were two
	Why         string    `json:"why,omitempty"`    // it is not by replication
	TakenAt     time.Time `json:"taken_at,omitzero"`
	Seconds     float64   `json:"seconds,omitempty"` // to take and to verify it
	Keys        int64     `json:"keys"`
	Bytes       int64     `json:"bytes"`
	SHA256      string    `json:"sha256"`
	Verified    bool      `json:"verified"`               // read back and compared with the server
	Restored    bool      `json:"restored,omitempty"`     // into a scratch server, and that was compared
	NotRestored string    `json:"not_restored,omitempty"` // why it was only read back
	Compared    int64     `json:"compared,omitempty"`     // keys
	Differences int       `json:"differences"`
	Examples    []string  `json:"examples,omitempty"` // of differences
}

func judgeBackup(f BackupFacts) (bool, string, error) {
	switch {
	case f.SHA256 == "":
		return false, "", fmt.Errorf("no backup was written")
	case !f.Verified || f.Differences > 0:
		return false, strings.TrimSuffix(fmt.Sprintf("the backup differs from the source in %d keys: %s", f.Differences, strings.Join(f.Examples, ", ")), ": "), nil
	case f.Restored:
		return true, fmt.Sprintf("%d keys in %s, restored into a scratch server and compared with the source in both directions, 0 differences", f.Keys, f.File), nil
	case f.NotRestored != "":
		return true, fmt.Sprintf("%d keys in %s, read back and compared with the source, 0 differences, but not restored into a server: %s", f.Keys, f.File, f.NotRestored), nil
	}
	return true, fmt.Sprintf("%d keys backed up to %s and compared with the source, 0 differences", f.Keys, f.File), nil
}

// OffFacts is the evidence of CheckOff.
type OffFacts struct {
	Servers []ServerOff `json:"servers"`
}

// ServerOff is one old server after its power-off.
type ServerOff struct {
	Label     string `json:"label"`
	Address   string `json:"address"`
	Status    string `json:"status"` // as the hosting API says: offline, deleted
	Reachable bool   `json:"reachable"`
}

func judgeOff(f OffFacts) (bool, string, error) {
	if len(f.Servers) == 0 {
		return false, "", fmt.Errorf("no server was looked at")
	}
	for _, s := range f.Servers {
		if s.Reachable {
			return false, fmt.Sprintf("%s (%s) still answers", s.Label, s.Address), nil
		}
		if s.Status != "offline" && s.Status != "deleted" {
			return false, fmt.Sprintf("%s is %s", s.Label, s.Status), nil
		}
	}
	machines := 0
	for _, s := range f.Servers {
		if s.Address == "" {
			machines++
		}
	}
	return true, fmt.Sprintf("%d old machines are off or deleted, and nothing answers at %d old addresses", machines, len(f.Servers)-machines), nil
}

// AuditFacts is what of the audit can be looked at again at any time, without the keys.
//
// It is the evidence of CheckAudit.
type AuditFacts struct {
	Nodes []NodeAudit `json:"nodes" nullable:"true"` // nil before the first look
}

// NodeAudit is one server's part of it.
type NodeAudit struct {
	Node     string         `json:"node"`
	Findings []AuditFinding `json:"findings"`
}

// AuditFinding is one check of the audit.
type AuditFinding struct {
	ID       string `json:"id"`
	Title    string `json:"title"`
	Severity string `json:"severity" enum:"critical,high,medium,low,info"`
	State    string `json:"state" enum:"ok,problem,unknown"`
	Measured string `json:"measured"`
	// WasOK: it was ok once, so a problem is a change for the worse.
	WasOK bool `json:"was_ok,omitempty"`
}

// Alert is a check of the audit that was ok once and is a problem now.
type Alert struct {
	Node     string `json:"node"`
	Check    string `json:"check"`
	Title    string `json:"title"`
	Severity string `json:"severity" enum:"critical,high,medium,low,info"`
	Measured string `json:"measured"`
}

// After carries on what was ok before.
func (f AuditFacts) After(last AuditFacts) AuditFacts {
	was := map[[2]string]bool{}
	for _, n := range last.Nodes {
		for _, x := range n.Findings {
			was[[2]string{n.Node, x.ID}] = x.WasOK || x.State == "ok"
		}
	}
	for i, n := range f.Nodes {
		for j, x := range n.Findings {
			f.Nodes[i].Findings[j].WasOK = was[[2]string{n.Node, x.ID}]
		}
	}
	return f
}

// Alerts gives what has become worse.
func (f AuditFacts) Alerts() []Alert {
	var out []Alert
	for _, n := range f.Nodes {
		for _, x := range n.Findings {
			if x.State == "problem" && x.WasOK {
				out = append(out, Alert{n.Node, x.ID, x.Title, x.Severity, x.Measured})
			}
		}
	}
	return out
}

// Problems counts the problems by severity.
func (f AuditFacts) Problems() map[string]int {
	out := map[string]int{}
	for _, n := range f.Nodes {
		for _, x := range n.Findings {
			if x.State == "problem" {
				out[x.Severity]++
			}
		}
	}
	return out
}

// Same reports whether two say the same but for the figures.
func (f AuditFacts) Same(other AuditFacts) bool {
	return slices.EqualFunc(f.Nodes, other.Nodes, func(a, b NodeAudit) bool {
		return a.Node == b.Node && slices.EqualFunc(a.Findings, b.Findings, func(x, y AuditFinding) bool {
			x.Measured, y.Measured = "", ""
			return x == y
		})
	})
}

func judgeAudit(f AuditFacts) (bool, string, error) {
	if len(f.Nodes) == 0 {
		return false, "", fmt.Errorf("no server was audited")
	}
	var bad, unknown []string
	for _, n := range f.Nodes {
		for _, x := range n.Findings {
			grave := x.Severity == "critical" || x.Severity == "high"
			switch {
			case grave && x.State == "problem":
				bad = append(bad, fmt.Sprintf("%s on %s: %s", x.Title, n.Node, x.Measured))
			case grave && x.State != "ok":
				unknown = append(unknown, fmt.Sprintf("%s on %s", x.Title, n.Node))
			}
		}
	}
	switch {
	case len(bad) > 0:
		return false, strings.Join(bad, "; "), nil
	case len(unknown) > 0:
		return false, "", fmt.Errorf("not known: %s", strings.Join(unknown, ", "))
	}
	return true, fmt.Sprintf("no critical or high problem on %d nodes", len(f.Nodes)), nil
}
