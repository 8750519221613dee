package main

import (
	"slices"
	"testing"
	"time"
)

func TestCPUTimeIsUserAndSystemTimeWhateverTheProcessIsCalled(t *testing.T) {
	t.Parallel()
	got, err := parseCPUTime("42 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 150 25 0 0 20 0 1 0 100 0 0")
	if err != nil || got != 1750*time.Millisecond {
		t.Errorf("%v, %v, want 1.75s", got, err)
	}
	if _, err := parseCPUTime("42 (a) S 1"); err == nil {
		t.Error("a cut-off status was read")
	}
}

func TestCoreListsAreReadInTheKernelsForm(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]int{"0-2,8": {0, 1, 2, 8}, "5": {5}, "": nil} {
		if got := coreList(text); !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func TestPeersHaveANameAnAddressAndAProcess(t *testing.T) {
	t.Parallel()
	got, err := parsePeers("flagd=http://127.0.0.1:8016,123; other=http://127.0.0.1:1/,4", "")
	want := []peer{
		{"flagd", "http://127.0.0.1:8016", 123, staticFlag, targetedFlag},
		{"other", "http://127.0.0.1:1", 4, staticFlag, targetedFlag},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	for _, bad := range []string{"flagd", "flagd=http://127.0.0.1:8016",
		"=http://127.0.0.1:1,4", "flagd=127.0.0.1,4"} {
		if _, err := parsePeers(bad, ""); err == nil {
			t.Errorf("%q was taken for a peer", bad)
		}
	}
	if _, err := parsePeers("", "only-one"); err == nil {
		t.Error("one flag was taken for two")
	}
}
