// Command sdk uses OpenFaaS through its Go SDK, unchanged, and checks what comes back.
//
// The gateway has the namespaces dev and prod, with the function hello in dev and checkout in prod.
// Whose token is in ID_TOKEN may do everything in dev, look at functions in prod, and list
// namespaces; whose is in STRANGER_TOKEN may do nothing; the machine client may look at functions
// in dev. Functions ask for tokens.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/openfaas/faas-provider/types"
	"github.com/openfaas/go-sdk"

	"faas-iam.example/tests/interop/internal/checks"
)

// token is a TokenSource of one ID token.
type token string

func (t token) Token() (string, error) { return string(t), nil }

// bench is what the checks share.
type bench struct {
	ctx      context.Context
	gateway  *url.URL
	tokenURL string
	// The SDK's default headers, on an ordinary client.
	client *http.Client
	// Signed in as the developer.
	developer *sdk.Client
	cache     *sdk.MemoryTokenCache
}

func main() {
	gateway := flag.String("gateway", "", "the gateway's URL")
	providerURL := flag.String("provider-token-url", "", "the identity provider's token endpoint")
	machine := flag.String("machine-client", "", "the machine's client; its secret is in MACHINE_SECRET")
	flag.Parse()

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	b, err := newBench(ctx, *gateway)
	if err != nil {
		log.Fatal(err)
	}
	var c checks.Checks
	b.functions(&c)
	b.secretsAndNamespaces(&c)
	b.refusals(&c)
	b.machine(&c, *machine, *providerURL)
	b.invocations(&c)
	c.Exit()
}

func newBench(ctx context.Context, gateway string) (*bench, error) {
	parsed, err := url.Parse(gateway)
	if err != nil {
		return nil, err
	}
	b := &bench{
		ctx: ctx, gateway: parsed, tokenURL: gateway + "/oauth/token",
		client: &http.Client{}, cache: sdk.NewMemoryTokenCache(),
	}
	b.developer = b.as(token(os.Getenv("ID_TOKEN")), sdk.WithFunctionTokenCache(b.cache))
	return b, nil
}

// as is a client whose API tokens are exchanged for the source's.
func (b *bench) as(source sdk.TokenSource, options ...sdk.ClientOption) *sdk.Client {
	auth := &sdk.TokenAuth{TokenURL: b.tokenURL, TokenSource: source}
	return sdk.NewClientWithOpts(b.gateway, b.client, append(options, sdk.WithAuthentication(auth))...)
}

func (b *bench) functions(c *checks.Checks) {
	const namespace = "dev"
	spec := types.FunctionDeployment{Service: "greet", Image: "functions/alpine:latest", Namespace: namespace}

	c.Run("GetFunctions, after TokenAuth exchanged the ID token", func() error {
		return b.expectFunction(b.developer, namespace, "hello", true)
	})
	c.Run("Deploy", func() error {
		status, err := b.developer.Deploy(b.ctx, spec)
		if err != nil {
			return err
		}
		if status != http.StatusAccepted {
			return fmt.Errorf("status %d", status)
		}
		return b.expectFunction(b.developer, namespace, "greet", true)
	})
	c.Run("Update", func() error {
		_, err := b.developer.Update(b.ctx, spec)
		return err
	})
	c.Run("ScaleFunction and GetFunction", func() error {
		if err := b.developer.ScaleFunction(b.ctx, "greet", namespace, 3); err != nil {
			return err
		}
		function, err := b.developer.GetFunction(b.ctx, "greet", namespace)
		if err == nil && (function.Name != "greet" || function.Replicas != 3) {
			return fmt.Errorf("%s with %d replicas", function.Name, function.Replicas)
		}
		return err
	})
	c.Run("GetLogs", func() error {
		messages, err := b.developer.GetLogs(b.ctx, "greet", namespace, false, 10, nil)
		if err != nil {
			return err
		}
		lines := 0
		for message := range messages {
			if message.Name != "greet" {
				return fmt.Errorf("a line of %q", message.Name)
			}
			lines++
		}
		if lines == 0 {
			return errors.New("no line")
		}
		return nil
	})
	c.Run("DeleteFunction", func() error {
		if err := b.developer.DeleteFunction(b.ctx, "greet", namespace); err != nil {
			return err
		}
		return b.expectFunction(b.developer, namespace, "greet", false)
	})
}

