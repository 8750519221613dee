package ui

import (
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

// Who is the person looking at the page.
type Who struct {
	migration.Actor
	// CSRF is the token that every form of this session carries.
	CSRF string
}

// CanAct reports whether the person may start, approve, cancel and roll back.
func (w Who) CanAct() bool { return w.Role == migration.RoleEngineer }

// Frame is what surrounds a page.
type Frame struct {
	Title         string
	Section       string // entry of the navigation that is current
	Path          string // of this page with its query: where its fragment is fetched again
	Stream        string // address of the event stream; empty: the page is not live
	MigrationID   string
	MigrationName string
	Who           Who
	Theme         string // light, dark, or empty for the system's
	Version       string
	Now           time.Time
	Notice        *Notice
	Alerts        int // open ones that nobody has acknowledged
}

// alertWords counts the alerts that wait for somebody; empty: none does.
func (f Frame) alertWords() string {
	if f.Alerts == 0 {
		return ""
	}
	return Count(f.Alerts, "unacknowledged alert")
}

// Notice is an answer to what the person just tried.
type Notice struct {
	Title string
	Text  string
	Gates []migration.Gate // preconditions that do not hold
}
