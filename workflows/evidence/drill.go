package evidence

import (
	"errors"
	"fmt"
	"slices"

	"github.com/switchyard-dev/switchyard/migration"
)

// Drill is the id of the check of the circuit-breaker drill.
const Drill = "breaker-drill"

var drillCheck = New(Check{
	ID:     Drill,
	Title:  "Breaker drill",
	Limit:  "503 before the provider's deadline for every fault, on every queue with a producer",
	Next:   "run the step Circuit-breaker drill",
	Before: migration.StageDualWrite,
	MaxAge: 30 * day,
	About:  []migration.Aspect{migration.AspectApp, migration.AspectProducers, migration.AspectSetup},
	Spent:  true,
}, coverDrill, judgeDrill)

// DrillFacts is the evidence of Drill.
type DrillFacts struct {
	Cases     []DrillCase `json:"cases"`
	Recovered bool        `json:"recovered"` // 200 again after the last fault
	// Bench are the faults that no real server is put through.
	Bench []BenchCase `json:"bench"`
	// Attested are the queues for which a live worker attested a producer when the drill
	// ended; null: a drill of a version that did not look.
	Attested []string `json:"attested"`
	// Routed are the queues that flags route: the source's faults were tried on each. null: a
	// drill of a version that tried them on the first one.
	Routed []string `json:"routed"`
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

// BenchCase is one fault of a server of the drill's own, and what the app's own options
// made of it there.
type BenchCase struct {
	Queue string `json:"queue"`
	Fault string `json:"fault"` // id, such as cold-start; "" with Refused
	Title string `json:"title"`
	// Intake says that a durable intake is in front of the producer: the answer comes from
	// disk, the job later.
	Intake   bool  `json:"intake,omitempty"`
	Status   int   `json:"status"` // HTTP status; 0: no answer
	MS       int64 `json:"ms"`
	LimitMS  int64 `json:"limit_ms"`
	Hung     bool  `json:"hung"`     // no answer as long as the drill waited
	Enqueued bool  `json:"enqueued"` // the job was there in the end, whatever was answered
	// Strays counts the jobs in the end under ids that nobody gave them.
	Strays int `json:"strays,omitempty"`
	Left   int `json:"left,omitempty"` // events on the intake's disk in the end
	// RecoveredMS is the time after the fault until a job was accepted again or the intake had
	// delivered; not observed: not as long as the drill waited. Earlier versions wrote -1.
	RecoveredMS migration.Figure `json:"recovered_ms"`
	Note        string           `json:"note,omitempty"`
	Instance    string           `json:"instance,omitempty"` // of the app, where it tells
	// Refused is why the app let nothing be tried on this queue.
	Refused string `json:"refused,omitempty"`
}

// OK says whether a provider would have got what makes it deliver again, and why not.
// After a lost reply an answer of 200 is right when the job is there: the app has asked
// again by itself. From an intake 200 is right at once, when the job is there in the end.
func (c BenchCase) OK() (ok bool, why string) {
	switch {
	case c.Refused != "":
		return false, "not tested, the app does not allow it: " + c.Refused
	case c.Hung:
		return false, fmt.Sprintf("no response within %d ms", c.MS)
	case c.Intake && c.Status != 200:
		return false, fmt.Sprintf("status %d (expected 200: the event is kept on disk)", c.Status)
	case c.Left > 0:
		return false, fmt.Sprintf("events still on disk after the fault: %d (%s)", c.Left, c.Note)
	case c.Status == 200 && !c.Enqueued:
		return false, "responded with 200, but wrote no job: the order is lost"
	case c.Strays > 0:
		return false, fmt.Sprintf("jobs under ids that nobody gave them: %d; an order that is "+
			"delivered again is applied twice",
			c.Strays)
	case c.Status != 503 && c.Status != 200:
		return false, fmt.Sprintf("status %d (expected 503)", c.Status)
	case c.MS > c.LimitMS:
		return false, fmt.Sprintf("status %d after %d ms (limit %d ms)",
			c.Status, c.MS, c.LimitMS)
	case c.Recovered().IsZero():
		return false, "no job accepted after the fault"
	}
	return true, ""
}

// Recovered is RecoveredMS without the marker of earlier versions.
func (c BenchCase) Recovered() migration.Figure {
	if n, was := c.RecoveredMS.Value(); !was || n < 0 {
		return migration.Figure{}
	}
	return c.RecoveredMS
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

// Untried are queues of a list that have no case in Bench.
func (f DrillFacts) Untried(queues []string) (out []string) {
	for _, q := range queues {
		if !slices.ContainsFunc(f.Bench, func(c BenchCase) bool { return c.Queue == q }) {
			out = append(out, q)
		}
	}
	return out
}

// SourceFaults and BenchFaults are what a whole drill consists of: the faults of the source, by
// name, and those of the drill's own server, by id, on each queue.
var (
	SourceFaults = []string{
		"connections cut and not restored", "server rejects writes", "server frozen",
	}
	BenchFaults = []string{
		"refused", "cold-start", "frozen", "blackhole", "oom", "readonly", "reply-lost",
	}
)

// longestWaitMS is the longest that any provider waits for an answer: a drill that allowed more
// was judged by nobody's deadline.
const longestWaitMS = 60_000

// unfinished says what keeps a drill from being a whole one; nil where nothing does.
func (f DrillFacts) unfinished() error {
	for _, queue := range f.Routed {
		for _, fault := range SourceFaults {
			if !slices.ContainsFunc(f.Cases, func(c DrillCase) bool {
				return c.Queue == queue && c.Fault == fault
			}) {
				return fmt.Errorf("the fault %q of the source was not tried on %s: run the drill "+
					"again", fault, queue)
			}
		}
	}
	tried := map[BenchCase]bool{} // by queue, fault and intake alone
	rows := map[BenchCase]bool{}
	for _, c := range f.Bench {
		rows[BenchCase{Queue: c.Queue, Intake: c.Intake}] = true
		rows[BenchCase{Queue: c.Queue}] = true
		tried[BenchCase{Queue: c.Queue, Intake: c.Intake, Fault: c.Fault}] = true
	}
	for row := range rows {
		for _, fault := range BenchFaults {
			if row.Fault = fault; !tried[row] {
				return fmt.Errorf("the fault %s was not tried on %s: run the drill again",
					fault, row.Name())
			}
		}
	}
	limits := []int64{}
	for _, c := range f.Cases {
		limits = append(limits, c.LimitMS)
	}
	for _, c := range f.Bench {
		limits = append(limits, c.LimitMS)
	}
	if slices.Min(limits) <= 0 || slices.Max(limits) > longestWaitMS {
		return errors.New("no provider's deadline was the limit: run the drill again")
	}
	return nil
}

func coverDrill(f DrillFacts) migration.Coverage {
	c := migration.Coverage{Of: "fault",
		Found: "the drill's faults, on every queue with an attested producer"}
	for _, x := range f.Cases {
		c.Members = append(c.Members, migration.Member{Key: "fault:" + x.Queue + "/" + x.Fault,
			Name: x.Queue + ", " + x.Fault, Verdict: migration.Met})
	}
	for _, x := range f.Bench {
		ok, why := x.OK()
		c.Members = append(c.Members, migration.Member{Key: "fault:" + x.Queue + "/" + x.Fault,
			Name: x.Name(), Verdict: migration.Truth(ok), Why: why})
	}
	for _, q := range f.Untried(f.Attested) {
		c.Members = append(c.Members, migration.Member{Key: "fault:" + q, Name: q,
			Why: "it was not tried"})
	}
	return c
}

func judgeDrill(f DrillFacts) (bool, string, error) {
	if len(f.Cases) == 0 {
		return false, "", errors.New("no fault was injected")
	}
	var worst int64
	for _, c := range f.Cases {
		if c.Status != 503 || c.MS > c.LimitMS {
			return false, fmt.Sprintf("%s, %s: status %d after %d ms (limit: 503 within %d ms)",
				c.Queue, c.Fault, c.Status, c.MS, c.LimitMS), nil
		}
		worst = max(worst, c.MS)
	}
	if !f.Recovered {
		return false, "the app did not accept jobs again after the drill", nil
	}
	if len(f.Bench) == 0 {
		return false, "cold start, packet loss and a full memory were not tried: the drill is " +
			"of an older version, run it again", nil
	}
	durable, lost := 0, 0
	for _, c := range f.Bench {
		if ok, why := c.OK(); !ok {
			return false, c.Name() + ": " + why, nil
		}
		worst = max(worst, c.MS)
		switch {
		case c.Intake:
			durable++
		case c.Status == 200: // OK only with its job there
			lost++
		}
	}
	if f.Attested == nil {
		return false, "whether the app has producers of other queues was not looked at: the " +
			"drill is of an older version, run it again", nil
	}
	if len(f.Routed) == 0 {
		return false, "the source's faults were tried on the first routed queue alone: the drill is " +
			"of an older version, run it again", nil
	}
	if left := f.Untried(f.Attested); len(left) > 0 {
		return false, "not tested, although the app reports a producer: " + list(left), nil
	}
	if err := f.unfinished(); err != nil {
		return false, "", err
	}
	text := fmt.Sprintf("%s returned 503, the slowest in %d ms; accepting again afterwards",
		migration.Count(len(f.Cases)+len(f.Bench)-durable-lost, "fault"), worst)
	if lost > 0 {
		text += fmt.Sprintf("; after %s the event was accepted once",
			migration.Count(lost, "lost reply", "lost replies"))
	}
	if durable > 0 {
		text += fmt.Sprintf("; %d more acknowledged from disk and delivered once", durable)
	}
	return true, text, nil
}
