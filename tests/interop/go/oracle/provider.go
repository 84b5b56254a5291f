package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/gorilla/mux"
	"github.com/openfaas/faas-provider/logs"
	"github.com/openfaas/faas-provider/types"
)

const defaultNamespace = "openfaas-fn"

// provider is the router that all providers share. Its handlers read a request as faas-netes does,
// and then as faasd does. Where the open faas-netes would refuse every namespace but its own, it is
// read as its multi-namespace relatives do.
type provider struct {
	router *mux.Router
	acts   map[string]struct{}
}

var errRecorded = errors.New("recorded")

func newProvider() *provider {
	p := &provider{router: mux.NewRouter(), acts: map[string]struct{}{}}
	r := p.router

	r.HandleFunc("/system/functions", p.queried("Function:List")).Methods(http.MethodGet)
	r.HandleFunc("/system/functions", p.deployed("Function:Create")).Methods(http.MethodPost)
	r.HandleFunc("/system/functions", p.deleted).Methods(http.MethodDelete)
	r.HandleFunc("/system/functions", p.deployed("Function:Update")).Methods(http.MethodPut)
	r.HandleFunc("/system/function/{name:"+names+"+}", p.looked).Methods(http.MethodGet)
	r.HandleFunc("/system/scale-function/{name:"+names+"+}", p.scaled).Methods(http.MethodPost)
	r.HandleFunc("/system/info", p.fixed("System:Info *")).Methods(http.MethodGet)
	r.HandleFunc("/system/secrets", p.queried("Secret:List")).Methods(http.MethodGet)
	r.HandleFunc("/system/secrets", p.secret("Secret:Update")).Methods(http.MethodPut)
	r.HandleFunc("/system/secrets", p.secret("Secret:Create")).Methods(http.MethodPost)
	r.HandleFunc("/system/secrets", p.secret("Secret:Delete")).Methods(http.MethodDelete)
	r.HandleFunc("/system/logs", logs.NewLogHandlerFunc(p, time.Second)).Methods(http.MethodGet)
	r.HandleFunc("/system/namespaces", p.fixed("Namespace:List *:*")).Methods(http.MethodGet)
	r.HandleFunc("/system/namespace/{name:"+names+"*}", p.namespace).
		Methods(http.MethodPost, http.MethodDelete, http.MethodPut, http.MethodGet)
	for _, rest := range []string{"", "/", "/{params:.*}"} {
		r.HandleFunc("/function/{name:"+names+"+}"+rest, p.invoked)
	}
	r.HandleFunc("/healthz", func(http.ResponseWriter, *http.Request) {}).Methods(http.MethodGet)
	return p
}

func (p *provider) act(provider, action, resource string) {
	p.acts[provider+" "+action+" "+resource] = struct{}{}
}

func (p *provider) both(action, namespace, name string) {
	p.act("n", action, namespace+":"+name)
	p.act("d", action, namespace+":"+name)
}

// file is a secret of faasd, which lies in a folder of its namespace.
func (p *provider) file(action, namespace, name string) {
	folder, file := path.Split(path.Join("/secrets", namespace, name))
	namespace, inside := strings.CutPrefix(strings.TrimSuffix(folder, "/"), "/secrets/")
	if !inside {
		namespace = folder
	}
	p.act("d", action, namespace+":"+file)
}

func orDefault(namespace string) string {
	if namespace == "" {
		return defaultNamespace
	}
	return namespace
}

func inQuery(r *http.Request) string { return orDefault(r.URL.Query().Get("namespace")) }

// parsed reads a body into every one of the types.
func parsed(r *http.Request, into ...any) bool {
	body, err := io.ReadAll(r.Body)
	for _, into := range into {
		if err == nil {
			err = json.Unmarshal(body, into)
		}
	}
	return err == nil
}

func (p *provider) fixed(act string) http.HandlerFunc {
	return func(http.ResponseWriter, *http.Request) {
		action, resource, _ := strings.Cut(act, " ")
		p.act("n", action, resource)
		p.act("d", action, resource)
	}
}

