package ofrep

import (
	"fmt"
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/server/servertest"
)

func TestAnAttestationThatIsTooLargeIsRefusedWithTheLimitAndNothingElseIsLost(t *testing.T) {
	t.Parallel()
	st := serve(t)
	attest := func(body string) servertest.Reply {
		t.Helper()
		return servertest.Ask(t, "POST", st.url+"/api/v1/workers/attest", body, bearerA...)
	}
	if r := attest(`{"service":"s","instance":"web.1","revision":1}`); r.Status != 204 {
		t.Fatalf("%d %s", r.Status, r.Text)
	}
	for _, size := range []int{300 << 10, 900 << 10} {
		r := attest(fmt.Sprintf(`{"service":"s","instance":"web.1","version":"%s"}`,
			strings.Repeat("x", size)))
		if r.Status < 400 || r.Status >= 500 || !strings.Contains(r.Text, "262144 is the limit") {
			t.Errorf("%d bytes: %d %.200s", size, r.Status, r.Text)
		}
	}
	all := st.fleet.Workers()
	if len(all) != 1 || all[0].Revision != 1 || !all[0].Live {
		t.Errorf("%+v", all)
	}
}
