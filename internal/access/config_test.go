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
		"key and profile":        {config: Config{AccessKey: "a", SecretKey: "s", Profile: "p"}, want: "two ways of naming credentials"},
		"role without ARN":       {config: Config{AssumeRole: AssumeRole{SessionName: "s"}}, want: "assume_role has no role_arn"},
		"negative retries":       {config: Config{MaxRetries: -1}, want: "max_retries is -1"},
		"negative delay":         {config: Config{Polling: Polling{DelaySeconds: -2}}, want: "aws_polling.delay_seconds is -2"},
		"Vault without a role":   {config: Config{VaultEngine: VaultEngine{EngineName: "aws"}}, want: "vault_aws_engine has no name"},
		"Vault and a key":        {config: Config{AccessKey: "a", SecretKey: "s", VaultEngine: VaultEngine{Name: "n"}}, want: "goes with neither access_key nor profile"},
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
