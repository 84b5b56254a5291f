// Command watchdog stands where a function's watchdog stands: the watchdogs' own JWT middleware in
// front of a handler, for one function or more.
//
// The middleware reads the issuer's documents from http://gateway.openfaas:8080. That name leads to
// the address in -gateway, for this process alone.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"strings"

	"github.com/openfaas/faas-middleware/auth"
)

func main() {
	gateway := flag.String("gateway", "", "the `host:port` that gateway.openfaas:8080 leads to")
	functions := map[string]string{}
	flag.Func("function", "a function and where it listens, `namespace:name=host:port`", func(text string) error {
		name, address, found := strings.Cut(text, "=")
		if !found {
			return fmt.Errorf("%q has no address", text)
		}
		functions[name] = address
		return nil
	})
	flag.Parse()

	leadTo(*gateway)
	failed := make(chan error)
	for name, address := range functions {
		go func() { failed <- serve(name, address) }()
	}
	log.Fatal(<-failed)
}

func leadTo(gateway string) {
	transport := http.DefaultTransport.(*http.Transport)
	transport.Proxy = nil
	var dialer net.Dialer
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if address == "gateway.openfaas:8080" {
			address = gateway
		}
		return dialer.DialContext(ctx, network, address)
	}
}

func serve(reference, address string) error {
	namespace, name, found := strings.Cut(reference, ":")
	if !found {
		return fmt.Errorf("%q is not namespace:name", reference)
	}
	function := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "%s was reached", reference)
	})
	options := auth.JWTAuthOptions{Name: name, Namespace: namespace}
	guarded, err := auth.NewJWTAuthMiddleware(options, function)
	if err != nil {
		return err
	}
	return http.ListenAndServe(address, guarded)
}
