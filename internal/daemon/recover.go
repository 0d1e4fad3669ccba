package daemon

import (
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/raftlookupd/raftlookupd/cluster"
)

// Recover says what a data path holds, and with yes makes its replica the only one of a new cluster.
func Recover(out io.Writer, dataPath string, yes bool, log *slog.Logger) error {
	s, err := cluster.Recover(dataPath, !yes, log)
	if err != nil {
		return err
	}
	var text strings.Builder
	fmt.Fprintf(&text, "Data path %s: replica %s (id %.8s…) of cluster %.8s….\n", dataPath, s.Name, s.ID, s.Cluster)
	fmt.Fprintf(&text, "Its log ends at term %d, entry %d. The registry there has topics: %d, channels: %d, producers: %d.\n",
		s.LastTerm, s.LastIndex, s.Registry.Topics, s.Registry.Channels, s.Registry.Producers)
	fmt.Fprintf(&text, "The cluster's other replicas: %s.\n\n", otherServers(s))
	if yes {
		fmt.Fprintf(&text, "Replica %s is the only one of a new cluster now. Next:\n"+
			"  1. make sure that none of the others runs: with its old data a majority of them would go on as the old cluster;\n"+
			"  2. start %[1]s as always;\n"+
			"  3. on each of the others, move the data path away, and start it as always: it joins as a newcomer.\n", s.Name)
	} else {
		fmt.Fprintf(&text, "To recover it makes %s the only replica of a new cluster with this registry. What only the others had\n"+
			"heard of is lost, and none of them can join it with its data. So stop the others first, and move their data away: a\n"+
			"majority of them that is started again goes on as the old cluster, beside the new one. If others survived too, look at each of them,\n"+
			"and recover the one whose log ends last (the higher term; of the same term, the higher entry).\n\n"+
			"Nothing was changed. To do it: raftlookupd recover -data-path %s -yes\n", s.Name, dataPath)
	}
	_, err = io.WriteString(out, text.String())
	return err
}

func otherServers(s *cluster.Survivor) string {
	var list []string
	for _, server := range s.Servers {
		if server.ID == s.ID {
			continue
		}
		name := server.Name
		if name == "" {
			name = fmt.Sprintf("id %.8s…", server.ID)
		}
		if !server.Votes {
			name += " (reader)"
		}
		list = append(list, name)
	}
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, ", ")
}
