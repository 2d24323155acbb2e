package dynamodb

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/imagebakery/packer-plugin-bakery/registry"
	"github.com/imagebakery/packer-plugin-bakery/registry/registrytest"
	"github.com/imagebakery/packer-plugin-bakery/registry/sqlite"
)

var tables atomic.Int64

// somewhere returns the place of a table that does not exist.
func somewhere(t *testing.T) Place {
	t.Helper()
	return Place{Table: fmt.Sprintf("registry-%d", tables.Add(1)), Region: "eu-west-1", Endpoint: server(t)}
}

func open(t *testing.T, place Place) *Store {
	t.Helper()
	s, err := Open(t.Context(), place)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func initialized(t *testing.T) *Store {
	t.Helper()
	place := somewhere(t)
	if created, err := Init(t.Context(), place); err != nil || !created {
		t.Fatalf("Init = %v, %v", created, err)
	}
	return open(t, place)
}

func TestConformance(t *testing.T) {
	// Three pages of images. moto copies the table for each item that it writes,
	// so that large tables take it minutes.
	registrytest.Run(t, func(t *testing.T) registry.Store { return initialized(t) }, registrytest.ScanOf(firstPage+nextPages+10))
}

func TestInit(t *testing.T) {
	place := somewhere(t)
	if _, err := Open(t.Context(), place); !errors.Is(err, ErrNoTable) || !strings.Contains(err.Error(), place.Table) {
		t.Fatalf("error without a table is %v, want ErrNoTable", err)
	}
	for _, want := range []bool{true, false} {
		if created, err := Init(t.Context(), place); err != nil || created != want {
			t.Fatalf("Init = %v, %v; want %v", created, err, want)
		}
	}
	s := open(t, place)
	table, err := s.client.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: &place.Table})
	if err != nil {
		t.Fatal(err)
	}
	if !aws.ToBool(table.Table.DeletionProtectionEnabled) || table.Table.BillingModeSummary.BillingMode != types.BillingModePayPerRequest {
		t.Errorf("table is %+v; want it protected and billed per request", table.Table)
	}
	backups, err := s.client.DescribeContinuousBackups(t.Context(), &dynamodb.DescribeContinuousBackupsInput{TableName: &place.Table})
	if err != nil {
		t.Fatal(err)
	}
	got := backups.ContinuousBackupsDescription.PointInTimeRecoveryDescription.PointInTimeRecoveryStatus
	if got != types.PointInTimeRecoveryStatusEnabled {
		t.Errorf("backups are %s", got)
	}
}

func TestOtherTablesAndLaterFormatsAreRefused(t *testing.T) {
	s := initialized(t)
	write := func(i item) {
		t.Helper()
		if _, err := s.client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &s.place.Table, Item: i}); err != nil {
			t.Fatal(err)
		}
	}
	later := formatKey.item()
	later["version"] = &types.AttributeValueMemberN{Value: "2"}
	write(later)
	if _, err := Open(t.Context(), s.place); err == nil || !strings.Contains(err.Error(), "written by a later release") {
		t.Errorf("error of a later format is %v", err)
	}
	if _, err := Init(t.Context(), s.place); err == nil || !strings.Contains(err.Error(), "written by a later release") {
		t.Errorf("Init of a later format: %v", err)
	}

	_, err := s.client.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: &s.place.Table, Key: formatKey.item()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), s.place); err == nil || !strings.Contains(err.Error(), "the table is no registry") {
		t.Errorf("error of another table is %v", err)
	}
	write(key{"user#1", "profile"}.item())
	if _, err := Init(t.Context(), s.place); err == nil || !strings.Contains(err.Error(), "holds something else") {
		t.Errorf("Init of another table: %v", err)
	}
}

