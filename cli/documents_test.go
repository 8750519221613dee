package cli

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/evanw/esbuild/pkg/api"
	"github.com/goccy/go-yaml"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/text"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/scan"
	"github.com/switchyard-dev/switchyard/sentinel/deploy"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// noDocuments are not held against the program, and why.
var noDocuments = map[string]string{
	"CHANGELOG.md":                        "says what was, under the names of then",
	"sentinel/deploy/templates/README.md": "a template, whose output deploytest reads",
	"static/vendor/README.md":             "of others",
}

// executed is the document whose blocks package e2e runs, one after the other.
const executed = "docs/tutorial.md"

// document is a file of the documentation, as it is parsed.
type document struct {
	path   string // from the root of the repository, with slashes
	source []byte
	root   ast.Node
	said   *testing.T
}

// block is a fenced block of a document, span its code within a sentence.
type (
	block struct{ language, text string }
	span  string
)

// documents are all there are.
func documents(t *testing.T) []document {
	t.Helper()
	var out []document
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); d.IsDir() && (name == "node_modules" || name == "dist" ||
			name == "testdata" || name != ".." && strings.HasPrefix(name, ".")) {
			return fs.SkipDir
		}
		name := filepath.ToSlash(strings.TrimPrefix(path, ".."+string(filepath.Separator)))
		if !strings.HasSuffix(name, ".md") || noDocuments[name] != "" {
			return nil
		}
		source, err := os.ReadFile(path)
		out = append(out, document{name, source, parsed(source), t})
		return err
	})
	if err != nil || len(out) < 50 {
		t.Fatal(len(out), "documents:", err)
	}
	return out
}

func parsed(source []byte) ast.Node {
	return goldmark.New(goldmark.WithExtensions(extension.GFM)).Parser().
		Parse(text.NewReader(source))
}

func (d document) errorf(format string, args ...any) {
	d.said.Helper()
	d.said.Errorf("%s: "+format, append([]any{d.path}, args...)...)
}

// walk calls f with each node.
func (d document) walk(f func(ast.Node)) {
	_ = ast.Walk(d.root, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if entering {
			f(n)
		}
		return ast.WalkContinue, nil
	})
}

// lines is the text of a node that has lines.
func (d document) lines(n ast.Node) string {
	var b strings.Builder
	for i := range n.Lines().Len() {
		line := n.Lines().At(i)
		b.Write(line.Value(d.source))
	}
	return b.String()
}

// inline is the text below a node, a line break as a blank.
func (d document) inline(n ast.Node) string {
	var b strings.Builder
	for c := n.FirstChild(); c != nil; c = c.NextSibling() {
		switch c := c.(type) {
		case *ast.Text:
			b.Write(c.Segment.Value(d.source))
			if c.SoftLineBreak() {
				b.WriteByte(' ')
			}
		case *ast.String:
			b.Write(c.Value)
		default:
			b.WriteString(d.inline(c))
		}
	}
	return b.String()
}

// blocks are the fenced ones. One that is indented instead says not in what language it is.
func (d document) blocks() []block {
	var out []block
	d.walk(func(n ast.Node) {
		switch n := n.(type) {
		case *ast.FencedCodeBlock:
			out = append(out, block{string(n.Language(d.source)), d.lines(n)})
		case *ast.CodeBlock:
			d.errorf("an indented block: fence it, and say what it is\n%s", d.lines(n))
		}
	})
	return out
}

func (d document) spans() []span {
	var out []span
	d.walk(func(n ast.Node) {
		if n, ok := n.(*ast.CodeSpan); ok {
			out = append(out, span(strings.Join(strings.Fields(d.inline(n)), " ")))
		}
	})
	return out
}

