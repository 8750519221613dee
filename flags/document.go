package flags

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"

	"github.com/switchyard-dev/switchyard/migration"
)

// Document is a flag set in flagd's flag definition format
// (https://flagd.dev/schema/v0/flags.json).
type Document struct {
	Schema     string                     `json:"$schema,omitempty"`
	Flags      map[string]Flag            `json:"flags"`
	Evaluators map[string]json.RawMessage `json:"$evaluators,omitempty"`
	Metadata   map[string]any             `json:"metadata,omitempty"`
}

// Flag is one flag definition.
type Flag struct {
	// ENABLED or DISABLED; DISABLED means "use the code's default"
	State    string                     `json:"state"`
	Variants map[string]json.RawMessage `json:"variants"`
	// nil: the code's default
	DefaultVariant *string         `json:"defaultVariant,omitempty"`
	Targeting      json.RawMessage `json:"targeting,omitempty"` // JsonLogic
	// string, number, boolean
	Metadata map[string]any `json:"metadata,omitempty"`
}

const enabled, disabled = "ENABLED", "DISABLED"

// Metadata that Switchyard itself writes or gives a meaning to.
const (
	// MetaSet, MetaSetRevision and MetaFractional are of the set: its id, its revision,
	// and the version of the algorithm by which `fractional` buckets. A set of an
	// unknown version is refused, so that an upgrade cannot silently move orders to
	// other buckets.
	MetaSet         = "flagSetId"
	MetaSetRevision = "flagSetRevision"
	MetaFractional  = "fractional"
	// MetaRevision is of a flag: the set's revision in which it last changed.
	MetaRevision = "revision"
	// MetaType is of a flag: TypeMigration, TypeKillSwitch or absent.
	MetaType = "type"
	// MetaManaged is of a flag that only steps may change; its value says by what.
	MetaManaged = "managedBy"

	TypeMigration  = "migration"
	TypeKillSwitch = "kill-switch"

	// FractionalV2 is murmur3_x86_32 of the bucketing value, scaled to the sum of the
	// weights: flagd core 0.16 and later.
	FractionalV2 = "v2"
)

// JSON gives the document as bytes that are the same for the same contents.
func (d *Document) JSON() []byte {
	raw, err := json.Marshal(d)
	if err != nil { // it was parsed, or made of plain values
		panic(err)
	}
	return raw
}

// Clone gives a copy whose maps can be changed.
func (d *Document) Clone() *Document {
	c := *d
	c.Flags, c.Evaluators, c.Metadata = maps.Clone(d.Flags), maps.Clone(d.Evaluators),
		maps.Clone(d.Metadata)
	return &c
}

// Revise stamps after as the next revision of a set: the set's id and revision, and for
// each flag the revision of its last change. It gives nil when after says the same as
// before. before may be nil.
func Revise(set string, before, after *Document, next int64) *Document {
	out := after.Clone()
	if out.Flags == nil {
		out.Flags = map[string]Flag{}
	}
	if out.Metadata == nil {
		out.Metadata = map[string]any{}
	}
	changed := before == nil
	for key, f := range out.Flags {
		f.Metadata = maps.Clone(f.Metadata)
		if f.Metadata == nil {
			f.Metadata = map[string]any{}
		}
		f.Metadata[MetaRevision] = next
		if before != nil {
			if was, ok := before.Flags[key]; ok && RevisionOf(was) > 0 && sameFlag(was, f) {
				f.Metadata[MetaRevision] = was.Metadata[MetaRevision]
			} else {
				changed = true
			}
		}
		out.Flags[key] = f
	}
	out.Metadata[MetaSet], out.Metadata[MetaSetRevision], out.Metadata[MetaFractional] = set,
		next, FractionalV2
	if before != nil {
		changed = changed || len(before.Flags) != len(out.Flags) ||
			!bytes.Equal(rest(before), rest(out))
	}
	if !changed {
		return nil
	}
	return out
}