func (b *bench) secretsAndNamespaces(c *checks.Checks) {
	c.Run("GetNamespaces", func() error {
		namespaces, err := b.developer.GetNamespaces(b.ctx)
		if err == nil && !(slices.Contains(namespaces, "dev") && slices.Contains(namespaces, "prod")) {
			return fmt.Errorf("only %v", namespaces)
		}
		return err
	})
	c.Run("GetNamespace", func() error {
		namespace, err := b.developer.GetNamespace(b.ctx, "dev")
		if err == nil && namespace.Name != "dev" {
			return fmt.Errorf("%q", namespace.Name)
		}
		return err
	})
	c.Run("CreateNamespace, UpdateNamespace, DeleteNamespace", func() error {
		namespace := types.FunctionNamespace{Name: "playground", Labels: map[string]string{"openfaas": "1"}}
		if _, err := b.developer.CreateNamespace(b.ctx, namespace); err != nil {
			return err
		}
		if _, err := b.developer.UpdateNamespace(b.ctx, namespace); err != nil {
			return err
		}
		return b.developer.DeleteNamespace(b.ctx, namespace.Name)
	})
	c.Run("GetInfo", func() error {
		info, err := b.developer.GetInfo(b.ctx)
		if err == nil && info.Provider.Provider == "" {
			return errors.New("no provider")
		}
		return err
	})
	c.Run("CreateSecret, GetSecrets, UpdateSecret, DeleteSecret", func() error {
		secret := types.Secret{Name: "api-key", Namespace: "dev", Value: "not-so-secret"}
		if _, err := b.developer.CreateSecret(b.ctx, secret); err != nil {
			return err
		}
		secrets, err := b.developer.GetSecrets(b.ctx, "dev")
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(secrets, func(s types.Secret) bool { return s.Name == secret.Name }) {
			return fmt.Errorf("not among %d secrets", len(secrets))
		}
		if _, err := b.developer.UpdateSecret(b.ctx, secret); err != nil {
			return err
		}
		return b.developer.DeleteSecret(b.ctx, secret.Name, secret.Namespace)
	})
}

func (b *bench) refusals(c *checks.Checks) {
	c.Run("Deploy without the permission is refused, with the permission's name", func() error {
		spec := types.FunctionDeployment{Service: "greet", Image: "functions/alpine:latest", Namespace: "prod"}
		status, err := b.developer.Deploy(b.ctx, spec)
		if status != http.StatusForbidden {
			return fmt.Errorf("status %d", status)
		}
		return checks.Want(err, "Function:Create", "prod:greet")
	})
	c.Run("DeleteFunction without the permission is refused", func() error {
		return checks.Want(b.developer.DeleteFunction(b.ctx, "checkout", "prod"), "403", "Function:Delete")
	})
	c.Run("CreateNamespace without the permission is refused", func() error {
		status, err := b.developer.CreateNamespace(b.ctx, types.FunctionNamespace{Name: "staging"})
		if status != http.StatusForbidden {
			return fmt.Errorf("status %d", status)
		}
		return checks.Want(err, "Namespace:Create")
	})
	c.Run("what else the permissions do not allow is refused, with the permission's name", func() error {
		return errors.Join(
			checks.Want(b.developer.ScaleFunction(b.ctx, "checkout", "prod", 2), "403", "Function:Scale"),
			checks.Want(b.developer.DeleteSecret(b.ctx, "api-key", "prod"), "403", "Secret:Delete"),
			checks.Want(b.developer.DeleteNamespace(b.ctx, "staging"), "403", "Namespace:Delete"),
			checks.Want(second(b.developer.GetFunctions(b.ctx, "openfaas-fn")), "Function:List on openfaas-fn"),
			checks.Want(second(b.developer.GetSecrets(b.ctx, "prod")), "Secret:List on prod"),
			checks.Want(second(b.developer.GetNamespace(b.ctx, "prod")), "403", "Namespace:Get"),
			checks.Want(second(b.developer.GetLogs(b.ctx, "checkout", "prod", false, 1, nil)), "403", "Function:Logs"),
		)
	})
	c.Run("without a token the SDK asks for authentication", func() error {
		nobody := sdk.NewClientWithOpts(b.gateway, b.client)
		status, err := nobody.Deploy(b.ctx, types.FunctionDeployment{Service: "greet", Image: "a", Namespace: "dev"})
		if status != http.StatusUnauthorized {
			return fmt.Errorf("status %d", status)
		}
		return checks.Want(err, "please setup authentication")
	})
	c.Run("the exchange tells the SDK why it refuses somebody without a Role", func() error {
		_, err := b.as(token(os.Getenv("STRANGER_TOKEN"))).GetNamespaces(b.ctx)
		return checks.Want(err, "failed to exchange token", "No policies found for subject")
	})
}

