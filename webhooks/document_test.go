package webhooks

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the tables into docs/webhooks.md")

// short gives a duration as people write it: 1 h 21 m 15 s.
func short(d time.Duration) string {
	if d == 0 {
		return "not stated"
	}
	var parts []string
	for _, u := range []struct {
		name string
		unit time.Duration
	}{{"h", time.Hour}, {"min", time.Minute}, {"s", time.Second}} {
		if n := d / u.unit; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, u.name))
			d -= n * u.unit
		}
	}
	return strings.Join(parts, " ")
}

// cite gives the level, the source and its date.
func (s Source) cite() string {
	text := string(s.Level)
	if s.URL != "" {
		text = fmt.Sprintf("[%s](%s) %s", s.Level,
			strings.NewReplacer("(", "%28", ")", "%29").Replace(s.URL), s.Read)
	}
	if s.Note != "" {
		text += ": " + s.Note
	}
	return strings.ReplaceAll(text, "|", "\\|")
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func document() string {
	var b strings.Builder
	all := append(Senders(), Variants()...)
	b.WriteString("| Provider | Setup | Tries after the first | First loss after | No loss " +
		"up to | Time stated | Proof of the time | of the waits " +
		"|\n|---|---|---|---|---|---|---|---|\n")
	for _, p := range all {
		s := p.Schedule
		tries, window := "not stated", "not stated"
		if s.Retries > 0 {
			tries = strconv.Itoa(s.Retries)
		}
		if s.Window > 0 {
			window = short(s.Window)
		}
		safe := "nothing stated"
		if s.NoLoss > 0 {
			safe = short(s.NoLoss)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s | %s |\n", p.Name, p.Variant, tries,
			short(s.Last()), safe, window, s.Level, s.Spacing.Level)
	}
	for _, p := range all[:len(Senders())] {
		fmt.Fprintf(&b, "\n### %s (%s)\n\n| | | Source |\n|---|---|---|\n", p.Name, p.Variant)
		row := func(name, value string, s Source) {
			fmt.Fprintf(&b, "| %s | %s | %s |\n", name, value, s.cite())
		}
		tolerance := "carries no time"
		if p.Tolerance > 0 {
			tolerance = "at most " + short(p.Tolerance) + " old or ahead"
		}
		row("Signature", "`"+p.Header+"`, "+tolerance, p.Signature)
		row("Dedupe key", p.DedupeBy, p.Dedupe)
		row("Success", p.SuccessRule, p.SuccessOf)
		deadline := short(p.Deadline.Total)
		if p.Deadline.Connect > 0 {
			deadline += ", " + short(p.Deadline.Connect) + " of it to connect"
		}
		row("Deadline", deadline, p.Deadline.Source)
		stated := "not stated"
		if p.Schedule.Window > 0 {
			stated = "until " + short(p.Schedule.Window)
			if p.Schedule.Retries > 0 {
				stated = fmt.Sprintf("%d within %s", p.Schedule.Retries,
					short(p.Schedule.Window))
			}
		}
		if p.Schedule.Terminal != "" {
			stated += "; none after " + p.Schedule.Terminal
		}
		row("Retries", stated, p.Schedule.Source)
		row("Modelled waits", waits(p.Schedule.Waits), p.Schedule.Spacing)
		if p.Removal.What != "" {
			row("After the last try", "the order is dropped; "+p.Removal.What, p.Removal.Source)
		} else {
			row("After the last try", "the order is dropped", p.Schedule.Source)
		}
		row("Follows redirects", yes(p.Redirects.Holds), p.Redirects.Source)
		row("Retries go to the address of the trigger", yes(p.Pinned.Holds), p.Pinned.Source)
		row("Recovery", p.Recovery.Action, p.Recovery.Source)
		fmt.Fprintf(&b, "| Trap | %s | |\n", p.Trap)
	}
	return b.String()
}

// waits lists waits, with equal neighbours as one.
func waits(all []time.Duration) string {
	var parts []string
	for i := 0; i < len(all); {
		n := 1
		for i+n < len(all) && all[i+n] == all[i] {
			n++
		}
		text := short(all[i])
		if n > 1 {
			text = fmt.Sprintf("%d × %s", n, text)
		}
		parts = append(parts, text)
		i += n
	}
	return cmp.Or(strings.Join(parts, ", "), "none")
}

func TestTheDocumentShowsTheFiguresAsTheyAre(t *testing.T) {
	const file, begin, end = "../docs/webhooks.md", "<!-- providers -->\n",
		"<!-- end of providers -->"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatal("docs/webhooks.md has no place for the providers")
	}
	want := before + begin + document() + end + after
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want != string(text) {
		t.Error("docs/webhooks.md does not show the providers as they are: go test " +
			"./webhooks -run Document -update")
	}
}

func TestEveryFigureSaysWhereItComesFrom(t *testing.T) {
	t.Parallel()
	for _, p := range append(Senders(), Variants()...) {
		sources := map[string]Source{"signature": p.Signature, "dedupe key": p.Dedupe,
			"success": p.SuccessOf, "deadline": p.Deadline.Source, "retries": p.Schedule.Source,
			"spacing":   p.Schedule.Spacing,
			"redirects": p.Redirects.Source, "pinned": p.Pinned.Source,
			"recovery": p.Recovery.Source}
		if p.Removal.What != "" {
			sources["removal"] = p.Removal.Source
		}
		for what, s := range sources {
			switch s.Level {
			case Documented, Observed, Community:
				if !strings.HasPrefix(s.URL, "https://") || s.Read == "" {
					t.Errorf("%s: %s is %s without a source and a date: %+v", p.ID,
						what, s.Level, s)
				}
			case Assumed:
				if s.Note == "" || s.URL != "" {
					t.Errorf("%s: %s is assumed without saying what: %+v", p.ID, what, s)
				}
			default:
				t.Errorf("%s: %s has no level", p.ID, what)
			}
		}
		if p.Name == "" || p.Variant == "" || p.Header == "" || p.DedupeBy == "" ||
			p.SuccessRule == "" || p.Deadline.Total == 0 || p.Recovery.Action == "" ||
			p.Trap == "" {
			t.Errorf("%s: something is not said", p.ID)
		}
	}
}
