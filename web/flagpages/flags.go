package flagpages

import (
	"encoding/json"
	"net/url"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/web/ui"
)

// FlagSetting is what every page about flags has around its content.
type FlagSetting struct {
	MigrationID string
	Tab         string // flags, history, schedules, workers, keys
	Sets        []migration.FlagSet
	View        migration.FlagSetView
	Now         time.Time
	Who         ui.Who
}

// Flags is the list of the flags of a set.
type Flags struct {
	FlagSetting
	Search  string
	Workers []Worker
	// Routing and Share are of the migration's own set; nil for any other.
	Routing *migration.Routing
	Share   migration.Share
	NewSet  NewFlagSet
}

// NewFlagSet is what was typed into the form for a set.
type NewFlagSet struct{ ID, Name string }

// FlagsURL is the address of a page about a flag set; tab "" is the list.
func FlagsURL(mid, tab, set string) string {
	parts := []string{"flags"}
	if tab != "" {
		parts = append(parts, tab)
	}
	u := ui.URL(mid, parts...)
	if set != "" {
		u += "?" + url.Values{"set": {set}}.Encode()
	}
	return u
}

// flagsAction is where a form about flags is sent.
func flagsAction(v FlagSetting, parts ...string) string {
	return ui.URL(v.MigrationID, append([]string{"flags"}, parts...)...)
}

func flagURL(v FlagSetting, key string) string {
	return FlagsURL(v.MigrationID, "edit", v.View.ID) + "&" + url.Values{"key": {key}}.Encode()
}

// serves says in words what a flag gives now.
func serves(f migration.FlagInfo) string {
	switch {
	case f.State == "DISABLED":
		return "disabled: in-code default"
	case f.Variant == "":
		return "in-code default"
	}
	raw, err := json.Marshal(f.Value)
	if err != nil {
		return f.Variant
	}
	return f.Variant + " (" + cut(string(raw), 60) + ")"
}

func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n]) + "…"
	}
	return s
}

func flagType(f migration.FlagInfo) string {
	switch f.Type {
	case "kill-switch":
		return "kill switch"
	case "":
		return f.ValueType
	}
	return f.Type
}

func killed(f migration.FlagInfo) bool { return f.Variant == "off" }

// found lists the flags whose key holds the words that were searched for.
func found(v Flags) []migration.FlagInfo {
	var out []migration.FlagInfo
	for _, f := range v.View.Flags {
		if strings.Contains(strings.ToLower(f.Key+" "+flagType(f)), strings.ToLower(v.Search)) {
			out = append(out, f)
		}
	}
	return out
}
