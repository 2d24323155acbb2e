package access

import (
	"testing"

	"github.com/imagebakery/packer-plugin-bakery/internal/home"
)

// TestLocalHostIsInItsRegion opens the local cloud in several regions:
// bakery-chroot bakes only in the region that its host is in.
func TestLocalHostIsInItsRegion(t *testing.T) {
	t.Setenv(home.Env, t.TempDir())
	for _, region := range []string{"us-east-1", "eu-central-1"} {
		c := Config{Cloud: Local, Region: region}
		if errs := c.Prepare(); len(errs) > 0 {
			t.Fatal(errs)
		}
		client, err := c.Client(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		host, err := client.Host(t.Context())
		if err != nil || host.Region != region || host.Zone != region+"a" || client.Region() != region {
			t.Errorf("in %s the host is %+v, %v", region, host, err)
		}
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	}
}
