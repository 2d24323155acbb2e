package access

import (
	"errors"
	"strings"
	"testing"
)

func TestPrepare(t *testing.T) {
	tests := map[string]struct {
		config Config
		env    map[string]string
		want   string // part of the only error; empty: none
	}{
		"nothing said":           {},
		"cloud from environment": {env: map[string]string{CloudEnv: "local"}},
		"bad cloud":              {config: Config{Cloud: "azure"}, want: `cloud is "azure"`},
		"bad environment":        {env: map[string]string{CloudEnv: "moon"}, want: `cloud is "moon"`},
		"mistyped region":        {config: Config{Region: "us-eest-1"}, want: `did you mean "us-east-1"`},
		"future region":          {config: Config{Region: "eu-west-9", SkipRegionValidation: true}},
		"no region's form":       {config: Config{Region: "Ohio", SkipRegionValidation: true}, want: "which is no name of a region"},
		"half a key":             {config: Config{SecretKey: "s"}, want: "secret_key is set without access_key"},
		"key and profile":        {config: Config{AccessKey: "a", SecretKey: "s", Profile: "p"}},
		"role without ARN":       {config: Config{AssumeRole: AssumeRole{SessionName: "s"}}, want: "assume_role has no role_arn"},
		"negative retries":       {config: Config{MaxRetries: -1}, want: "max_retries is -1"},
		"negative delay":         {config: Config{Polling: Polling{DelaySeconds: -2}}, want: "aws_polling.delay_seconds is -2"},
		"Vault without a role":   {config: Config{VaultEngine: VaultEngine{EngineName: "aws"}}, want: "vault_aws_engine has no name"},
		"Vault and a key":        {config: Config{AccessKey: "a", SecretKey: "s", VaultEngine: VaultEngine{Name: "n"}}, want: "vault_aws_engine and access_key are two ways of naming credentials"},
		"Vault and a profile":    {config: Config{Profile: "p", VaultEngine: VaultEngine{Name: "n"}}},
		"negative timeout":       {env: map[string]string{"AWS_TIMEOUT_SECONDS": "-5"}, want: "AWS_TIMEOUT_SECONDS is -5"},
		"garbled timeout":        {env: map[string]string{"AWS_TIMEOUT_SECONDS": "1h"}, want: `AWS_TIMEOUT_SECONDS is "1h"`},
		"timeout of no matter":   {env: map[string]string{"AWS_TIMEOUT_SECONDS": "1h", "AWS_MAX_ATTEMPTS": "3"}},
		"Vault, odd time":        {config: Config{VaultEngine: VaultEngine{Name: "n", RoleARN: "r", TTL: "soon"}}, want: `vault_aws_engine.ttl is "soon"`},
		"Vault, time of no role": {config: Config{VaultEngine: VaultEngine{Name: "n", TTL: "60s"}}, want: "vault_aws_engine.ttl is set without role_arn"},
		"garbled environment":    {env: map[string]string{"AWS_MAX_ATTEMPTS": "many"}, want: `AWS_MAX_ATTEMPTS is "many"`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Setenv(CloudEnv, "")
			for key, value := range test.env {
				t.Setenv(key, value)
			}
			err := errors.Join(test.config.Prepare()...)
			switch {
			case test.want == "" && err != nil:
				t.Errorf("error = %v, want none", err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n")):
				t.Errorf("error = %v\nwant one, with %q", err, test.want)
			}
		})
	}
}

func TestDefaults(t *testing.T) {
	t.Setenv(CloudEnv, "local")
	t.Setenv("AWS_POLL_DELAY_SECONDS", "3")
	var c Config
	if errs := c.Prepare(); len(errs) > 0 {
		t.Fatal(errs)
	}
	if c.Cloud != Local || c.Region != "us-east-1" || c.Polling.DelaySeconds != 3 {
		t.Errorf("config = %+v", c)
	}
}

func TestSecretsDoNotReachTheJournal(t *testing.T) {
	c := Config{AccessKey: "AKIA", SecretKey: "hush", Token: "hush too", Profile: "p"}
	if got := c.WithoutSecrets(); got.AccessKey+got.SecretKey+got.Token != "" || got.Profile != "p" {
		t.Errorf("WithoutSecrets = %+v", got)
	}
	if got := c.Secrets(); len(got) != 2 {
		t.Errorf("Secrets = %v", got)
	}
}

// What the variables of amazon-chroot mean, by its documentation.
func TestPollingOfTheEnvironment(t *testing.T) {
	for name, test := range map[string]struct {
		delay, attempts, timeout string
		set, want                Polling
	}{
		"nothing said":                     {},
		"a delay":                          {delay: "7", want: Polling{DelaySeconds: 7}},
		"attempts":                         {attempts: "9", want: Polling{MaxAttempts: 9}},
		"a time, looked every two seconds": {timeout: "600", want: Polling{DelaySeconds: 2, MaxAttempts: 300}},
		"a time and a delay":               {timeout: "600", delay: "20", want: Polling{DelaySeconds: 20, MaxAttempts: 30}},
		"a time shorter than the delay":    {timeout: "5", delay: "20", want: Polling{DelaySeconds: 20, MaxAttempts: 1}},
		"attempts win over a time":         {timeout: "600", attempts: "9", want: Polling{MaxAttempts: 9}},
		"the template wins":                {timeout: "600", delay: "7", attempts: "9", set: Polling{DelaySeconds: 1, MaxAttempts: 2}, want: Polling{DelaySeconds: 1, MaxAttempts: 2}},
		"a delay of the template":          {timeout: "600", set: Polling{DelaySeconds: 10}, want: Polling{DelaySeconds: 10, MaxAttempts: 60}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("AWS_POLL_DELAY_SECONDS", test.delay)
			t.Setenv("AWS_MAX_ATTEMPTS", test.attempts)
			t.Setenv("AWS_TIMEOUT_SECONDS", test.timeout)
			got := test.set
			if errs := got.prepare(); len(errs) > 0 || got != test.want {
				t.Errorf("polling = %+v, %v; want %+v", got, errs, test.want)
			}
		})
	}
}

func TestPathsInTheHome(t *testing.T) {
	t.Setenv("HOME", "/home/baker")
	for path, want := range map[string]string{
		"~/.aws/other": "/home/baker/.aws/other", "/etc/aws": "/etc/aws", "~other/x": "~other/x", "a/~/b": "a/~/b", "": "",
	} {
		if got := inHome(path); got != want {
			t.Errorf("inHome(%q) = %q, want %q", path, got, want)
		}
	}
}
