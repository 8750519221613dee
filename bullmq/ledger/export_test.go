package ledger

// KeepOrders has a journal fold what is in order as soon as it holds more than n orders.
func (j *Journal) KeepOrders(n int) { j.keep = n }

// Remember has a journal recognise the last n to 2n of what it folded.
func (j *Journal) Remember(n int) {
	j.known, j.knownJobs = newGenerations(n), newGenerations(n)
}
