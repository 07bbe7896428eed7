// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const (
	rulesFile     = "../../deploy/prometheus/rules.yml"
	dashboardFile = "../../deploy/grafana/fairway.json"
	scrapeFile    = "../../deploy/prometheus/scrape.yml"
	readme        = "../../README.md"
)

// ruleFile is a file of Prometheus's recording and alerting rules.
type ruleFile struct {
	Groups []struct {
		Name  string `yaml:"name"`
		Rules []struct {
			Record      string            `yaml:"record"`
			Alert       string            `yaml:"alert"`
			Expr        string            `yaml:"expr"`
			For         string            `yaml:"for"`
			Labels      map[string]string `yaml:"labels"`
			Annotations map[string]string `yaml:"annotations"`
		} `yaml:"rules"`
	} `yaml:"groups"`
}

// exported are the names of all metrics of the package and the ones of the
// process that the dashboard shows.
func exported(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{"process_resident_memory_bytes": true}
	for line := range strings.Lines(gathered(t, NewCollector(host(), testInfo))) {
		if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, _, _ := strings.Cut(rest, " ")
			names[name] = true
		}
	}
	return names
}

var metricName = regexp.MustCompile(`\b(?:fairway|process|go)[_:][a-z0-9_:]+`)

func TestEveryFamilyIsGathered(t *testing.T) {
	names := exported(t)
	f := newFamilies()
	if got, want := len(names)-1, len(f.all()); got != want {
		t.Errorf("%d metrics are gathered, %d are described", got, want)
	}
}

func TestRulesNameExportedMetrics(t *testing.T) {
	content, err := os.ReadFile(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	var rules ruleFile
	dec := yaml.NewDecoder(strings.NewReader(string(content)))
	dec.KnownFields(true)
	if err := dec.Decode(&rules); err != nil {
		t.Fatal(err)
	}
	names := exported(t)
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			names[r.Record] = true
		}
	}
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			if (r.Record == "") == (r.Alert == "") || r.Expr == "" {
				t.Errorf("rule %q%q: want either record or alert, and expr", r.Record, r.Alert)
			}
			if r.Alert != "" && (r.Labels["severity"] == "" || r.Annotations["summary"] == "") {
				t.Errorf("alert %s: want a severity and a summary", r.Alert)
			}
			checkNames(t, r.Alert+r.Record, r.Expr, names)
		}
	}
}

func TestDashboardNamesExportedMetrics(t *testing.T) {
	content, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Templating struct {
			List []struct{ Name, Query string }
		}
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(content, &dashboard); err != nil {
		t.Fatal(err)
	}
	names := exported(t)
	for _, v := range dashboard.Templating.List {
		if strings.Contains(v.Query, "(") {
			checkNames(t, "variable "+v.Name, v.Query, names)
		}
	}
	if len(dashboard.Panels) == 0 {
		t.Error("no panels")
	}
	for _, p := range dashboard.Panels {
		if len(p.Targets) == 0 {
			t.Errorf("panel %s: no query", p.Title)
		}
		for _, target := range p.Targets {
			checkNames(t, "panel "+p.Title, target.Expr, names)
		}
	}
}

// checkNames wants at least one metric in expr, and all of them among names.
func checkNames(t *testing.T, where, expr string, names map[string]bool) {
	t.Helper()
	found := metricName.FindAllString(expr, -1)
	if len(found) == 0 {
		t.Errorf("%s: no metric in %q", where, expr)
	}
	for _, name := range found {
		if !names[name] {
			t.Errorf("%s: %s is not exported", where, name)
		}
	}
}

var jobLabel = regexp.MustCompile(`job="([^"]*)"`)

// The rules tell the daemon's scrapes by their job, which has to be the one that the
// scrape configuration gives them, and the README shows the same.
func TestRulesNameTheScrapedJob(t *testing.T) {
	content, err := os.ReadFile(scrapeFile)
	if err != nil {
		t.Fatal(err)
	}
	var scrape struct {
		Rules  []string `yaml:"rule_files"`
		Scrape []struct {
			Job     string `yaml:"job_name"`
			Targets []struct {
				Targets []string `yaml:"targets"`
			} `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
	}
	dec := yaml.NewDecoder(strings.NewReader(string(content)))
	dec.KnownFields(true)
	if err := dec.Decode(&scrape); err != nil {
		t.Fatal(err)
	}
	if len(scrape.Scrape) != 1 || len(scrape.Scrape[0].Targets) != 1 || len(scrape.Rules) != 1 {
		t.Fatalf("%s: got %+v, want one job, one target and one file of rules", scrapeFile, scrape)
	}
	rules, err := os.ReadFile(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	jobs := jobLabel.FindAllStringSubmatch(string(rules), -1)
	if len(jobs) == 0 {
		t.Error("no rule looks at a job")
	}
	for _, m := range jobs {
		if m[1] != scrape.Scrape[0].Job {
			t.Errorf("a rule looks at job %q, scraped is %q", m[1], scrape.Scrape[0].Job)
		}
	}
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"job_name: " + scrape.Scrape[0].Job, scrape.Scrape[0].Targets[0].Targets[0], "deploy/prometheus/scrape.yml"} {
		if !strings.Contains(string(text), word) {
			t.Errorf("the README doesn't say %q", word)
		}
	}
}
