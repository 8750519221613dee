package workflows

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/switchyard-dev/switchyard/flags"
	"github.com/switchyard-dev/switchyard/migration"
)

const (
	maxReason = 500
	// maxPreview bounds the context of a preview, in bytes; a worker's is refused above the same.
	maxPreview = 64 << 10
	maxRate    = 100_000
)

var setID = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// FlagSets lists a migration's flag sets; the first is the one that routes its orders.
func (c *Control) FlagSets(ctx context.Context, mid string) ([]migration.FlagSet, error) {
	if _, err := c.store.Migration(ctx, mid); err != nil {
		return nil, err
	}
	sets, err := c.store.FlagSets(ctx, mid)
	slices.SortStableFunc(
		sets,
		func(a, b migration.FlagSet) int { return cmp.Compare(own(b, mid), own(a, mid)) },
	)
	return sets, err
}

func own(s migration.FlagSet, mid string) int {
	if s.ID == mid {
		return 1
	}
	return 0
}

// flagSet finds a set of a migration; "" is the migration's own.
func (c *Control) flagSet(ctx context.Context, mid, set string) (migration.FlagSet, error) {
	sets, err := c.FlagSets(ctx, mid)
	if err != nil {
		return migration.FlagSet{}, err
	}
	set = cmp.Or(set, mid)
	for _, s := range sets {
		if s.ID == set {
			return s, nil
		}
	}
	return migration.FlagSet{}, migration.Errorf(
		migration.NotFound,
		"migration %s has no flag set %q",
		mid,
		set,
	)
}

// CreateFlagSet adds an empty flag set to a migration: revision 1 holds no flag.
func (c *Control) CreateFlagSet(
	ctx context.Context,
	a migration.Actor,
	mid, id, name string,
) (migration.FlagSet, error) {
	s, err := c.createFlagSet(ctx, a, mid, id, name)
	c.audit(ctx, a, "flag-set-create", id, name, err)
	return s, err
}

func (c *Control) createFlagSet(
	ctx context.Context,
	a migration.Actor,
	mid, id, name string,
) (migration.FlagSet, error) {
	var none migration.FlagSet
	if err := engineer(a); err != nil {
		return none, err
	}
	if _, err := c.store.Migration(ctx, mid); err != nil {
		return none, err
	}
	if !setID.MatchString(id) {
		return none, migration.Errorf(
			migration.Invalid,
			"the flag set's id %q must be 1 to 63 lower-case letters, digits and dashes, not "+
				"starting with a dash",
			id,
		)
	}
	name = cmp.Or(strings.TrimSpace(name), id)
	if err := short("name", name, 60); err != nil {
		return none, err
	}
	if err := c.store.CreateFlagSet(ctx, migration.FlagSet{
		ID: id, MigrationID: mid, Name: name, CreatedBy: a.Name, CreatedAt: c.now(),
	}); err != nil {
		return none, err
	}
	_, err := c.store.ReviseFlagSet(
		ctx,
		id,
		0,
		func(now json.RawMessage, next int64) (json.RawMessage, error) {
			if now != nil {
				return now, nil
			}
			return flags.Revise(id, nil, &flags.Document{}, next).JSON(), nil
		},
		a.Name,
		"flag set created",
		"",
		c.now(),
	)
	if err != nil {
		return none, err
	}
	if err := c.publish(ctx); err != nil {
		return none, err
	}
	return c.flagSet(ctx, mid, id)
}

// publish serves what was just stored and tells the pages.
func (c *Control) publish(ctx context.Context) error {
	defer c.notify("flags")
	return c.serveReaders(ctx)
}

// FlagSet gives a flag set as it is now; set "" is the migration's own.
func (c *Control) FlagSet(ctx context.Context, mid, set string) (migration.FlagSetView, error) {
	s, err := c.flagSet(ctx, mid, set)
	if err != nil {
		return migration.FlagSetView{}, err
	}
	now, doc, err := c.document(ctx, s.ID, 0)
	if err != nil {
		return migration.FlagSetView{}, err
	}
	s.Revision = now.Revision
	v := migration.FlagSetView{
		FlagSet:    s,
		Flags:      []migration.FlagInfo{},
		Definition: now.Definition,
	}
	if stale, since := c.readers.Flags.Stale(); stale {
		v.Stale, v.StaleSince = true, &since
	}
	changed := map[int64]migration.FlagSetRevision{now.Revision: now}
	for _, key := range slices.Sorted(maps.Keys(doc.Flags)) {
		f := doc.Flags[key]
		revision := flags.RevisionOf(f)
		if _, ok := changed[revision]; !ok && revision > 0 {
			if changed[revision], err = c.store.FlagSetRevision(ctx, s.ID, revision); err != nil {
				return v, err
			}
		}
		v.Flags = append(v.Flags, c.info(key, f, changed[revision]))
	}
	return v, nil
}

