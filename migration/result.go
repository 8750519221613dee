package migration

import "fmt"

// RunResult is what a finished run came to: what was promised against what was measured.
// Pages, API and command line show the same.
type RunResult struct {
	Said string `json:"said"` // in a sentence
	// Short is what keeps it from being done, in a few words: "3 of 4 snapshots"; empty: nothing.
	Short   string         `json:"short,omitempty"`
	Figures []ResultFigure `json:"figures" nullable:"true"`
	Lists   []ResultList   `json:"lists,omitempty"`
	// Now is how what the run was about stands at this moment.
	Now  []Fact     `json:"now" nullable:"true"`
	Next *NextStep  `json:"next,omitempty"`
	Undo ResultUndo `json:"undo"`
}

// ResultFigure is one figure of a result.
type ResultFigure struct {
	Label    string `json:"label"`
	Promised string `json:"promised,omitempty"` // by the plan, or the limit; empty: nothing was
	Measured string `json:"measured"`
	// Verdict is met where what was promised was kept, and unknown where nobody saw it; empty:
	// nothing was promised.
	Verdict Verdict `json:"verdict,omitempty" enum:"met,unmet,unknown"`
}

// ResultList is a list of single things that a run dealt with, such as the orders it rejected.
type ResultList struct {
	Title   string      `json:"title"`
	Columns []string    `json:"columns"`
	Rows    []ResultRow `json:"rows" nullable:"true"`
}

// ResultRow is one thing of a list.
type ResultRow struct {
	Cells   []string `json:"cells"`
	Verdict Verdict  `json:"verdict,omitempty" enum:"met,unmet,unknown"`
}

// ResultUndo is how a run is taken back, or why it is not.
type ResultUndo struct {
	Possible bool   `json:"possible"`
	How      string `json:"how"`             // or why not
	Until    string `json:"until,omitempty"` // what ends it
	// Command takes it back; of a move back it is what goes forward again.
	Command string `json:"command,omitempty"`
	// Forward: the run moved back, so that what undoes it is a move forward, with its own
	// preconditions and approval.
	Forward *Params `json:"forward,omitempty"`
}

// Tell adds a figure of which nothing was promised.
func (r *RunResult) Tell(label, format string, args ...any) {
	r.Figures = append(r.Figures, ResultFigure{Label: label, Measured: fmt.Sprintf(format, args...)})
}

// Compare adds a figure with what was promised.
func (r *RunResult) Compare(label, promised, measured string, kept Verdict) {
	r.Figures = append(r.Figures,
		ResultFigure{Label: label, Promised: promised, Measured: measured, Verdict: kept})
}

// None adds a count that must be zero.
func (r *RunResult) None(label string, n int) {
	r.Compare(label, "0", fmt.Sprint(n), Truth(n == 0))
}

// Within adds a figure that must not be more than a limit. One that nobody observed is
// unknown, and said to be, whatever the limit.
func (r *RunResult) Within(label string, f Figure, limit int64, unit func(int64) string) {
	kept := Unknown
	switch {
	case f.Within(limit):
		kept = Met
	case f.Beyond(limit):
		kept = Unmet
	}
	r.Compare(label, "within "+unit(limit), f.Text(unit), kept)
}

// Lacks says in a few words what keeps a run that succeeded from being done: empty only where it
// did all that it was to do, and everything that was promised was seen to be kept.
func (r *RunResult) Lacks() string {
	switch worst := r.Worst(); {
	case r.Short != "":
		return r.Short
	case worst == Unmet:
		return "not as promised"
	case worst == Unknown:
		return "not all observed"
	}
	return ""
}

// Worst is the worst verdict of the figures and lists: unmet before unknown before met.
func (r *RunResult) Worst() Verdict {
	worst := Met
	see := func(v Verdict) {
		if v == Unmet || v == Unknown && worst == Met {
			worst = v
		}
	}
	for _, f := range r.Figures {
		see(f.Verdict)
	}
	for _, l := range r.Lists {
		for _, row := range l.Rows {
			see(row.Verdict)
		}
	}
	return worst
}
