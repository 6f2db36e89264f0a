// client_golang: main push|add|delete ADDRESS
package main

import (
	"fmt"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/push"
)

func main() {
	verb, address := os.Args[1], os.Args[2]
	pusher := push.New("http://"+address, "backup").Grouping("instance", "").Grouping("path", "/var/tmp")
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{Name: "last_success", Help: "When it was last well."})
	pusher.Collector(gauge)
	var err error
	switch verb {
	case "push":
		gauge.Set(1.5e9)
		files := prometheus.NewCounterVec(
			prometheus.CounterOpts{Name: "files_total", Help: "Files that were copied."}, []string{"kind"})
		files.WithLabelValues("a b").Add(3)
		copies := prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "copy_seconds", Help: "How long a file took.", Buckets: []float64{0.1, 1},
			NativeHistogramBucketFactor: 1.1})
		copies.Observe(0.5)
		sizes := prometheus.NewSummary(prometheus.SummaryOpts{Name: "size", Help: "How long a file was."})
		sizes.Observe(7)
		err = pusher.Collector(files).Collector(copies).Collector(sizes).Push()
	case "add":
		gauge.Set(1.6e9)
		err = pusher.Add()
	default:
		err = pusher.Delete()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
