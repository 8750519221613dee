package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/server/servertest"
	"github.com/switchyard-dev/switchyard/store/pgtest"
)

const tutorial = "docs/tutorial.md"

// fences are the blocks of the tutorial: a language, what is said of the block, and its text.
var fences = regexp.MustCompile("(?ms)^```([a-z]+)([^\n]*)\n(.*?)^```$")

// A reader's terminals: the first is where blocks run one after the other, each of the others
// runs one until the next block for it, before which it gets what Ctrl-C sends.
type reader struct {
	dir   string // HOME
	env   []string
	ports *strings.Replacer
	log   *servertest.Log

	terminals map[string]*exec.Cmd
}

// blockTakes is the longest that a block may take; the whole tutorial is bounded by the test's
// own time limit.
const blockTakes = 4 * time.Minute

func TestTheTutorialTakesAShopFromOneRedisToAManagedOne(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(tutorial)
	if err != nil {
		t.Fatal(err)
	}
	if n := newReader(t).read(t, string(text)); n < 30 {
		t.Errorf("%d blocks are the whole tutorial", n)
	}
}

// leftAlone is what follows the tutorial up to where the other team is asked, if nobody asks it.
// A letter that is due much later is what stands still.
const leftAlone = `
` + "```sh" + `
cd $REPOSITORY
REDIS_URL=redis://127.0.0.1:6379 node --input-type=module -e '
  import { Queue } from "bullmq";
  import { Redis } from "ioredis";
  const connection = new Redis(process.env.REDIS_URL, { maxRetriesPerRequest: null });
  await new Queue("newsletter", { connection }).add("letter", {}, { delay: 1e8 });
  connection.disconnect();
'
cd $TUTORIAL
switchyard step plan sentinel-move | grep "unknown.*client:127.0.0.1:6379/127.0.0.1/bull:bmV3c2xldHRlcg=="
if switchyard step start sentinel-move; then exit 1; fi
for client in 127.0.0.1 127.0.0.1/bull:bmV3c2xldHRlcg== 127.0.0.1/bull:c3RvY2s= 127.0.0.1/producer:shop:stock:source; do
  switchyard waivers sign client:127.0.0.1:6379/$client --for 1h --why "they do not answer"
done
switchyard step start sentinel-move --wait --retry-for 2m
switchyard run approve --wait --retry-for 2m
date -u +"the move ended at %T"
` + "```" + `
` + "```sh" + `
stranded() { switchyard notifications --json | grep -F "stranded/127.0.0.1:6379/127.0.0.1/bull:bmV3c2xldHRlcg=="; }
until stranded; do sleep 1; done
still() { switchyard notifications --json | grep -F "/still/newsletter"; }
until still; do sleep 1; done
switchyard notifications --json > alerts.txt
grep -F '"since"' alerts.txt
back=$(grep -o "switchyard run rollback [0-9a-f]*" alerts.txt | head -1)
$back
switchyard run wait
while stranded || still; do sleep 1; done
` + "```" + `
` + "```sh" + `
before=$(grep -c "^-" letters.txt)
until [ $(grep -c "^-" letters.txt) -gt $((before + 5)) ]; do sleep 1; done
` + "```" + `
` + "```sh terminal=mailer" + `
echo "no more letters"
` + "```" + `
` + "```sh" + `
grep "^+" letters.txt | tr -d + | LC_ALL=C sort > added.txt
grep "^-" letters.txt | cut -c 2- | LC_ALL=C sort -u > ran.txt
LC_ALL=C comm -23 added.txt ran.txt > lost.txt
wc -l added.txt ran.txt lost.txt
[ ! -s lost.txt ]
switchyard ledger
` + "```" + `
`

// Nobody asks the mailer's team. The gate names it; once somebody has decided to go on, it is told
// within seconds of the swap what became of it and of its queue, and the way back that is told
// restores both.
func TestAnAppThatIsLeftAloneIsNamedToldAndRestoredByTheWayBack(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(tutorial)
	if err != nil {
		t.Fatal(err)
	}
	before, _, found := strings.Cut(string(text), "\n## 7. ")
	if !found {
		t.Fatal("the tutorial has no section 7")
	}
	r := newReader(t)
	r.read(t, before)
	r.read(t, leftAlone)
	for line := range strings.Lines(r.log.String()) {
		if strings.Contains(line, "the move ended at") || strings.Contains(line, `"since"`) {
			t.Log(strings.TrimSpace(line))
		}
	}
}

// The diffs that the tutorial shows are those that it has applied, and a team changes few lines.
func TestTheTutorialShowsItsDiffs(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(tutorial)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("docs/tutorial/*.diff")
	if err != nil || len(files) == 0 {
		t.Fatal(err, files)
	}
	added := 0
	for _, f := range files {
		diff, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), "```diff\n"+string(diff)+"```\n") {
			t.Errorf("%s does not show %s as it is", tutorial, f)
		}
		if !strings.Contains(string(text), "git apply $REPOSITORY/"+f+"\n") {
			t.Errorf("%s does not apply %s", tutorial, f)
		}
		for line := range strings.Lines(string(diff)) {
			if strings.HasPrefix(line, "+") && !strings.HasPrefix(line, "+++") {
				added++
			}
		}
	}
	t.Logf("%d lines of the app are new or changed", added)
	if added > 60 {
		t.Errorf("%d lines of the app are new or changed, more than 60", added)
	}
}

