// Command verify checks a token (in TOKEN) as any OpenID client would, with nothing but the issuer's
// public documents. It prints the token's subject.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

func main() {
	issuer := flag.String("issuer", "", "the issuer, which is the audience too")
	flag.Parse()

	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	provider, err := oidc.NewProvider(ctx, *issuer)
	if err != nil {
		log.Fatal(err)
	}
	token, err := provider.Verifier(&oidc.Config{ClientID: *issuer}).Verify(ctx, os.Getenv("TOKEN"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.Subject)
}
