package ec2tags

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/imagebakery/packer-plugin-bakery/registry"
	"github.com/imagebakery/packer-plugin-bakery/registry/registrytest"
)

// faked returns a store over fakes, by region.
func faked() (*Store, map[string]*fake) {
	fakes := map[string]*fake{"us-east-1": newFake(), "eu-west-1": newFake()}
	s := &Store{place: Place{Cloud: Local, Regions: []string{"eu-west-1", "us-east-1"}}, clients: map[string]api{}}
	for region, f := range fakes {
		s.clients[region] = f
	}
	return s, fakes
}

func TestConformance(t *testing.T) {
	registrytest.Run(t, func(*testing.T) registry.Store { s, _ := faked(); return s }, registrytest.FactsOnly(), registrytest.ScanOf(100))
}

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"ec2tags://?region=eu-west-1":                                    "ec2tags://?region=eu-west-1",
		"ec2tags://aws?region=us-east-1,eu-west-1,us-east-1":             "ec2tags://?region=eu-west-1,us-east-1",
		"ec2tags://local?region=us-east-1&region=eu-west-1":              "ec2tags://local?region=eu-west-1,us-east-1",
		"ec2tags://?region=us-gov-west-1&endpoint=http://127.0.0.1:9800": "ec2tags://?region=us-gov-west-1&endpoint=http%3A%2F%2F127.0.0.1%3A9800",
	} {
		got, err := Parse(text)
		if err != nil || got.String() != want {
			t.Errorf("Parse(%s) = %s, %v; want %s", text, got, err, want)
		}
		if again, err := Parse(got.String()); err != nil || again.String() != want {
			t.Errorf("%s does not come back: %s, %v", want, again, err)
		}
	}
	for text, want := range map[string]string{
		"ec2tags://":                             "names no region; write ec2tags://?region=REGION",
		"ec2tags:us-east-1":                      "is none in the tags of EC2",
		"ec2tags://gcp?region=us-east-1":         `the cloud is "gcp"`,
		"ec2tags://?region=everywhere":           `"everywhere" is no name of a region`,
		"ec2tags://?region=us-east-1&x=y":        "options other than",
		"ec2tags://?region=us-east-1&endpoint=x": "is no http or https URL",
		"ec2tags://?region=%zz":                  "invalid URL escape",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%s): error is %v, want one with %q", text, err, want)
		}
	}
}

func someImage(n int) registry.Image {
	return registry.Image{
		ID: fmt.Sprintf("01J%023d", n), Application: "shop", Version: "1", Layer: "application",
		Artifacts: []registry.Artifact{
			{Ref: registry.Ref{Cloud: Local, Region: "eu-west-1", ID: fmt.Sprint("ami-eu-", n)}},
			{Ref: registry.Ref{Cloud: Local, Region: "us-east-1", ID: fmt.Sprint("ami-us-", n)}},
		},
		CreatedAt: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
	}
}

func TestTagsAreBounded(t *testing.T) {
	s, fakes := faked()
	reg := registry.New(s)
	img, _, err := reg.Register(t.Context(), someImage(1))
	if err != nil {
		t.Fatal(err)
	}
	// Suites are run, and the image is held and released, again and again.
	for round := range 20 {
		r := registry.TestResult{
			Suite: "smoke", Outcome: registry.Passed, Counts: registry.Counts{Passed: 1},
			StartedAt: time.Date(2026, 3, 2, 0, round, 0, 0, time.UTC),
		}
		if err := reg.RecordResults(t.Context(), img.ID, r); err != nil {
			t.Fatal(err)
		}
		if _, err := reg.Mark(t.Context(), registry.Mark{Image: img.ID, Kind: registry.MarkHeld, Reason: "r"}); err != nil {
			t.Fatal(err)
		}
		if n, err := reg.Clear(t.Context(), img.ID, registry.MarkHeld, ""); err != nil || n != 1 {
			t.Fatalf("Clear = %d, %v", n, err)
		}
	}
	view, err := reg.Resolve(t.Context(), img.ID)
	if err != nil {
		t.Fatal(err)
	}
	if view.Held != nil || len(view.Suites) != 1 || view.Suites[0].StartedAt.Minute() != 19 {
		t.Errorf("state is %+v; want the newest result and no hold", view.State)
	}
	for region, f := range fakes {
		if f.most > maxTags {
			t.Errorf("an image had %d tags in %s, more than %d", f.most, region, maxTags)
		}
	}
}

