package ledger

// KeepOrders has a journal fold what is in order as soon as it holds more than n orders.
func (j *Journal) KeepOrders(n int) { j.keep = n }
