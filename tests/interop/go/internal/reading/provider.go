// Package reading says what the open providers of OpenFaaS would act on, and which routes the gateway
// has. What the gateway and the providers read requests with is theirs: the router, the log handler and
// the types of faas-provider.
package reading

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"path"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/mux"
	"github.com/openfaas/faas-provider/logs"
	"github.com/openfaas/faas-provider/types"
)

const defaultNamespace = "openfaas-fn"

// Acts is what the providers would act on for one request, or for several. An act is the provider's
// letter ('n' for faas-netes, 'd' for faasd), a space, the action, a space, and the resource.
type Acts struct {
	mutex sync.Mutex
	acts  map[string]struct{}
}

type actsKey struct{}

var errRecorded = errors.New("recorded")

// Context is where the handlers write acts to.
func (a *Acts) Context(parent context.Context) context.Context {
	return context.WithValue(parent, actsKey{}, a)
}

// Sorted is every act so far, once.
func (a *Acts) Sorted() []string {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	acts := make([]string, 0, len(a.acts))
	for act := range a.acts {
		acts = append(acts, act)
	}
	sort.Strings(acts)
	return acts
}

// Handlers read a request as faas-netes does, and then as faasd does, and do nothing. Where the open
// faas-netes would refuse every namespace but its own, it is read as its multi-namespace relatives do.
func Handlers() types.FaaSHandlers {
	return types.FaaSHandlers{
		ListNamespaces:  fixed("Namespace:List *:*"),
		MutateNamespace: namespace,
		FunctionProxy:   invoked,
		FunctionLister:  queried("Function:List"),
		DeployFunction:  deployed("Function:Create"),
		UpdateFunction:  deployed("Function:Update"),
		DeleteFunction:  deleted,
		FunctionStatus:  looked,
		ScaleFunction:   scaled,
		Secrets:         secrets,
		Logs:            logs.NewLogHandlerFunc(logSource{}, time.Second),
		Health:          func(http.ResponseWriter, *http.Request) {},
		Info:            fixed("System:Info *"),
	}
}

func act(ctx context.Context, provider, action, resource string) {
	acts, ok := ctx.Value(actsKey{}).(*Acts)
	if !ok {
		panic("a request without a place for its acts")
	}
	acts.mutex.Lock()
	defer acts.mutex.Unlock()
	if acts.acts == nil {
		acts.acts = map[string]struct{}{}
	}
	acts.acts[provider+" "+action+" "+resource] = struct{}{}
}

func both(ctx context.Context, action, namespace, name string) {
	act(ctx, "n", action, namespace+":"+name)
	act(ctx, "d", action, namespace+":"+name)
}

// file is a secret of faasd, which lies in a folder of its namespace.
func file(ctx context.Context, action, namespace, name string) {
	folder, file := path.Split(path.Join("/secrets", namespace, name))
	namespace, inside := strings.CutPrefix(strings.TrimSuffix(folder, "/"), "/secrets/")
	if !inside {
		namespace = folder
	}
	act(ctx, "d", action, namespace+":"+file)
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

func fixed(only string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		action, resource, _ := strings.Cut(only, " ")
		act(r.Context(), "n", action, resource)
		act(r.Context(), "d", action, resource)
	}
}

func queried(action string) http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) { both(r.Context(), action, inQuery(r), "*") }
}

func looked(_ http.ResponseWriter, r *http.Request) {
	both(r.Context(), "Function:Get", inQuery(r), mux.Vars(r)["name"])
}

func deployed(action string) http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) {
		var request types.FunctionDeployment
		if !parsed(r, &request) {
			return
		}
		namespace := orDefault(request.Namespace)
		both(r.Context(), action, namespace, request.Service)
		// faasd mounts the file that a secret's name leads to. One elsewhere is an act of its own.
		for _, secret := range request.Secrets {
			mounted := path.Join("/secrets", namespace, secret)
			if path.Dir(mounted) != "/secrets/"+namespace {
				act(r.Context(), "d", "mounts", mounted)
			}
		}
	}
}

func deleted(_ http.ResponseWriter, r *http.Request) {
	var request types.DeleteFunctionRequest
	if !parsed(r, &request) || request.FunctionName == "" {
		return
	}
	act(r.Context(), "n", "Function:Delete", inQuery(r)+":"+request.FunctionName)
	act(r.Context(), "d", "Function:Delete", orDefault(request.Namespace)+":"+request.FunctionName)
}

func scaled(_ http.ResponseWriter, r *http.Request) {
	var request types.ScaleServiceRequest
	if !parsed(r, &request) {
		return
	}
	act(r.Context(), "n", "Function:Scale", inQuery(r)+":"+mux.Vars(r)["name"])
	// Without a name in the body faasd finds no function.
	if request.ServiceName != "" {
		act(r.Context(), "d", "Function:Scale", orDefault(request.Namespace)+":"+request.ServiceName)
	}
}

func secrets(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet:
		queried("Secret:List")(w, r)
	case http.MethodPost:
		secret("Secret:Create", r)
	case http.MethodPut:
		secret("Secret:Update", r)
	case http.MethodDelete:
		secret("Secret:Delete", r)
	}
}

func secret(action string, r *http.Request) {
	named := struct{ Namespace string }{Namespace: defaultNamespace}
	var request types.Secret
	if !parsed(r, &named, &request) {
		return
	}
	// faas-netes refuses an empty namespace.
	if named.Namespace != "" {
		act(r.Context(), "n", action, named.Namespace+":"+request.Name)
	}
	// faasd's Delete looks at the query alone. Its Update is its Create.
	namespace := orDefault(request.Namespace)
	if action == "Secret:Delete" {
		namespace = inQuery(r)
	}
	file(r.Context(), action, namespace, request.Name)
}

// logSource is what the logs are read from, behind the real handler.
type logSource struct{}

// Query records what would be read.
func (logSource) Query(ctx context.Context, request logs.Request) (<-chan logs.Message, error) {
	namespace := orDefault(request.Namespace)
	act(ctx, "d", "Function:Logs", namespace+":"+request.Name)
	if strings.EqualFold(namespace, "kube-system") {
		namespace = defaultNamespace
	}
	act(ctx, "n", "Function:Logs", namespace+":"+request.Name)
	return nil, errRecorded
}

// namespace is faasd's: the open faas-netes has no such handler, and its relatives the same calls.
func namespace(_ http.ResponseWriter, r *http.Request) {
	name := mux.Vars(r)["name"]
	if r.Method == http.MethodGet {
		if name != "" {
			both(r.Context(), "Namespace:Get", name, "*")
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
		both(r.Context(), action, request.Name, "*")
	}
}

// invoked is a call of a function: what follows the last dot is the namespace.
func invoked(_ http.ResponseWriter, r *http.Request) {
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
	both(r.Context(), "Function:Invoke", namespace, name)
}
