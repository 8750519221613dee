package scan

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/dop251/goja/ast"
	"github.com/dop251/goja/file"
	"github.com/dop251/goja/parser"
	"github.com/evanw/esbuild/pkg/api"
	"github.com/go-sourcemap/sourcemap"
)

// maxDepth bounds how deep a source may nest: parsers descend by recursion, and a stack
// that is used up ends the process.
const maxDepth = 2000

var loaders = map[string]api.Loader{
	".ts": api.LoaderTS, ".mts": api.LoaderTS, ".cts": api.LoaderTS, ".tsx": api.LoaderTSX,
	".js": api.LoaderJSX, ".mjs": api.LoaderJSX, ".cjs": api.LoaderJSX, ".jsx": api.LoaderJSX,
}

// supported turns into older forms what the AST parser does not read. Class fields
// stay: they are where connections are kept.
var supported = map[string]bool{
	"async-generator": false, "for-await": false, "dynamic-import": false,
	"logical-assignment": false, "class-private-brand-check": false,
	"using": false, "decorators": false, "import-meta": false,
	"regexp-lookbehind-assertions": false, "regexp-named-capture-groups": false,
	"regexp-unicode-property-escapes": false, "regexp-dot-all-flag": false,
	"regexp-sticky-and-unicode-flags": false,
	"regexp-match-indices":            false, "regexp-set-notation": false, "hashbang": false,
}

const tsconfigRaw = `{"compilerOptions":{"experimentalDecorators":true,"useDefineForClassFields":true}}`

// A unit is one parsed file.
type unit struct {
	path    string // relative to the folder scanned, with slashes
	js      string
	program *ast.Program
	raw     []byte // the source map; decoded when a position is asked for
	lines   *sourcemap.Consumer
	module  *scope
	names   map[*ast.Identifier]*scope // where each identifier is used
	classes map[*ast.ThisExpression]*class
	classOf map[*ast.ClassLiteral]*class
	// functions that are written as an argument, by the call they are given to
	callees map[ast.Node]*ast.CallExpression
	exports map[string]export
	stars   []ast.Expression // export * from: values of modules
	whole   []ast.Expression // module.exports = ...
	news    []*ast.NewExpression
	calls   []*ast.CallExpression
	writes  []write
	passed  []ast.Expression // values that go where they are not followed
	silent  map[ast.Expression]bool
	within  map[*ast.NewExpression]ast.Node // the function around
}

type export struct {
	expr ast.Expression
	many bool
}

// A write changes a variable (member false) or something that a variable holds.
type write struct {
	target ast.Expression
	value  ast.Expression // nil: not known
	member bool
	name   string              // of the member that is assigned
	call   *ast.CallExpression // the target is given to a function, which may change it
}

// at is where a node is in the file that people wrote.
func (u *unit) at(n ast.Node) Position {
	if c, ok := n.(*ast.CallExpression); ok {
		// An imported function is called as (0, x.f)(): what people wrote begins at x.f.
		if s, ok := c.Callee.(*ast.SequenceExpression); ok {
			n = s.Sequence[len(s.Sequence)-1]
		}
	}
	return u.position(n.Idx0())
}

func (u *unit) position(i file.Idx) Position {
	off := min(max(int(i)-1, 0), len(u.js))
	before := u.js[:off]
	line, col := strings.Count(before, "\n")+1, off-strings.LastIndexByte(before, '\n')-1
	if u.lines == nil {
		m, err := sourcemap.Parse("", u.raw)
		if err != nil {
			return Position{File: u.path, Line: 1, Column: 1}
		}
		u.lines, u.raw = m, nil
	}
	if _, _, l, c, ok := u.lines.Source(line, col); ok {
		return Position{File: u.path, Line: l, Column: c + 1}
	}
	return Position{File: u.path, Line: 1, Column: 1}
}

// imported are names as esbuild writes them.
var imported = regexp.MustCompile(`\(0, import_\w+\.(\w+)\)|import_\w+\.(\w+)`)

// text is a node as it was understood, on one line and not too long.
func (u *unit) text(n ast.Node) string {
	from, to := int(n.Idx0())-1, int(n.Idx1())-1
	if from < 0 || to > len(u.js) || from >= to {
		return ""
	}
	s := strings.Join(strings.Fields(u.js[from:min(to, from+400)]), " ")
	if strings.Contains(s, "import_") {
		s = imported.ReplaceAllString(s, "$1$2")
	}
	if r := []rune(s); len(r) > 80 {
		s = string(r[:79]) + "…"
	}
	return s
}

// parse reads a file with esbuild, which knows TypeScript, JSX and decorators, and then
// as an AST.
func parse(name string, source []byte) (u *unit, err error) {
	defer func() {
		if r := recover(); r != nil {
			u, err = nil, fmt.Errorf("the parser gave up: %v", r)
		}
	}()
	if nested(source) {
		return nil, fmt.Errorf("it nests deeper than %d levels", maxDepth)
	}
	js, sourceMap, err := toJS(name, source)
	if err != nil {
		return nil, err
	}
	program, err := parser.ParseFile(nil, name, js, parser.IgnoreRegExpErrors,
		parser.WithDisableSourceMaps)
	if err != nil {
		return nil, err
	}
	u = &unit{path: name, js: js, program: program, raw: sourceMap}
	u.bind()
	return u, nil
}

