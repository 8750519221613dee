package scan

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// WriteText writes the report for people: first what fails, then what needs a
// decision, then what passes.
func WriteText(w io.Writer, r Report) error {
	var b strings.Builder
	for _, v := range []Verdict{Fail, Review, Pass} {
		for _, f := range r.Findings {
			if f.Verdict == v {
				f.text(&b)
			}
		}
	}
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "NOTE    %s\n", n)
	}
	pass, fail, review, decided := r.Counts()
	fmt.Fprintf(&b, "%d files read: %d PASS, %d FAIL, %d REVIEW, %d reviewed", r.Files, pass,
		fail, review, decided)
	if len(r.Excluded) > 0 {
		var out []string
		for _, why := range slices.Sorted(maps.Keys(r.Excluded)) {
			out = append(out, fmt.Sprintf("%d %s", r.Excluded[why], why))
		}
		fmt.Fprintf(&b, "; not read: %s", strings.Join(out, ", "))
	}
	b.WriteString("\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func (f Finding) text(b *strings.Builder) {
	word := string(f.Verdict)
	if f.Decision != nil {
		word = "DECIDED"
	}
	name := f.Queue
	if name == "" {
		name = f.Expr
	}
	fmt.Fprintf(b, "%-7s %s  %s %s  %s\n", word, f.At, f.Role, name, f.ID)
	if d := f.Decision; d != nil {
		fmt.Fprintf(b, "        decided by %s until %s: %s\n", d.By, d.Until, d.Reason)
		return
	}
	if f.Verdict == Pass {
		return
	}
	for _, c := range f.Checks {
		if c.State == missing || c.State == wrong {
			fmt.Fprintf(b, "        %s: %s, needs %s: %s\n", c.Option, c.Seen, c.Needs, c.Why)
		}
	}
	// A reason that is the same for every option takes one line.
	of := map[string][]string{}
	var order []string
	for _, r := range f.Reasons {
		name, why, found := strings.Cut(r, ": ")
		if !found || !slices.ContainsFunc(producerOptions, func(o option) bool {
			return o.name == name
		}) {
			name, why = "", r
		}
		if of[why] == nil {
			order = append(order, why)
		}
		of[why] = append(of[why], name)
	}
	for _, why := range order {
		if options := strings.Trim(strings.Join(of[why], ", "), ", "); options != "" {
			fmt.Fprintf(b, "        not known: %s: %s\n", options, why)
		} else {
			fmt.Fprintf(b, "        %s\n", why)
		}
	}
	if f.Fix != "" {
		fmt.Fprintf(b, "        fix: %s\n", f.Fix)
	}
}
