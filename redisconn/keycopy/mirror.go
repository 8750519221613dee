package keycopy

import (
	"context"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/redisconn/pace"
)

// Mirror makes keys named by its caller the same on one server as on another, and
// compares them, in bounded memory like Copy and Compare. Its methods may be called
// by several goroutines, but not for the same key at once. The pacer belongs to the
// caller: Mirror waits for it and counts bytes and commands, the caller counts
// keys.
type Mirror struct {
	c     *copier
	cmp   *comparer
	sizes sync.Pool // *sizing, of copies
	pairs sync.Pool // *pair
}

// NewMirror prepares a mirror that begins with path Scan or Typed; from Scan it
// switches to Typed by itself if a server refuses. see, if not nil, is called with
// the source's values of keys that the target has too, as they are compared: parts
// as in the reply of the typed read, valid during the call; those of a large value
// come in several calls.
func NewMirror(
	ctx context.Context, src, dst redis.UniversalClient, path Path, p *pace.Pacer,
	see func(key, kind string, parts [][]byte),
) *Mirror {
	m := &Mirror{c: &copier{
		Pacer:  p,
		src:    src,
		dst:    dst,
		heavy:  newHeavy(),
		mirror: true,
	}, cmp: &comparer{Pacer: p, sides: [2]redis.UniversalClient{src, dst},
		shapes:    map[string]string{},
		uncounted: true, see: see}}
	m.c.refuses.Store(path == Typed)
	m.c.absolute = redisconn.AbsoluteExpiry(ctx, src)
	m.cmp.absolute = [2]bool{m.c.absolute, redisconn.AbsoluteExpiry(ctx, dst)}
	m.sizes.New = func() any { return newSizing(batchBytes) }
	m.pairs.New = func() any { return newPair() }
	return m
}

// Path is how keys travel now: Scan or Typed.
func (m *Mirror) Path() Path {
	if m.c.refuses.Load() {
		return Typed
	}
	return Scan
}

// Copy writes keys to the target as they are on the source now, and deletes those
// that are gone. Passing a key again is harmless.
func (m *Mirror) Copy(ctx context.Context, keys []string) error {
	size := m.sizes.Get().(*sizing)
	defer m.sizes.Put(size)
	return m.c.readKeys(ctx, keys, size, m.c.writeBatch)
}

// Compare reports for each key whether it is the same on both sides, and whether
// the source has it.
func (m *Mirror) Compare(
	ctx context.Context, keys []string, each func(key string, same, there bool),
) error {
	w := m.pairs.Get().(*pair)
	defer m.pairs.Put(w)
	var mu sync.Mutex
	note := func(key string, f finding) {
		mu.Lock()
		defer mu.Unlock()
		each(key, f == equal || f == goneFromBoth, f != goneFromBoth && f != extra)
	}
	for len(keys) > 0 {
		n := w.size.keys(len(keys), m.cmp.Batch)
		left, err := m.cmp.compareBatch(ctx, w, keys[:n], note)
		if err != nil {
			return err
		}
		keys = append(left, keys[n:]...)
	}
	return nil
}

// Commands returns how many commands a key takes on each side to be copied and
// compared, at least.
func (m *Mirror) Commands() (source, target int) {
	target, source = m.Path().commands()
	return source + 2, target + 2
}
