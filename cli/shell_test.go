package cli

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/switchyard-dev/switchyard/workflows"
)

// shellWords are what a document may use of a shell, and of what else is installed.
var shellWords = []string{"export", "cd"}

// A command that a document shows is one: of this program, of the Makefile, of the packages.
func TestEveryCommandOfTheDocumentationIsOne(t *testing.T) {
	t.Parallel()
	commands := 0
	for _, d := range documents(t) {
		// Whoever is woken copies a command out of a runbook. Elsewhere a sentence may name one.
		whole := path.Dir(d.path) == "docs/runbooks"
		for _, s := range d.spans() {
			if !isCommand.MatchString(string(s)) {
				continue
			}
			commands++
			if err := tryLine(string(s), path.Dir(d.path), whole); err != nil {
				d.errorf("`%s`: %v", s, err)
			}
		}
	}
	if commands < 100 {
		t.Errorf("%d commands were found", commands)
	}
}

var isCommand = regexp.MustCompile(`^(switchyard|bin/switchyard|make|go (test|run|generate)|` +
	`npm|node|scripts/[a-z-]+|[\w/-]+\.sh) |^(scripts/[a-z-]+|[\w/-]+\.sh)$`)

func (d document) shell(text string) {
	if err := tryLine(text, path.Dir(d.path), true); err != nil {
		d.errorf("%v in\n%s", err, text)
	}
}

// tryLine tries each command of a shell's text, as it stands in a document of a folder. Unless
// whole, the name of a command that wants arguments will do.
func tryLine(text, folder string, whole bool) error {
	for _, words := range commandsOf(text) {
		if err := tryCommand(words, folder, whole); err != nil {
			return fmt.Errorf("%s: %w", strings.Join(words, " "), err)
		}
	}
	return nil
}

// commandsOf splits a shell's text: quotes, comments and what stands between two commands, of
// which documents need no more.
func commandsOf(text string) [][]string {
	var out [][]string
	var words []string
	end := func() {
		if len(words) > 0 {
			out = append(out, words)
		}
		words = nil
	}
	text = strings.ReplaceAll(text, "\\\n", " ")
	for _, token := range shellToken.FindAllString(text, -1) {
		switch {
		case token[0] == '#':
		case strings.Trim(token, "\n;&|") == "":
			end()
		default:
			words = append(words, strings.NewReplacer(`"`, "", `'`, "").Replace(token))
		}
	}
	end()
	return out
}

var shellToken = regexp.MustCompile(`(?:\w\|\w|[^\s"';&|]#|[^\s"'#;&|]|"[^"]*"|'[^']*')+|` +
	`#[^\n]*|[;&|\n]+`)

var assignment = regexp.MustCompile(`^([A-Z][A-Z0-9_]*)=`)

func tryCommand(words []string, folder string, whole bool) error {
	if words[0] == "export" {
		words = words[1:]
	}
	for len(words) > 0 && assignment.MatchString(words[0]) {
		if name := assignment.FindStringSubmatch(words[0])[1]; !isRead(name) {
			return fmt.Errorf("nothing reads the variable %s", name)
		}
		words = words[1:]
	}
	if len(words) == 0 {
		return nil
	}
	name, args := words[0], words[1:]
	switch {
	case strings.TrimPrefix(name, "bin/") == "switchyard":
		return tryProgram(args, whole)
	case name == "make":
		return tryMake(args)
	case name == "go":
		return tryGo(args, whole)
	case name == "npm":
		return tryNPM(args, folder)
	case name == "pnpm" && len(args) == 2 && args[0] == "add":
		return nil
	case name == "pip" && len(args) == 2 && args[0] == "install":
		return nil
	case (name == "node" || name == "python3") && len(args) > 0:
		if before, after, built := strings.Cut(args[0], "/dist/"); built {
			return isThere(before + "/src/" + strings.TrimSuffix(after, ".js") + ".ts")
		}
		return isThere(args[0])
	case strings.HasPrefix(name, "scripts/"), strings.HasSuffix(name, ".sh"):
		return isThere(name)
	case slices.Contains(shellWords, name):
		return nil
	}
	return errors.New("nobody knows this command: say in shell_test.go how it is tried")
}

func isThere(file string) error {
	_, err := os.Stat(filepath.Join("..", file))
	return err
}

// Placeholders are written in capitals.
var placeholder = regexp.MustCompile(`^([A-Z_]+|<\w+>)$`)

// tryProgram has the command line take arguments; nothing is carried out.
func tryProgram(args []string, whole bool) error {
	args = slices.Clone(args)
	for i, arg := range args {
		switch {
		case arg == "PROVIDER":
			args[i] = "stripe"
		case arg == "FILE", strings.HasSuffix(arg, ".yaml"):
			args[i] = "shell_test.go" // a file that is there
		case placeholder.MatchString(arg):
			args[i] = "1"
		}
	}
	if len(args) > 2 && args[0] == "step" && args[2] != "1" &&
		!slices.Contains(workflows.StepIDs(), args[2]) {
		return fmt.Errorf("there is no step %s", args[2])
	}
	for _, one := range alternatives(args) {
		parser, err := newParser(io.Discard, io.Discard, func(int) {})
		if err != nil {
			return err
		}
		if _, err := parser.Parse(one); err != nil && (whole || !names(parser.Model.Node, one)) {
			return err
		}
	}
	return nil
}

// alternatives gives the arguments once for each word of one that is written a|b.
func alternatives(args []string) [][]string {
	for i, arg := range args {
		if words := strings.Split(arg, "|"); len(words) > 1 {
			var out [][]string
			for _, w := range words {
				out = append(out, slices.Concat(args[:i], []string{w}, args[i+1:]))
			}
			return out
		}
	}
	return [][]string{args}
}

