// Package netlab makes private networks out of Linux network namespaces, runs programs in them, and breaks them:
// it cuts links, pauses and kills.
//
// A Lab is a bridge in a namespace of its own. Each Node is a namespace with one address on that bridge. Nothing of a
// lab is in the namespace that the caller runs in, so labs never clash, neither with each other nor with the machine's
// own networks. The caller reaches the nodes through Lab.Client, which no cut between nodes affects.
//
// It needs root, ip (iproute2) and nft (nftables); Check says what is missing. It knows nothing of raftlookupd or NSQ:
// package fleet does. It owns one goroutine per process that runs, which ends with that process; Lab.Close ends them all.
package netlab