// What the documentation shows is tried, block by block: what nothing tries is text, and says so.
func TestEveryBlockOfTheDocumentationIsTried(t *testing.T) {
	t.Parallel()
	tried := map[string]int{}
	for _, d := range documents(t) {
		if d.path == executed {
			continue
		}
		for _, b := range d.blocks() {
			tried[b.language]++
			switch b.language {
			case "sh":
				d.shell(b.text)
			case "yaml":
				d.yaml(b.text)
			case "json":
				if !json.Valid([]byte(b.text)) {
					d.errorf("no JSON:\n%s", b.text)
				}
			case "ts", "js":
				d.script(b)
			case "text":
			default:
				d.errorf("a block of %q: label it, and say here how it is tried, or that it is "+
					"text\n%s", b.language, b.text)
			}
		}
	}
	for language, least := range map[string]int{"sh": 15, "yaml": 6, "json": 1, "ts": 5} {
		if tried[language] < least {
			t.Errorf("%d blocks of %s were found", tried[language], language)
		}
	}
}

// script holds a block to the grammar, and what it imports of the kit to what the kit exports.
func (d document) script(b block) {
	loader := map[string]api.Loader{"ts": api.LoaderTS, "js": api.LoaderJS}[b.language]
	for _, m := range api.Transform(b.text, api.TransformOptions{Loader: loader,
		Format: api.FormatESModule, Target: api.ES2022}).Errors {
		d.errorf("%s in\n%s", m.Text, b.text)
	}
	exported, err := os.ReadFile("../clients/node/src/index.ts")
	if err != nil {
		d.errorf("%v", err)
	}
	for _, m := range ofTheKit.FindAllStringSubmatch(b.text, -1) {
		for name := range strings.SplitSeq(m[1], ",") {
			name = strings.TrimPrefix(strings.TrimSpace(name), "type ")
			if !regexp.MustCompile(`\b` + name + `\b`).Match(exported) {
				d.errorf("the kit exports no %s", name)
			}
		}
	}
}

var ofTheKit = regexp.MustCompile(`import \{([^}]*)\} from "@switchyard/bullmq"`)

// yaml has a block read by whoever reads such a file. Its first keys say who that is.
func (d document) yaml(text string) {
	var whole map[string]any
	err := yaml.Unmarshal([]byte(text), &whole)
	switch {
	case err != nil:
	case whole["requires"] != nil:
		err = planned(text)
	case whole["reviews"] != nil:
		err = reviewed(d.said, text)
	case whole["hosts"] != nil:
		_, err = deploy.Parse([]byte(text))
	default: // a configuration, or a part of one
		err = configured(d.said, text, slices.Collect(maps.Keys(whole)))
	}
	if err != nil {
		d.errorf("%v in\n%s", err, text)
	}
}

// configured loads what can be used as it stands, once its variables are set.
func configured(t *testing.T, text string, keys []string) error {
	for key, value := range map[string]string{
		"worker_token": "token",
		"source":       `{standalone: {url: "redis://127.0.0.1:6379"}}`,
		"ingestion":    "{url: http://127.0.0.1:3000}",
	} {
		if !slices.Contains(keys, key) {
			text += key + ": " + value + "\n"
		}
	}
	file := filepath.Join(t.TempDir(), "switchyard.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	_, err := config.Load(file, func(name string) string {
		switch {
		case strings.HasPrefix(name, "SWITCHYARD_"):
			return ""
		case name == "TARGET_REDIS_URL":
			return "rediss://user:password@redis.example.com:6380"
		case strings.HasSuffix(name, "REDIS_URL"):
			return "redis://:password@10.0.0.9:6379"
		case strings.HasSuffix(name, "_URL"):
			return "https://hooks.example.com/x"
		}
		return "whsec_" + strings.Repeat("QUFB", 8)
	})
	return err
}

// planned reads a part of a criterion of a plan file, as package plan does.
func planned(text string) error {
	var c migration.Criterion
	if err := yaml.UnmarshalWithOptions([]byte(text), &c, yaml.DisallowUnknownField()); err != nil {
		return err
	}
	p := migration.Plan{Name: "x", Event: "x", Criteria: []migration.Criterion{{
		ID: "x", Title: "x", Why: "x", Requires: c.Requires}}}
	return p.Validate(nil, evidence.IDs())
}

