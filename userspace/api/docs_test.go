// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"log/slog"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairway-project/fairway/userspace/api"
	"github.com/fairway-project/fairway/userspace/api/apitest"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
)

func fakeNetwork(name string) model.Network {
	return model.Network{Name: name, Driver: model.DriverBridge}
}

// section is one call of docs/api.md.
type section struct{ title, curl string }

func sections(t *testing.T) []section {
	t.Helper()
	doc, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	var list []section
	curl := regexp.MustCompile(`(?m)^    (curl .*)$`)
	for _, part := range strings.Split(string(doc), "\n### ")[1:] {
		title, text, _ := strings.Cut(part, "\n")
		text, _, _ = strings.Cut(text, "\n## ")
		found := curl.FindAllStringSubmatch(text, -1)
		if len(found) != 1 {
			t.Errorf("%s: %d curl lines; want one", title, len(found))
			continue
		}
		list = append(list, section{title, found[0][1]})
	}
	return list
}

func TestEveryRouteIsDocumented(t *testing.T) {
	var documented []string
	for _, s := range sections(t) {
		documented = append(documented, s.title)
	}
	routes := api.RoutePatterns()
	slices.Sort(documented)
	slices.Sort(routes)
	if diff := cmp.Diff(routes, documented); diff != "" {
		t.Errorf("docs/api.md (-routes +documented):\n%s", diff)
	}
}

// TestCurlLines runs each line of the documentation as it stands, in an order
// in which all of them can work.
func TestCurlLines(t *testing.T) {
	fake := apitest.NewFake(t)
	fake.AddNetwork(fakeNetwork("front"))
	fake.AddNetwork(fakeNetwork("back"))
	socket := apitest.Serve(t, fake, slog.New(slog.DiscardHandler))
	client := api.NewClient(socket)
	defer client.Close()
	if _, err := client.Run(t.Context(), request.Run{SandboxConfig: request.SandboxConfig{Name: "web"}, Command: []string{"sleep", "600"}}); err != nil {
		t.Fatal(err)
	}
	for _, s := range sections(t) {
		switch s.title {
		case "POST /v1/networks":
			if err := client.RemoveNetwork(t.Context(), "front"); err != nil {
				t.Fatal(err)
			}
		case "DELETE /v1/networks/{network}":
			if _, err := client.CreateNetwork(t.Context(), request.NetworkCreate{Name: "back"}); err != nil {
				t.Fatal(err)
			}
		case "POST /v1/services/{service}/drain":
			if err := client.RemoveService(t.Context(), "shop"); err != nil {
				t.Fatal(err)
			}
			fake.AddService(request.ServiceView{
				Service: model.Service{Name: "shop"}, Backends: []request.ServiceBackendView{{Name: "web"}},
			})
		case "GET /v1/networks/{network}":
			if _, err := client.CreateNetwork(t.Context(), request.NetworkCreate{Name: "front"}); err != nil {
				t.Fatal(err)
			}
		}
		command := exec.CommandContext(t.Context(), "sh", "-c", s.curl+` -w '\n%{http_code}'`)
		command.Env = append(os.Environ(), "S="+socket, "R="+fake.Root)
		out, err := command.Output()
		if err != nil {
			t.Fatalf("%s: %s: %v", s.title, s.curl, err)
		}
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		if code := lines[len(lines)-1]; code != "200" && code != "201" {
			t.Errorf("%s: %s: %s", s.title, s.curl, out)
		}
	}
}
