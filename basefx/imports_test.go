package basefx

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// module is the path that all packages of this project begin with.
const module = "github.com/davyxu/cellmesh_demo/"

// gone are modules that may come back neither directly nor through others.
var gone = map[string]string{
	"github.com/golang/protobuf":  "deprecated: use google.golang.org/protobuf",
	"github.com/dgrijalva/jwt-go": "archived with an open CVE: use github.com/golang-jwt/jwt/v5",
	"github.com/davyxu/cellnet":   "cannot be had any more: use util/cellnet",
	"github.com/davyxu/golog":     "cannot be had any more: use log/slog",
}

// pkg is a package as go list tells it.
type pkg struct {
	ImportPath   string
	Name         string
	Imports      []string
	TestImports  []string
	XTestImports []string
	Standard     bool
}

// The direction of imports, which keeps the floors of the house apart:
//
//	svc/<x> main -> svc/<x>/... -> svc/<y>/<y>api -> basefx -> util -> libraries
//	                                                 proto ->
func TestImports(t *testing.T) {
	// go test remembers results by the files that the test itself has looked at;
	// without this, changes in other packages would go unnoticed.
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && path != ".." && strings.HasPrefix(d.Name(), ".") {
			return filepath.SkipDir
		}
		return nil // what is gone by now is no matter
	})
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("go", "list", "-deps", "-json=ImportPath,Name,Imports,TestImports,XTestImports,Standard", module+"...").Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %s", exit.Stderr)
		}
		t.Fatal(err)
	}
	ours := 0
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(p.ImportPath, module) {
			ours++
		}
		for _, wrong := range judge(p) {
			t.Error(wrong)
		}
	}
	if ours < 10 {
		t.Errorf("go list has found only %d packages of ours", ours)
	}
}

// judge says what is wrong with the imports of p.
func judge(p pkg) (wrong []string) {
	for path, why := range gone {
		if p.ImportPath == path || strings.HasPrefix(p.ImportPath, path+"/") {
			wrong = append(wrong, fmt.Sprintf("%s is among the dependencies; %s", p.ImportPath, why))
		}
	}
	from, is := strings.CutPrefix(p.ImportPath, module)
	if !is {
		return wrong
	}
	for _, name := range []string{"model", "common", "helper"} {
		if p.Name == name || path.Base(from) == name {
			wrong = append(wrong, fmt.Sprintf("%s: a package called %s says nothing about what is in it, and attracts the rest: name it after what it does", from, name))
		}
	}
	imports := p.Imports
	if floor(from) == "util" { // its tests must stand alone, too
		imports = slices.Concat(p.Imports, p.TestImports, p.XTestImports)
	}
	for _, i := range imports {
		if to, is := strings.CutPrefix(i, module); is {
			if why := ban(from, to); why != "" {
				wrong = append(wrong, fmt.Sprintf("%s imports %s: %s", from, to, why))
			}
		}
	}
	return wrong
}

// floor is the top-level folder of a package.
func floor(p string) string {
	first, _, _ := strings.Cut(p, "/")
	return first
}

// ban is why from may not import to; "" if it may.
func ban(from, to string) string {
	switch floor(from) {
	case "util":
		if floor(to) != "util" {
			return "util is libraries that know nothing of this project, so that they can be used in another"
		}
	case "proto":
		if floor(to) != "util" && floor(to) != "proto" {
			return "generated messages are used by everybody, so they know nobody but util"
		}
	case "basefx":
		if floor(to) != "util" && floor(to) != "proto" && floor(to) != "basefx" {
			return "basefx is below the services: what it should know of one, the service tells it"
		}
	case "svc":
		if floor(to) == "tool" {
			return "tools are for developing, services run without them"
		}
		if floor(to) == "svc" && service(from) != service(to) && to != "svc/"+service(to)+"/"+service(to)+"api" {
			return "a service imports another only through svc/" + service(to) + "/" + service(to) + "api: the rest may change without asking anybody"
		}
	case "tool":
	default:
		return "what is " + floor(from) + "? The folders are basefx, proto, svc, tool and util"
	}
	return ""
}

// service is the service that a package of svc belongs to.
func service(p string) string {
	parts := strings.Split(p, "/")
	if len(parts) < 2 {
		return ""
	}
	return parts[1]
}

// The test above can fail.
func TestJudge(t *testing.T) {
	cases := []struct {
		from, to string
		allowed  bool
	}{
		{"svc/game", "svc/game/world", true},
		{"svc/game/world", "svc/agent/agentapi", true},
		{"svc/game/world", "svc/agent/gateway", false},
		{"svc/game/world", "svc/agent", false},
		{"svc/game/world", "svc/agent/agentapi/deep", false},
		{"svc/agent/agentapi", "svc/hub/hubapi", true},
		{"svc/game/world", "basefx/link", true},
		{"svc/game/world", "proto/pb", true},
		{"svc/game/world", "tool/cluster", false},
		{"basefx", "basefx/link", true},
		{"basefx/link", "proto/pb", true},
		{"basefx", "util/cellnet", true},
		{"basefx", "svc/hub/hubapi", false},
		{"proto/pb", "util/cellnet", true},
		{"proto/pb", "basefx", false},
		{"util/cellnet", "util/mailbox", true},
		{"util/cellnet", "proto/pb", false},
		{"util/cellnet", "basefx", false},
		{"tool/cluster", "svc/agent/gateway", true},
		{"extra", "util/cellnet", false},
	}
	for _, c := range cases {
		got := judge(pkg{ImportPath: module + c.from, Imports: []string{"fmt", module + c.to}})
		if (len(got) == 0) != c.allowed {
			t.Errorf("%s imports %s: %q", c.from, c.to, got)
		}
	}
	for _, p := range []pkg{
		{ImportPath: "github.com/golang/protobuf/proto"},
		{ImportPath: "github.com/dgrijalva/jwt-go"},
		{ImportPath: module + "svc/game/model", Name: "model"},
		{ImportPath: module + "svc/game/things", Name: "common"},
		{ImportPath: module + "util/x", TestImports: []string{module + "basefx"}},
		{ImportPath: module + "util/x", XTestImports: []string{module + "proto/pb"}},
	} {
		if len(judge(p)) == 0 {
			t.Errorf("%+v is not complained about", p)
		}
	}
	if wrong := judge(pkg{ImportPath: "github.com/golang/protobufs", Name: "helper"}); len(wrong) != 0 {
		t.Errorf("somebody else's package: %q", wrong)
	}
}
