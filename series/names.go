package series

// Definition is a series that is kept.
type Definition struct {
	Name  string
	Title string
	Unit  string // "" for a plain count
	Side  string // source, target; "" for neither
	// Attested: the app says so of itself. The others are observed.
	Attested bool
	About    string // what was measured, and how
}

// Sides are the two sides, by name.
var Sides = []string{"source", "target"}

// Kinds of series that there are for each side: the name is the kind, an underscore, the side.
const (
	Depth    = "depth"
	Oldest   = "oldest"
	In       = "in"
	Out      = "out"
	Failed   = "failed"
	Response = "response"
	Orders   = "orders"
)

// Names of the others.
const (
	TargetAdd     = "add_target"
	Webhook       = "webhook"
	RampRequested = "ramp_requested"
	RampObserved  = "ramp_observed"
	CriteriaMet   = "criteria_met"
)

// On names a kind of series on a side.
func On(kind, side string) string { return kind + "_" + side }

var ofSides = []Definition{
	{Name: Depth, Title: "Pending jobs", Unit: "jobs",
		About: "Jobs of the routed queues that wait or run, without shadow copies and failed jobs"},
	{Name: Oldest, Title: "Oldest waiting job", Unit: "s",
		About: "Time since the job next in line was added; 0: no job waits"},
	{Name: In, Title: "Jobs added", Unit: "/min",
		About: "Added events of the routed queues, without shadow copies"},
	{Name: Out, Title: "Jobs completed", Unit: "/min",
		About: "Completed events of the routed queues, without shadow copies"},
	{Name: Failed, Title: "Jobs failed", Unit: "/min",
		About: "Failed events of the routed queues: jobs that are not tried again"},
	{Name: Response, Title: "Redis response time", Unit: "ms",
		About: "Round trip of the transaction with which Switchyard reads the queues' events"},
	{Name: Orders, Title: "Orders", Unit: "/min", Attested: true,
		About: "Orders that the app enqueued, by the side that processes them"},
}

var others = []Definition{
	{Name: TargetAdd, Title: "Test add on the target", Unit: "ms", Side: "target",
		About: "An add of Switchyard's own, while orders may go to the target"},
	{Name: Webhook, Title: "Webhook response time", Unit: "ms", Attested: true,
		About: "How long the app took to answer a webhook that it accepted"},
	{Name: RampRequested, Title: "Share requested", Unit: "%",
		About: "Share of new orders that the routing sends to the target"},
	{Name: RampObserved, Title: "Share observed", Unit: "%",
		About: "Share of the jobs added to the routed queues that were added on the target"},
	{Name: CriteriaMet, Title: "Criteria met", About: "Completion criteria that are met"},
}

// All are the series that there are.
var All = all()

func all() (out []Definition) {
	for _, d := range ofSides {
		for _, side := range Sides {
			one := d
			one.Name, one.Side = On(d.Name, side), side
			out = append(out, one)
		}
	}
	return append(out, others...)
}

// Find gives the series of a name.
func Find(name string) (Definition, bool) {
	for _, d := range All {
		if d.Name == name {
			return d, true
		}
	}
	return Definition{}, false
}
