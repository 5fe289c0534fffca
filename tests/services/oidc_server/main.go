// A Dex server with a directory of users of its own, all in memory.
//
// The first argument is a JSON file: issuer, listen, tokens_valid_for_s, clients (an id and a secret each) and users
// (email, password and groups each). Tokens, keys, discovery and rotation are Dex's own; the directory stands in for
// the LDAP or SAML behind it. SIGHUP rotates the signing key as Dex does when its time has come.
package main

import (
	"context"
	"encoding/json"
	"log"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/dexidp/dex/connector"
	"github.com/dexidp/dex/server"
	"github.com/dexidp/dex/storage"
	"github.com/dexidp/dex/storage/memory"
	"github.com/prometheus/client_golang/prometheus"
)

const directoryID = "directory"

type user struct {
	Email    string   `json:"email"`
	Password string   `json:"password"`
	Groups   []string `json:"groups"`
}

type config struct {
	Issuer          string `json:"issuer"`
	Listen          string `json:"listen"`
	TokensValidForS int    `json:"tokens_valid_for_s"`
	Clients         []struct {
		ID     string `json:"id"`
		Secret string `json:"secret"`
	} `json:"clients"`
	Users []user `json:"users"`
}

type directory struct{ users []user }

func (d directory) Open(string, *slog.Logger) (connector.Connector, error) { return d, nil }

func (d directory) Prompt() string { return "" }

func (d directory) Login(_ context.Context, _ connector.Scopes, name, password string) (connector.Identity, bool, error) {
	for _, each := range d.users {
		if each.Email == name && each.Password == password {
			return connector.Identity{
				UserID: each.Email, Username: each.Email, Email: each.Email, EmailVerified: true, Groups: each.Groups,
			}, true, nil
		}
	}
	return connector.Identity{}, false, nil
}

func main() {
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	var wanted config
	if err := json.Unmarshal(text, &wanted); err != nil {
		log.Fatal(err)
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	kept := memory.New(logger)
	ctx := context.Background()
	for _, each := range wanted.Clients {
		if err := kept.CreateClient(ctx, storage.Client{ID: each.ID, Secret: each.Secret, Name: each.ID}); err != nil {
			log.Fatal(err)
		}
	}
	server.ConnectorsConfig[directoryID] = func() server.ConnectorConfig { return directory{wanted.Users} }
	it := storage.Connector{ID: directoryID, Type: directoryID, Name: directoryID, ResourceVersion: "1"}
	if err := kept.CreateConnector(ctx, it); err != nil {
		log.Fatal(err)
	}
	began := func() *server.Server {
		made, err := server.NewServer(ctx, server.Config{
			Issuer:             wanted.Issuer,
			Storage:            kept,
			AllowedGrantTypes:  []string{"password"},
			PasswordConnector:  directoryID,
			SkipApprovalScreen: true,
			IDTokensValidFor:   time.Duration(wanted.TokensValidForS) * time.Second,
			Logger:             logger,
			PrometheusRegistry: prometheus.NewRegistry(),
		})
		if err != nil {
			log.Fatal(err)
		}
		return made
	}
	var current atomic.Pointer[server.Server]
	current.Store(began())
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	go func() {
		for range hangups {
			err := kept.UpdateKeys(func(keys storage.Keys) (storage.Keys, error) {
				keys.NextRotation = time.Now().Add(-time.Second)
				return keys, nil
			})
			if err != nil {
				log.Fatal(err)
			}
			// It rotates what is due as it begins; the one before remembers its keys for hours.
			current.Store(began())
		}
	}()
	log.Fatal(http.ListenAndServe(wanted.Listen, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		current.Load().ServeHTTP(w, r)
	})))
}
