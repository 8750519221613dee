package flagadmin

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/flags"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/web/flagpages"
)

// newDraft is a flag as the editor opens for a new one.
func newDraft(base int64) flagpages.FlagDraft {
	return flagpages.FlagDraft{
		New: true, State: "ENABLED", Base: base, Default: "off",
		Variants: rows([]flagpages.VariantRow{
			{Name: "on", Value: "true"}, {Name: "off", Value: "false"},
		}),
	}
}

// rows gives at least two empty lines to type into.
func rows(r []flagpages.VariantRow) []flagpages.VariantRow {
	return append(slices.Clip(r), flagpages.VariantRow{}, flagpages.VariantRow{})
}

// draftOf spreads a definition over the form's fields.
func draftOf(key string, definition []byte) flagpages.FlagDraft {
	d := flagpages.FlagDraft{
		Key: key, Raw: indented(definition), Definition: string(definition), State: "ENABLED",
	}
	var f flags.Flag
	if json.Unmarshal(definition, &f) != nil {
		d.AsJSON = true // only as text can it be repaired
		return d
	}
	text := func(name string) string { v, _ := f.Metadata[name].(string); return v }
	d.State, d.Type = cmp.Or(f.State, "ENABLED"), text(flags.MetaType)
	d.Owner, d.Description = text("owner"), text("description")
	d.Permanent, _ = f.Metadata["permanent"].(bool)
	if f.DefaultVariant != nil {
		d.Default = *f.DefaultVariant
	}
	switch strings.TrimSpace(string(f.Targeting)) {
	case "", "null", "{}":
	default:
		d.Targeting = indented(f.Targeting)
	}
	for _, name := range slices.Sorted(maps.Keys(f.Variants)) {
		d.Variants = append(d.Variants,
			flagpages.VariantRow{Name: name, Value: string(f.Variants[name])})
	}
	d.Variants = rows(d.Variants)
	return d
}

// indented is JSON for reading; what is not JSON stays as it is.
func indented(raw []byte) string {
	var b bytes.Buffer
	if json.Indent(&b, raw, "", "  ") != nil {
		return string(raw)
	}
	return b.String()
}

// typedDraft reads the editor's form back.
func typedDraft(c *fiber.Ctx) flagpages.FlagDraft {
	base, _ := strconv.ParseInt(c.FormValue("base"), 10, 64) // 0 checks no base
	d := flagpages.FlagDraft{
		Key: strings.TrimSpace(c.FormValue("key")), State: c.FormValue("state"),
		Default: strings.TrimSpace(c.FormValue("default")), Targeting: c.FormValue("targeting"),
		Type: c.FormValue("type"), Owner: c.FormValue("owner"),
		Description: c.FormValue("description"), Permanent: c.FormValue("permanent") == "true",
		Raw: c.FormValue("raw"), AsJSON: c.FormValue("as") == "json",
		Definition: c.FormValue("definition"), Base: base, New: c.FormValue("new") == "true",
		Context: c.FormValue("context"),
	}
	names := c.Request().PostArgs().PeekMulti("variant_name")
	values := c.Request().PostArgs().PeekMulti("variant_value")
	for i := range min(len(names), len(values)) {
		d.Variants = append(d.Variants,
			flagpages.VariantRow{Name: string(names[i]), Value: string(values[i])})
	}
	return d
}

// definitionOf makes a definition of what was typed. What the fields do not show is taken from the
// definition the draft began with.
func definitionOf(d flagpages.FlagDraft) (json.RawMessage, error) {
	if d.AsJSON {
		if !json.Valid([]byte(d.Raw)) {
			return nil, migration.Errorf(migration.Invalid, "the definition is not valid JSON")
		}
		return json.RawMessage(d.Raw), nil
	}
	var f flags.Flag
	if d.Definition != "" {
		if err := json.Unmarshal([]byte(d.Definition), &f); err != nil {
			return nil, migration.Errorf(migration.Invalid,
				"the definition that was edited is not readable: %w", err)
		}
	}
	f.State, f.DefaultVariant, f.Targeting = d.State, nil, nil
	var err error
	if f.Variants, err = variantsOf(d.Variants); err != nil {
		return nil, err
	}
	if d.Default != "" {
		f.DefaultVariant = &d.Default
	}
	if rule := strings.TrimSpace(d.Targeting); rule != "" {
		if !json.Valid([]byte(rule)) {
			return nil, migration.Errorf(migration.Invalid, "targeting: is not valid JSON")
		}
		f.Targeting = json.RawMessage(rule)
	}
	if f.Metadata == nil {
		f.Metadata = map[string]any{}
	}
	for name, value := range map[string]string{
		flags.MetaType: d.Type, "owner": strings.TrimSpace(d.Owner),
		"description": strings.TrimSpace(d.Description),
	} {
		if delete(f.Metadata, name); value != "" {
			f.Metadata[name] = value
		}
	}
	if delete(f.Metadata, "permanent"); d.Permanent {
		f.Metadata["permanent"] = true
	}
	return json.Marshal(f)
}

func variantsOf(typed []flagpages.VariantRow) (map[string]json.RawMessage, error) {
	out := map[string]json.RawMessage{}
	for _, r := range typed {
		name, value := strings.TrimSpace(r.Name), strings.TrimSpace(r.Value)
		if name == "" && value == "" {
			continue
		}
		if !json.Valid([]byte(value)) {
			return nil, migration.Errorf(migration.Invalid,
				"variants.%s: %q is not JSON; text needs quotes", name, value)
		}
		if out[name] != nil {
			return nil, migration.Errorf(migration.Invalid, "variants.%s: is there twice", name)
		}
		out[name] = json.RawMessage(value)
	}
	return out, nil
}
