package bullmq

import "testing"

func TestTheNameOfAWorkersConnectionTellsItsQueue(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]Queue{
		"bull:bmV3c2xldHRlcg==":        {Prefix: "bull", Name: "newsletter"},
		"bull:bmV3c2xldHRlcg==:w:mine": {Prefix: "bull", Name: "newsletter"},
		"a:b:b3JkZXJz":                 {Prefix: "a:b", Name: "orders"},
		"":                             {},
		"producer:shop:orders:source":  {},
		":b3JkZXJz":                    {},
		"bull:":                        {},
	} {
		if got, is := QueueOfWorker(name); got != want || is != (want != Queue{}) {
			t.Errorf("%q: %v, want %v", name, got, want)
		}
	}
}
