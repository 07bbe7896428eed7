// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/fairway-project/fairway/test/partial"
)

// pythonModules prints the files of the modules that the exercises' programs load,
// without the ones that they can do without: TLS and compression.
const pythonModules = `
import argparse, contextlib, encodings.ascii, encodings.idna, encodings.latin_1, gettext, http.server
import locale, os, runpy, site, socket, sys
for module in list(sys.modules.values()):
    for name in "__file__", "__cached__":
        file = getattr(module, name, None)
        if file and file.startswith("/usr/lib/") and "/lib-dynload/" not in file and os.path.exists(file):
            print(file)
`

const nginxConf = `user root;
error_log stderr;
events {}
http {
    access_log off;
    include /etc/nginx/conf.d/*.conf;
}
`

const nginxDefault = `server {
    listen 80;
    root /usr/share/nginx/html;
}
`

// importImages makes the images that the exercises are used to, from the machine's
// own programs. All have busybox.
func (w *walk) importImages() {
	w.t.Helper()
	modules := w.machine("/usr/bin/python3", "-I", "-S", "-c", pythonModules)
	w.importRoot("busybox", []string{`CMD ["sh"]`}, nil, nil)
	w.importRoot("python", []string{`CMD ["python3"]`}, append(strings.Fields(modules), "/usr/bin/python3"), nil)
	w.importRoot("redis", []string{"EXPOSE 6379", `CMD ["redis-server", "--protected-mode", "no", "--save", ""]`},
		[]string{"/usr/bin/redis-server"}, nil)
	w.importRoot("nginx", []string{"EXPOSE 80", `CMD ["nginx", "-g", "daemon off;"]`}, []string{"/usr/sbin/nginx"}, map[string]string{
		"etc/nginx/nginx.conf": nginxConf, "etc/nginx/conf.d/default.conf": nginxDefault,
		"usr/share/nginx/html/index.html": "Welcome to nginx!\n",
		"var/log/nginx/.keep":             "", "var/lib/nginx/.keep": "", "run/.keep": "",
	})
}

var library = regexp.MustCompile(`(?m)^\s+(?:\S+ => )?(/\S+) \(0x`)

// withLibraries adds what programs and modules link to, each once.
func (w *walk) withLibraries(programs []string) []string {
	w.t.Helper()
	linked := slices.DeleteFunc(slices.Clone(programs), func(p string) bool {
		return strings.HasSuffix(p, ".py") || strings.HasSuffix(p, ".pyc")
	})
	all := slices.Clone(programs)
	for _, found := range library.FindAllStringSubmatch(w.machine("ldd", linked...), -1) {
		all = append(all, found[1])
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// importRoot makes an image of programs, what they link to, and files.
func (w *walk) importRoot(name string, changes, programs []string, files map[string]string) {
	w.t.Helper()
	root := w.Dir(w.t, "image-"+name)
	if len(programs) > 0 {
		w.machine("cp", append([]string{"-L", "-p", "--parents", "-t", root}, w.withLibraries(programs)...)...)
	}
	for path, content := range files {
		w.put(filepath.Join(root, path), content)
	}
	w.put(filepath.Join(root, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n")
	w.put(filepath.Join(root, "etc/group"), "root:x:0:\n")
	w.put(filepath.Join(root, "etc/nsswitch.conf"), "hosts: files dns\n")
	w.put(filepath.Join(root, "tmp/.keep"), "")
	w.addBusybox(root)
	tar := filepath.Join(w.engine.dir, name+".tar")
	w.machine("tar", "-C", root, "-cf", tar, ".")
	var args []string
	for _, c := range changes {
		args = append(args, "-c", c)
	}
	w.docker(append(append([]string{"import"}, args...), tar, name)...)
}

func (w *walk) put(path, content string) {
	w.t.Helper()
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path, []byte(content), 0o644)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// Storage drivers of tests copy each file of an image for each container, so that
// busybox has only the names here that the exercises use.
const applets = "cat grep hostname httpd ip ping route sh sleep traceroute wget"

// addBusybox adds busybox under its names.
func (w *walk) addBusybox(root string) {
	w.t.Helper()
	bin := filepath.Join(root, "bin")
	w.machine("mkdir", "-p", bin)
	w.machine("cp", "/bin/busybox", bin)
	for _, name := range strings.Fields(applets) {
		if err := os.Symlink("busybox", filepath.Join(bin, name)); err != nil {
			w.t.Fatal(err)
		}
	}
}

// machine runs a program of the machine's, outside of all namespaces.
func (w *walk) machine(name string, args ...string) string {
	w.t.Helper()
	cmd := exec.Command(name, args...)
	var errs strings.Builder
	// cp --parents looks for the parents here.
	cmd.Dir, cmd.Stderr = "/", &errs
	out, err := cmd.Output()
	if err != nil {
		partial.Skip(w.t, err)
		w.t.Fatalf("%s: %v: %s", name, err, errs.String())
	}
	return string(out)
}
