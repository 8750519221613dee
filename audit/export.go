package audit

import (
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"strings"

	"github.com/switchyard-dev/switchyard/migration"
)

// Formats lists what Write can write.
var Formats = []string{"text", "markdown", "html", "json"}

// ContentType returns a format's media type and file extension.
func ContentType(format string) (media, extension string) {
	switch format {
	case "markdown":
		return "text/markdown; charset=utf-8", "md"
	case "html":
		return "text/html; charset=utf-8", "html"
	case "json":
		return "application/json", "json"
	}
	return "text/plain; charset=utf-8", "txt"
}

// Write writes reports in one of Formats; JSON is an array of Report.
func Write(w io.Writer, format string, reports ...Report) error {
	switch format {
	case "text":
		return writeText(w, reports)
	case "markdown":
		return writeMarkdown(w, reports)
	case "html":
		return page.Execute(w, reports)
	case "json":
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(reports)
	}
	return fmt.Errorf("audit: no format %q", format)
}

// Summary describes a server's state in one line.
func (r Report) Summary() string {
	s := fmt.Sprintf("%s, %d unknown, %d OK", migration.Count(r.Count(Problem), "problem"),
		r.Count(Unknown), r.Count(OK))
	if n := len(r.Problems(Critical)); n > 0 {
		s = fmt.Sprintf("%d critical; ", n) + s
	}
	return s
}

func (r Report) head() string {
	return fmt.Sprintf("%s: Redis %s, %s, %s, in %.1f s", r.Address, r.Version, r.Role,
		r.At.UTC().Format("2 Jan 2006 15:04:05 UTC"), r.Took.Seconds())
}

// mark is what precedes a finding.
func (f Finding) mark() string {
	if f.State == Problem {
		return strings.ToUpper(string(f.Severity))
	}
	return string(f.State)
}

// Change describes in words what a fix sets.
func (x Fix) Change() string {
	var parts []string
	for _, s := range x.Settings {
		parts = append(parts, fmt.Sprintf("%s %s -> %s", s.Name, quoted(s.From), quoted(s.To)))
	}
	text := strings.Join(parts, ", ")
	if !x.Survives {
		text += " (until it restarts: it has no configuration file)"
	}
	return text
}

func quoted(s string) string {
	if s == "" || strings.Contains(s, " ") {
		return fmt.Sprintf("%q", s)
	}
	return s
}

func writeText(w io.Writer, reports []Report) error {
	var b strings.Builder
	for i, r := range reports {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%s\n%s\n\n", r.head(), r.Summary())
		for _, f := range r.Findings {
			fmt.Fprintf(&b, "%-9s %-21s %s\n", f.mark(), f.ID, f.Measured)
			if f.State != Problem {
				continue
			}
			indent := strings.Repeat(" ", 32)
			fmt.Fprintf(&b, "%slimit: %s\n%swhy: %s\n%sdo: %s\n", indent, f.Limit, indent,
				f.Why, indent, f.Remedy)
			if f.Fix != nil {
				fmt.Fprintf(&b, "%sSwitchyard can: %s\n", indent, f.Fix.Change())
			}
			if len(f.Examples) > 0 {
				fmt.Fprintf(&b, "%ssuch as: %s\n", indent, strings.Join(f.Examples, ", "))
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// cell escapes text for a cell of a Markdown table.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "<", "&lt;", "`", "'").Replace(s)
}

func writeMarkdown(w io.Writer, reports []Report) error {
	var b strings.Builder
	b.WriteString("# Redis audit\n")
	for _, r := range reports {
		fmt.Fprintf(&b, "\n## %s\n\nRedis %s, %s, %s. %s.\n\n", cell(r.Address),
			cell(r.Version), cell(r.Role), r.At.UTC().Format("2 Jan 2006 15:04:05 UTC"),
			r.Summary())
		b.WriteString(
			"| | Check | Found | Limit | Why | What to do |\n|---|---|---|---|---|---|\n")
		for _, f := range r.Findings {
			do := f.Remedy
			if f.Fix != nil {
				do += " Switchyard can: " + f.Fix.Change() + "."
			}
			found := f.Measured
			if len(f.Examples) > 0 {
				found += " (" + strings.Join(f.Examples, ", ") + ")"
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", f.mark(), cell(f.Title),
				cell(found), cell(f.Limit), cell(f.Why), cell(do))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

var page = template.Must(template.New("audit").Funcs(template.FuncMap{
	"mark": Finding.mark, "head": Report.head, "join": func(s []string) string {
		return strings.Join(s, ", ")
	}, "change": func(x *Fix) string { return x.Change() },
}).Parse(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Redis audit</title>
<style>
:root { color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif; }
body { max-width: 76rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .5rem;
  border-bottom: 1px solid #8886; overflow-wrap: anywhere; }
td:first-child { white-space: nowrap; font-weight: 600; }
td:nth-child(2) { min-width: 11rem; overflow-wrap: normal; }
td:nth-child(4) { min-width: 9rem; }
.critical, .high { color: light-dark(#b3261e, #ff8a80); }
.medium { color: light-dark(#8a5a00, #ffc46b); }
small { opacity: .8; }
code { font-family: ui-monospace, monospace; }
@media (max-width: 48rem) {
  thead { display: none; }
  table, tbody, tr, td { display: block; }
  tr { padding: .75rem 0; border-bottom: 1px solid #8886; }
  td { padding: .15rem 0; border: 0; }
}
@media print { body { margin: 0; max-width: none; } tr { break-inside: avoid; } }
</style>
</head>
<body>
<h1>Redis audit</h1>
{{range .}}<h2>{{.Address}}</h2>
<p>{{head .}}<br><strong>{{.Summary}}</strong></p>
<table>
<thead><tr><th>State</th><th>Check</th><th>Found</th><th>Limit</th><th>Why, and what to do</th></tr></thead>
<tbody>
{{range .Findings}}<tr><td{{if eq .State "problem"}} class="{{.Severity}}"{{end}}>{{mark .}}</td>
<td>{{.Title}}<br><small><code>{{.ID}}</code></small></td>
<td>{{.Measured}}{{if .Examples}}<br><small>{{join .Examples}}</small>{{end}}</td>
<td>{{.Limit}}</td>
<td>{{.Why}}{{if .Remedy}}<br><strong>{{.Remedy}}</strong>{{end}}
{{with .Fix}}<br>Switchyard can: <code>{{change .}}</code>{{end}}</td></tr>
{{end}}</tbody>
</table>
{{end}}</body>
</html>
`))
