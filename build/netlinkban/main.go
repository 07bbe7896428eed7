// SPDX-License-Identifier: Apache-2.0

// Command netlinkban reports calls of vishvananda/netlink that have a trap:
//
//   - what dumps a table. The kernel may end a dump early when the table changes
//     meanwhile, and the library then returns half of it with ErrDumpInterrupted, or
//     EINTR. The package userspace/nl repeats such dumps; everybody else asks it;
//   - what opens a socket in another namespace. The library takes any thread there,
//     also the process's first, whose namespace /proc/self/ns/net and /proc/net
//     show. netns.NS.Handle and netns.NS.Do don't.
package main

import (
	"go/ast"
	"go/types"
	"regexp"
	"strings"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/singlechecker"
	"golang.org/x/tools/go/types/typeutil"
)

const (
	netlinkPath = "github.com/vishvananda/netlink"
	socketPath  = netlinkPath + "/nl"
	wrapperPath = "github.com/fairway-project/fairway/userspace/nl"
)

// dump matches the names of what dumps: LinkList, RouteListFiltered,
// ConntrackTableList, ConntrackDeleteFilters, SocketDiagTCP...
var dump = regexp.MustCompile(`List|Dump|DeleteFilter|SocketDiag|LinkByAlias`)

// elsewhere matches the names of what opens a socket in another namespace:
// NewHandleAt, SubscribeAt, GetNetlinkSocketAt, LinkSubscribeAt...
var elsewhere = regexp.MustCompile(`At$|AtFrom$`)

func main() { singlechecker.Main(newAnalyzer()) }

func newAnalyzer() *analysis.Analyzer {
	return &analysis.Analyzer{
		Name: "netlinkban",
		Doc:  "report dumps by netlink that don't go through userspace/nl, and sockets that don't through userspace/netns",
		Run:  run,
	}
}

func run(pass *analysis.Pass) (any, error) {
	if pass.Pkg.Path() == wrapperPath {
		return nil, nil
	}
	for _, file := range pass.Files {
		if strings.HasSuffix(pass.Fset.File(file.Pos()).Name(), "_test.go") {
			continue
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			fn, ok := typeutil.Callee(pass.TypesInfo, call).(*types.Func)
			switch {
			case !ok:
			case isDump(fn):
				pass.Reportf(call.Pos(), "raw netlink dump %s: call userspace/nl, which repeats interrupted dumps", fn.Name())
			case isElsewhere(fn):
				pass.Reportf(call.Pos(), "%s moves any thread: use netns.NS.Handle or netns.NS.Do", fn.Name())
			}
			return true
		})
	}
	return nil, nil
}

// isDump is about functions and methods alike.
func isDump(fn *types.Func) bool {
	return from(fn) == netlinkPath && dump.MatchString(fn.Name())
}

func isElsewhere(fn *types.Func) bool {
	return (from(fn) == netlinkPath || from(fn) == socketPath) && elsewhere.MatchString(fn.Name())
}

// from returns the path of the package that fn is declared in.
func from(fn *types.Func) string {
	if fn.Pkg() == nil {
		return ""
	}
	return fn.Pkg().Path()
}
