package js

import (
	"encoding/json"
	"io/fs"
	"path"
	"strings"
)

// Configure reads path aliases and package names from a tsconfig.json,
// jsconfig.json or package.json. Comments and trailing commas are allowed, as in
// TypeScript.
func (p *Program) Configure(files fs.FS, name string) {
	dir := path.Dir(name)
	if path.Base(name) == "package.json" {
		b, err := fs.ReadFile(files, name)
		var m struct{ Name string }
		if err == nil && json.Unmarshal(b, &m) == nil && m.Name != "" && dir != "." {
			p.works[m.Name] = dir
		}
		return
	}
	p.paths[dir] = p.aliases(files, name, 0)
}

func (p *Program) aliases(files fs.FS, name string, depth int) tsPaths {
	t := tsPaths{base: path.Dir(name)}
	b, err := fs.ReadFile(files, name)
	if err != nil || depth > 10 || len(b) > 1<<20 {
		return t
	}
	u, err := parse(name+".js", append([]byte("module.exports = "), b...))
	if err != nil || len(u.whole) != 1 {
		return t
	}
	x := p.Evaluator()
	o := x.eval(u, u.whole[0], nil)
	extends := x.Option(o, "extends")
	if extends.Kind == Text && strings.HasPrefix(extends.Text, ".") {
		up := path.Join(path.Dir(name), extends.Text)
		if path.Ext(up) != ".json" {
			up += ".json"
		}
		t = p.aliases(files, up, depth+1)
	}
	c := x.Option(o, "compilerOptions")
	if base := x.Option(c, "baseUrl"); base.Kind == Text {
		t.base, t.plain = path.Join(path.Dir(name), base.Text), true
	}
	if paths := x.Option(c, "paths"); paths.Kind == Object {
		if !t.plain {
			t.base = path.Dir(name)
		}
		t.alias = map[string][]string{}
		for k, v := range paths.Props {
			for _, it := range v.Items {
				t.alias[k] = append(t.alias[k], it.Text)
			}
		}
	}
	return t
}

// tsPaths are the path aliases of a folder with a tsconfig.json.
type tsPaths struct {
	base  string // where targets begin, relative to the scanned folder
	alias map[string][]string
	plain bool // baseUrl is set: bare names may be files
}