// names reports whether arguments are the name of a command below a node and nothing else.
func names(n *kong.Node, args []string) bool {
	if len(args) == 0 {
		return true
	}
	for _, c := range n.Children {
		if c.Name == args[0] {
			return names(c, args[1:])
		}
	}
	return false
}

func tryMake(args []string) error {
	makefile, err := os.ReadFile("../Makefile")
	for _, arg := range args {
		known := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(arg) + `:`)
		if m := assignment.FindStringSubmatch(arg); m != nil {
			known = regexp.MustCompile(`\$\(` + m[1] + `\)`)
		}
		if !known.Match(makefile) {
			return fmt.Errorf("the Makefile has no %s", arg)
		}
	}
	return err
}

// takesValue are the options of `go test` whose value is the next word.
var takesValue = []string{"-run", "-bench", "-benchtime", "-count", "-timeout", "-parallel"}

func tryGo(args []string, whole bool) error {
	if len(args) > 1 && args[0] == "run" && args[1] == "." {
		return tryProgram(args[2:], whole)
	}
	wanted := map[string]string{}
	var folders, own []string
	rest := args[1:]
	for i := 0; i < len(rest); i++ {
		switch arg := rest[i]; {
		case slices.Contains(takesValue, arg) && i+1 < len(rest):
			i++
			wanted[arg] = rest[i]
		case arg == "-args":
			own, i = rest[i+1:], len(rest)
		case strings.HasPrefix(arg, "-"):
		case args[0] == "run" && len(folders) > 0: // the program's own
		default:
			folders = append(folders, arg)
		}
	}
	var found []byte
	for _, folder := range folders {
		text, err := goFiles(folder)
		if err != nil {
			return err
		}
		found = append(found, text...)
	}
	holds := map[string]string{"run": `(?m)^func main\(\)`, "generate": `(?m)^//go:generate `,
		"test": `(?m)^func (Test|Benchmark)`}[args[0]]
	if holds == "" || !regexp.MustCompile(holds).Match(found) {
		return fmt.Errorf("nothing to %s in %v", args[0], folders)
	}
	for option, kind := range map[string]string{"-run": "Test", "-bench": "Benchmark"} {
		pattern, given := wanted[option]
		if !given || pattern == "^$" && wanted["-bench"] != "" {
			continue
		}
		if !anyTest(found, kind, pattern) {
			return fmt.Errorf("%s %s finds nothing in %v", option, pattern, folders)
		}
	}
	for _, arg := range own {
		if name, ok := strings.CutPrefix(arg, "-"); ok &&
			!regexp.MustCompile(`flag\.\w+\("`+name+`"`).Match(found) {
			return fmt.Errorf("the tests of %v have no option %s", folders, arg)
		}
	}
	return nil
}

// anyTest reports whether a pattern finds a function of a kind; subtests have no names yet.
func anyTest(source []byte, kind, pattern string) bool {
	wanted, err := regexp.Compile(strings.Split(pattern, "/")[0])
	if err != nil {
		return false
	}
	for _, m := range regexp.MustCompile(`(?m)^func (`+kind+`\w*)\(`).FindAllSubmatch(source, -1) {
		if wanted.Match(m[1]) {
			return true
		}
	}
	return false
}

// goFiles is the source of a package, or with /... of those below it too.
func goFiles(folder string) ([]byte, error) {
	folder, deep := strings.CutSuffix(folder, "/...")
	root := filepath.Join("..", folder)
	var out []byte
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && file != root && !deep {
			return cmp.Or(err, fs.SkipDir)
		}
		if d.IsDir() || !strings.HasSuffix(file, ".go") {
			return nil
		}
		source, err := os.ReadFile(file)
		out = append(out, source...)
		return err
	})
	return out, err
}

// tryNPM looks for the scripts of the workspace, and of the document's own folder.
func tryNPM(args []string, folder string) error {
	script := args[0]
	switch script {
	case "install", "ci":
		return nil
	case "pack":
		return isThere(path.Join(args[1], "package.json"))
	case "run":
		script = args[1]
	}
	for _, dir := range []string{".", folder} {
		text, err := os.ReadFile(filepath.Join("..", dir, "package.json"))
		if err != nil {
			continue // a document of none
		}
		var pkg struct{ Scripts map[string]string }
		if err := json.Unmarshal(text, &pkg); err != nil || pkg.Scripts[script] != "" {
			return err
		}
	}
	return fmt.Errorf("there is no script %s", script)
}

// isRead reports whether a program or a script of ours reads a variable.
func isRead(name string) bool {
	return slices.Contains(variables(), name)
}

var variables = sync.OnceValue(func() []string {
	var out []string
	parser, err := newParser(io.Discard, io.Discard, func(int) {})
	if err != nil {
		return nil
	}
	for _, flags := range parser.Model.AllFlags(false) {
		for _, f := range flags {
			out = append(out, f.Envs...)
		}
	}
	quoted := regexp.MustCompile(`"([A-Z][A-Z0-9_]+)"|env\.([A-Z0-9_]+)`)
	for _, folder := range []string{"cli", "config", "clients/node/src", "examples"} {
		_ = filepath.WalkDir("../"+folder, func(file string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.HasSuffix(file, "_test.go") ||
				!slices.Contains([]string{".go", ".ts", ".mjs", ".py"}, filepath.Ext(file)) {
				return err
			}
			source, err := os.ReadFile(file)
			for _, m := range quoted.FindAllSubmatch(source, -1) {
				out = append(out, string(m[1])+string(m[2]))
			}
			return err
		})
	}
	return out
})
