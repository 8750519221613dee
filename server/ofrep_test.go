package server

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestWorkersReadFlagsWithEitherHeaderAndRevalidate(t *testing.T) {
	t.Parallel()
	st := serve(t)
	ask := func(path string, header map[string]string) (int, http.Header, map[string]any) {
		req, err := http.NewRequestWithContext(t.Context(), "POST", st.url+path, strings.NewReader(`{"context":{"targetingKey":"x"}}`))
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range header {
			req.Header.Set(k, v)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		var v map[string]any
		if len(body) > 0 {
			if err := json.Unmarshal(body, &v); err != nil {
				t.Fatalf("%v in %s", err, body)
			}
		}
		return resp.StatusCode, resp.Header, v
	}
	const bulk = "/ofrep/v1/evaluate/flags"
	for name, header := range map[string]map[string]string{"bearer": {"Authorization": "Bearer " + workerToken}, "key": {"X-API-Key": workerToken}} {
		status, h, v := ask(bulk, header)
		if flags, _ := v["flags"].([]any); status != 200 || len(flags) == 0 || h.Get("ETag") == "" {
			t.Errorf("%s: %d %v", name, status, v)
		}
		header["If-None-Match"] = h.Get("ETag")
		if status, _, _ := ask(bulk, header); status != http.StatusNotModified {
			t.Errorf("%s: %d for what it holds already", name, status)
		}
	}
	worker := map[string]string{"X-API-Key": workerToken}
	if status, _, v := ask(bulk+"/order-ingestion-stage", worker); status != 200 || v["value"] != "off" {
		t.Errorf("one flag: %d %v", status, v)
	}
	if status, _, v := ask(bulk+"/none", worker); status != 404 || v["errorCode"] != "FLAG_NOT_FOUND" {
		t.Errorf("unknown flag: %d %v", status, v)
	}
	for name, header := range map[string]map[string]string{"nobody": {}, "wrong token": {"X-API-Key": "wrong"}, "empty": {"Authorization": "Bearer "}} {
		if status, h, v := ask(bulk, header); status != 401 || v["errorCode"] == nil || h.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: %d %v", name, status, v)
		}
	}
}
