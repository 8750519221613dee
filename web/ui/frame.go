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
	Stream        string // address of the event stream; empty: nothing on the page is live
	Updates       bool   // the main part fetches itself again; else only the headline does
	Tag           string // stands for what the page shows: it asks for it only when that changed
	Headline      *migration.Headline
	MigrationID   string
	MigrationName string
	Who           Who
	Theme         string // light, dark, or empty for the system's
	Density       string // compact, or empty
	Times         string // utc, or empty for the browser's own time zone
	NoKeys        bool   // single-key shortcuts are off
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

func keysOf(f Frame) string {
	if f.NoKeys {
		return "off"
	}
	return ""
}

// Viewer is somebody else who has the page open.
type Viewer struct{ Name, Role string }

// Notice is an answer to what the person just tried.
type Notice struct {
	Title string
	Text  string
	Gates []migration.Gate // preconditions that do not hold
}