func newReader(t *testing.T) *reader {
	t.Helper()
	path := filepath.Dir(buildBinary(t, ""))
	dir, err := os.MkdirTemp("", "switchyard-tutorial-")
	if err != nil {
		t.Fatal(err)
	}
	r := &reader{dir: dir, log: &servertest.Log{}, terminals: map[string]*exec.Cmd{}}
	t.Cleanup(func() {
		r.end()
		_ = os.RemoveAll(dir)
	})
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	database := pgtest.Start(t).Database(t)
	r.ports = strings.NewReplacer(freePorts(t, "6379", "6390", "7001", "7002", "7003", "27001",
		"27002", "27003", "3000", "8080")...)
	r.env = append(os.Environ(), "HOME="+dir, "PATH="+path+":"+os.Getenv("PATH"),
		"DATABASE_URL="+database.Reveal())
	if err := os.WriteFile(r.file("cwd"), []byte(here), 0o600); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *reader) file(name string) string { return filepath.Join(r.dir, "terminal-"+name) }

// read follows each block of a text, and gives how many there are.
func (r *reader) read(t *testing.T, text string) int {
	t.Helper()
	blocks := fences.FindAllStringSubmatch(text, -1)
	for _, b := range blocks {
		lang, about, code := b[1], strings.TrimSpace(b[2]), b[3]
		started := time.Now()
		if err := r.follow(t.Context(), lang, about, code); err != nil {
			r.tail(t)
			t.Fatalf("%v, in the block\n%s", err, code)
		}
		t.Logf("%5.1f s  %s", time.Since(started).Seconds(), firstLine(code))
	}
	return len(blocks)
}

// follow does what a block says.
func (r *reader) follow(ctx context.Context, lang, about, code string) error {
	code = r.ports.Replace(code)
	key, value, _ := strings.Cut(about, "=")
	switch {
	case lang == "diff", about == "example":
		return nil // shown; what is example stands for something of the reader's own
	case lang == "sh" && about == "":
		return r.run(ctx, code)
	case lang == "sh" && key == "terminal":
		return r.start(value, code)
	case lang == "yaml" && key == "file":
		return os.WriteFile(filepath.Join(r.dir, "switchyard-tutorial", value), []byte(code), 0o600)
	}
	return fmt.Errorf("nobody knows what to do with a block of %s %s", lang, about)
}

// bash runs text where the first terminal is, with what it has exported.
func (r *reader) bash(text string) *exec.Cmd {
	before := fmt.Sprintf("[ -f %[1]s ] && . %[1]s; cd \"$(cat %[2]s)\"\n", r.file("env"), r.file("cwd"))
	cmd := exec.Command("bash", "-euo", "pipefail", "-c", before+text) //nolint:noctx // see stop
	cmd.Env, cmd.Stdout, cmd.Stderr = r.env, r.log, r.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second // servers that go on in the background hold the pipe
	return cmd
}

func (r *reader) run(ctx context.Context, code string) error {
	cmd := r.bash(code + fmt.Sprintf("\nexport -p > %s; pwd > %s\n", r.file("env"), r.file("cwd")))
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		if errors.Is(err, exec.ErrWaitDelay) {
			return nil
		}
		return err
	case <-time.After(blockTakes):
	case <-ctx.Done():
	}
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	return fmt.Errorf("it does not end: %w", <-ended)
}

// start runs a block in a terminal of its own, after what ran there has ended.
func (r *reader) start(terminal, code string) error {
	if err := r.stop(terminal); err != nil {
		return err
	}
	cmd := r.bash(code)
	r.terminals[terminal] = cmd
	return cmd.Start()
}

func (r *reader) stop(terminal string) error {
	cmd := r.terminals[terminal]
	if cmd == nil {
		return nil
	}
	delete(r.terminals, terminal)
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
	late := time.AfterFunc(time.Minute, func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	})
	defer late.Stop()
	_ = cmd.Wait() // by the signal
	if !late.Stop() {
		return fmt.Errorf("what runs in the terminal %s does not end", terminal)
	}
	return nil
}

// end stops whatever still runs: by terminal, and the servers by the files with their pids. Whoever
// is left after a failure may wait for ever for another that has ended.
func (r *reader) end() {
	for _, cmd := range r.terminals {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
	}
	for _, cmd := range r.terminals {
		late := time.AfterFunc(10*time.Second, func() {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		})
		_ = cmd.Wait() // by a signal
		late.Stop()
	}
	files, _ := filepath.Glob(filepath.Join(r.dir, "switchyard-tutorial/servers/*.pid"))
	for _, f := range files {
		text, _ := os.ReadFile(f)
		if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// tail shows the last of what was printed.
func (r *reader) tail(t *testing.T) {
	t.Helper()
	lines := strings.Split(strings.TrimRight(r.log.String(), "\n"), "\n")
	t.Log(strings.Join(lines[max(0, len(lines)-80):], "\n"))
}

// freePorts pairs each port that the tutorial names with one that is free here.
func freePorts(t *testing.T, named ...string) []string {
	t.Helper()
	var out []string
	for _, port := range named {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // only once all are chosen
		_, free, err := net.SplitHostPort(l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, port, free)
	}
	return out
}

func firstLine(code string) string {
	line, _, _ := strings.Cut(code, "\n")
	return line
}