func (p *provider) queried(action string) http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) { p.both(action, inQuery(r), "*") }
}

func (p *provider) looked(_ http.ResponseWriter, r *http.Request) {
	p.both("Function:Get", inQuery(r), mux.Vars(r)["name"])
}

func (p *provider) deployed(action string) http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) {
		var request types.FunctionDeployment
		if !parsed(r, &request) {
			return
		}
		namespace := orDefault(request.Namespace)
		p.both(action, namespace, request.Service)
		// faasd mounts the file that a secret's name leads to. One elsewhere is an act of its own.
		for _, secret := range request.Secrets {
			mounted := path.Join("/secrets", namespace, secret)
			if path.Dir(mounted) != "/secrets/"+namespace {
				p.act("d", "mounts", mounted)
			}
		}
	}
}

func (p *provider) deleted(_ http.ResponseWriter, r *http.Request) {
	var request types.DeleteFunctionRequest
	if !parsed(r, &request) || request.FunctionName == "" {
		return
	}
	p.act("n", "Function:Delete", inQuery(r)+":"+request.FunctionName)
	p.act("d", "Function:Delete", orDefault(request.Namespace)+":"+request.FunctionName)
}

func (p *provider) scaled(_ http.ResponseWriter, r *http.Request) {
	var request types.ScaleServiceRequest
	if !parsed(r, &request) {
		return
	}
	p.act("n", "Function:Scale", inQuery(r)+":"+mux.Vars(r)["name"])
	// Without a name in the body faasd finds no function.
	if request.ServiceName != "" {
		p.act("d", "Function:Scale", orDefault(request.Namespace)+":"+request.ServiceName)
	}
}

func (p *provider) secret(action string) http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) {
		named := struct{ Namespace string }{Namespace: defaultNamespace}
		var request types.Secret
		if !parsed(r, &named, &request) {
			return
		}
		// faas-netes refuses an empty namespace.
		if named.Namespace != "" {
			p.act("n", action, named.Namespace+":"+request.Name)
		}
		// faasd's Delete looks at the query alone. Its Update is its Create.
		namespace := orDefault(request.Namespace)
		if action == "Secret:Delete" {
			namespace = inQuery(r)
		}
		p.file(action, namespace, request.Name)
	}
}

// Query makes the provider what the logs are read from, behind the real handler.
func (p *provider) Query(_ context.Context, request logs.Request) (<-chan logs.Message, error) {
	namespace := orDefault(request.Namespace)
	p.act("d", "Function:Logs", namespace+":"+request.Name)
	if strings.EqualFold(namespace, "kube-system") {
		namespace = defaultNamespace
	}
	p.act("n", "Function:Logs", namespace+":"+request.Name)
	return nil, errRecorded
}

// namespace is faasd's: the open faas-netes has no such handler, and its relatives the same calls.
func (p *provider) namespace(_ http.ResponseWriter, r *http.Request) {
	name := mux.Vars(r)["name"]
	if r.Method == http.MethodGet {
		if name != "" {
			p.both("Namespace:Get", name, "*")
		}
		return
	}
	var request types.FunctionNamespace
	if !parsed(r, &request) || request.Name == "" {
		return
	}
	action := map[string]string{
		http.MethodPost:   "Namespace:Create",
		http.MethodPut:    "Namespace:Update",
		http.MethodDelete: "Namespace:Delete",
	}[r.Method]
	if r.Method == http.MethodPost || request.Name == name {
		p.both(action, request.Name, "*")
	}
}

// invoked is a call of a function: what follows the last dot is the namespace.
func (p *provider) invoked(_ http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodGet,
		http.MethodOptions, http.MethodHead:
	default:
		return
	}
	name := mux.Vars(r)["name"]
	namespace := defaultNamespace
	if dot := strings.LastIndex(name, "."); dot >= 0 {
		name, namespace = name[:dot], name[dot+1:]
	}
	p.both("Function:Invoke", namespace, name)
}
