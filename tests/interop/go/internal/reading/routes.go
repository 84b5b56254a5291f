package reading

import (
	"net/http"

	"github.com/gorilla/mux"
	"github.com/openfaas/faas-provider/types"
)

const names = "[-a-zA-Z_0-9.]"

// Gateway is a handler for each kind of route that the gateway has.
type Gateway struct {
	// Forward is for calls that the provider answers for.
	Forward http.HandlerFunc
	// Scale reads the body before it forwards.
	Scale http.HandlerFunc
	Logs  http.HandlerFunc
	Info  http.HandlerFunc
	Alert http.HandlerFunc
	// Telemetry and Health ask for no credentials.
	Telemetry http.HandlerFunc
	Health    http.HandlerFunc
	Function  http.HandlerFunc
	Queue     http.HandlerFunc
	Static    http.HandlerFunc
}

// Router is the gateway's.
func (g Gateway) Router() *mux.Router {
	r := mux.NewRouter()
	r.HandleFunc("/system/info", g.Info).Methods(http.MethodGet)
	r.HandleFunc("/system/alert", g.Alert).Methods(http.MethodPost)
	r.HandleFunc("/system/function/{name:"+names+"+}", g.Forward).Methods(http.MethodGet)
	r.HandleFunc("/system/functions", g.Forward).
		Methods(http.MethodGet, http.MethodPost, http.MethodDelete, http.MethodPut)
	r.HandleFunc("/system/scale-function/{name:"+names+"+}", g.Scale).Methods(http.MethodPost)
	r.HandleFunc("/system/secrets", g.Forward).
		Methods(http.MethodGet, http.MethodPut, http.MethodPost, http.MethodDelete)
	r.HandleFunc("/system/logs", g.Logs).Methods(http.MethodGet)
	r.HandleFunc("/system/namespaces", g.Forward).Methods(http.MethodGet)
	r.HandleFunc("/system/namespace/{namespace:"+names+"*}", g.Forward).
		Methods(http.MethodPost, http.MethodDelete, http.MethodPut, http.MethodGet)
	r.HandleFunc("/system/telemetry", g.Telemetry).Methods(http.MethodGet)

	for _, rest := range []string{"", "/", "/{params:.*}"} {
		r.HandleFunc("/function/{name:"+names+"+}"+rest, g.Function)
		r.HandleFunc("/async-function/{name:"+names+"+}"+rest, g.Queue).Methods(http.MethodPost)
	}
	r.PathPrefix("/ui/").HandlerFunc(g.Static).Methods(http.MethodGet)
	r.HandleFunc("/healthz", g.Health).Methods(http.MethodGet)
	r.HandleFunc("/", g.Static).Methods(http.MethodGet)
	return r
}

// ProviderRouter is the one that all providers share, as faas-provider's Serve builds it, without a
// server.
func ProviderRouter(h types.FaaSHandlers) *mux.Router {
	r := mux.NewRouter()
	r.HandleFunc("/system/functions", h.FunctionLister).Methods(http.MethodGet)
	r.HandleFunc("/system/functions", h.DeployFunction).Methods(http.MethodPost)
	r.HandleFunc("/system/functions", h.DeleteFunction).Methods(http.MethodDelete)
	r.HandleFunc("/system/functions", h.UpdateFunction).Methods(http.MethodPut)
	r.HandleFunc("/system/function/{name:"+names+"+}", h.FunctionStatus).Methods(http.MethodGet)
	r.HandleFunc("/system/scale-function/{name:"+names+"+}", h.ScaleFunction).Methods(http.MethodPost)
	r.HandleFunc("/system/info", h.Info).Methods(http.MethodGet)
	r.HandleFunc("/system/secrets", h.Secrets).
		Methods(http.MethodGet, http.MethodPut, http.MethodPost, http.MethodDelete)
	r.HandleFunc("/system/logs", h.Logs).Methods(http.MethodGet)
	r.HandleFunc("/system/namespaces", h.ListNamespaces).Methods(http.MethodGet)
	r.HandleFunc("/system/namespace/{name:"+names+"*}", h.MutateNamespace).
		Methods(http.MethodPost, http.MethodDelete, http.MethodPut, http.MethodGet)
	for _, rest := range []string{"", "/", "/{params:.*}"} {
		r.HandleFunc("/function/{name:"+names+"+}"+rest, h.FunctionProxy)
	}
	r.HandleFunc("/healthz", h.Health).Methods(http.MethodGet)
	return r
}
