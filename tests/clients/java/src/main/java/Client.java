import io.prometheus.metrics.core.metrics.Counter;
import io.prometheus.metrics.core.metrics.Gauge;
import io.prometheus.metrics.core.metrics.Histogram;
import io.prometheus.metrics.core.metrics.Summary;
import io.prometheus.metrics.exporter.pushgateway.PushGateway;
import io.prometheus.metrics.model.registry.PrometheusRegistry;

/** client_java: Client push|add|delete ADDRESS. */
public class Client {
    public static void main(String[] arguments) throws Exception {
        PrometheusRegistry registry = new PrometheusRegistry();
        PushGateway gateway = PushGateway.builder()
                .address(arguments[1])
                .job("backup")
                .groupingKey("instance", "")
                .groupingKey("path", "/var/tmp")
                .registry(registry)
                .build();
        Gauge gauge = Gauge.builder().name("last_success").help("When it was last well.").register(registry);
        switch (arguments[0]) {
            case "push":
                gauge.set(1.5e9);
                Counter.builder().name("files_total").help("Files that were copied.").labelNames("kind")
                        .register(registry).labelValues("a b").inc(3);
                Histogram.builder().name("copy_seconds").help("How long a file took.")
                        .classicUpperBounds(0.1, 1).register(registry).observe(0.5);
                Summary.builder().name("size").help("How long a file was.").register(registry).observe(7);
                gateway.push();
                break;
            case "add":
                gauge.set(1.6e9);
                gateway.pushAdd();
                break;
            default:
                gateway.delete();
        }
    }
}
