package ctl

import (
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// defaultPort is where nsqlookupd and raftlookupd serve HTTP.
const defaultPort = "4161"

// parseAddrs makes base URLs, without a slash at the end, of lists of addresses.
func parseAddrs(lists []string) ([]string, error) {
	var bases []string
	for _, list := range lists {
		for addr := range strings.SplitSeq(list, ",") {
			if addr = strings.TrimSpace(addr); addr == "" {
				continue
			}
			base, err := parseAddr(addr)
			if err != nil {
				return nil, err
			}
			if !slices.Contains(bases, base) {
				bases = append(bases, base)
			}
		}
	}
	if len(bases) == 0 {
		return nil, usagef("an address is missing, such as %s", defaultAddr)
	}
	return bases, nil
}

func parseAddr(addr string) (string, error) {
	bad := usagef("%q is no address: give one such as lookup1, lookup1:4161 or http://lookup1:4161", addr)
	scheme, rest, found := strings.Cut(addr, "://")
	if !found {
		scheme, rest = "http", addr
		if strings.HasPrefix(addr, ":") {
			rest = "127.0.0.1" + addr
		}
		if ip, err := netip.ParseAddr(addr); err == nil && ip.Is6() {
			rest = "[" + addr + "]"
		}
	}
	u, err := url.Parse(scheme + "://" + rest)
	if err != nil || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "" {
		return "", bad
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return "", usagef("%q: only http and https are known", addr)
	}
	port := u.Port()
	if port == "" {
		port = defaultPort
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", bad
	}
	return u.Scheme + "://" + net.JoinHostPort(u.Hostname(), port) + strings.TrimRight(u.EscapedPath(), "/"), nil
}
