package access

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/imagebakery/packer-plugin-bakery/internal/cloud"
)

// amazon answers like EC2 and STS, and remembers who asked.
type amazon struct {
	server *httptest.Server
	signed []string   // access key and region of each call to EC2
	tokens []string   // session token of each call to EC2
	roles  url.Values // the last call to STS
}

var credential = regexp.MustCompile(`Credential=([^/]+)/[0-9]+/([^/]+)/`)

func newAmazon(t *testing.T) *amazon {
	t.Helper()
	a := new(amazon)
	a.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		if strings.HasPrefix(r.Form.Get("Action"), "AssumeRole") {
			a.roles = r.Form
			fmt.Fprint(w, `<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASSUMED</AccessKeyId>`+
				`<SecretAccessKey>s</SecretAccessKey><SessionToken>role-token</SessionToken>`+
				`<Expiration>2999-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`)
			return
		}
		m := credential.FindStringSubmatch(r.Header.Get("Authorization"))
		if m == nil {
			t.Errorf("%s is not signed: %v", r.Form.Get("Action"), r.Header)
			m = make([]string, 3)
		}
		a.signed = append(a.signed, m[1]+" "+m[2])
		a.tokens = append(a.tokens, r.Header.Get("X-Amz-Security-Token"))
		fmt.Fprint(w, `<DescribeVolumesResponse><volumeSet/></DescribeVolumesResponse>`)
	}))
	t.Cleanup(a.server.Close)
	return a
}

