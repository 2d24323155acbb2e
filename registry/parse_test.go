package registry_test

import (
	"strings"
	"testing"

	"github.com/imagebakery/packer-plugin-bakery/registry"
)

func TestParseQuery(t *testing.T) {
	for text, want := range map[string]string{
		"application=myapp&release=precise&virtualization_type=hvm&environment=prod": "application=myapp environment=prod release=precise virtualization_type=hvm",
		"layer=base&arch=amd64&owner=a+team&status=tested&channel=stable":            "layer=base arch=x86_64 owner=a team status=tested channel=stable",
		"version=>=1.4&kernel=6.1.0-18":                                              `version="semver: >= 1.4" kernel="deb: = 6.1.0-18"`,
		"version__gte=1.4&version__lt=2":                                             `version="semver: >= 1.4, < 2"`,
		"kernel__gte=6.1&docker__lt=27":                                              `docker="deb: < 27" kernel="deb: >= 6.1"`,
		"suite=a&suite=b&exclude=ami-1&max_age=720h&revoke_margin=24h":               "suites=a,b exclude=ami-1 max_age=720h0m0s revoke_margin=24h0m0s",
		"cloud=aws&region=eu-west-1&account=123456789012&status=revoked":             "cloud=aws region=eu-west-1 account=123456789012 status=revoked",
		"package=openssl+>%3D+3.0.14&package=!telnetd&tested_within=168h":            `package="openssl >= 3.0.14" package="!telnetd" tested_within=168h0m0s`,
		"not.quarantine=true&ancestor.application=debian&ancestor.version__gte=12.8": `not.quarantine=true ancestor=(application=debian version="semver: >= 12.8")`,
		"": "any image",
	} {
		q, err := registry.ParseQuery(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		for part := range strings.FieldsSeq(want) {
			if !strings.Contains(q.String(), part) {
				t.Errorf("%s is read as %q; it lacks %s", text, q, part)
			}
		}
		if len(q.String()) != len(want) {
			t.Errorf("%s is read as %q, want %q", text, q, want)
		}
	}
}

func TestParseQueryMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"application=":               "application has no value",
		"=x":                         `"x" has no key`,
		"release=a&release=b":        "release is there 2 times",
		"version=latest":             `version constraint "latest"`,
		"status=good":                `status "good" is not one of`,
		"max_age=soon":               `max_age is "soon"`,
		"revoke_margin=-1h":          `revoke_margin is "-1h"`,
		"region=eu-west-1":           "without its cloud",
		"application=%zz":            "is not of the form",
		"application=a;release=b":    "is not of the form",
		"version=x&application=&a=b": "application has no value",
		"package=>=3":                "names no package",
		"ancestor.version=latest":    `ancestor: version: version constraint "latest"`,
		"tested_within=1":            `tested_within is "1"`,
		"ancestor.application=":      "ancestor: application has no value",
	} {
		if q, err := registry.ParseQuery(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is read as %q, %v; want an error with %q", text, q, err, want)
		}
	}
}

func FuzzParseQuery(f *testing.F) {
	f.Add("application=myapp&release=precise&version__gte=1.4&suite=a")
	f.Add("kernel=rpm:>=5&=x&status=tested;")
	f.Fuzz(func(t *testing.T, s string) {
		if q, err := registry.ParseQuery(s); err == nil {
			if err := q.Validate(); err != nil {
				t.Errorf("%q is read, as a query with the mistake %v", s, err)
			}
		}
	})
}
