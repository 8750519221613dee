// Package js reads the JavaScript and TypeScript files of a folder as one program
// and evaluates its expressions without running anything: which values an option
// object can have, what a class descends from, who calls a function. What the
// source does not tell is a value of kind Unknown that says why.
package js

import (
	"context"
	"io/fs"
	"runtime"

	"github.com/dop251/goja/ast"
	"golang.org/x/sync/errgroup"
)

// Program is all source files of a folder, and how they refer to each other.
type Program struct {
	Units  []*Unit           // in the order they were passed to Load
	Broken map[string]string // files that could not be read as source, and why

	packages Packages
	byPath   map[string]*Unit
	paths    map[string]tsPaths
	works    map[string]string // packages inside the folder: their directories by name
	subs     map[*Class][]*Class
	written  map[string]bool // names of members that are assigned other than through this
	uses     map[ast.Node]Uses
}

// Packages is what the caller knows about packages outside the folder.
type Packages struct {
	// Exports reports whether a package is known to export a name. It decides which of
	// several "export * from" a name comes from.
	Exports func(pkg, name string) bool
	// Call returns the result of calling what a package exports.
	Call func(f *Value, args []*Value) *Value
}

// New makes an empty program.
func New(packages Packages) *Program {
	return &Program{
		packages: packages,
		Broken:   map[string]string{},
		byPath:   map[string]*Unit{},
		paths:    map[string]tsPaths{},
		works:    map[string]string{},
		subs:     map[*Class][]*Class{},
		written:  map[string]bool{},
	}
}

// Load reads the named files. Those that cannot be read end up in Broken.

func (p *Program) Load(ctx context.Context, files fs.FS, names []string) error {
	units := make([]*Unit, len(names))
	errs := make([]string, len(names))
	g, going := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, name := range names {
		g.Go(func() error {
			if err := going.Err(); err != nil {
				return err
			}
			b, err := fs.ReadFile(files, name)
			if err == nil {
				units[i], err = parse(name, b)
			}
			if err != nil {
				errs[i] = err.Error()
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for i, name := range names {
		if units[i] == nil {
			p.Broken[name] = errs[i]
			continue
		}
		p.byPath[name] = units[i]
		p.Units = append(p.Units, units[i])
	}
	p.changes()
	return ctx.Err()
}
