package charts

import "github.com/switchyard-dev/switchyard/series"

func both(kind string) []string {
	return []string{series.On(kind, "source"), series.On(kind, "target")}
}

// Chart of pending jobs, and so on.
var (
	depth    = Chart{ID: "depth", Title: "Pending jobs", Lines: both(series.Depth), Whole: true}
	oldest   = Chart{ID: "oldest", Title: "Oldest waiting job", Lines: both(series.Oldest)}
	added    = Chart{ID: "in", Title: "Jobs added per minute", Lines: both(series.In)}
	done     = Chart{ID: "out", Title: "Jobs completed per minute", Lines: both(series.Out)}
	failed   = Chart{ID: "failed", Title: "Jobs failed per minute", Lines: both(series.Failed)}
	response = Chart{ID: "response", Title: "Redis response time", Lines: both(series.Response)}
	orders   = Chart{ID: "orders", Title: "Order flow per minute", Lines: both(series.Orders)}
	adds     = Chart{ID: "adds", Title: "Time to accept an order",
		Lines: []string{series.Webhook, series.TargetAdd}}
	share = Chart{ID: "share", Title: "Share of orders on the target", Top: 100,
		Lines: []string{series.RampRequested, series.RampObserved}}
)

// Queues are the charts of the queues' page.
func Queues() []Chart { return []Chart{depth, oldest, added, done, failed, response} }

// Cutover are the charts beside which orders are moved.
func Cutover() []Chart {
	return []Chart{orders, share, response, adds, failed, depth}
}

// Overview are the charts of the first page; so many criteria there are.
func Overview(criteria int) []Chart {
	return []Chart{orders, {ID: "criteria", Title: "Criteria met", Top: float64(criteria),
		Lines: []string{series.CriteriaMet}, Whole: true}}
}
