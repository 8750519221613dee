package migration

import "time"

// GuardrailRule is one limit that takes a move back by itself, as it is approved.
type GuardrailRule struct {
	ID    string `json:"id"`
	Title string `json:"title"`
	// Side is the server that it is about; empty: no single one.
	Side  string `json:"side,omitempty" enum:"source,target"`
	Limit string `json:"limit"` // in words
	// Set says how the limit was set for this move; empty: it is the configured one.
	Set string `json:"set,omitempty"`
	// OnFail is what happens by itself beyond the limit.
	OnFail string `json:"on_fail"`
}

// GuardrailState is how a guardrail was found when it was looked at last.
type GuardrailState string

const (
	GuardrailHolds   GuardrailState = "holds"
	GuardrailFails   GuardrailState = "fails"
	GuardrailUnknown GuardrailState = "unknown"
)

// Guardrail is a rule with what it was judged by last.
type Guardrail struct {
	GuardrailRule
	// Value is what was observed last; empty: nothing was yet.
	Value string `json:"value,omitempty"`
	// At is when Value was observed; nil: never.
	At    *time.Time     `json:"at,omitempty"`
	State GuardrailState `json:"state" enum:"holds,fails,unknown"`
	// Why says what is wrong, or why it is not known.
	Why string `json:"why,omitempty"`
	// Since is from when on it has been in this state, as far as it was looked at.
	Since time.Time `json:"since"`
}

// Watched reports whether anybody has looked at some guardrails yet.
func Watched(all []Guardrail) bool {
	for _, g := range all {
		if g.At != nil || g.Why != "" {
			return true
		}
	}
	return false
}

// Limits are guardrails of a move forward that were set for it alone; zero: as configured.
type Limits struct {
	// MaxRefused is how many webhooks may be refused, and how many adds may fail on either side.
	MaxRefused int `json:"max_refused,omitempty" minimum:"1"`
	// MaxLatencyMS is how long an add on the target, and an answer of the source, may take.
	MaxLatencyMS int `json:"max_latency_ms,omitempty" minimum:"1"`
	// MaxSilenceMS is how long either side may be slower, or its events unread.
	MaxSilenceMS int `json:"max_silence_ms,omitempty" minimum:"1000"`
}

// Latency and Silence give the limits as durations.
func (l Limits) Latency() time.Duration { return time.Duration(l.MaxLatencyMS) * time.Millisecond }

// Silence is how long a side may be slow or unread.
func (l Limits) Silence() time.Duration { return time.Duration(l.MaxSilenceMS) * time.Millisecond }

// LimitBound is between what one of the Limits may be set.
type LimitBound struct {
	Key   string `json:"key"` // as in Limits
	Title string `json:"title"`
	Unit  string `json:"unit"`
	// Configured is the limit where none is set.
	Configured int `json:"configured"`
	Least      int `json:"least"`
	Most       int `json:"most"`
}

// Of gives the limit of one of LimitKeys; 0: as configured.
func (l *Limits) Of(key string) *int {
	switch key {
	case "max_refused":
		return &l.MaxRefused
	case "max_latency_ms":
		return &l.MaxLatencyMS
	}
	return &l.MaxSilenceMS
}

// LimitKeys are the keys of Limits.
func LimitKeys() []string { return []string{"max_refused", "max_latency_ms", "max_silence_ms"} }