func TestTooLargeAChangeIsRefused(t *testing.T) {
	s := initialized(t)
	img := registry.Image{
		ID: "01J", Application: "base", Version: "1", Layer: "base", CreatedAt: time.Unix(1, 0),
		Artifacts: []registry.Artifact{{Ref: registry.Ref{Cloud: "aws", Region: "us-east-1", ID: "ami-1"}}},
	}
	change := registry.Change{Image: &img}
	for n := range 100 {
		change.Marks = append(change.Marks, registry.Mark{ID: fmt.Sprintf("01M%03d", n), Image: img.ID, Kind: registry.MarkHeld})
	}
	if err := s.Commit(t.Context(), change); !errors.Is(err, registry.ErrUnsupported) {
		t.Errorf("error is %v, want ErrUnsupported", err)
	}
	if _, err := s.Image(t.Context(), img.ID); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("the image is there: %v", err)
	}
}

func TestEventsArePacked(t *testing.T) {
	s := initialized(t)
	img := registry.Image{ID: "01J", Application: "base", Version: "1", Layer: "base", CreatedAt: time.Unix(1, 0)}
	change := registry.Change{Image: &img}
	const n = 300
	for i := range n {
		change.Events = append(change.Events, registry.Event{
			ID: fmt.Sprintf("01E%03d", i), Op: registry.OpMark, Image: img.ID, Detail: strings.Repeat("x", 2000),
		})
	}
	if err := s.Commit(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	for _, image := range []string{"", img.ID} {
		got := 0
		for e, err := range s.Events(t.Context(), image) {
			if err != nil {
				t.Fatal(err)
			}
			if e.ID != fmt.Sprintf("01E%03d", got) {
				t.Fatalf("event %d is %s", got, e.ID)
			}
			got++
		}
		if got != n {
			t.Errorf("%d events of %q came back, want %d", got, image, n)
		}
	}
}

func TestUnreachable(t *testing.T) {
	place := somewhere(t)
	place.Endpoint = "http://127.0.0.1:1"
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	_, err := Open(ctx, place)
	if err == nil || !strings.Contains(err.Error(), "it cannot be reached") || !strings.Contains(err.Error(), place.Table) {
		t.Errorf("error is %v", err)
	}
}

// answering returns the place of a table whose service refuses all calls with the
// given error.
func answering(t *testing.T, code string) Place {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprintf(w, `{"__type":"com.amazonaws.dynamodb.v20120810#%s","message":"no"}`, code)
	}))
	t.Cleanup(server.Close)
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_CONFIG_FILE": os.DevNull,
		"AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_PROFILE": "",
	} {
		t.Setenv(name, value)
	}
	return Place{Table: "images", Region: "eu-west-1", Endpoint: server.URL}
}

func TestRefusalsAreExplained(t *testing.T) {
	for code, want := range map[string]string{
		"AccessDeniedException":       "these credentials may not do that",
		"UnrecognizedClientException": "the credentials are not valid",
		"ExpiredTokenException":       "the credentials are not valid",
		// What a clock that is wrong by minutes gets.
		"InvalidSignatureException": "or the clock of this machine is wrong",
		"ResourceNotFoundException": "'bakery registry init' makes one",
	} {
		t.Run(code, func(t *testing.T) {
			_, err := Open(t.Context(), answering(t, code))
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "dynamodb://images") {
				t.Errorf("error is %v, want one with %q and the registry", err, want)
			}
		})
	}
}

