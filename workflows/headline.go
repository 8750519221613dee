package workflows

import (
	"context"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

const (
	// headlineEvery is how often each replica reads the headlines that its pages show.
	headlineEvery = 2 * time.Second
	// headlineOld is the age from which the last headline is no longer what is now.
	headlineOld = 5 * headlineEvery
)

// Headline gives the state of a migration in one sentence, read at most headlineOld ago. It asks
// nothing, so that also the page that says that the database does not answer can show it.
func (c *Control) Headline(mid string) migration.Headline {
	now := c.now()
	kept, ok := c.headlines.Load(mid)
	if !ok {
		return migration.Headline{Level: migration.Attention, At: now,
			Title:   "Not known yet whether something is wrong",
			Unknown: []string{"everything: not looked at since this server started"}}
	}
	h, _ := kept.(migration.Headline)
	if now.Sub(h.At) > headlineOld {
		since := h.At.UTC().Format("15:04:05 UTC")
		if h.Level == migration.Calm {
			h.Level = migration.Attention
		}
		h.First = "Check the database of this server. Last known: " + h.Title + "."
		h.Title = "Nothing is known since " + since + ": the database does not answer"
		h.Unknown = []string{"everything since " + since}
	}
	return h
}

// keepHeadlines reads the headline of every migration until ctx ends, and tells pages when it
// has changed.
func (c *Control) keepHeadlines(ctx context.Context) {
	ticker := time.NewTicker(headlineEvery)
	defer ticker.Stop()
	shown := map[string]migration.Headline{}
	for {
		within, cancel := context.WithTimeout(ctx, headlineOld)
		all, err := c.store.Migrations(within)
		for _, m := range all {
			c.keepHeadline(within, m.ID)
		}
		cancel()
		if err != nil && ctx.Err() == nil {
			c.log.Warn("headlines are not read", "err", err)
		}
		c.headlines.Range(func(mid, _ any) bool {
			id, _ := mid.(string)
			if now := c.Headline(id); !now.Same(shown[id]) {
				shown[id] = now
				c.notify("headline")
			}
			return true
		})
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// keepHeadline reads one. Where the database does not answer, the last one stays, and ages.
func (c *Control) keepHeadline(ctx context.Context, mid string) {
	h := c.notifier.Headline(ctx, mid)
	if ctx.Err() == nil {
		c.headlines.Store(mid, h)
	}
}
