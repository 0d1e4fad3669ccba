package netlab

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// Link is the traffic from one node to another, or a part of it.
type Link struct {
	From, To *Node
	Protocol string // tcp or udp; all when empty
	Port     int    // where it goes to; all when 0
}

// Links are cut and healed together.
type Links []Link

// OneWay returns the traffic from a to b.
func OneWay(a, b *Node) Links { return Links{{From: a, To: b}} }

// Between returns the traffic of two nodes in both directions.
func Between(a, b *Node) Links { return Links{{From: a, To: b}, {From: b, To: a}} }

// Around returns the traffic between a node and each of the others.
func Around(n *Node, others ...*Node) Links {
	var links Links
	for _, other := range others {
		if other != n {
			links = append(links, Between(n, other)...)
		}
	}
	return links
}

// Among returns the traffic between any two of the nodes.
func Among(nodes ...*Node) Links {
	var links Links
	for i, n := range nodes {
		links = append(links, Around(n, nodes[i+1:]...)...)
	}
	return links
}

// Only returns the part of the links that goes to one port; port 0 means all of a protocol, "" all protocols.
func (links Links) Only(protocol string, port int) Links {
	part := slices.Clone(links)
	for i := range part {
		part[i].Protocol, part[i].Port = protocol, port
	}
	return part
}

// Cut drops the packets of the links without a word to anybody, until heal is called. Cuts may overlap: a link is
// whole once every cut of it is healed.
func (l *Lab) Cut(links Links) (heal func() error, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cuts++
	number := l.cuts
	l.links[number] = links
	heal = func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.links, number)
		return l.refilter(links)
	}
	return heal, l.refilter(links)
}

// refilter writes the filter of each receiver of the links. Packets are dropped where they arrive, because a filter at
// the sender would tell the sender.
func (l *Lab) refilter(links Links) error {
	done := map[*Node]bool{}
	var errs []error
	for _, link := range links {
		if !done[link.To] {
			done[link.To] = true
			errs = append(errs, link.To.filter(l.rules(link.To)))
		}
	}
	return errors.Join(errs...)
}

// rules returns the whole filter of a node; nft replaces the old one by it in one step.
func (l *Lab) rules(n *Node) []byte {
	var rules bytes.Buffer
	rules.WriteString("table inet lab {}\ndelete table inet lab\n")
	rules.WriteString("table inet lab {\n chain in {\n  type filter hook input priority 0; policy accept;\n")
	for _, links := range l.links {
		for _, link := range links {
			if link.To == n {
				fmt.Fprintln(&rules, " ", link.rule())
			}
		}
	}
	rules.WriteString(" }\n}\n")
	return rules.Bytes()
}

func (link Link) rule() string {
	from := "ip saddr " + link.From.IP
	switch {
	case link.Protocol == "" && link.Port == 0:
		return from + " drop"
	case link.Port == 0:
		return fmt.Sprintf("%s meta l4proto %s drop", from, link.Protocol)
	case link.Protocol == "":
		return fmt.Sprintf("%s meta l4proto { tcp, udp } th dport %d drop", from, link.Port)
	}
	return fmt.Sprintf("%s %s dport %d drop", from, link.Protocol, link.Port)
}