func (c *Control) info(key string, f flags.Flag, by migration.FlagSetRevision) migration.FlagInfo {
	raw, _ := json.Marshal(f) // it was parsed
	text := func(name string) string { v, _ := f.Metadata[name].(string); return v }
	i := migration.FlagInfo{
		Key:        key,
		ValueType:  flags.ValueType(f),
		Type:       text(flags.MetaType),
		ManagedBy:  text(flags.MetaManaged),
		State:      f.State,
		Targeted:   targeted(f),
		Definition: raw,
		Revision:   by.Revision,
		Actor:      by.Actor,
		Reason:     by.Reason,
		RunID:      by.RunID,
		At:         by.At,
	}
	if f.DefaultVariant != nil {
		i.Variant = *f.DefaultVariant
		_ = json.Unmarshal(f.Variants[i.Variant], &i.Value) // it was parsed
	}
	if !by.At.IsZero() {
		i.Hint = flags.StaleHint(f, by.At, c.now())
	}
	return i
}

func targeted(f flags.Flag) bool {
	rule := strings.TrimSpace(string(f.Targeting))
	return rule != "" && rule != "null" && rule != "{}"
}

// document gives a revision (0: the latest) of a set, also parsed.
func (c *Control) document(
	ctx context.Context,
	set string,
	revision int64,
) (migration.FlagSetRevision, *flags.Document, error) {
	r, err := c.store.FlagSetRevision(ctx, set, revision)
	if err != nil {
		return r, nil, err
	}
	doc, err := flags.Parse(r.Definition)
	return r, doc, err
}

// FlagHistory lists revisions below before (0: from the latest) with what each changed,
// newest first.
func (c *Control) FlagHistory(
	ctx context.Context,
	mid, set string,
	before int64,
	limit int,
) ([]migration.FlagSetRevision, error) {
	s, err := c.flagSet(ctx, mid, set)
	if err != nil {
		return nil, err
	}
	// one more, to compare the oldest with
	all, err := c.store.FlagSetHistory(ctx, s.ID, before, limit+1)
	if err != nil {
		return nil, err
	}
	docs := make([]*flags.Document, len(all))
	for i := range all {
		if docs[i], err = flags.Parse(all[i].Definition); err != nil {
			return nil, err
		}
	}
	for i := range all {
		var former *flags.Document
		if i+1 < len(all) {
			former = docs[i+1]
		}
		all[i].Changes = flags.Diff(former, docs[i])
	}
	return all[:min(limit, len(all))], nil
}

var errNoChange = migration.Errorf(
	migration.Invalid,
	"the edit changes nothing: the flag set already says this",
)

// PreviewFlag evaluates one flag for a context: as it is, or as a draft definition would
// have it. Nothing is stored.
func (c *Control) PreviewFlag(
	ctx context.Context,
	mid, set, key string,
	draft json.RawMessage,
	evaluation map[string]any,
) (flags.Evaluation, error) {
	s, err := c.flagSet(ctx, mid, set)
	if err != nil {
		return flags.Evaluation{}, err
	}
	if raw, err := json.Marshal(evaluation); err != nil || len(raw) > maxPreview {
		return flags.Evaluation{}, migration.Errorf(
			migration.Invalid,
			"the context has %d bytes, the limit is %d",
			len(raw),
			maxPreview,
		)
	}
	_, doc, err := c.document(ctx, s.ID, 0)
	if err != nil {
		return flags.Evaluation{}, err
	}
	if len(draft) > 0 {
		doc = doc.Clone()
		if by := doc.Flags[key].Metadata[flags.MetaManaged]; by != nil {
			delete(doc.Flags, key) // looking at it under another definition changes nothing
		}
		if doc, err = edited(doc, map[string]json.RawMessage{key: draft}); err != nil {
			return flags.Evaluation{}, err
		}
	}
	return doc.Evaluate(key, evaluation, c.now()), nil
}

// short refuses text that is missing, too long, or not text.
func short(what, text string, limit int) error {
	switch n := utf8.RuneCountInString(strings.TrimSpace(text)); {
	case n == 0:
		return migration.Errorf(migration.Invalid, "%s: is needed", what)
	case n > limit:
		return migration.Errorf(
			migration.Invalid,
			"%s: has %d characters, the limit is %d",
			what,
			n,
			limit,
		)
	case !utf8.ValidString(text):
		return migration.Errorf(migration.Invalid, "%s: is not UTF-8", what)
	}
	return nil
}
