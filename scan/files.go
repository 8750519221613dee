package scan

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/scan/js"
)

var skipDirs = map[string]string{
	"node_modules": "packages", "bower_components": "packages", "dist": "built",
	"coverage": "built",
	"testdata": "tests", "test": "tests", "tests": "tests", "__tests__": "tests",
	"__mocks__": "tests", "__fixtures__": "tests",
}

var (
	testFile = regexp.MustCompile(`\.(test|spec|e2e-spec|stories)\.[cm]?[jt]sx?$`)
	typeFile = regexp.MustCompile(`\.d(\.[^.]+)?\.[cm]?ts$`)
	mentions = regexp.MustCompile(`(?i)bullmq|['"]bull['"]|flowproducer|registerQueue`)
)

// otherSources contain JavaScript inside another language, which is not read.
var otherSources = []string{".vue", ".svelte", ".astro", ".coffee", ".civet"}

func unread(name, why string) Finding {
	return Finding{Role: RoleFile, Verdict: Review,
		At:   Position{File: name, Line: 1, Column: 1},
		Expr: path.Base(name), key: "file", Reasons: []string{"the file was not read: " + why},
		Fix: "Look for queues in it, and record a decision."}
}

// list finds the files to read, and the configuration that says how imports are
// resolved.
func (sc *scanner) list(
	ctx context.Context, files fs.FS, o Options, r *Report,
) ([]string, error) {
	var names, configs []string
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			sc.refused = append(sc.refused, unread(name, "no access"))
			if d != nil && d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		base := d.Name()
		if d.IsDir() {
			if name == "." {
				return nil
			}
			if why, skip := skipDirs[base]; skip {
				r.Excluded[why]++
				return fs.SkipDir
			}
			if strings.HasPrefix(base, ".") {
				r.Excluded["hidden"]++
				return fs.SkipDir
			}
			return nil
		}
		source := js.IsSource(name)
		if d.Type()&fs.ModeSymlink != 0 {
			sc.link(files, name, source, r)
			return nil
		}
		if base == "tsconfig.json" || base == "jsconfig.json" || base == "package.json" {
			configs = append(configs, name)
		}
		switch {
		case slices.Contains(otherSources, path.Ext(name)):
			if b, err := fs.ReadFile(files, name); err != nil || mentions.Match(b) {
				sc.refused = append(sc.refused,
					unread(name,
						"this language is not supported, and the file mentions BullMQ"))
			}
			return nil
		case !source:
			return nil
		case testFile.MatchString(base):
			r.Excluded["tests"]++
			return nil
		case typeFile.MatchString(base):
			r.Excluded["types"]++
			return nil
		}
		info, err := d.Info()
		if err != nil {
			sc.refused = append(sc.refused, unread(name, "no access"))
			return nil //nolint:nilerr // it is reported as unread, which blocks
		}
		if info.Size() > o.MaxFileSize {
			sc.Broken[name] = fmt.Sprintf("it has %d bytes, the limit is %d", info.Size(),
				o.MaxFileSize)
			return nil
		}
		if len(names) == o.MaxFiles {
			return migration.Errorf(migration.Invalid,
				"the folder has more than %d source files: scan its subfolders", o.MaxFiles)
		}
		names = append(names, name)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, c := range configs {
		sc.Configure(files, c)
	}
	return names, nil
}

// link checks where a symbolic link leads. Inside the folder its target is read in
// its own place; outside it is not read.
func (sc *scanner) link(files fs.FS, name string, source bool, r *Report) {
	info, err := fs.Stat(files, name)
	if err == nil {
		r.Excluded["links"]++
		return
	}
	if source || info == nil && path.Ext(name) == "" {
		sc.refused = append(sc.refused,
			unread(name, "it is a symbolic link that points outside the folder, or nowhere"))
	}
}
