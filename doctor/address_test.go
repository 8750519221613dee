package doctor_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/doctor"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

func TestAReplicaIsNoSourceAndItsAddressIsToldWithoutCredentials(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.Password("pw-CANARY"))
	if err := s.Client().Do(t.Context(), "REPLICAOF", "127.0.0.1", "1").Err(); err != nil {
		t.Fatal(err)
	}
	found := map[string]doctor.Finding{}
	for _, f := range doctor.Address(t.Context(), migration.Secret(s.URL())) {
		if strings.Contains(f.Said+f.Next, "CANARY") || (f.State == doctor.OK) != (f.Next == "") {
			t.Errorf("%+v", f)
		}
		found[f.Key] = f
	}
	if f := found["role"]; f.State != doctor.Fails || !strings.Contains(f.Said, "replica of 127.0.0.1:1") {
		t.Errorf("%+v", f)
	}
	if f := found["reachable"]; f.State != doctor.OK || !strings.Contains(f.Said, s.Addr()) {
		t.Errorf("%+v", f)
	}
	if f := found["rights"]; f.State != doctor.OK {
		t.Errorf("%+v", f)
	}
}

func TestEveryPartHasANameOfItsOwn(t *testing.T) {
	t.Parallel()
	var ids []string
	for _, p := range doctor.Parts() {
		if p.ID == "" || p.Group == "" || p.Title == "" || slices.Contains(ids, p.ID) {
			t.Errorf("%+v", p)
		}
		ids = append(ids, p.ID)
	}
}
