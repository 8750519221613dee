package workflows

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/switchyard-dev/switchyard/flags"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

// lines is a log that a test reads while it is written.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// mirrored starts readers in a data folder of their own that mirror to url.
func mirrored(t *testing.T, url string) (*flags.Holder, *lines) {
	t.Helper()
	cfg, log := settings(t.TempDir()), &lines{}
	cfg.FlagMirrorURL = migration.Secret(url)
	r, err := NewReaders(cfg, slog.New(slog.NewTextHandler(log, nil)))
	ok(t, err)
	t.Cleanup(func() { _ = r.Flags.Close() }) // its error is that of a mirror which a test has broken
	return r.Flags, log
}

func flagsAt(revision int64) flags.Set {
	return flags.Set{ID: mid, Revision: revision, Definition: fmt.Appendf(nil, `{"flags":{},"metadata":{"flagSetRevision":%d}}`, revision)}
}

func wantRevision(t *testing.T, h *flags.Holder, want int64) {
	t.Helper()
	if set, _ := h.Held(mid); set.Revision != want {
		t.Fatalf("revision %d is held, want %d", set.Revision, want)
	}
}

func TestFlagsComeFromTheMirrorWhenDatabaseAndFileAreGoneAndNeverGoBack(t *testing.T) {
	t.Parallel()
	url := redistest.Start(t, redistest.Password("redis-CANARY")).URL()
	first, _ := mirrored(t, url)
	ok(t, first.Replace(flagsAt(7)))
	ok(t, first.Close())

	second, _ := mirrored(t, url)
	wantRevision(t, second, 7)
	wantKind(t, second.Replace(flagsAt(6)), migration.Conflict, "older")
	wantRevision(t, second, 7)
}

func TestAMirrorThatHangsOrIsDownKeepsNoFlagBack(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(*redistest.Server){"hangs": (*redistest.Server).Freeze, "is down": (*redistest.Server).Kill} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := redistest.Start(t)
			harm(srv)
			h, log := mirrored(t, srv.URL())
			for revision := int64(1); revision <= 50; revision++ { // each would wait seconds for the mirror
				ok(t, h.Replace(flagsAt(revision)))
				wantRevision(t, h, revision)
			}
			redistest.Eventually(t, patience, func() error {
				if !strings.Contains(log.String(), "flags are not mirrored") {
					return fmt.Errorf("the log does not tell: %s", log)
				}
				return nil
			})
		})
	}
}

func TestAMirrorsWrongPasswordIsLoggedWithoutTheSecret(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, redistest.Password("right"))
	url := strings.Replace(srv.URL(), "right", "wrong-CANARY", 1)
	h, log := mirrored(t, url)
	ok(t, h.Replace(flagsAt(1)))
	if err := h.Close(); err == nil || strings.Contains(err.Error(), "CANARY") {
		t.Errorf("closing gave %v", err)
	}
	if said := log.String(); !strings.Contains(said, "flags are not mirrored") || strings.Contains(said, "CANARY") {
		t.Errorf("the log says %s", said)
	}
	if n, err := srv.Client().Exists(context.Background(), mirrorKey).Result(); err != nil || n != 0 {
		t.Errorf("%d keys, %v", n, err)
	}
}