func TestParse(t *testing.T) {
	for text, want := range map[string]struct {
		place Place
		wrong string
	}{
		"dynamodb://images?region=us-east-1": {place: Place{Table: "images", Region: "us-east-1"}},
		"dynamodb://a_b.C-1?region=r&endpoint=http%3A%2F%2F127.0.0.1%3A8000": {
			place: Place{Table: "a_b.C-1", Region: "r", Endpoint: "http://127.0.0.1:8000"},
		},
		"dynamodb://images":                          {wrong: "names no region; write dynamodb://TABLE?region=REGION"},
		"dynamodb://im?region=r":                     {wrong: `"im" is no name of a table`},
		"dynamodb:images?region=r":                   {wrong: "no name of a table"},
		"dynamodb://images/x?region=r":               {wrong: "is no DynamoDB table"},
		"dynamodb://images?region=r&profile=p":       {wrong: "options other than region and endpoint"},
		"dynamodb://images?region=r&endpoint=ftp://": {wrong: "no http or https URL"},
		"dynamodb://images?region=r&endpoint=%zz":    {wrong: "invalid URL escape"},
	} {
		got, err := Parse(text)
		if want.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), want.wrong) {
				t.Errorf("error of %s is %v, want one with %q", text, err, want.wrong)
			}
			continue
		}
		if err != nil || got != want.place {
			t.Errorf("Parse(%s) = %+v, %v; want %+v", text, got, err, want.place)
		}
		if again, err := Parse(got.String()); err != nil || again != got {
			t.Errorf("%s does not come back: %+v, %v", got, again, err)
		}
	}
}

func TestAgesSortAsTimesDo(t *testing.T) {
	var last string
	for _, at := range []time.Time{{}, time.Unix(-1, 0), time.Unix(0, 0), time.Unix(0, 5e6), time.Unix(1e9, 0), time.Unix(1e10, 0)} {
		if got := age(registry.Image{ID: "a", CreatedAt: at}); got <= last {
			t.Errorf("%s of %s does not come after %s", got, at, last)
		} else {
			last = got
		}
	}
}

func TestKeysKeepTheirPartsApart(t *testing.T) {
	if a, b := join("x", "a#b", "c"), join("x", "a", "b#c"); a == b {
		t.Errorf("both are %s", a)
	}
	if a, b := join("x", "a%23b"), join("x", "a#b"); a == b {
		t.Errorf("both are %s", a)
	}
}

func TestCopyFromAFile(t *testing.T) {
	file, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "registry.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	reg := registry.New(file, registry.As("me"))
	for n, parent := range []string{"", "ami-0", "ami-1"} {
		ref := func(id string) registry.Ref { return registry.Ref{Cloud: "aws", Region: "us-east-1", ID: id} }
		img := registry.Image{
			Application: fmt.Sprint("app", n), Version: "1", Layer: "base",
			Artifacts: []registry.Artifact{{Ref: ref(fmt.Sprint("ami-", n))}},
		}
		if parent != "" {
			img.ParentImage = ref(parent)
		}
		_, _, err := reg.Register(t.Context(), img, registry.TestResult{Suite: "s", Outcome: registry.Passed, Counts: registry.Counts{Passed: 1}})
		if err != nil {
			t.Fatal(err)
		}
	}
	top, err := reg.Resolve(t.Context(), "ami-0")
	if err != nil {
		t.Fatal(err)
	}
	for revision := range int64(3) {
		if _, err := reg.Promote(t.Context(), top.ID, "stable", revision, ""); err != nil {
			t.Fatal(err)
		}
	}

	table := initialized(t)
	done, err := registry.Copy(t.Context(), table, file)
	if err != nil || done != (registry.Copied{Images: 3, Results: 3, Marks: 3, Channels: 1, Events: 9}) {
		t.Fatalf("Copy = %+v, %v", done, err)
	}
	inTable := registry.New(table)
	for _, id := range []string{"ami-0", "ami-1", "ami-2"} {
		want, err := reg.Show(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		got, err := inTable.Show(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s in the table (-file +table):\n%s", id, diff)
		}
	}

	// A revocation in the table reaches the youngest there, at once.
	if _, err := inTable.Mark(t.Context(), registry.Mark{Image: top.ID, Kind: registry.MarkRevoked, Reason: "CVE"}); err != nil {
		t.Fatal(err)
	}
	if view, err := inTable.Resolve(t.Context(), "ami-2"); err != nil || view.Status != registry.StatusRevoked {
		t.Errorf("the youngest is %s, %v; want revoked", view.Status, err)
	}
}
