package main

import (
	"context"
	"net/http"
	"net/url"
	"time"

	bootstrap "github.com/openfaas/faas-provider"
	"github.com/openfaas/faas-provider/proxy"
	"github.com/openfaas/faas-provider/types"

	"faas-iam.example/tests/interop/internal/reading"
)

const timeout = 10 * time.Second

// everywhere leads every function to one address.
type everywhere struct{ address string }

func (e everywhere) Resolve(string) (url.URL, error) {
	return url.URL{Scheme: "http", Host: e.address}, nil
}

// serveProvider is faas-provider's server and proxy, with handlers that do nothing.
func serveProvider(ctx context.Context, records *records, port int, credentials, functions string) {
	config := types.FaaSConfig{
		TCPPort:             &port,
		ReadTimeout:         timeout,
		WriteTimeout:        timeout,
		EnableBasicAuth:     true,
		SecretMountPath:     credentials,
		MaxIdleConns:        1024,
		MaxIdleConnsPerHost: 1024,
	}
	handlers := reading.Handlers()
	invoked, forward := handlers.FunctionProxy, proxy.NewHandlerFunc(config, everywhere{functions}, false)
	handlers.FunctionProxy = func(w http.ResponseWriter, r *http.Request) {
		invoked(w, r)
		forward(w, r)
	}
	bootstrap.Router().Use(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			acts := &reading.Acts{}
			next.ServeHTTP(w, r.WithContext(acts.Context(r.Context())))
			records.write("provider", r, acts.Sorted())
		})
	})
	bootstrap.Serve(ctx, &handlers, &config)
}
