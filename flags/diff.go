package flags

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

// Diff says what a change does, flag by flag, in the order of their keys; first, with
// an empty key, what it does to the whole set. Stamps are not a change. before may be
// nil.
func Diff(before, after *Document) []migration.FlagDiff {
	if before == nil {
		before = &Document{}
	}
	out := diffSet(before, after)
	all := maps.Clone(before.Flags)
	if all == nil {
		all = map[string]Flag{}
	}
	maps.Copy(all, after.Flags)
	for _, key := range slices.Sorted(maps.Keys(all)) {
		was, had := before.Flags[key]
		is, has := after.Flags[key]
		switch {
		case !had:
			out = append(out, migration.FlagDiff{
				Key:   key,
				Kind:  "added",
				Lines: []string{"added: " + describe(is)},
				After: encode(is),
			})
		case !has:
			out = append(out, migration.FlagDiff{
				Key:    key,
				Kind:   "removed",
				Lines:  []string{"removed: " + describe(was)},
				Before: encode(was),
			})
		case !sameFlag(was, is):
			out = append(out, migration.FlagDiff{
				Key:    key,
				Kind:   "changed",
				Lines:  flagLines(was, is),
				Before: encode(was),
				After:  encode(is),
			})
		}
	}
	return out
}

// describe is a flag in one line.
func describe(f Flag) string {
	s := fmt.Sprintf("%s, default %s", or(ValueType(f), "no value"),
		variantText(f.DefaultVariant))
	if f.State != enabled {
		s += ", " + f.State
	}
	if targeted(f.Targeting) {
		s += ", with targeting"
	}
	return s
}

func flagLines(was, is Flag) []string {
	var out []string
	if was.State != is.State {
		out = append(out, arrow("state", was.State, is.State))
	}
	if a, b := variantText(was.DefaultVariant), variantText(is.DefaultVariant); a != b {
		out = append(out, arrow("defaultVariant", a, b))
	}
	out = append(out, members("variant ", rawTexts(was.Variants), rawTexts(is.Variants))...)
	if a, b := ruleText(was.Targeting), ruleText(is.Targeting); a != b {
		out = append(out, arrow("targeting", a, b))
	}
	return append(out, members("metadata ", metaTexts(was.Metadata, MetaRevision),
		metaTexts(is.Metadata, MetaRevision))...)
}

func diffSet(before, after *Document) []migration.FlagDiff {
	stamps := []string{MetaSet, MetaSetRevision, MetaFractional}
	lines := members("evaluator ", rawTexts(before.Evaluators), rawTexts(after.Evaluators))
	lines = append(lines, members("metadata ", metaTexts(before.Metadata, stamps...),
		metaTexts(after.Metadata, stamps...))...)
	if len(lines) == 0 {
		return nil
	}
	set := func(d *Document) json.RawMessage {
		m := maps.Clone(d.Metadata)
		for _, name := range stamps {
			delete(m, name)
		}
		return encode(struct {
			Evaluators map[string]json.RawMessage `json:"$evaluators,omitempty"`
			Metadata   map[string]any             `json:"metadata,omitempty"`
		}{d.Evaluators, m})
	}
	return []migration.FlagDiff{{Kind: "changed", Lines: lines, Before: set(before),
		After: set(after)}}
}

// members compares two maps of texts, in the order of their names.
func members(what string, was, is map[string]string) []string {
	all := maps.Clone(was)
	maps.Copy(all, is)
	var out []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		a, had := was[name]
		b, has := is[name]
		switch {
		case !had:
			out = append(out, fmt.Sprintf("%s%q added: %s", what, name, b))
		case !has:
			out = append(out, fmt.Sprintf("%s%q removed: %s", what, name, a))
		case a != b:
			out = append(out, arrow(fmt.Sprintf("%s%q", what, name), a, b))
		}
	}
	return out
}

func arrow(what, a, b string) string { return what + ": " + a + " → " + b }

