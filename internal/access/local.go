package access

import (
	"context"
	"fmt"
	"net/http"

	"github.com/imagebakery/packer-plugin-bakery/internal/home"
	"github.com/imagebakery/packer-plugin-bakery/internal/localcloud"
)

// localTransport answers from the local cloud and closes it.
type localTransport struct {
	http.RoundTripper
	cloud *localcloud.Cloud
}

func (t localTransport) Close() error { return t.cloud.Close() }

// openLocal opens the local cloud as a host in a region sees it.
func openLocal(ctx context.Context, region string) (http.RoundTripper, error) {
	dir, err := home.Dir()
	if err != nil {
		return nil, err
	}
	options := append(localcloud.OptionsFromEnv(), localcloud.WithRegion(region))
	local, err := localcloud.Open(ctx, dir, options...)
	if err != nil {
		return nil, fmt.Errorf("open the local cloud in %s: %w", dir, err)
	}
	return localTransport{local.Transport(), local}, nil
}