func toJS(name string, source []byte) (string, []byte, error) {
	loader, ok := loaders[path.Ext(name)]
	if !ok {
		loader = api.LoaderJS
	}
	res := api.Transform(string(source), api.TransformOptions{
		Sourcefile: path.Base(name), Loader: loader, Format: api.FormatCommonJS,
		Platform: api.PlatformNeutral, Sourcemap: api.SourceMapExternal,
		SourcesContent: api.SourcesContentExclude, Target: api.ES2022, Supported: supported,
		TsconfigRaw: tsconfigRaw, LegalComments: api.LegalCommentsNone,
		Charset: api.CharsetUTF8, LogLevel: api.LogLevelSilent,
	})
	if len(res.Errors) == 0 {
		return string(res.Code), res.Map, nil
	}
	if strings.Contains(res.Errors[0].Text, "Top-level await") {
		return awaiting(name, source, loader)
	}
	return "", nil, told(res.Errors)
}

// awaiting reads a module that awaits at its top, which has no CommonJS form: a bundle
// of it alone, whose imports are stand-ins.
func awaiting(name string, source []byte, loader api.Loader) (string, []byte, error) {
	const entry, self, outside = "entry", "self", "outside"
	stub := api.Plugin{Name: "alone", Setup: func(b api.PluginBuild) {
		b.OnResolve(api.OnResolveOptions{Filter: ".*"},
			func(a api.OnResolveArgs) (api.OnResolveResult, error) {
				switch {
				case a.Kind == api.ResolveEntryPoint:
					return api.OnResolveResult{Path: entry, Namespace: entry}, nil
				case a.Namespace == entry:
					return api.OnResolveResult{Path: path.Base(name), Namespace: self}, nil
				}
				// by this ending it has module.exports
				return api.OnResolveResult{Path: a.Path + ".cjs", Namespace: outside}, nil
			})
		b.OnLoad(api.OnLoadOptions{Filter: ".*"},
			func(a api.OnLoadArgs) (api.OnLoadResult, error) {
				text, l := "", api.LoaderJS
				switch a.Namespace {
				case entry:
					text = `import * as m from "self"; __whole(m)`
				case self:
					text, l = string(source), loader
				case outside:
					text = fmt.Sprintf("module.exports = __outside(%q)",
						strings.TrimSuffix(a.Path, ".cjs"))
				}
				return api.OnLoadResult{Contents: &text, Loader: l}, nil
			})
	}}
	res := api.Build(api.BuildOptions{
		EntryPoints: []string{entry}, Bundle: true, Write: false, Outdir: "out",
		Format: api.FormatESModule, Platform: api.PlatformNode,
		Sourcemap:      api.SourceMapExternal,
		SourcesContent: api.SourcesContentExclude, Target: api.ES2022, Supported: supported,
		TsconfigRaw: tsconfigRaw, LegalComments: api.LegalCommentsNone,
		Charset: api.CharsetUTF8, LogLevel: api.LogLevelSilent,
		TreeShaking: api.TreeShakingFalse, Plugins: []api.Plugin{stub},
	})
	if len(res.Errors) > 0 {
		return "", nil, told(res.Errors)
	}
	var code, sourceMap []byte
	for _, f := range res.OutputFiles {
		if strings.HasSuffix(f.Path, ".map") {
			sourceMap = f.Contents
		} else {
			code = f.Contents
		}
	}
	// The same line: positions of the map stay true.
	return asyncOpen + string(code) + "\n})", shifted(sourceMap), nil
}

// asyncOpen has a line of its own, which shifted adds to the map.
const asyncOpen = "(async () => {\n"

func shifted(m []byte) []byte {
	return bytes.Replace(m, []byte(`"mappings": "`), []byte(`"mappings": ";`), 1)
}

func told(messages []api.Message) error {
	m := messages[0]
	if m.Location != nil {
		return fmt.Errorf("line %d: %s", m.Location.Line, m.Text)
	}
	return errors.New(m.Text)
}

// nested tells a source that would use up the stack: brackets, or operators before an
// operand. Strings count as code, which errs on the safe side.
func nested(source []byte) bool {
	depth, run := 0, 0
	for _, c := range source {
		switch c {
		case '(', '[', '{', '<':
			depth++
		case ')', ']', '}', '>':
			depth = max(depth-1, 0)
		case '\n':
			// A comparison is no bracket: whatever is left of it ends with its line,
			// unless the lines themselves nest.
		}
		switch c {
		case '!', '~', '+', '-', ' ', '\t', '\n':
			if c != ' ' && c != '\t' && c != '\n' {
				run++
			}
		default:
			run = 0
		}
		if depth > maxDepth || run > maxDepth {
			return true
		}
	}
	return false
}
