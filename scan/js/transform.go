package js

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/evanw/esbuild/pkg/api"
)

var loaders = map[string]api.Loader{
	".ts": api.LoaderTS, ".mts": api.LoaderTS, ".cts": api.LoaderTS, ".tsx": api.LoaderTSX,
	".js": api.LoaderJSX, ".mjs": api.LoaderJSX, ".cjs": api.LoaderJSX, ".jsx": api.LoaderJSX,
}

// supported makes esbuild replace what the AST parser does not know with older
// forms. Class fields stay: connections are kept in them.
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

// awaiting reads a module with top-level await, which has no CommonJS form, as a
// bundle of it alone whose imports are stand-ins.
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
				// with this extension it has module.exports
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
	// On the same line, so that positions in the map stay right.
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

// IsSource reports whether a file is read, judging by its extension.
func IsSource(name string) bool { return loaders[path.Ext(name)] != 0 }
