package workflows

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/switchyard-dev/switchyard/flags"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/engine"
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
			"the flag set's id %q must be 1 to 63 lower-case letters, digits and dashes, not starting with a dash",
			id,
		)
	}
	name = cmp.Or(strings.TrimSpace(name), id)
	if err := short("name", name, 60); err != nil {
		return none, err
	}
	if err := c.store.CreateFlagSet(ctx, migration.FlagSet{ID: id, MigrationID: mid, Name: name, CreatedBy: a.Name, CreatedAt: c.now()}); err != nil {
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

// CheckFlags says what an edit would do, without doing it. Errors name the path of what is
// wrong; a gate that does not hold is no error.
func (c *Control) CheckFlags(
	ctx context.Context,
	mid, set string,
	edit migration.FlagEdit,
) (migration.FlagCheck, error) {
	s, err := c.flagSet(ctx, mid, set)
	if err != nil {
		return migration.FlagCheck{}, err
	}
	now, before, err := c.document(ctx, s.ID, 0)
	if err != nil {
		return migration.FlagCheck{}, err
	}
	if edit.Base > 0 && edit.Base != now.Revision {
		return migration.FlagCheck{}, migration.Errorf(
			migration.Conflict,
			"flag set %s is at revision %d, and the change was made from revision %d: look at what %s changed, then repeat it",
			s.ID,
			now.Revision,
			edit.Base,
			now.Actor,
		)
	}
	after, err := applied(before, edit)
	if err != nil {
		return migration.FlagCheck{}, err
	}
	check := migration.FlagCheck{
		Base:    now.Revision,
		Changes: flags.Diff(before, after),
		Gates:   c.moveGates(s.ID, now.Revision, before, after),
	}
	if len(check.Changes) == 0 {
		return check, errNoChange
	}
	return check, nil
}

var errNoChange = migration.Errorf(
	migration.Invalid,
	"the edit changes nothing: the flag set says this already",
)

// EditFlags carries an edit out as the next revision and serves it. Managed flags only
// steps may change.
func (c *Control) EditFlags(
	ctx context.Context,
	a migration.Actor,
	mid, set string,
	edit migration.FlagEdit,
) (migration.FlagSetRevision, error) {
	r, err := c.editFlags(ctx, a, mid, set, edit)
	c.audit(ctx, a, "flags-edit", cmp.Or(set, mid), revisionText(r, edit.Reason), err)
	return r, err
}

func revisionText(r migration.FlagSetRevision, reason string) string {
	return fmt.Sprintf("revision %d: %s", r.Revision, reason)
}

func (c *Control) editFlags(
	ctx context.Context,
	a migration.Actor,
	mid, set string,
	edit migration.FlagEdit,
) (migration.FlagSetRevision, error) {
	var none migration.FlagSetRevision
	if err := engineer(a); err != nil {
		return none, err
	}
	if err := short("reason", edit.Reason, maxReason); err != nil {
		return none, err
	}
	s, err := c.flagSet(ctx, mid, set)
	if err != nil {
		return none, err
	}
	var changes []migration.FlagDiff
	r, err := c.store.ReviseFlagSet(
		ctx,
		s.ID,
		edit.Base,
		func(now json.RawMessage, next int64) (json.RawMessage, error) {
			before, err := flags.Parse(now)
			if err != nil {
				return nil, err
			}
			after, err := applied(before, edit)
			if err != nil {
				return nil, err
			}
			if changes = flags.Diff(before, after); len(changes) == 0 {
				return nil, errNoChange
			}
			if err := engine.Blocked("the change of "+s.ID, c.moveGates(s.ID, next-1, before, after)); err != nil {
				return nil, err
			}
			if after = flags.Revise(s.ID, before, after, next); after == nil {
				return nil, errNoChange
			}
			return after.JSON(), nil
		},
		a.Name,
		strings.TrimSpace(edit.Reason),
		"",
		c.now(),
	)
	if err != nil {
		return none, err
	}
	r.Changes = changes
	return r, c.publish(ctx)
}

// applied gives the document after an edit, validated, with the rules of flag types and of
// managed flags kept.
func applied(before *flags.Document, edit migration.FlagEdit) (*flags.Document, error) {
	var after *flags.Document
	var err error
	switch {
	case (len(edit.Flags) > 0) == (len(edit.Document) > 0):
		return nil, migration.Errorf(migration.Invalid, "give either flags or a document")
	case len(edit.Document) > 0:
		after, err = imported(before, edit.Document)
	default:
		after, err = edited(before, edit.Flags)
	}
	if err != nil {
		return nil, err
	}
	for key, f := range after.Flags {
		if by, managed := f.Metadata[flags.MetaManaged]; managed &&
			before.Flags[key].Metadata[flags.MetaManaged] != by {
			return nil, migration.Errorf(
				migration.Invalid,
				"flags.%s.metadata.%s: only steps manage flags; leave it out",
				key,
				flags.MetaManaged,
			)
		}
	}
	return after, flags.CheckChange(before, after)
}

// imported takes a whole document; managed flags stay as they are, whatever it says of them.
func imported(before *flags.Document, raw json.RawMessage) (*flags.Document, error) {
	after, err := flags.Parse(raw)
	if err != nil {
		return nil, err
	}
	after = after.Clone()
	if after.Flags == nil {
		after.Flags = map[string]flags.Flag{}
	}
	for key, f := range after.Flags {
		// exported from another migration
		if _, ours := before.Flags[key]; !ours && f.Metadata[flags.MetaManaged] != nil {
			delete(after.Flags, key)
		}
	}
	for key, f := range before.Flags {
		if f.Metadata[flags.MetaManaged] != nil {
			after.Flags[key] = f
		}
	}
	return after, nil
}

func edited(before *flags.Document, changes map[string]json.RawMessage) (*flags.Document, error) {
	all := map[string]json.RawMessage{}
	for key, f := range before.Flags {
		all[key], _ = json.Marshal(f) // it was parsed
	}
	for key, raw := range changes {
		if by := before.Flags[key].Metadata[flags.MetaManaged]; by != nil {
			return nil, migration.Errorf(
				migration.Forbidden,
				"flag %s is changed only by the step %v: use its page, where the move is checked first",
				key,
				by,
			)
		}
		if text := strings.TrimSpace(string(raw)); text == "null" {
			if _, ok := before.Flags[key]; !ok {
				return nil, migration.Errorf(
					migration.NotFound,
					"there is no flag %q to remove",
					key,
				)
			}
			delete(all, key)
			continue
		}
		all[key] = raw
	}
	raw, err := json.Marshal(struct {
		Flags      map[string]json.RawMessage `json:"flags"`
		Evaluators map[string]json.RawMessage `json:"$evaluators,omitempty"`
		Metadata   map[string]any             `json:"metadata,omitempty"`
	}{all, before.Evaluators, before.Metadata})
	if err != nil {
		return nil, migration.Errorf(migration.Invalid, "a definition is not valid JSON: %w", err)
	}
	return flags.Parse(raw)
}

// moveGates are the preconditions of moving migration flags forward: no reader may still
// decide by an older revision.
func (c *Control) moveGates(
	set string,
	revision int64,
	before, after *flags.Document,
) []migration.Gate {
	for key, f := range after.Flags {
		if was, ok := before.Flags[key]; ok && f.Metadata[flags.MetaType] == flags.TypeMigration &&
			stageOf(f).Index() > stageOf(was).Index() {
			return []migration.Gate{c.env.Workers.Gate(set, revision, false)}
		}
	}
	return nil
}

func stageOf(f flags.Flag) migration.Stage {
	if f.DefaultVariant == nil {
		return ""
	}
	return migration.Stage(*f.DefaultVariant)
}

// RollbackEdit gives the edit that brings back what a revision said, except managed flags,
// which only steps change.
func (c *Control) RollbackEdit(
	ctx context.Context,
	mid, set string,
	revision int64,
) (migration.FlagEdit, error) {
	if revision < 1 {
		return migration.FlagEdit{}, migration.Errorf(
			migration.Invalid,
			"say which revision to go back to, from 1",
		)
	}
	s, err := c.flagSet(ctx, mid, set)
	if err != nil {
		return migration.FlagEdit{}, err
	}
	r, err := c.store.FlagSetRevision(ctx, s.ID, revision)
	if err != nil {
		return migration.FlagEdit{}, err
	}
	return migration.FlagEdit{
		Base:     s.Revision,
		Document: r.Definition,
		Reason:   fmt.Sprintf("back to revision %d", revision),
	}, nil
}

// RollbackFlags brings back what a revision said, except managed flags, as a new revision.
// A base above 0 must be the latest one.
func (c *Control) RollbackFlags(
	ctx context.Context,
	a migration.Actor,
	mid, set string,
	revision, base int64,
	reason string,
) (migration.FlagSetRevision, error) {
	if err := c.MayAct(ctx, a, "flags-edit", cmp.Or(set, mid)); err != nil {
		return migration.FlagSetRevision{}, err
	}
	edit, err := c.RollbackEdit(ctx, mid, set, revision)
	if err != nil {
		return migration.FlagSetRevision{}, err
	}
	edit.Base, edit.Reason = cmp.Or(base, edit.Base), reason
	return c.EditFlags(ctx, a, mid, set, edit)
}

// KillFlag makes a kill switch serve off to everybody, or on again.
func (c *Control) KillFlag(
	ctx context.Context,
	a migration.Actor,
	mid, set, key string,
	killed bool,
	reason string,
) (migration.FlagSetRevision, error) {
	action := "flag-restore"
	if killed {
		action = "flag-kill"
	}
	r, err := c.killFlag(ctx, a, mid, set, key, killed, reason)
	c.audit(ctx, a, action, key, revisionText(r, reason), err)
	return r, err
}

func (c *Control) killFlag(
	ctx context.Context,
	a migration.Actor,
	mid, set, key string,
	killed bool,
	reason string,
) (migration.FlagSetRevision, error) {
	if err := engineer(a); err != nil {
		return migration.FlagSetRevision{}, err
	}
	s, err := c.flagSet(ctx, mid, set)
	if err != nil {
		return migration.FlagSetRevision{}, err
	}
	now, doc, err := c.document(ctx, s.ID, 0)
	if err != nil {
		return migration.FlagSetRevision{}, err
	}
	f, ok := doc.Flags[key]
	if !ok {
		return migration.FlagSetRevision{}, migration.Errorf(
			migration.NotFound,
			"flag set %s has no flag %q",
			s.ID,
			key,
		)
	}
	if f, err = flags.Kill(f, killed); err != nil {
		return migration.FlagSetRevision{}, err
	}
	raw, err := json.Marshal(f)
	if err != nil {
		return migration.FlagSetRevision{}, err
	}
	return c.editFlags(
		ctx,
		a,
		mid,
		s.ID,
		migration.FlagEdit{
			Base:   now.Revision,
			Flags:  map[string]json.RawMessage{key: raw},
			Reason: reason,
		},
	)
}

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

// APIKeys lists the keys of a migration's flag sets, oldest first; revoked ones too.
func (c *Control) APIKeys(ctx context.Context, mid string) ([]migration.APIKey, error) {
	sets, err := c.FlagSets(ctx, mid)
	if err != nil {
		return nil, err
	}
	all, err := c.store.APIKeys(ctx)
	return slices.DeleteFunc(all, func(k migration.APIKey) bool {
		return !slices.ContainsFunc(sets, func(s migration.FlagSet) bool { return s.ID == k.Set })
	}), err
}

// CreateAPIKey makes a key for a flag set and gives its token, this once. ratePerSecond 0
// is no bound.
func (c *Control) CreateAPIKey(
	ctx context.Context,
	a migration.Actor,
	mid, set, name string,
	ratePerSecond int,
) (migration.APIKey, migration.Secret, error) {
	k, token, err := c.createAPIKey(ctx, a, mid, set, name, ratePerSecond)
	c.audit(ctx, a, "key-create", k.ID, strings.TrimSpace(name)+" for "+cmp.Or(set, mid), err)
	return k, token, err
}

func (c *Control) createAPIKey(
	ctx context.Context,
	a migration.Actor,
	mid, set, name string,
	ratePerSecond int,
) (migration.APIKey, migration.Secret, error) {
	var none migration.APIKey
	if err := engineer(a); err != nil {
		return none, "", err
	}
	s, err := c.flagSet(ctx, mid, set)
	if err != nil {
		return none, "", err
	}
	if name = strings.TrimSpace(name); name == "" {
		return none, "", migration.Errorf(migration.Invalid, "name: say who will use the key")
	}
	if err := short("name", name, 60); err != nil {
		return none, "", err
	}
	if ratePerSecond < 0 || ratePerSecond > maxRate {
		return none, "", migration.Errorf(
			migration.Invalid,
			"rate_per_second: %d is outside 0..%d; 0 is no bound",
			ratePerSecond,
			maxRate,
		)
	}
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails, by its documentation
	token := "swy_" + base64.RawURLEncoding.EncodeToString(random[:])
	hash := sha256.Sum256([]byte(token))
	k := migration.APIKey{
		ID:            newToken()[:10],
		Name:          name,
		Set:           s.ID,
		Prefix:        token[:8],
		RatePerSecond: ratePerSecond,
		Hash:          hash[:],
		CreatedBy:     a.Name,
		CreatedAt:     c.now(),
	}
	if err := c.store.CreateAPIKey(ctx, k); err != nil {
		return none, "", err
	}
	return k, migration.Secret(token), c.publish(ctx)
}

// RevokeAPIKey ends a key; open streams that use it end too.
func (c *Control) RevokeAPIKey(ctx context.Context, a migration.Actor, mid, id string) error {
	err := c.revokeAPIKey(ctx, a, mid, id)
	c.audit(ctx, a, "key-revoke", id, "", err)
	return err
}

func (c *Control) revokeAPIKey(ctx context.Context, a migration.Actor, mid, id string) error {
	if err := engineer(a); err != nil {
		return err
	}
	keys, err := c.APIKeys(ctx, mid)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(keys, func(k migration.APIKey) bool { return k.ID == id }) {
		return migration.Errorf(migration.NotFound, "migration %s has no key %q", mid, id)
	}
	if err := c.store.RevokeAPIKey(ctx, id, c.now()); err != nil {
		return err
	}
	return c.publish(ctx)
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
