package scan

// state is the state of an option.
type state string

const (
	good    state = "ok"
	missing state = "missing"
	wrong   state = "wrong"
	unsure  state = "unknown"
)

// Check is one option of one construction.
type Check struct {
	Option string `json:"option"`
	Place  string `json:"place"` // connection or queue
	State  state  `json:"state"`
	Seen   string `json:"seen"`
	Needs  string `json:"needs"`
	Why    string `json:"why"` // what happens without it
}
