package migration

import "time"

// HeadlineLevel says whether somebody has to do something now.
type HeadlineLevel string

const (
	// Calm: everything that is watched was looked at, and nothing is wrong.
	Calm HeadlineLevel = "calm"
	// Attention: something is wrong or not known, and no order is lost by waiting a while.
	Attention HeadlineLevel = "attention"
	// Incident: orders are being lost, or will be soon.
	Incident HeadlineLevel = "incident"
)

// Headline is the state of a migration in one sentence, the same on every page.
type Headline struct {
	Level HeadlineLevel `json:"level" enum:"calm,attention,incident"`
	Title string        `json:"title"`
	// First is what to do first; empty while all is calm.
	First string `json:"first,omitempty"`
	// About is the key of the alert that the title is about, <migration>/<kind>/...; empty: it is
	// about none.
	About string `json:"about,omitempty"`
	// Runbook is the id of the page that says what to do; empty: there is none.
	Runbook string `json:"runbook,omitempty"`
	// FirstLoss is when the first order is lost for good, by the retry schedules of the payment
	// providers; nil: no order is missing, or it is not known.
	FirstLoss *time.Time `json:"first_loss"`
	// More counts what else is wrong.
	More int `json:"more"`
	// Unknown names what could not be asked, each with the reason.
	Unknown []string `json:"unknown,omitempty"`
	// AtRisk says what endangers orders now. While it says something, nothing is offered that
	// could make it worse.
	AtRisk []string `json:"at_risk,omitempty"`
	// Since is when the alert that the title is about began; nil: it is about none.
	Since *time.Time `json:"since"`
	At    time.Time  `json:"at"`
}

// Same reports whether two headlines say the same, at whatever times.
func (h Headline) Same(other Headline) bool {
	loss := func(h Headline) time.Time {
		if h.FirstLoss == nil {
			return time.Time{}
		}
		return *h.FirstLoss
	}
	return h.Level == other.Level && h.Title == other.Title && h.First == other.First &&
		h.More == other.More && loss(h).Equal(loss(other)) &&
		len(h.Unknown) == len(other.Unknown) && len(h.AtRisk) == len(other.AtRisk)
}
