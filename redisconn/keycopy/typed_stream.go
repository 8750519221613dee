package keycopy

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/redisconn/pace"
)

// largeStream adds entries, counters, groups, consumers and pending entries.
// Pending entries that were deleted from the stream cannot be recreated.
func (c *copier) largeStream(ctx context.Context, key string, w *typedWriter) error {
	if err := c.Source(ctx, 4); err != nil {
		return err
	}
	s, err := readStreamInfo(ctx, c.src, key)
	if errors.Is(err, errGone) {
		return nil // its expiry is asked for next, which says so
	}
	if err != nil {
		return err
	}
	added, pending := int64(0), 0
	err = eachEntry(ctx, c.src, c.Pacer, key, func(id string, fields []any) error {
		added++
		w.add(append([]any{"xadd", key, id}, fields...)...)
		for _, f := range fields {
			text, _ := f.(string)
			c.Bytes.Add(int64(len(text)))
			pending += len(text)
		}
		if len(w.cmds) >= batchKeys || pending > chunkBytes {
			pending = 0
			return w.flush(ctx)
		}
		return nil
	})
	if err != nil {
		return err
	}
	// a stream may be empty; trimming leaves no trace of a deletion, XDEL would
	if added == 0 {
		w.add("xadd", key, "maxlen", 0, "0-1", "f", "v")
	}
	setID := []any{"xsetid", key, s.counters["last-generated-id"]}
	if n, ok := s.counters["entries-added"]; ok {
		setID = append(setID, "entriesadded", n, "maxdeletedid",
			s.counters["max-deleted-entry-id"])
	}
	w.add(setID...)
	for _, g := range s.groups {
		create := []any{"xgroup", "create", key, g.name, g.last}
		if g.read != "" {
			create = append(create, "entriesread", g.read)
		}
		w.add(create...)
		for _, consumer := range g.consumers {
			w.add("xgroup", "createconsumer", key, g.name, consumer)
		}
		err := eachPending(ctx, c.src, c.Pacer, key, g.name,
			func(id, consumer string, idle, delivered int64) error {
				w.add("xclaim", key, g.name, consumer, 0, id, "idle", idle,
					"retrycount", delivered,
					"force", "justid")
				if len(w.cmds) >= batchKeys {
					return w.flush(ctx)
				}
				return nil
			})
		if err != nil && !withoutGroup(err) { // the key's expiry is asked for next
			return err
		}
	}
	return w.flush(ctx)
}

// streamInfo is what a stream has besides its entries.
type streamInfo struct {
	// last-generated-id and, since Redis 7, entries-added and max-deleted-entry-id
	counters map[string]string
	groups   []streamGroup
}

type streamGroup struct {
	name, last, read string // read: "" if unknown
	pending          int64
	consumers        []string
}

var errGone = errors.New("the key is gone")

// readStreamInfo returns errGone for a key that no longer exists.
func readStreamInfo(
	ctx context.Context, cl redis.UniversalClient, key string,
) (*streamInfo, error) {
	info, err := cl.Do(ctx, "XINFO", "STREAM", key).Slice()
	if err != nil {
		return nil, unlessGone(err)
	}
	s := &streamInfo{counters: map[string]string{}}
	for name, v := range pairs(info) {
		switch name {
		case "last-generated-id", "entries-added", "max-deleted-entry-id":
			s.counters[name] = fmt.Sprint(v)
		}
	}
	groups, err := cl.Do(ctx, "XINFO", "GROUPS", key).Slice()
	if err != nil {
		return nil, unlessGone(err)
	}
	for _, one := range groups {
		fields, _ := one.([]any)
		v := pairs(fields)
		g := streamGroup{name: fmt.Sprint(v["name"]), last: fmt.Sprint(v["last-delivered-id"])}
		g.pending, _ = v["pending"].(int64)
		if n, ok := v["entries-read"].(int64); ok {
			g.read = strconv.FormatInt(n, 10)
		}
		consumers, err := cl.Do(ctx, "XINFO", "CONSUMERS", key, g.name).Slice()
		if err != nil {
			return nil, unlessGone(err)
		}
		for _, one := range consumers {
			fields, _ := one.([]any)
			g.consumers = append(g.consumers, fmt.Sprint(pairs(fields)["name"]))
		}
		s.groups = append(s.groups, g)
	}
	return s, nil
}

// unlessGone explains an error of a server; it is errGone where there is no such key.
func unlessGone(err error) error {
	if redis.HasErrorPrefix(err, "no such key") {
		return errGone
	}
	return redisconn.Explain(err)
}

// withoutGroup reports whether a group is gone, or its key.
func withoutGroup(err error) bool {
	reply, is := errors.AsType[redis.Error](err)
	return is && redis.HasErrorPrefix(reply, "NOGROUP")
}

func pairs(list []any) map[string]any {
	m := map[string]any{}
	for i := 0; i+1 < len(list); i += 2 {
		if name, ok := list[i].(string); ok {
			m[name] = list[i+1]
		}
	}
	return m
}

// eachEntry passes on a stream's entries in chunks.
func eachEntry(
	ctx context.Context, cl redis.UniversalClient, p *pace.Pacer, key string,
	each func(id string, fields []any) error,
) error {
	from := "-"
	size := newSizing(chunkBytes)
	for {
		if err := p.Source(ctx, 1); err != nil {
			return err
		}
		n := size.keys(batchKeys, batchKeys)
		list, err := cl.Do(ctx, "XRANGE", key, from, "+", "COUNT", n).Slice()
		if err != nil {
			return redisconn.Explain(err)
		}
		var sum int64
		for _, one := range list {
			e, _ := one.([]any)
			if len(e) != 2 {
				return errors.New("unexpected answer to XRANGE")
			}
			id, _ := e[0].(string)
			fields, _ := e[1].([]any)
			for _, f := range fields {
				text, _ := f.(string)
				sum += int64(len(text))
			}
			if err := each(id, fields); err != nil {
				return err
			}
			from = "(" + id
		}
		if len(list) < n {
			return nil
		}
		size.saw(sum, n)
	}
}

// eachPending passes on a group's pending entries in chunks.
func eachPending(
	ctx context.Context, cl redis.UniversalClient, p *pace.Pacer, key, group string,
	each func(id, consumer string, idle, delivered int64) error,
) error {
	from := "-"
	for {
		if err := p.Source(ctx, 1); err != nil {
			return err
		}
		list, err := cl.Do(ctx, "XPENDING", key, group, from, "+", batchKeys).Slice()
		if err != nil {
			return redisconn.Explain(err)
		}
		for _, one := range list {
			e, _ := one.([]any)
			if len(e) != 4 {
				return errors.New("unexpected answer to XPENDING")
			}
			id, _ := e[0].(string)
			consumer, _ := e[1].(string)
			idle, _ := e[2].(int64)
			delivered, _ := e[3].(int64)
			if err := each(id, consumer, idle, delivered); err != nil {
				return err
			}
			from = "(" + id
		}
		if len(list) < batchKeys {
			return nil
		}
	}
}
