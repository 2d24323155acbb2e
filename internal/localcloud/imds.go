package localcloud

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// metadataPath is what the paths of the instance metadata service start with:
// "latest" or the date of a version.
var metadataPath = regexp.MustCompile(`^/(latest|[0-9]{4}-[0-9]{2}-[0-9]{2}|1\.0)(/|$)`)

func isMetadataPath(path string) bool { return metadataPath.MatchString(path) }

const (
	tokenHeader    = "X-Aws-Ec2-Metadata-Token"             //nolint:gosec // a name
	tokenTTLHeader = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds" //nolint:gosec // a name
	maxTokenTTL    = 21600                                  // six hours
)

// metadataTokens are the session tokens that were given out and when they end.
type metadataTokens struct {
	mu   sync.Mutex
	ends map[string]time.Time
}

func (m *metadataTokens) issue(now time.Time, ttl time.Duration) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.ends, func(_ string, end time.Time) bool { return now.After(end) })
	token := rand.Text()
	if m.ends == nil {
		m.ends = map[string]time.Time{}
	}
	m.ends[token] = now.Add(ttl)
	return token
}

func (m *metadataTokens) valid(now time.Time, token string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	end, ok := m.ends[token]
	return ok && now.Before(end)
}

// serveMetadata is the instance metadata service: version 2 with a token, and
// version 1 without, as on an instance that does not require tokens.
func (c *Cloud) serveMetadata(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Server", "EC2ws")
	w.Header().Set("Content-Type", "text/plain")
	path := strings.Trim(metadataPath.ReplaceAllString(r.URL.Path, ""), "/")
	now := c.now()
	switch {
	case r.Header.Get("X-Forwarded-For") != "":
		http.Error(w, "a request through a proxy gets nothing", http.StatusForbidden)
		return
	case path == "api/token":
		c.serveToken(w, r)
		return
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
		return
	case r.Header.Get(tokenHeader) != "" && !c.tokens.valid(now, r.Header.Get(tokenHeader)):
		http.Error(w, "the token is unknown or has expired", http.StatusUnauthorized)
		return
	}
	body, ok := lookUpMetadata(c.metadata(), path)
	if !ok {
		http.Error(w, "404 - Not Found", http.StatusNotFound)
		return
	}
	_, _ = io.WriteString(w, body) // the client may have gone
}

func (c *Cloud) serveToken(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPut {
		http.Error(w, "only PUT", http.StatusMethodNotAllowed)
		return
	}
	ttl, err := strconv.Atoi(r.Header.Get(tokenTTLHeader))
	if err != nil || ttl < 1 || ttl > maxTokenTTL {
		http.Error(w, fmt.Sprintf("%s must be between 1 and %d", tokenTTLHeader, maxTokenTTL), http.StatusBadRequest)
		return
	}
	w.Header().Set(tokenTTLHeader, strconv.Itoa(ttl))
	_, _ = io.WriteString(w, c.tokens.issue(c.now(), time.Duration(ttl)*time.Second)) // the client may have gone
}

// lookUpMetadata returns the value at a path, or the names in the folder there.
func lookUpMetadata(tree map[string]string, path string) (string, bool) {
	if value, ok := tree[path]; ok {
		return value, true
	}
	prefix := path + "/"
	if path == "" {
		prefix = ""
	}
	names := map[string]bool{}
	for key := range tree {
		if rest, ok := strings.CutPrefix(key, prefix); ok {
			name, _, deeper := strings.Cut(rest, "/")
			if deeper {
				name += "/"
			}
			names[name] = true
		}
	}
	return strings.Join(slices.Sorted(maps.Keys(names)), "\n"), len(names) > 0
}

// identityDocument is dynamic/instance-identity/document.
type identityDocument struct {
	AccountID               string    `json:"accountId"`
	Architecture            string    `json:"architecture"`
	AvailabilityZone        string    `json:"availabilityZone"`
	BillingProducts         []string  `json:"billingProducts"`
	DevpayProductCodes      []string  `json:"devpayProductCodes"`
	MarketplaceProductCodes []string  `json:"marketplaceProductCodes"`
	ImageID                 string    `json:"imageId"`
	InstanceID              string    `json:"instanceId"`
	InstanceType            string    `json:"instanceType"`
	KernelID                *string   `json:"kernelId"`
	PendingTime             time.Time `json:"pendingTime"`
	PrivateIP               string    `json:"privateIp"`
	RamdiskID               *string   `json:"ramdiskId"`
	Region                  string    `json:"region"`
	Version                 string    `json:"version"`
}

// metadata is all there is to know of the instance, by path.
func (c *Cloud) metadata() map[string]string {
	document, err := json.MarshalIndent(identityDocument{
		AccountID: AccountID, Architecture: c.host.architecture, AvailabilityZone: c.zone, ImageID: c.host.image,
		InstanceID: c.host.id, InstanceType: c.host.instanceType, PendingTime: c.host.launched.UTC().Truncate(time.Second),
		PrivateIP: c.host.address, Region: c.region, Version: "2017-09-30",
	}, "", "  ")
	if err != nil {
		panic("localcloud: identity document: " + err.Error()) // plain fields always encode
	}
	return map[string]string{
		"dynamic/instance-identity/document": string(document),

		"meta-data/ami-id":                         c.host.image,
		"meta-data/ami-launch-index":               "0",
		"meta-data/ami-manifest-path":              "(unknown)",
		"meta-data/block-device-mapping/ami":       "sda1",
		"meta-data/block-device-mapping/root":      "/dev/sda1",
		"meta-data/hostname":                       c.host.name,
		"meta-data/instance-action":                "none",
		"meta-data/instance-id":                    c.host.id,
		"meta-data/instance-life-cycle":            "on-demand",
		"meta-data/instance-type":                  c.host.instanceType,
		"meta-data/local-hostname":                 c.host.name,
		"meta-data/local-ipv4":                     c.host.address,
		"meta-data/placement/availability-zone":    c.zone,
		"meta-data/placement/availability-zone-id": zoneID(c.zone),
		"meta-data/placement/region":               c.region,
		"meta-data/profile":                        "default-hvm",
		"meta-data/services/domain":                "amazonaws.com",
		"meta-data/services/partition":             "aws",
	}
}
