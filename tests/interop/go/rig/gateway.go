package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/openfaas/faas-provider/auth"
	"github.com/openfaas/faas/gateway/handlers"
	"github.com/openfaas/faas/gateway/metrics"
	"github.com/openfaas/faas/gateway/pkg/middleware"
	"github.com/openfaas/faas/gateway/plugin"
	"github.com/openfaas/faas/gateway/scaling"
	gatewaytypes "github.com/openfaas/faas/gateway/types"

	"faas-iam.example/tests/interop/internal/reading"
)

const functionNamespace = "openfaas-fn"

// newGateway puts the gateway's own handlers behind its routes. (Its main package listens on one fixed
// port only, and needs a server of its queue.)
func newGateway(records *records, queue *queue, providerPort int, directory string) (http.Handler, error) {
	reader := auth.ReadBasicAuthFromDisk{SecretMountPath: directory}
	credentials, err := reader.Read()
	if err != nil {
		return nil, err
	}
	to, err := url.Parse(fmt.Sprintf("http://127.0.0.1:%d/", providerPort))
	if err != nil {
		return nil, err
	}
	injector := middleware.BasicAuthInjector{Credentials: credentials}
	client := gatewaytypes.NewHTTPClientReverseProxy(to, timeout, 1024, 1024)
	forward := func(injector middleware.AuthInjector) http.HandlerFunc {
		resolver := middleware.SingleHostBaseURLResolver{BaseURL: to.String()}
		path := middleware.TransparentURLPathTransformer{}
		return handlers.MakeForwardingProxyHandler(client, nil, resolver, path, injector)
	}
	protected := func(handler http.HandlerFunc) http.HandlerFunc {
		return auth.DecorateWithBasicAuth(handler, credentials)
	}
	alert := handlers.MakeAlertHandler(plugin.NewExternalServiceQuery(*to, injector), functionNamespace)
	queued := handlers.MakeQueuedProxy(metrics.MetricOptions{}, queue,
		middleware.FunctionPrefixTrimmingURLPathTransformer{}, functionNamespace, nil)
	router := reading.Gateway{
		Forward:   protected(forward(injector)),
		Scale:     protected(scaling.MakeHorizontalScalingHandler(forward(injector))),
		Logs:      protected(handlers.NewLogHandlerFunc(*to, timeout)),
		Info:      protected(handlers.MakeInfoHandler(forward(injector))),
		Alert:     protected(alert),
		Telemetry: forward(nil),
		Health:    forward(injector),
		Function:  handlers.MakeCallIDMiddleware(forward(nil)),
		Queue:     handlers.MakeCallIDMiddleware(queued),
		Static:    protected(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "page\n") }),
	}.Router()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		records.write("gateway", r, nil)
		router.ServeHTTP(w, r)
	}), nil
}
