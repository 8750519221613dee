package api

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/switchyard-dev/switchyard/flags"
	"github.com/switchyard-dev/switchyard/migration"
)

func flagOperations() []Operation {
	const (
		path      = ofMigration + "/flags"
		sets      = ofMigration + "/flag-sets"
		schedules = ofMigration + "/schedules"
		keys      = ofMigration + "/keys"
	)
	return []Operation{{
		ID: "getFlags", Route: "GET " + path, Access: AccessSession,
		Summary: "A flag set as it is now",
		Params:  ofSet{}, Answer: migration.FlagSetView{},
	}, {
		ID: "listFlagChanges", Route: "GET " + path + "/history", Access: AccessSession,
		Summary: "Revisions of a flag set, newest first",
		Params:  historyParams{}, Answer: FlagHistory{},
	}, {
		ID: "exportFlags", Route: "GET " + path + "/export", Access: AccessSession,
		Summary: "The whole document as a file that flagd reads",
		Params:  ofSet{}, Answer: map[string]any{}, Result: "A document in flagd's flag definition format",
	}, {
		ID: "checkFlags", Route: "POST " + path + "/check", Access: AccessSession,
		Summary: "What an edit would do, without doing it",
		Params:  ofSet{}, Body: migration.FlagEdit{}, Answer: migration.FlagCheck{},
	}, {
		ID: "editFlags", Route: "POST " + path + "/changes", Access: AccessEngineer,
		Summary: "Change flags",
		Params:  ofSet{}, Body: migration.FlagEdit{},
		Status: http.StatusCreated, Result: "The new revision", Answer: migration.FlagSetRevision{},
	}, {
		ID: "rollbackFlags", Route: "POST " + path + "/rollback", Access: AccessEngineer,
		Summary: "Restore what a revision said",
		Params:  ofSet{}, Body: FlagRollback{},
		Status: http.StatusCreated, Result: "The new revision", Answer: migration.FlagSetRevision{},
	}, {
		ID: "killFlag", Route: "POST " + path + "/kill", Access: AccessEngineer,
		Summary: "Make a kill switch serve off, or on again",
		Params:  ofSet{}, Body: FlagKill{},
		Status: http.StatusCreated, Result: "The new revision", Answer: migration.FlagSetRevision{},
	}, {
		ID: "previewFlag", Route: "POST " + path + "/evaluate", Access: AccessSession,
		Summary: "What a context would get",
		Params:  ofSet{}, Body: FlagPreview{}, Answer: flags.Evaluation{},
	}, {
		ID: "listFlagSets", Route: "GET " + sets, Access: AccessSession,
		Summary: "The migration's flag sets", Answer: FlagSetList{},
	}, {
		ID: "createFlagSet", Route: "POST " + sets, Access: AccessEngineer,
		Summary: "Add an empty flag set",
		Body:    NewFlagSet{},
		Status:  http.StatusCreated, Result: "The flag set", Answer: migration.FlagSet{},
	}, {
		ID: "listSchedules", Route: "GET " + schedules, Access: AccessSession,
		Summary: "Scheduled changes",
		Params:  ofSet{}, Answer: ScheduleList{},
	}, {
		ID: "scheduleChange", Route: "POST " + schedules, Access: AccessEngineer,
		Summary: "Schedule a change or a cutover move",
		Params:  ofSet{}, Body: NewSchedule{},
		Status: http.StatusCreated, Result: "The scheduled change", Answer: migration.FlagSchedule{},
	}, {
		ID: "cancelSchedule", Route: "DELETE " + schedules + "/{schedule}", Access: AccessEngineer,
		Summary: "Cancel a scheduled change", Result: "Cancelled",
	}, {
		ID: "listKeys", Route: "GET " + keys, Access: AccessSession,
		Summary: "Keys of programs that read flags", Answer: KeyList{},
	}, {
		ID: "createKey", Route: "POST " + keys, Access: AccessEngineer,
		Summary: "Create a key; only the answer holds its token",
		Body:    NewKey{},
		Status:  http.StatusCreated, Result: "The key and its token", Answer: CreatedKey{},
	}, {
		ID: "revokeKey", Route: "DELETE " + keys + "/{apikey}", Access: AccessEngineer,
		Summary: "Revoke a key", Result: "Revoked",
	}}
}

type historyParams struct {
	ofSet
	// Only revisions below this one.
	Before int64 `query:"before"`
	page
}

// FlagHistory is revisions with what each changed, newest first.
type FlagHistory struct {
	Revisions []migration.FlagSetRevision `json:"revisions"`
}

// FlagSetList is the flag sets of a migration; the first is its own.
type FlagSetList struct {
	Sets []migration.FlagSet `json:"sets"`
}

// NewFlagSet asks for an empty flag set.
type NewFlagSet struct {
	ID   string `json:"id"` // slug: lower-case letters, digits, dashes
	Name string `json:"name,omitempty"`
}

// FlagRollback restores what a revision said, except managed flags.
type FlagRollback struct {
	Revision int64 `json:"revision"`
	// Base is the revision that is rolled back from; another one now is a conflict. 0 does not check.
	Base   int64  `json:"base,omitempty"`
	Reason string `json:"reason"`
}

// FlagKill makes a kill switch serve off, or on again.
type FlagKill struct {
	Key    string `json:"key"`
	Killed bool   `json:"killed,omitempty"` // false: on again
	Reason string `json:"reason"`
}

// FlagPreview asks what a context would get.
type FlagPreview struct {
	Key string `json:"key"`
	// Definition is used instead of the stored one; in flagd's flag definition format.
	Definition json.RawMessage `json:"definition,omitempty" type:"object"`
	Context    map[string]any  `json:"context,omitempty"`
}

// NewSchedule asks for a change at a time; one of edit and move is given.
type NewSchedule struct {
	At   time.Time            `json:"at"`
	Edit *migration.FlagEdit  `json:"edit,omitempty"`
	Move *migration.StageMove `json:"move,omitempty"`
}

// ScheduleList is scheduled changes by time.
type ScheduleList struct {
	Schedules []migration.FlagSchedule `json:"schedules"`
}

// NewKey asks for a key that reads one flag set.
type NewKey struct {
	Set           string `json:"set,omitempty"` // empty: the migration's own
	Name          string `json:"name"`
	RatePerSecond int    `json:"rate_per_second,omitempty"` // requests; 0: no limit
}

// CreatedKey is a new key with its token, which is shown this once.
type CreatedKey struct {
	Key   migration.APIKey `json:"key"`
	Token string           `json:"token"`
}

// KeyList is keys, oldest first, revoked ones too.
type KeyList struct {
	Keys []migration.APIKey `json:"keys"`
}
