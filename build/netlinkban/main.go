// SPDX-License-Identifier: Apache-2.0

// Command netlinkban reports calls of vishvananda/netlink that dump a table. The
// kernel may end a dump early when the table changes meanwhile, and the library
// then returns half of it with ErrDumpInterrupted, or EINTR. The package
// userspace/nl repeats such dumps; everybody else asks it.
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
	wrapperPath = "github.com/fairway-project/fairway/userspace/nl"
)

// dump matches the names of what dumps: LinkList, RouteListFiltered,
// ConntrackTableList, ConntrackDeleteFilters, SocketDiagTCP...
var dump = regexp.MustCompile(`List|Dump|DeleteFilter|SocketDiag|LinkByAlias`)

func main() { singlechecker.Main(newAnalyzer()) }

func newAnalyzer() *analysis.Analyzer {
	return &analysis.Analyzer{
		Name: "netlinkban",
		Doc:  "report dumps by netlink that don't go through userspace/nl",
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
			if fn, ok := typeutil.Callee(pass.TypesInfo, call).(*types.Func); ok && isDump(fn) {
				pass.Reportf(call.Pos(), "raw netlink dump %s: call userspace/nl, which repeats interrupted dumps", fn.Name())
			}
			return true
		})
	}
	return nil, nil
}

// isDump is about functions and methods alike.
func isDump(fn *types.Func) bool {
	return fn.Pkg() != nil && fn.Pkg().Path() == netlinkPath && dump.MatchString(fn.Name())
}