func (b *bench) machine(c *checks.Checks, client, providerURL string) {
	source := sdk.NewClientCredentialsTokenSource(
		client, os.Getenv("MACHINE_SECRET"), providerURL, "openid", "client_credentials", "")

	c.Run("a machine's token, from the client credentials grant, is exchanged too", func() error {
		return b.expectFunction(b.as(source), "dev", "hello", true)
	})
	c.Run("the provider's own token does not reach the API", func() error {
		unexchanged := sdk.NewClient(b.gateway, sdk.NewClientCredentialsAuth(source), b.client)
		_, err := unexchanged.GetNamespaces(b.ctx)
		return checks.Want(err, "401")
	})
}

func (b *bench) invocations(c *checks.Checks) {
	c.Run("InvokeFunction exchanges the API token for a function token", func() error {
		status, body, _, err := b.invoke(b.developer, "hello", "dev", true)
		if err == nil && (status != http.StatusOK || !strings.Contains(body, `"hello"`)) {
			return fmt.Errorf("status %d: %s", status, body)
		}
		return err
	})
	c.Run("InvokeFunction takes the function token from the SDK's cache", func() error {
		cached, found := b.cache.Get("hello.dev")
		if !found {
			return errors.New("no cached token")
		}
		if !slices.Equal(cached.Scope, []string{"function"}) || cached.Expiry.IsZero() {
			return fmt.Errorf("scope %v, expiry %v", cached.Scope, cached.Expiry)
		}
		status, body, _, err := b.invoke(b.developer, "hello", "dev", true)
		if err == nil && status != http.StatusOK {
			return fmt.Errorf("status %d: %s", status, body)
		}
		return err
	})
	c.Run("a function that may not be invoked is no target of an exchange", func() error {
		_, _, _, err := b.invoke(b.developer, "checkout", "prod", true)
		return checks.Want(err, "failed to get function access token", "invalid_target", "prod:checkout")
	})
	c.Run("without a function token, the answer's realm is the one that clients look for", func() error {
		status, _, challenge, err := b.invoke(b.developer, "hello", "dev", false)
		if err != nil {
			return err
		}
		if status != http.StatusUnauthorized || realm(challenge) != "IAM function invoke" {
			return fmt.Errorf("status %d, %q", status, challenge)
		}
		return nil
	})
}

func (b *bench) invoke(client *sdk.Client, name, namespace string, auth bool) (int, string, string, error) {
	request, err := http.NewRequestWithContext(b.ctx, http.MethodPost, "/", strings.NewReader("a body"))
	if err != nil {
		return 0, "", "", err
	}
	response, err := client.InvokeFunction(name, namespace, false, auth, request)
	if err != nil {
		return 0, "", "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, string(body), response.Header.Get("WWW-Authenticate"), err
}

func (b *bench) expectFunction(client *sdk.Client, namespace, name string, there bool) error {
	functions, err := client.GetFunctions(b.ctx, namespace)
	if err != nil {
		return err
	}
	found := slices.ContainsFunc(functions, func(f types.FunctionStatus) bool { return f.Name == name })
	if found != there {
		return fmt.Errorf("%s among the %d functions of %s: %t", name, len(functions), namespace, found)
	}
	return nil
}

func second[T any](_ T, err error) error { return err }

// realm reads a challenge as OpenFaaS clients do: what follows the first space is split at comma and
// space.
func realm(challenge string) string {
	_, parameters, _ := strings.Cut(challenge, " ")
	for _, parameter := range strings.Split(parameters, ", ") {
		if value, found := strings.CutPrefix(parameter, "realm="); found {
			return strings.Trim(value, `"`)
		}
	}
	return ""
}
