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

func openLocal(ctx context.Context) (http.RoundTripper, error) {
	dir, err := home.Dir()
	if err != nil {
		return nil, err
	}
	local, err := localcloud.Open(ctx, dir, localcloud.OptionsFromEnv()...)
	if err != nil {
		return nil, fmt.Errorf("open the local cloud in %s: %w", dir, err)
	}
	return localTransport{local.Transport(), local}, nil
}