// reviewed scans a folder that has these decisions and nothing to decide.
func reviewed(t *testing.T, text string) error {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, scan.ReviewsFile), []byte(text), 0o600); err != nil {
		return err
	}
	_, err := scan.Run(t.Context(), dir, scan.Options{})
	return err
}

// A link leads somewhere, and to the heading that it names.
func TestEveryLinkOfTheDocumentationLeadsSomewhere(t *testing.T) {
	t.Parallel()
	links := 0
	for _, d := range documents(t) {
		d.walk(func(n ast.Node) {
			link, ok := n.(*ast.Link)
			if !ok {
				return
			}
			u, err := url.Parse(string(link.Destination))
			if err != nil || u.Scheme != "" {
				if err != nil || u.Scheme != "https" {
					d.errorf("%s is no link", link.Destination)
				}
				return
			}
			links++
			to := d.path
			if u.Path != "" {
				to = filepath.ToSlash(filepath.Join(filepath.Dir(d.path), u.Path))
			}
			source, err := os.ReadFile(filepath.Join("..", to))
			if info, err2 := os.Stat(filepath.Join("..", to)); err2 != nil || err != nil &&
				!info.IsDir() {
				d.errorf("%s leads nowhere: %v", link.Destination, cmp.Or(err2, err))
				return
			}
			if u.Fragment != "" && !slices.Contains(anchors(source), u.Fragment) {
				d.errorf("%s has no heading %s", to, u.Fragment)
			}
		})
	}
	if links < 50 {
		t.Errorf("%d links were found", links)
	}
}

// anchors are those of a document's headings, as the forges make them.
func anchors(source []byte) []string {
	d := document{source: source, root: parsed(source)}
	var out []string
	d.walk(func(n ast.Node) {
		if n, ok := n.(*ast.Heading); ok {
			title := strings.ToLower(d.inline(n))
			out = append(out, strings.ReplaceAll(noAnchor.ReplaceAllString(title, ""), " ", "-"))
		}
	})
	return out
}

var noAnchor = regexp.MustCompile(`[^\p{L}\p{N} _-]`)

// A breach of each kind is found, or the tests above would prove nothing.
func TestAMistakeInADocumentIsFound(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		"switchyard no-such-command", "switchyard scan", "switchyard status --no-such-option",
		"make no-such-target", "npm run no-such-script", "node no/such/file.mjs", "rm -rf data",
		"go test ./no/such/package", "go test ./conform -run NoSuchTest", "go run ./conform",
		"go test ./conform -bench NoSuchBenchmark", "go generate ./conform", "scripts/no-such",
		"SWITCHYARD_NO_SUCH_VARIABLE=1 switchyard status", "NO_SUCH_VARIABLE=1 make run",
		"make run && rm -rf data", "go test ./conform -args -no-such-flag",
	} {
		if err := tryLine(line, ".", true); err == nil {
			t.Errorf("%s is taken", line)
		}
	}
	for _, line := range []string{
		"switchyard status # what is next", "make run \\\n build", "npm test && make run; npm ci",
		"switchyard export terraform|helm", "export DATA_DIR=a/#b", `switchyard jobs find "a # b"`,
	} {
		if err := tryLine(line, ".", true); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
	commands := commandsOf("A=b make c \\\n d # e\nf 'g; h' \"i\"&j|k|| l;m a#b\n")
	if got := fmt.Sprintf("%q", commands); got != `[["A=b" "make" "c" "d"] ["f" "g; h" "i"] `+
		`["j|k"] ["l"] ["m" "a#b"]]` {
		t.Error(got)
	}
	if planned("requires: [{check: no-such-check}]") == nil ||
		planned("requires: [{check: failover-test, no_such_key: 1}]") == nil ||
		reviewed(t, "reviews: [{id: a}]") == nil ||
		configured(t, "no_such_key: 1\n", nil) == nil {
		t.Error("YAML that nobody could read is taken")
	}
	got := anchors([]byte("# The `a` of *b*, c-d\n"))
	if !slices.Equal(got, []string{"the-a-of-b-c-d"}) {
		t.Error(got)
	}
}
