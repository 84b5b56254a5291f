// Command rig is an OpenFaaS that does nothing and writes down what it would do: the gateway's own
// handlers, in front of faas-provider's own server, with the reading of faas-netes and of faasd. Behind
// the provider stands a server in place of every function, and beside the gateway a queue with a worker
// that calls as the queue's worker does.
//
// Everything that reaches one of them is a line of JSON in the file that -records names, with the value
// of the request header Rig-Request. SIGTERM ends it once the queue is empty and the file is whole.
package main

import (
	"context"
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	gatewayAddress := flag.String("gateway", "127.0.0.1:8080", "where the gateway listens")
	providerPort := flag.Int("provider-port", 8081, "where the provider listens")
	credentials := flag.String("credentials", "", "a directory with the gateway's user and password")
	file := flag.String("records", "", "where everything is written down")
	flag.Parse()

	records, err := newRecords(*file)
	if err != nil {
		log.Fatal(err)
	}
	// The libraries log each request.
	log.SetOutput(io.Discard)
	functions, err := serveFunctions(records)
	if err != nil {
		fail(err)
	}
	stopped := make(chan os.Signal, 1)
	signal.Notify(stopped, syscall.SIGTERM)
	go serveProvider(context.Background(), records, *providerPort, *credentials, functions)
	queue := newQueue(records, *gatewayAddress)
	gateway, err := newGateway(records, queue, *providerPort, *credentials)
	if err != nil {
		fail(err)
	}
	go func() { fail(http.ListenAndServe(*gatewayAddress, gateway)) }()

	<-stopped
	queue.drain()
	if err := records.close(); err != nil {
		fail(err)
	}
}

func fail(err error) {
	log.SetOutput(os.Stderr)
	log.Fatal(err)
}

// serveFunctions answers in place of every function.
func serveFunctions(records *records) (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	handler := func(w http.ResponseWriter, r *http.Request) {
		records.write("function", r, nil)
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "done\n")
	}
	go func() { fail(http.Serve(listener, http.HandlerFunc(handler))) }()
	return listener.Addr().String(), nil
}