func TestWhatDoesNotFitIsRefused(t *testing.T) {
	s, fakes := faked()
	reg := registry.New(s)
	img, _, err := reg.Register(t.Context(), someImage(1))
	if err != nil {
		t.Fatal(err)
	}
	before := maps.Clone(fakes["us-east-1"].tags["ami-us-1"])
	many := someImage(2)
	many.Labels = map[string]string{}
	for n := range 20 {
		many.Labels[fmt.Sprint("label", n)] = "x"
	}
	_, _, err = reg.Register(t.Context(), many)
	wantUnsupported(t, err, "would have 31 tags of the registry, which takes 24 at most")
	_, err = reg.Mark(t.Context(), registry.Mark{Image: img.ID, Kind: registry.MarkRevoked, Reason: strings.Repeat("x", 300)})
	wantUnsupported(t, err, "more than the 256 that EC2 keeps")
	for n := range 30 {
		err = reg.RecordResults(t.Context(), img.ID, registry.TestResult{
			Suite: fmt.Sprint("suite ", n), Outcome: registry.Passed, Counts: registry.Counts{Passed: 1},
		})
		if err != nil {
			break
		}
	}
	wantUnsupported(t, err, "use a registry in SQLite or DynamoDB", "use fewer labels")
	_, err = reg.Promote(t.Context(), img.ID, "stable", 0, "")
	wantUnsupported(t, err, "nobody could tell who has moved it first")
	if len(fakes["us-east-1"].tags["ami-us-2"]) != 0 {
		t.Error("an image that was refused has tags")
	}
	for key, value := range before {
		if got := fakes["us-east-1"].tags["ami-us-1"][key]; got != value {
			t.Errorf("tag %s is %q, was %q", key, got, value)
		}
	}
}

// wantUnsupported wants a refusal with one of some texts.
func wantUnsupported(t *testing.T, err error, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if errors.Is(err, registry.ErrUnsupported) && strings.Contains(err.Error(), want) {
			return
		}
	}
	t.Errorf("error is %v, want ErrUnsupported with one of %q", err, wants)
}

// A fact that was written to one copy only, since the call for another failed,
// counts.
func TestCopiesAreMerged(t *testing.T) {
	s, fakes := faked()
	reg := registry.New(s)
	img, _, err := reg.Register(t.Context(), someImage(1))
	if err != nil {
		t.Fatal(err)
	}
	m, err := reg.Mark(t.Context(), registry.Mark{Image: img.ID, Kind: registry.MarkRevoked, Reason: "CVE"})
	if err != nil {
		t.Fatal(err)
	}
	delete(fakes["eu-west-1"].tags["ami-eu-1"], markPrefix+m.ID)
	if view, err := reg.Resolve(t.Context(), "ami-eu-1"); err != nil || view.Status != registry.StatusRevoked {
		t.Errorf("status is %s, %v; want revoked", view.Status, err)
	}
	// A child of a revoked image is refused, and one that came before is revoked.
	child := someImage(2)
	child.ParentImage = registry.Ref{Cloud: Local, Region: "us-east-1", ID: "ami-us-1"}
	if _, _, err := reg.Register(t.Context(), child); !errors.Is(err, registry.ErrRevoked) {
		t.Errorf("error of a child is %v, want ErrRevoked", err)
	}
}

func TestWritingWaitsUntilItCanBeRead(t *testing.T) {
	s, fakes := faked()
	fakes["us-east-1"].hide = 2
	reg := registry.New(s)
	img, _, err := reg.Register(t.Context(), someImage(1))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Image(t.Context(), img.ID); err != nil {
		t.Errorf("Image = %v, %v", got, err)
	}
}

