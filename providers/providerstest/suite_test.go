package providerstest_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers"
	"github.com/switchyard-dev/switchyard/providers/providerstest"
	"github.com/switchyard-dev/switchyard/redisconn"
)

// The suite that every implementation of an interface of package providers passes.
// Whatever goes wrong on the way, and however often a step is run again, what a method
// says that it has brought about is so, and nothing else has changed. What exists is told
// by the stand-in, not by the client.
//
// An implementation declares what it can do. Each ability has a test for those that have
// it and one for those that do not, where it must be refused: none is skipped.

const (
	suiteSeeds  = 40
	suiteFaults = 8  // of one phase
	suiteTries  = 40 // of one phase; every try meets a fault or ends the phase
)

var everyKind = []providerstest.Kind{
	providerstest.Throttled, providerstest.ErrorBefore, providerstest.ErrorAfter,
	providerstest.BadGateway, providerstest.CutBefore, providerstest.CutAfter,
	providerstest.Truncated, providerstest.Silent, providerstest.Late,
}

// canary is in every credential of the suite. It must show nowhere.
const canary = "CANARY"

func TestMain(m *testing.M) {
	redisconn.LogTo(slog.New(slog.DiscardHandler)) // every fault would be remarked on
	os.Exit(m.Run())
}

// eachSeed runs a test of one seed for all of them, at once: waiting is most of it.
func eachSeed(t *testing.T, run func(r *rand.Rand) error) {
	t.Helper()
	var all sync.WaitGroup
	for seed := range uint64(suiteSeeds) {
		all.Go(func() {
			r := rand.New(rand.NewPCG(seed, 1))
			if err := run(r); err != nil {
				t.Errorf("seed %d: %v", seed, err)
			}
		})
	}
	all.Wait()
}

// trial repeats what a workflow repeats, while faults come.
type trial struct {
	faults *providerstest.Faults
	rand   *rand.Rand
	kinds  []providerstest.Kind
	// patience bounds one call; 0: the client does.
	patience time.Duration
	// final says that an error is the end: repeating does not help.
	final func(error) bool
}

// unsettled repeats do while faults come, and once more without any after everything that
// was under way has landed.
func (tr trial) unsettled(ctx context.Context, do func(context.Context) error) error {
	left := suiteFaults
	var mu sync.Mutex
	tr.faults.Inject(func(providerstest.Request) providerstest.Fault {
		mu.Lock()
		defer mu.Unlock()
		if left == 0 || tr.rand.IntN(100) >= 40 {
			return providerstest.Fault{}
		}
		left--
		return providerstest.Fault{
			Kind:  tr.kinds[tr.rand.IntN(len(tr.kinds))],
			After: 1 + tr.rand.IntN(9),
		}
	})
	err := tr.again(ctx, do)
	tr.faults.Inject(nil)
	tr.faults.Land()
	if err != nil && tr.final(err) {
		return err
	}
	return tr.again(ctx, do)
}

// again repeats do until it gives no error, or a final one. A busy machine may be slower
// than the client is patient, also without faults.
func (tr trial) again(ctx context.Context, do func(context.Context) error) (err error) {
	for range suiteTries {
		if err = tr.once(ctx, do); err == nil || tr.final(err) {
			break
		}
	}
	if err != nil && strings.Contains(err.Error(), canary) {
		return fmt.Errorf("a credential is in the error: %w", err)
	}
	return err
}

func (tr trial) once(ctx context.Context, do func(context.Context) error) error {
	if tr.patience > 0 {
		bounded, cancel := context.WithTimeout(ctx, tr.patience)
		defer cancel()
		ctx = bounded
	}
	return do(ctx)
}

// impatient is the HTTP client of the suite: a silent server must not hold it up for
// long. It must be slower than a busy machine, or a create that is only slow is given up.
func impatient() *http.Client { return &http.Client{Timeout: 1500 * time.Millisecond} }

// refused says what is wrong with an error that is to refuse something.
func refused(err, why error) error {
	if err == nil {
		return errors.New("it was not refused")
	}
	kind := migration.KindOf(err)
	if !errors.Is(err, why) || kind != migration.Blocked && kind != migration.Unavailable {
		return fmt.Errorf("refused as %s, want %w: %w", kind, why, err)
	}
	return nil
}

// based says what is wrong with the basis of something that a provider says.
func based(what string, b providers.Basis, want migration.Proof) error {
	if b.Proof != want || b.Source == "" {
		return fmt.Errorf("%s is %q by %q, want %s by something", what, b.Proof, b.Source, want)
	}
	return nil
}

// everyAbility fails when an ability has no test.
func everyAbility(t *testing.T, can any, tested []string) {
	t.Helper()
	for f := range reflect.TypeOf(can).Fields() {
		if !slices.Contains(tested, f.Name) {
			t.Errorf("no test of the ability %T.%s", can, f.Name)
		}
	}
}

// A new implementation that nobody put into the suite fails here.
func TestEveryImplementationIsInTheSuite(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../*/*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	tested := map[string]bool{}
	for _, s := range managedSubjects {
		tested[strings.TrimPrefix(s.is, "*")] = true
	}
	for _, s := range hostSubjects {
		tested[strings.TrimPrefix(s.is, "*")] = true
	}
	for _, s := range varsSubjects {
		tested[strings.TrimPrefix(s.is, "*")] = true
	}
	implements := regexp.MustCompile(
		`(?m)^func \((?:\w+ )?\*?(\w+)\) (?:Offer|About)\(\) providers\.`,
	)
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range implements.FindAllStringSubmatch(string(text), -1) {
			if name := filepath.Base(filepath.Dir(f)) + "." + m[1]; !tested[name] {
				t.Errorf("%s is in no table of the suite", name)
			}
		}
	}
}
