package migration

import "slices"

// Stage is where a queue stands on its way from the source to the target. The names are
// LaunchDarkly's migration stages.
//
// What each stage means for producers and workers is in docs/stages.md; the zero value is not a
// stage.
type Stage string

const (
	// StageOff is the start: everything on the source. Reached from nothing, or by rolling
	// back from dualwrite.
	StageOff Stage = "off"
	// StageDualWrite enqueues on the source and leaves a shadow copy waiting on the target.
	StageDualWrite Stage = "dualwrite"
	// StageShadow also runs the shadow copies on the target, with side effects off, and
	// compares results.
	StageShadow Stage = "shadow"
	// StageLive gives the target authority for a percentage of order keys (the ramp); the
	// other side runs the shadow copy.
	StageLive Stage = "live"
	// StageRampDown gives the target all authority; a copy waits on the source so that a
	// rollback loses nothing.
	StageRampDown Stage = "rampdown"
	// StageComplete uses the target alone; the source drains.
	StageComplete Stage = "complete"
)

var stages = []Stage{StageOff, StageDualWrite, StageShadow, StageLive, StageRampDown, StageComplete}

// Stages returns the six stages in forward order.
func Stages() []Stage { return slices.Clone(stages) }

// Index returns the stage's place in forward order, or -1 for a word that is no stage.
func (s Stage) Index() int { return slices.Index(stages, s) }

// Label names the stage for people, in the middle of a sentence; the ids are for programs.
func (s Stage) Label() string {
	switch s {
	case StageDualWrite:
		return "dual write"
	case StageRampDown:
		return "ramp down"
	}
	return string(s)
}

// Valid reports whether s is one of the six stages.
func (s Stage) Valid() bool { return s.Index() >= 0 }

// SourceEndpoint says which server the ingestion app uses as its source side.
type SourceEndpoint string

const (
	// SourceStandalone is the unmanaged Redis that everything starts on.
	SourceStandalone SourceEndpoint = "standalone"
	// SourceSentinel is the Sentinel deployment, after the replication swap.
	SourceSentinel SourceEndpoint = "sentinel"
	// SourceNone tells workers to drop every connection to a source server, before decommission.
	SourceNone SourceEndpoint = "none"
)

// Routing is what the flags of one queue say.
type Routing struct {
	Stage Stage `json:"stage"`
	// percent of order keys whose authority is the target while the stage is live
	Ramp   int            `json:"ramp"`
	Source SourceEndpoint `json:"source_endpoint"`
	// Revision is the flag set's revision this routing was read at.
	Revision int64 `json:"revision"`
}

// StageMove is one change of routing that an engineer may ask for.
type StageMove struct {
	To Stage `json:"to"`
	// Ramp is a percentage; only with live.
	Ramp int `json:"ramp,omitempty"`
}

// Forward reports whether the move goes towards the target, seen from the present routing.
func (r Routing) Forward(m StageMove) bool {
	if m.To == r.Stage {
		return m.Ramp > r.Ramp
	}
	return m.To.Index() > r.Stage.Index()
}

// Check reports whether the move is one of the protocol's transitions: adjacent stages in
// either direction, or a change of ramp within live. It knows nothing of gates; those
// depend on evidence. The same table is in docs/stages.md.
func (r Routing) Check(m StageMove) error {
	if !m.To.Valid() {
		return Errorf(
			Invalid,
			"unknown stage %q: the stages are off, dualwrite, shadow, live, rampdown, complete",
			m.To,
		)
	}
	if m.To == StageLive && (m.Ramp < 1 || m.Ramp > 100) {
		return Errorf(
			Invalid,
			"ramp %d %% is out of range: live needs a ramp from 1 to 100",
			m.Ramp,
		)
	}
	if m.To != StageLive && m.Ramp != 0 {
		return Errorf(Invalid, "stage %s has no ramp: give ramp only with live", m.To)
	}
	if !r.Stage.Valid() {
		return Errorf(
			Conflict,
			"the queue is at the unknown stage %q: set it to a known one by hand first",
			r.Stage,
		)
	}
	step := m.To.Index() - r.Stage.Index()
	switch {
	case step == 0 && m.To == StageLive && m.Ramp != r.Ramp:
		return nil
	case step == 0:
		return Errorf(Conflict, "the queue is already at %s", r)
	case step > 1 || step < -1:
		return Errorf(
			Invalid,
			"cannot move from %s to %s: only adjacent stages, next is %s",
			r.Stage,
			m.To,
			adjacent(r.Stage, step),
		)
	case m.To == StageRampDown && r.Stage == StageLive && r.Ramp < 100:
		return Errorf(
			Blocked,
			"cannot move to rampdown at a ramp of %d %%: first move to live at 100 %%",
			r.Ramp,
		)
	}
	return nil
}

// Before gives the move to the stage before; false at the first one. From rampdown that is
// live for all orders, which is what rampdown was reached from.
func (r Routing) Before() (StageMove, bool) {
	i := r.Stage.Index()
	if i <= 0 {
		return StageMove{}, false
	}
	m := StageMove{To: stages[i-1]}
	if m.To == StageLive {
		m.Ramp = 100
	}
	return m, true
}

func adjacent(s Stage, direction int) Stage {
	if direction > 0 {
		return stages[s.Index()+1]
	}
	return stages[s.Index()-1]
}

// String gives the routing in words, such as "live at 25 %".
func (r Routing) String() string { return StageMove{r.Stage, r.Ramp}.String() }

// String gives the move's goal in words, such as "live at 25 %".
func (m StageMove) String() string {
	if m.To == StageLive {
		return "live at " + itoa(m.Ramp) + " %"
	}
	return m.To.Label()
}

// HasSource reports whether there is a source side: it was not released for decommission.
func (r Routing) HasSource() bool { return r.Source != SourceNone }