func TestForeignTagsAreNoRecords(t *testing.T) {
	s, fakes := faked()
	// What bakery-lineage writes before it registers.
	fakes["us-east-1"].tags["ami-us-1"] = map[string]string{keyID: someImage(1).ID, keyApplication: "shop", "Name": "mine"}
	for img, err := range s.Images(t.Context(), registry.Filter{}) {
		t.Errorf("found %v, %v; want none", img, err)
	}
	reg := registry.New(s)
	if _, created, err := reg.Register(t.Context(), someImage(1)); err != nil || !created {
		t.Fatalf("Register = %v, %v", created, err)
	}
	got, err := s.Image(t.Context(), someImage(1).ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"Name": "mine"}, got.Artifacts[1].Tags); diff != "" {
		t.Errorf("tags of the artifact (-want +got):\n%s", diff)
	}
	// A later layout and damage are errors, never another image.
	for value, want := range map[string]string{"2|x": "written by a later release", "1|!": "is no time", "1" + strings.Repeat("|", 20) + "x": "more than 10 fields"} {
		fakes["us-east-1"].tags["ami-us-1"][keyRecord] = value
		delete(fakes["eu-west-1"].tags, "ami-eu-1")
		if _, err := s.Image(t.Context(), someImage(1).ID); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error of %q is %v, want one with %q", value, err, want)
		}
	}
}

func TestWildcardsAreTakenAsTheyAre(t *testing.T) {
	s, _ := faked()
	star, other := someImage(1), someImage(2)
	star.Application, other.Application = "*", "other"
	for _, img := range []registry.Image{star, other} {
		if err := s.Commit(t.Context(), registry.Change{Image: &img}); err != nil {
			t.Fatal(err)
		}
	}
	var found []string
	for img, err := range s.Images(t.Context(), registry.Filter{Application: "*"}) {
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, img.Application)
	}
	if diff := cmp.Diff([]string{"*"}, found); diff != "" {
		t.Errorf("images (-want +got):\n%s", diff)
	}
}

// TestRefusalsAreExplained asks an EC2 that refuses, and one that is not there.
func TestRefusalsAreExplained(t *testing.T) {
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_CONFIG_FILE": os.DevNull,
		"AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_PROFILE": "",
	} {
		t.Setenv(name, value)
	}
	for code, want := range map[string]string{
		"UnauthorizedOperation": "it needs ec2:DescribeImages, CreateTags and DeleteTags",
		"AuthFailure":           "the credentials are not valid, or the clock",
		"TagLimitExceeded":      "the image has 50 tags",
	} {
		t.Run(code, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusForbidden)
				_, _ = fmt.Fprintf(w, `<Response><Errors><Error><Code>%s</Code><Message>no</Message></Error></Errors><RequestID>r</RequestID></Response>`, code)
			}))
			defer server.Close()
			s, err := Open(t.Context(), Place{Cloud: AWS, Regions: []string{"eu-west-1"}, Endpoint: server.URL})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			_, err = s.Image(t.Context(), "01J")
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "ec2tags://?region=eu-west-1") {
				t.Errorf("error is %v, want one with %q and the registry", err, want)
			}
		})
	}
	t.Run("nobody answers", func(t *testing.T) {
		s, err := Open(t.Context(), Place{Cloud: AWS, Regions: []string{"eu-west-1"}, Endpoint: "http://127.0.0.1:1"})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		for _, err := range s.Images(t.Context(), registry.Filter{}) {
			if err == nil || !strings.Contains(err.Error(), "EC2 cannot be reached") {
				t.Errorf("error is %v", err)
			}
		}
	})
}

func FuzzParseTags(f *testing.F) {
	f.Add("1|a|b|local/us-east-1/ami-1|x", "suite|offline|passed|1.0.0.0|a|1.5", "revoked|a|b")
	f.Fuzz(func(t *testing.T, record, result, mark string) {
		_, _ = parseImage(map[string]string{keyRecord: record})
		tags := map[string]string{resultPrefix + "1": result, markPrefix + "2": mark}
		if facts, err := parseFacts("x", tags); err == nil && len(facts.Results) == 1 {
			// What was read is written as it is read again.
			key, value := resultTag(facts.Results[0])
			again, err := parseFacts("x", map[string]string{key: value})
			if err != nil || !cmp.Equal(again.Results, facts.Results) {
				t.Errorf("%q is read as %+v, and again as %+v, %v", result, facts.Results, again.Results, err)
			}
		}
		_, _ = superseded(tags)
	})
}
