package node

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics of a node. Names are a contract; none has a row's value, and what a party
// sends or computes others of the study may know anyway: see [Status].
var (
	metricInfo     = describe("info", "Always 1, with what does not change.", "study", "party")
	metricPhase    = describe("phase", "1 for the phase that the node is in.", "phase")
	metricStep     = describe("step", "Steps done in the phase.")
	metricSteps    = describe("steps", "Steps of the phase.")
	metricTrained  = describe("trained", "1 when the last step of training is done.")
	metricElapsed  = describe("phase_elapsed_seconds", "Time in the phase, since this process began it.")
	metricCompute  = describe("compute_seconds_total", "Compute since the process began, by phase of the protocols.", "phase")
	metricSent     = describe("sent_bytes_total", "Bytes of messages sent since the process began, by phase of the protocols.", "phase")
	metricJournal  = describe("journal_bytes", "Size of the journal on disk.")
	metricWaiting  = describe("waiting", "1 if the node needs a message of the peer to go on.", "peer")
	metricUp       = describe("peer_connected", "1 if the peer is connected.", "peer")
	metricTraffic  = describe("peer_bytes_total", "Bytes on the wire, TLS included.", "peer", "direction")
	metricConnects = describe("peer_reconnections_total", "Connections after the first.", "peer")
	metricRefused  = describe("peer_refusals_total", "Connections and messages of the peer that were refused.", "peer")
	metricStranger = describe("stranger_refusals_total", "Refusals of connections that are of no party.")
	metricUsed     = describe("openings_used", "Rows whose outputs were opened to a querier.", "querier")
	metricLeft     = describe("openings_left", "Rows whose outputs may still be opened to a querier.", "querier")
)

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("nereid_"+name, help, labels, nil)
}

// A collector turns statuses into metrics.
type collector struct{ status func() Status }

var _ prometheus.Collector = collector{}

// Describe implements [prometheus.Collector].
func (c collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		metricInfo, metricPhase, metricStep, metricSteps, metricTrained, metricElapsed, metricCompute, metricSent, metricJournal,
		metricWaiting, metricUp, metricTraffic, metricConnects, metricRefused, metricStranger, metricUsed, metricLeft,
	} {
		out <- d
	}
}

// Collect implements [prometheus.Collector].
func (c collector) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	s := c.status()
	gauge(metricInfo, 1, s.Study, s.Party)
	for _, phase := range []string{"setup", "train", "predict"} {
		gauge(metricPhase, truth(phase == s.Phase), phase)
	}
	gauge(metricStep, float64(s.Step))
	gauge(metricSteps, float64(s.Steps))
	gauge(metricTrained, truth(s.Trained))
	gauge(metricElapsed, s.Elapsed)
	gauge(metricJournal, float64(s.Journal))
	for phase, v := range s.Compute {
		counter(metricCompute, v, phase)
	}
	for phase, v := range s.Sent {
		counter(metricSent, float64(v), phase)
	}
	for _, peer := range s.Waiting {
		gauge(metricWaiting, 1, peer)
	}
	for _, p := range s.Peers {
		gauge(metricUp, truth(p.Connected), p.Name)
		counter(metricTraffic, float64(p.In), p.Name, "in")
		counter(metricTraffic, float64(p.Out), p.Name, "out")
		counter(metricConnects, float64(max(0, p.Connects-1)), p.Name)
		counter(metricRefused, float64(p.Refused), p.Name)
	}
	counter(metricStranger, float64(s.Strangers))
	for _, a := range s.Opened {
		gauge(metricUsed, float64(a.Rows), a.Querier)
		gauge(metricLeft, float64(a.Limit-a.Rows), a.Querier)
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// Metrics serves what status returns, such as [Node.Status], in the text format of
// Prometheus at /metrics, with the figures of the process and of Go's runtime.
// Nothing in it is secret, but it is for the party's own operators: give it an
// address that others cannot reach.
func Metrics(status func() Status) http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(collector{status}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(r, promhttp.HandlerOpts{}))
	return mux
}