// awsHome prepares a home with the files of AWS's tools, and an environment that
// says nothing of credentials.
func awsHome(t *testing.T) {
	t.Helper()
	home := t.TempDir()
	files := map[string]string{
		"credentials": "[default]\naws_access_key_id = DEFAULT\naws_secret_access_key = s\n" +
			"[team]\naws_access_key_id = TEAM\naws_secret_access_key = s\naws_session_token = team-token\n",
		"config": "[profile team]\nregion = eu-west-1\n" +
			"[profile mfa]\nrole_arn = arn:aws:iam::111122223333:role/mfa\nsource_profile = team\n" +
			"mfa_serial = arn:aws:iam::111122223333:mfa/me\nregion = eu-west-1\n",
		"other": "[default]\naws_access_key_id = OTHER\naws_secret_access_key = s\n",
	}
	if err := os.Mkdir(filepath.Join(home, ".aws"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(home, ".aws", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("HOME", home)
	t.Setenv("BAKERY_HOME", t.TempDir())
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	for _, name := range []string{
		CloudEnv, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION",
		"AWS_DEFAULT_REGION", "AWS_MAX_ATTEMPTS",
	} {
		t.Setenv(name, "")
	}
	// The SDK has asked for the home when the test began.
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(home, ".aws/config"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(home, ".aws/credentials"))
}

// Each way of naming credentials reaches EC2, at the endpoint that is named.
func TestCredentials(t *testing.T) {
	type call struct{ Signed, Token string }
	for name, test := range map[string]struct {
		config Config
		env    map[string]string
		want   call
	}{
		"the default profile":     {Config{}, nil, call{"DEFAULT us-east-1", ""}},
		"keys":                    {Config{AccessKey: "KEY", SecretKey: "s"}, nil, call{"KEY us-east-1", ""}},
		"keys and a token":        {Config{AccessKey: "KEY", SecretKey: "s", Token: "tok"}, nil, call{"KEY us-east-1", "tok"}},
		"keys win over a profile": {Config{AccessKey: "KEY", SecretKey: "s", Profile: "team"}, nil, call{"KEY us-east-1", ""}},
		"a profile":               {Config{Profile: "team"}, nil, call{"TEAM us-east-1", "team-token"}},
		"another file":            {Config{SharedCredentialsFile: "~/.aws/other"}, nil, call{"OTHER us-east-1", ""}},
		"the environment": {Config{}, map[string]string{"AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": "s"},
			call{"ENV us-east-1", ""}},
		"keys win over the environment": {Config{AccessKey: "KEY", SecretKey: "s"},
			map[string]string{"AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": "s"}, call{"KEY us-east-1", ""}},
		"a profile wins over the environment": {Config{Profile: "team"},
			map[string]string{"AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": "s"}, call{"TEAM us-east-1", "team-token"}},
		"a role": {Config{AccessKey: "KEY", SecretKey: "s", AssumeRole: AssumeRole{RoleARN: "arn:aws:iam::111122223333:role/baker"}},
			nil, call{"ASSUMED us-east-1", "role-token"}},
		"a profile with a second factor": {Config{Profile: "mfa", MFACode: "123456"}, nil, call{"ASSUMED us-east-1", "role-token"}},
	} {
		t.Run(name, func(t *testing.T) {
			awsHome(t)
			a := newAmazon(t)
			a.server.Start()
			t.Setenv("AWS_ENDPOINT_URL_STS", a.server.URL)
			for key, value := range test.env {
				t.Setenv(key, value)
			}
			test.config.Region, test.config.CustomEndpointEC2 = "us-east-1", a.server.URL
			askOnce(t, test.config)
			if got := (call{a.signed[0], a.tokens[0]}); got != test.want {
				t.Errorf("called as %+v, want %+v", got, test.want)
			}
			if code := a.roles.Get("TokenCode"); code != test.config.MFACode {
				t.Errorf("the code of the second factor was %q, want %q", code, test.config.MFACode)
			}
		})
	}
}

func askOnce(t *testing.T, config Config) *cloud.Client {
	t.Helper()
	if errs := config.Prepare(); len(errs) > 0 {
		t.Fatal(errs)
	}
	client, err := config.Client(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := client.VolumesWithTag(t.Context(), "a", "b"); err != nil {
		t.Fatal(err)
	}
	return client
}

// Every option of assume_role reaches STS.
func TestAssumeRole(t *testing.T) {
	awsHome(t)
	a := newAmazon(t)
	a.server.Start()
	t.Setenv("AWS_ENDPOINT_URL_STS", a.server.URL)
	askOnce(t, Config{Region: "us-east-1", CustomEndpointEC2: a.server.URL, AssumeRole: AssumeRole{
		RoleARN: "arn:aws:iam::111122223333:role/baker", DurationSeconds: 1800, ExternalID: "x-1", Policy: `{"Version":"2012-10-17"}`,
		PolicyARNs: []string{"arn:aws:iam::aws:policy/ReadOnlyAccess"}, SessionName: "bake", Tags: map[string]string{"team": "shop"},
		TransitiveTagKeys: []string{"team"},
	}})
	want := map[string]string{
		"RoleArn": "arn:aws:iam::111122223333:role/baker", "DurationSeconds": "1800", "ExternalId": "x-1",
		"Policy": `{"Version":"2012-10-17"}`, "PolicyArns.member.1.arn": "arn:aws:iam::aws:policy/ReadOnlyAccess",
		"RoleSessionName": "bake", "Tags.member.1.Key": "team", "Tags.member.1.Value": "shop", "TransitiveTagKeys.member.1": "team",
	}
	got := map[string]string{}
	for key := range want {
		got[key] = a.roles.Get(key)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("AssumeRole (-want +got):\n%s", diff)
	}
}

// The profile's region counts where no option names one.
func TestRegionOfTheProfile(t *testing.T) {
	awsHome(t)
	a := newAmazon(t)
	a.server.Start()
	if client := askOnce(t, Config{Profile: "team", CustomEndpointEC2: a.server.URL}); client.Region() != "eu-west-1" {
		t.Errorf("region = %s", client.Region())
	}
}

func TestNoRegionWithoutMetadata(t *testing.T) {
	awsHome(t)
	c := Config{SkipMetadataAPICheck: true}
	if errs := c.Prepare(); len(errs) > 0 {
		t.Fatal(errs)
	}
	if _, err := c.Client(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "no region is set") {
		t.Errorf("error = %v", err)
	}
}

// A certificate that nobody vouches for is refused, unless that is accepted.
func TestCertificates(t *testing.T) {
	awsHome(t)
	a := newAmazon(t)
	a.server.StartTLS()
	trusting := Config{Region: "us-east-1", CustomEndpointEC2: a.server.URL, InsecureSkipTLSVerify: true}
	askOnce(t, trusting)
	wary := trusting
	wary.InsecureSkipTLSVerify, wary.MaxRetries = false, 1
	client, err := wary.Client(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.VolumesWithTag(t.Context(), "a", "b"); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("error = %v, want one about the certificate", err)
	}
}
