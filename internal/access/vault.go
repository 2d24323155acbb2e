package access

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

func (v VaultEngine) set() bool { return v != VaultEngine{} }

func (v VaultEngine) prepare(c *Config) []error {
	var errs []error
	if !v.set() {
		return nil
	}
	if v.Name == "" {
		errs = append(errs, errors.New("vault_aws_engine has no name; name the role in Vault"))
	}
	if c.AccessKey != "" {
		errs = append(errs, errors.New("vault_aws_engine and access_key are two ways of naming credentials; set one"))
	}
	if _, err := time.ParseDuration(v.TTL); v.TTL != "" && err != nil {
		errs = append(errs, fmt.Errorf("vault_aws_engine.ttl is %q; write a duration such as 3600s", v.TTL))
	}
	if v.TTL != "" && v.RoleARN == "" {
		errs = append(errs, errors.New("vault_aws_engine.ttl is set without role_arn; Vault takes it for assumed roles only"))
	}
	return errs
}

// vaultTimeout bounds one question to Vault, and vaultAnswer the size of what
// it may say.
const (
	vaultTimeout = 30 * time.Second
	vaultAnswer  = 1 << 20
)

// credentials are what the AWS secrets engine of Vault answers ("Generate
// credentials" in its API documentation).
type credentials struct {
	AccessKey     string `json:"access_key"`
	SecretKey     string `json:"secret_key"`
	SecurityToken string `json:"security_token"`
	SessionToken  string `json:"session_token"`
}

// read asks Vault for credentials. Where Vault is and who asks come from the
// variables of Vault's own tools: VAULT_ADDR, VAULT_TOKEN or ~/.vault-token,
// VAULT_NAMESPACE, VAULT_CACERT, VAULT_SKIP_VERIFY.
func (v VaultEngine) read(ctx context.Context) (credentials, error) {
	req, err := v.request(ctx)
	if err != nil {
		return credentials{}, err
	}
	tlsConfig, err := vaultTLS()
	if err != nil {
		return credentials{}, err
	}
	client := &http.Client{Timeout: vaultTimeout, Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: tlsConfig}}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return credentials{}, fmt.Errorf("ask Vault for credentials: %w", err)
	}
	defer resp.Body.Close()
	var answer struct {
		Data   credentials `json:"data"`
		Errors []string    `json:"errors"`
	}
	decodeErr := json.NewDecoder(io.LimitReader(resp.Body, vaultAnswer)).Decode(&answer)
	switch {
	case resp.StatusCode == http.StatusNotFound && len(answer.Errors) == 0:
		return credentials{}, fmt.Errorf("ask Vault for credentials: there is nothing at %s", req.URL.Path)
	case resp.StatusCode != http.StatusOK:
		return credentials{}, fmt.Errorf("ask Vault for credentials at %s: %s: %s", req.URL.Path, resp.Status, strings.Join(answer.Errors, "; "))
	case decodeErr != nil:
		return credentials{}, fmt.Errorf("ask Vault for credentials: read its answer: %w", decodeErr)
	case answer.Data.AccessKey == "" || answer.Data.SecretKey == "":
		return credentials{}, fmt.Errorf("ask Vault for credentials: what is at %s has no access_key and secret_key", req.URL.Path)
	}
	if answer.Data.SecurityToken == "" {
		answer.Data.SecurityToken = answer.Data.SessionToken
	}
	return answer.Data, nil
}

func (v VaultEngine) request(ctx context.Context) (*http.Request, error) {
	base := os.Getenv("VAULT_ADDR")
	if base == "" {
		return nil, errors.New("vault_aws_engine is set, but VAULT_ADDR does not say where Vault is; export it")
	}
	engine := v.EngineName
	if engine == "" {
		engine = "aws"
	}
	method, kind, body := http.MethodGet, "creds", []byte(nil)
	if v.RoleARN != "" {
		data := map[string]string{"role_arn": v.RoleARN}
		if v.TTL != "" {
			data["ttl"] = v.TTL
		}
		var err error
		if body, err = json.Marshal(data); err != nil {
			return nil, fmt.Errorf("ask Vault for credentials: %w", err)
		}
		method, kind = http.MethodPut, "sts"
	}
	where, err := url.JoinPath(base, "v1", engine, kind, v.Name)
	if err != nil {
		return nil, fmt.Errorf("VAULT_ADDR is %q: %w", base, err)
	}
	req, err := http.NewRequestWithContext(ctx, method, where, bytes.NewReader(body)) //nolint:gosec // the user names the server
	if err != nil {
		return nil, fmt.Errorf("VAULT_ADDR is %q: %w", base, err)
	}
	token, err := vaultToken()
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-Vault-Request", "true")
	req.Header.Set("X-Vault-Token", token)
	if namespace := os.Getenv("VAULT_NAMESPACE"); namespace != "" {
		req.Header.Set("X-Vault-Namespace", namespace)
	}
	return req, nil
}

func vaultToken() (string, error) {
	if token := os.Getenv("VAULT_TOKEN"); token != "" {
		return token, nil
	}
	dir, err := os.UserHomeDir()
	if err == nil {
		var data []byte
		if data, err = os.ReadFile(filepath.Join(dir, ".vault-token")); err == nil {
			return strings.TrimSpace(string(data)), nil
		}
	}
	return "", fmt.Errorf("vault_aws_engine is set, but there is no token for Vault; export VAULT_TOKEN or run `vault login` (%w)", err)
}

func vaultTLS() (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if skip, err := strconv.ParseBool(os.Getenv("VAULT_SKIP_VERIFY")); err == nil {
		cfg.InsecureSkipVerify = skip // #nosec G402 -- asked for by name
	}
	if file := os.Getenv("VAULT_CACERT"); file != "" {
		pem, err := os.ReadFile(file) // #nosec G304 G703 -- the user's own setting
		if err != nil {
			return nil, fmt.Errorf("read VAULT_CACERT: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("VAULT_CACERT is %s, which has no certificate in PEM form", file)
		}
	}
	return cfg, nil
}
