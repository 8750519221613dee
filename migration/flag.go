package migration

import (
	"encoding/json"
	"strings"
	"time"
)

// FlagSet is a named set of flags: what one kind of reader gets. Each migration has one
// with its own id, which routes its orders; engineers may add others. A reader's key
// belongs to one set.
type FlagSet struct {
	ID          string    `json:"id"`
	MigrationID string    `json:"migration_id"`
	Name        string    `json:"name"`
	Revision    int64     `json:"revision"` // the latest, from 1
	CreatedBy   string    `json:"created_by"`
	CreatedAt   time.Time `json:"created_at"`
}

// FlagSetRevision is a whole flag set as one change left it. Revisions are never changed;
// going back makes a new one.
type FlagSetRevision struct {
	Set      string `json:"set"`
	Revision int64  `json:"revision"`
	// Definition is in flagd's flag definition format.
	Definition json.RawMessage `json:"definition" type:"object"`
	Actor      string          `json:"actor"`
	Reason     string          `json:"reason"`
	RunID      string          `json:"run_id,omitempty"`
	At         time.Time       `json:"at"`
	// Changes is the difference from the revision before; filled where it is asked for.
	Changes []FlagDiff `json:"changes,omitempty"`
}

// FlagDiff is what a change does to one flag. Key is empty for what belongs to the whole
// set ($evaluators, metadata).
type FlagDiff struct {
	Key   string   `json:"key"`
	Kind  string   `json:"kind" enum:"added,removed,changed"`
	Lines []string `json:"lines"` // for people: defaultVariant: "off" → "on"
	// Before is the definition in flagd's format; absent when added.
	Before json.RawMessage `json:"before,omitempty" type:"object"`
	// After is the definition in flagd's format; absent when removed.
	After json.RawMessage `json:"after,omitempty" type:"object"`
}

// FlagEdit is a change that is asked for: some flags, or a whole document. Exactly one of
// Flags and Document is given.
type FlagEdit struct {
	// Base is the revision the change was made from; another one now is a conflict. 0 does not check.
	Base int64 `json:"base" required:"false"`
	// Flags are new definitions by key; null removes a flag.
	Flags map[string]json.RawMessage `json:"flags,omitempty"`
	// Document replaces everything but managed flags; flagd's format.
	Document json.RawMessage `json:"document,omitempty" type:"object"`
	Reason   string          `json:"reason"`
}

// FlagCheck is what an edit would do, computed without doing it.
type FlagCheck struct {
	Base    int64      `json:"base"` // the revision it was computed against
	Changes []FlagDiff `json:"changes"`
	// Gates are preconditions of stage moves of migration flags; empty when the edit moves none.
	Gates []Gate `json:"gates,omitempty"`
}

// FlagSchedule is a change that is to happen by itself.
type FlagSchedule struct {
	ID  string    `json:"id"`
	Set string    `json:"set"`
	At  time.Time `json:"at"`
	// Edit is what will be changed; nil where Move is given.
	Edit *FlagEdit `json:"edit,omitempty"`
	// Move is a cutover move; who scheduled it approves it in advance, and every gate must
	// still hold at the time.
	Move      *StageMove `json:"move,omitempty"`
	State     string     `json:"state" enum:"pending,done,failed,cancelled"`
	Result    string     `json:"result,omitempty"`
	CreatedBy string     `json:"created_by"`
	CreatedAt time.Time  `json:"created_at"`
}

// States of a schedule.
const (
	SchedulePending = "pending"
	ScheduleDone    = "done"
	// a gate did not hold, or the set had moved on; nothing was changed
	ScheduleFailed    = "failed"
	ScheduleCancelled = "cancelled"
)

// APIKey lets a program read one flag set and attest. The token itself is shown once and
// never stored.
type APIKey struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Set    string `json:"set"`
	Prefix string `json:"prefix"` // the token's first characters, to recognize it by
	// RatePerSecond bounds requests; 0 is no bound. A burst of one second's worth is allowed.
	RatePerSecond int        `json:"rate_per_second"`
	Hash          []byte     `json:"-"` // SHA-256 of the token
	CreatedBy     string     `json:"created_by"`
	CreatedAt     time.Time  `json:"created_at"`
	RevokedAt     *time.Time `json:"revoked_at,omitempty"`
}

// FlagInfo is one flag of a set as people look at it.
type FlagInfo struct {
	Key string `json:"key"`
	// ValueType is empty for a flag without variants, else boolean, string, number or object.
	ValueType string `json:"value_type"`
	Type      string `json:"type"` // empty, migration or kill-switch
	// the step that alone may change it; empty: anybody who may act
	ManagedBy string `json:"managed_by"`
	State     string `json:"state" enum:"ENABLED,DISABLED"`
	Variant   string `json:"variant"` // the default variant; empty: the code's default
	// what the default variant gives; null: the code's default
	Value    any  `json:"value"`
	Targeted bool `json:"targeted"` // some readers may get another variant
	// Definition is in flagd's flag definition format.
	Definition json.RawMessage `json:"definition" type:"object"`
	Revision   int64           `json:"revision"` // of its last change, with who, why and when
	Actor      string          `json:"actor"`
	Reason     string          `json:"reason"`
	RunID      string          `json:"run_id,omitempty"`
	At         time.Time       `json:"at"`
	// why it may have outlived its use; empty: it has not
	Hint string `json:"hint,omitempty"`
}

// FlagSetView is a flag set as it is now.
type FlagSetView struct {
	FlagSet
	Stale      bool       `json:"stale"` // served from the last known good state
	StaleSince *time.Time `json:"stale_since,omitempty"`
	Flags      []FlagInfo `json:"flags"` // by key
	// Definition is the whole document, as workers that evaluate by themselves get it, in
	// flagd's flag definition format.
	Definition json.RawMessage `json:"definition" type:"object"`
}

// FlagSource is the key of the flag that names the source server. The routing's other flags
// are one of each for a queue: see StageFlag, RampFlag and AuthorityFlag. They are in the
// flag set that has the migration's id.
const FlagSource = "source-endpoint"

// FlagQueue is a routed queue in the keys of its flags: its name, or prefix.name where it has a
// prefix of its own. What may not stand in such a key is a dot there.
func FlagQueue(queue string) string {
	return strings.TrimLeft(strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_', r == '-':
			return r
		}
		return '.'
	}, queue), "._-")
}

// StageFlag is the key of the flag that holds a queue's stage.
func StageFlag(queue string) string { return FlagQueue(queue) + "-stage" }

// RampFlag is the key of the flag that holds the share of orders, in percent, for which the
// target has authority.
func RampFlag(queue string) string { return FlagQueue(queue) + "-ramp" }

// AuthorityFlag is the key of the flag that answers an order's authority: source or target.
func AuthorityFlag(queue string) string { return FlagQueue(queue) + "-authority" }
