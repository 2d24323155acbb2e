package access

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// vault answers like the AWS secrets engine.
func vault(t *testing.T, status int, answer string) (asked *http.Request, body map[string]string) {
	t.Helper()
	asked, body = new(http.Request), map[string]string{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked = *r
		if data, _ := io.ReadAll(r.Body); len(data) > 0 {
			if err := json.Unmarshal(data, &body); err != nil {
				t.Error(err)
			}
		}
		w.WriteHeader(status)
		fmt.Fprint(w, answer)
	}))
	t.Cleanup(server.Close)
	t.Setenv("VAULT_ADDR", server.URL+"/")
	t.Setenv("VAULT_TOKEN", "s.token")
	t.Setenv("VAULT_NAMESPACE", "team")
	t.Setenv("VAULT_CACERT", "")
	return asked, body
}

const vaultAnswered = `{"data":{"access_key":"AKIA","secret_key":"hush","security_token":"tok"}}`

func TestVaultCredentials(t *testing.T) {
	asked, _ := vault(t, http.StatusOK, vaultAnswered)
	got, err := VaultEngine{Name: "baker"}.read(t.Context())
	if err != nil || got.AccessKey != "AKIA" || got.SecretKey != "hush" || got.SecurityToken != "tok" {
		t.Fatalf("credentials = %+v, %v", got, err)
	}
	if asked.Method != http.MethodGet || asked.URL.Path != "/v1/aws/creds/baker" ||
		asked.Header.Get("X-Vault-Token") != "s.token" || asked.Header.Get("X-Vault-Namespace") != "team" {
		t.Errorf("asked %s %s with %v", asked.Method, asked.URL, asked.Header)
	}
}

func TestVaultAssumedRole(t *testing.T) {
	asked, body := vault(t, http.StatusOK, vaultAnswered)
	v := VaultEngine{Name: "baker", EngineName: "teams/aws", RoleARN: "arn:aws:iam::111122223333:role/x", TTL: "900s"}
	if _, err := v.read(t.Context()); err != nil {
		t.Fatal(err)
	}
	if asked.Method != http.MethodPut || asked.URL.Path != "/v1/teams/aws/sts/baker" || body["role_arn"] != v.RoleARN || body["ttl"] != "900s" {
		t.Errorf("asked %s %s for %v", asked.Method, asked.URL, body)
	}
}

func TestVaultRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		status       int
		answer, want string
	}{
		"forbidden":      {http.StatusForbidden, `{"errors":["permission denied"]}`, "403 Forbidden: permission denied"},
		"no such path":   {http.StatusNotFound, `{"errors":[]}`, "there is nothing at /v1/aws/creds/baker"},
		"another engine": {http.StatusOK, `{"data":{"value":"x"}}`, "has no access_key and secret_key"},
		"no JSON":        {http.StatusOK, `<html>`, "read its answer"},
	} {
		t.Run(name, func(t *testing.T) {
			vault(t, test.status, test.answer)
			if _, err := (VaultEngine{Name: "baker"}).read(t.Context()); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error = %v, want %q in it", err, test.want)
			}
		})
	}
	t.Run("nowhere", func(t *testing.T) {
		t.Setenv("VAULT_ADDR", "")
		if _, err := (VaultEngine{Name: "baker"}).read(t.Context()); err == nil || !strings.Contains(err.Error(), "VAULT_ADDR") {
			t.Errorf("error = %v, want one that names VAULT_ADDR", err)
		}
	})
	t.Run("without a token", func(t *testing.T) {
		vault(t, http.StatusOK, vaultAnswered)
		t.Setenv("VAULT_TOKEN", "")
		t.Setenv("HOME", t.TempDir())
		if _, err := (VaultEngine{Name: "baker"}).read(t.Context()); err == nil || !strings.Contains(err.Error(), "VAULT_TOKEN") {
			t.Errorf("error = %v, want one that names VAULT_TOKEN", err)
		}
	})
}
