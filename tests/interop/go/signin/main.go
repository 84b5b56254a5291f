// Command signin signs a person in at an OpenID provider, as a browser and a client would together:
// the authorization code flow with PKCE, and the provider's own form filled in. It prints the ID
// token.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"html"
	"io"
	"log"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

var formAction = regexp.MustCompile(`<form[^>]*method="post"[^>]*action="([^"]*)"`)

func main() {
	issuer := flag.String("issuer", "", "the provider")
	clientID := flag.String("client-id", "", "the client, one without a secret")
	redirect := flag.String("redirect", "", "the client's address; nothing needs to listen there")
	user := flag.String("user", "", "who signs in; the password is in PASSWORD")
	flag.Parse()

	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	token, err := signIn(ctx, *issuer, *clientID, *redirect, *user, os.Getenv("PASSWORD"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token)
}

func signIn(ctx context.Context, issuer, clientID, redirect, user, password string) (string, error) {
	provider, err := oidc.NewProvider(ctx, issuer)
	if err != nil {
		return "", err
	}
	client := oauth2.Config{
		ClientID:    clientID,
		Endpoint:    provider.Endpoint(),
		RedirectURL: redirect,
		Scopes:      []string{oidc.ScopeOpenID, "email", "groups"},
	}
	// Anything that cannot be guessed will do for state and nonce.
	verifier, state, nonce := oauth2.GenerateVerifier(), oauth2.GenerateVerifier(), oauth2.GenerateVerifier()
	start := client.AuthCodeURL(state, oauth2.S256ChallengeOption(verifier), oidc.Nonce(nonce))
	callback, err := fillIn(ctx, start, redirect, user, password)
	if err != nil {
		return "", err
	}
	if callback.Query().Get("state") != state {
		return "", errors.New("the provider gave back another state")
	}
	tokens, err := client.Exchange(ctx, callback.Query().Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		return "", err
	}
	raw, ok := tokens.Extra("id_token").(string)
	if !ok {
		return "", errors.New("the provider gave no ID token")
	}
	token, err := provider.Verifier(&oidc.Config{ClientID: clientID}).Verify(ctx, raw)
	if err != nil {
		return "", err
	}
	if token.Nonce != nonce {
		return "", errors.New("the ID token has another nonce")
	}
	return raw, nil
}

// fillIn goes to the start, follows to the form, fills it in, and follows until the provider sends
// the browser back to the client.
func fillIn(ctx context.Context, start, redirect, user, password string) (*url.URL, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	browser := &http.Client{Jar: jar, CheckRedirect: func(next *http.Request, before []*http.Request) error {
		if strings.HasPrefix(next.URL.String(), redirect) || len(before) > 10 {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, start, nil)
	if err != nil {
		return nil, err
	}
	page, err := browser.Do(request)
	if err != nil {
		return nil, err
	}
	defer page.Body.Close()
	text, err := io.ReadAll(page.Body)
	if err != nil {
		return nil, err
	}
	found := formAction.FindSubmatch(text)
	if page.StatusCode != http.StatusOK || found == nil {
		return nil, fmt.Errorf("no form to sign in: %s from %s", page.Status, page.Request.URL.Path)
	}
	action, err := page.Request.URL.Parse(html.UnescapeString(string(found[1])))
	if err != nil {
		return nil, err
	}
	form := url.Values{"login": {user}, "password": {password}}
	request, err = http.NewRequestWithContext(ctx, http.MethodPost, action.String(), strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	sent, err := browser.Do(request)
	if err != nil {
		return nil, err
	}
	defer sent.Body.Close()
	callback, err := sent.Location()
	if err != nil {
		return nil, fmt.Errorf("the provider did not send the browser back: %s", sent.Status)
	}
	if !strings.HasPrefix(callback.String(), redirect) {
		return nil, fmt.Errorf("the provider sent the browser to %s%s", callback.Host, callback.Path)
	}
	return callback, nil
}
