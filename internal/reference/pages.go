package reference

import (
	"errors"
	"fmt"
)

const generated = "<!-- Written from the code by `make docs`. Change the code, not this page. -->\n\n"

// sources are the parsed packages that the pages are about.
type sources struct {
	httpapi, cluster, daemon  *source
	ctl, snapfile, raftlookup *source
}

// Pages returns every page, by its path from the root of the repository. The error names all that is
// not described, and all that is described but no longer there.
func Pages(root string) (map[string]string, error) {
	src, err := readSources(root)
	if err != nil {
		return nil, err
	}
	pages := map[string]string{}
	var problems []error
	for path, write := range map[string]func(*sources) (string, error){
		"docs/reference/flags.md":     flagsPage,
		"docs/reference/http.md":      httpPage,
		"docs/reference/lookupctl.md": lookupctlPage,
		"docs/man/raftlookupd.8":      raftlookupdMan,
		"docs/man/lookupctl.1":        lookupctlMan,
	} {
		text, err := write(src)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s:\n%w", path, err))
		}
		pages[path] = text
	}
	return pages, errors.Join(problems...)
}

func readSources(root string) (*sources, error) {
	s := &sources{}
	for dir, into := range map[string]**source{
		"httpapi": &s.httpapi, "cluster": &s.cluster, "internal/daemon": &s.daemon,
		"internal/ctl": &s.ctl, "internal/snapfile": &s.snapfile, "cmd/raftlookupd": &s.raftlookup,
	} {
		parsed, err := parsePackage(root, dir)
		if err != nil {
			return nil, err
		}
		*into = parsed
	}
	return s, nil
}
