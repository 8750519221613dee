package workflows

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/switchyard-dev/switchyard/flags"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/engine"
)

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
			"flag set %s is at revision %d, and the change was made from revision %d: review "+
				"what %s changed, then repeat it",
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
	look := func(set string, revision int64) migration.Gate {
		return c.env.Workers.Gate(ctx, set, revision, false)
	}
	check := migration.FlagCheck{
		Base:    now.Revision,
		Changes: flags.Diff(before, after),
		Gates:   c.moveGates(s.ID, now.Revision, before, after, look),
	}
	if len(check.Changes) == 0 {
		return check, errNoChange
	}
	return check, nil
}

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
	c.env.Workers.ForgetGone(ctx, s.ID) // before the transaction, which asks no server
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
			gates := c.moveGates(s.ID, next-1, before, after, c.env.Workers.GateAsHeard)
			if err := engine.Blocked("the change of "+s.ID, gates); err != nil {
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
				"flag %s can only be changed by the step %v: use its page",
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
	look func(set string, revision int64) migration.Gate,
) []migration.Gate {
	for key, f := range after.Flags {
		if was, ok := before.Flags[key]; ok && f.Metadata[flags.MetaType] == flags.TypeMigration &&
			stageOf(f).Index() > stageOf(was).Index() {
			return []migration.Gate{look(set, revision)}
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