func variantText(v *string) string {
	if v == nil {
		return "the code's default"
	}
	return fmt.Sprintf("%q", *v)
}

func ruleText(raw json.RawMessage) string {
	if !targeted(raw) {
		return "none"
	}
	return compact(raw)
}

func rawTexts(m map[string]json.RawMessage) map[string]string {
	out := map[string]string{}
	for name, raw := range m {
		out[name] = compact(raw)
	}
	return out
}

func metaTexts(m map[string]any, without ...string) map[string]string {
	out := map[string]string{}
	for name, v := range m {
		if !slices.Contains(without, name) {
			out[name] = string(encode(v))
		}
	}
	return out
}

func compact(raw json.RawMessage) string {
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return string(raw)
	}
	return b.String()
}

// encode encodes plain values; what cannot be encoded cannot have been parsed.
func encode(v any) json.RawMessage {
	raw, _ := json.Marshal(v)
	return raw
}

// ValueType gives the type of a flag's values: boolean, string, number or object; empty
// for a flag without variants.
func ValueType(f Flag) string {
	for _, raw := range f.Variants { // all of one type, by Parse
		var v any
		if json.Unmarshal(raw, &v) == nil {
			return typeOf(v)
		}
	}
	return ""
}

// CheckChange holds a change to the rules of flag types: a migration flag has the six
// stages and moves only between neighbours; a kill switch has the boolean variants on
// and off, no targeting, and is never DISABLED. A flag whose type is given up, or that
// is removed, is free of them, except that a migration flag may go only at off or
// complete. before may be nil. Errors are migration.Invalid for a wrong shape and
// migration.Conflict for a move that is not allowed.
func CheckChange(before, after *Document) error {
	if before == nil {
		before = &Document{}
	}
	for _, key := range slices.Sorted(maps.Keys(before.Flags)) {
		was := before.Flags[key]
		is, has := after.Flags[key]
		if was.Metadata[MetaType] == TypeMigration &&
			(!has || is.Metadata[MetaType] != TypeMigration) {
			if s := stageOf(was); s != migration.StageOff && s != migration.StageComplete {
				return migration.Errorf(migration.Conflict, "flags.%s: a migration at %s "+
					"cannot be given up: move it to off or complete first", key, s)
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(after.Flags)) {
		is := after.Flags[key]
		was, had := before.Flags[key]
		if had && sameFlag(was, is) {
			continue
		}
		var err error
		switch is.Metadata[MetaType] {
		case TypeKillSwitch:
			err = checkKillSwitch("flags."+key, is)
		case TypeMigration:
			from := migration.StageOff
			if had && was.Metadata[MetaType] == TypeMigration {
				from = stageOf(was)
			}
			err = checkMigration("flags."+key, from, is)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func checkKillSwitch(path string, f Flag) error {
	switch {
	case f.State != enabled:
		return invalid(path+".state",
			"a kill switch is always ENABLED: turn it off with the variant off")
	case len(f.Variants) != 2 || compact(f.Variants["on"]) != "true" ||
		compact(f.Variants["off"]) != "false":
		return invalid(path+".variants",
			`a kill switch has exactly the variants "on": true and "off": false`)
	case f.DefaultVariant == nil:
		return invalid(path+".defaultVariant", "a kill switch is on or off")
	case targeted(f.Targeting):
		return invalid(path+".targeting",
			"a kill switch has no targeting: it counts for everybody at once")
	}
	return nil
}

func checkMigration(path string, from migration.Stage, f Flag) error {
	stages := migration.Stages()
	ok := len(f.Variants) == len(stages)
	for _, s := range stages {
		ok = ok && compact(f.Variants[string(s)]) == string(encode(s))
	}
	switch {
	case !ok:
		return invalid(path+".variants", "a migration flag has exactly the six stages, each "+
			"with its own name as value: off, dualwrite, shadow, live, rampdown, complete")
	case f.State != enabled:
		return invalid(path+".state",
			"a migration flag is always ENABLED: its safe state is the variant off")
	case f.DefaultVariant == nil:
		return invalid(path+".defaultVariant", "a migration flag is at one of its stages")
	}
	to := stageOf(f)
	if !neighbours(from, to) {
		return migration.Errorf(migration.Conflict, "%s.defaultVariant: a migration moves "+
			"between neighbouring stages only, not from %s to %s", path, from, to)
	}
	return checkStageShare(path+".targeting", to, f.Targeting)
}

// checkStageShare lets some readers be at the next stage already: a fractional between
// the flag's stage and a neighbour of it.
func checkStageShare(path string, at migration.Stage, raw json.RawMessage) error {
	if !targeted(raw) {
		return nil
	}
	wrong := func() error {
		return invalid(path, "a migration flag has no targeting, or one fractional between "+
			"%s and a neighbouring stage", at)
	}
	var rule map[string][]any
	if json.Unmarshal(raw, &rule) != nil || len(rule) != 1 || len(rule["fractional"]) < 2 {
		return wrong()
	}
	args := rule["fractional"]
	if len(args) == 3 {
		args = args[1:] // what readers are bucketed by
	}
	for _, arg := range args {
		share, _ := arg.([]any)
		if len(share) == 0 {
			return wrong()
		}
		name, _ := share[0].(string)
		if s := migration.Stage(name); !s.Valid() || !neighbours(at, s) {
			return wrong()
		}
	}
	if len(args) != 2 || args[0].([]any)[0] == args[1].([]any)[0] ||
		args[0].([]any)[0] != string(at) && args[1].([]any)[0] != string(at) {
		return wrong()
	}
	return nil
}

func stageOf(f Flag) migration.Stage {
	if f.DefaultVariant == nil {
		return migration.StageOff
	}
	return migration.Stage(*f.DefaultVariant)
}

// neighbours reports whether two stages are the same or next to each other.
func neighbours(a, b migration.Stage) bool {
	d := a.Index() - b.Index()
	return a.Valid() && b.Valid() && d >= -1 && d <= 1
}

// Kill turns a kill switch off, or on again. The value is explicit, never the code's
// default. Invalid for any other flag.
func Kill(f Flag, killed bool) (Flag, error) {
	if f.Metadata[MetaType] != TypeKillSwitch {
		return Flag{}, migration.Errorf(migration.Invalid,
			"the flag is not a kill switch: its metadata type is %v, not %q",
			f.Metadata[MetaType], TypeKillSwitch)
	}
	if err := checkKillSwitch("the flag", f); err != nil {
		return Flag{}, err
	}
	v := "on"
	if killed {
		v = "off"
	}
	f.DefaultVariant = &v
	return f, nil
}

// staleAfterDays is how long a flag may give everybody the same before it is thought to
// have outlived its use.
const staleAfterDays = 30

// StaleHint says why a flag may have outlived its use and what to do about it; empty:
// it has not.
func StaleHint(f Flag, changedAt, now time.Time) string {
	days := int(now.Sub(changedAt).Hours() / 24)
	switch {
	case days <= staleAfterDays || f.Metadata["permanent"] == true ||
		f.Metadata[MetaManaged] != nil || f.Metadata[MetaType] == TypeKillSwitch:
		return ""
	case f.Metadata[MetaType] == TypeMigration:
		if stageOf(f) != migration.StageComplete || targeted(f.Targeting) {
			return ""
		}
		return fmt.Sprintf(
			"Complete for %d days: remove the old path from the code, then this flag.", days)
	case f.State != enabled:
		return fmt.Sprintf("Disabled for %d days, so the code's default counts: remove it "+
			"from the code, then here.", days)
	case targeted(f.Targeting):
		return ""
	}
	return fmt.Sprintf("Serves %s to everyone for %d days: put the value into the code and "+
		"remove the flag, or set its metadata permanent to true.",
		strings.ReplaceAll(variantText(f.DefaultVariant), `"`, ""), days)
}
