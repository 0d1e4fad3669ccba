package bench

import (
	"fmt"
	"math"
	"runtime"
	"strings"
	"time"
)

// cost is what a stretch of time took: of the clock, and of the processors in the load and in the servers.
type cost struct {
	wall, load, servers time.Duration
}

func (c cost) plus(o cost) cost {
	return cost{c.wall + o.wall, c.load + o.load, c.servers + o.servers}
}

// inside is the cost when the servers are in this process.
func (c cost) inside() cost { return cost{c.wall, c.servers, c.load} }

// share is how much of one processor that was, in percent.
func (c cost) share(d time.Duration) string {
	return digits(math.Round(100 * float64(d) / float64(c.wall)))
}

// costs says how busy the processors were while the figures were measured.
func costs(figures ...figure) string {
	var parts []string
	for _, f := range figures {
		if f.cost.wall > 0 {
			parts = append(parts, fmt.Sprintf("%s %s + load %s", f.who, f.cost.share(f.cost.servers), f.cost.share(f.cost.load)))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return fmt.Sprintf("CPU of %d %%: %s", 100*runtime.NumCPU(), strings.Join(parts, ", "))
}

// meter measures a stretch of time.
type meter struct {
	start       time.Time
	processes   []*process
	own, others time.Duration
}

func startMeter(processes ...*process) (*meter, error) {
	m := &meter{processes: processes}
	var err error
	if m.own, m.others, err = m.used(); err != nil {
		return nil, err
	}
	m.start = time.Now()
	return m, nil
}

func (m *meter) stop() (cost, error) {
	wall := time.Since(m.start)
	own, others, err := m.used()
	return cost{wall, own - m.own, others - m.others}, err
}

func (m *meter) used() (own, others time.Duration, err error) {
	for _, p := range m.processes {
		used, err := p.cpu()
		if err != nil {
			return 0, 0, err
		}
		others += used
	}
	own, err = ownCPU()
	return own, others, err
}