func sameFlag(a, b Flag) bool {
	a.Metadata, b.Metadata = maps.Clone(a.Metadata), maps.Clone(b.Metadata)
	delete(a.Metadata, MetaRevision)
	delete(b.Metadata, MetaRevision)
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return bytes.Equal(x, y)
}

// rest is what a document says besides its flags and stamps.
func rest(d *Document) []byte {
	c := d.Clone()
	c.Flags, c.Schema = nil, ""
	delete(c.Metadata, MetaSetRevision)
	raw, _ := json.Marshal(c)
	return raw
}

// RevisionOf gives the set's revision in which a flag last changed; 0 when it was never
// stamped.
func RevisionOf(f Flag) int64 {
	switch v := f.Metadata[MetaRevision].(type) {
	case float64:
		return int64(v)
	case int64:
		return v
	}
	return 0
}

// RoutingFlags gives the flags by which one queue is routed: <queue>-stage, a migration
// flag; <queue>-ramp, the percentage; and <queue>-authority, which gives the side that
// executes an order to any OpenFeature client that sends the order's key as
// targetingKey. The share is sticky: by murmur3 of "<queue>-stage" and the order's key,
// as clients/node computes it by itself.
func RoutingFlags(queue string, r migration.Routing) map[string]Flag {
	text := func(s string) json.RawMessage { raw, _ := json.Marshal(s); return raw }
	managed := func(more map[string]any) map[string]any {
		m := map[string]any{MetaManaged: "cutover"}
		maps.Copy(m, more)
		return m
	}
	stage := string(r.Stage)
	stages := map[string]json.RawMessage{}
	for _, s := range migration.Stages() {
		stages[string(s)] = text(string(s))
	}
	ramp := fmt.Sprint(r.Ramp)
	authority, targeting := "source", json.RawMessage(nil)
	switch r.Stage {
	case migration.StageLive:
		targeting, _ = json.Marshal(map[string]any{"fractional": []any{
			map[string]any{"cat": []any{migration.StageFlag(queue),
				map[string]any{"var": "targetingKey"}}},
			[]any{"target", r.Ramp}, []any{"source", 100 - r.Ramp}}})
	case migration.StageRampDown, migration.StageComplete:
		authority = "target"
	}
	return map[string]Flag{
		migration.StageFlag(queue): {State: enabled, Variants: stages, DefaultVariant: &stage,
			Metadata: managed(map[string]any{MetaType: TypeMigration})},
		migration.RampFlag(queue): {State: enabled,
			Variants:       map[string]json.RawMessage{ramp: json.RawMessage(ramp)},
			DefaultVariant: &ramp, Metadata: managed(nil)},
		migration.AuthorityFlag(queue): {State: enabled,
			Variants: map[string]json.RawMessage{"source": text("source"),
				"target": text("target")},
			DefaultVariant: &authority, Targeting: targeting, Metadata: managed(nil)},
	}
}

// SourceFlag gives the flag source-endpoint, which says which server is the source side.
func SourceFlag(to migration.SourceEndpoint) Flag {
	v := string(to)
	variants := map[string]json.RawMessage{}
	for _, s := range []migration.SourceEndpoint{migration.SourceStandalone,
		migration.SourceSentinel, migration.SourceNone} {
		variants[string(s)], _ = json.Marshal(s)
	}
	return Flag{
		State:          enabled,
		Variants:       variants,
		DefaultVariant: &v,
		Metadata:       map[string]any{MetaManaged: "cutover"},
	}
}

// ReadRouting reads the routing of a queue back from a document.
func ReadRouting(d *Document, queue string) migration.Routing {
	r := migration.Routing{Stage: migration.StageOff, Source: migration.SourceStandalone}
	read := func(key string, into any) {
		if f, ok := d.Flags[key]; ok && f.DefaultVariant != nil {
			// written by us; anything else leaves the default
			_ = json.Unmarshal(f.Variants[*f.DefaultVariant], into)
		}
	}
	read(migration.StageFlag(queue), &r.Stage)
	read(migration.RampFlag(queue), &r.Ramp)
	read(migration.FlagSource, &r.Source)
	return r
}
