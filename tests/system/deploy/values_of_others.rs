//! Values of the charts prometheus-node-exporter and prometheus-pushgateway: the chart has them, or refuses them and names the
//! remedy.

use std::process::Command;

use serde_json::{Value, json};

use super::kubernetes::{deploy, template};
use crate::harness::python::run;

/// The values of prometheus-node-exporter's chart.
const NODE_EXPORTER: &str = "affinity commonLabels configmaps containerSecurityContext daemonsetAnnotations dnsConfig \
    dnsPolicy endpoints env extraArgs extraHostVolumeMounts extraInitContainers extraManifests extraVolumeMounts \
    extraVolumes fullnameOverride global hostIPC hostNetwork hostPID hostProcFsMount hostRootFsMount.enabled \
    hostRootFsMount.mountPropagation hostSysFsMount hostUsers image imagePullSecrets kubeRBACProxy livenessProbe \
    nameOverride namespaceOverride networkPolicy nodeSelector permissionInitContainer podAnnotations podLabels \
    priorityClassName rbac.create rbac.pspAnnotations rbac.pspEnabled readinessProbe releaseLabel resources restartPolicy revisionHistoryLimit secrets \
    securityContext service.annotations service.clusterIP service.enabled service.externalTrafficPolicy \
    service.internalTrafficPolicy service.ipDualStack.enabled service.ipDualStack.ipFamilies \
    service.ipDualStack.ipFamilyPolicy service.labels service.listenOnAllInterfaces service.nodePort service.port \
    service.portName service.servicePort service.targetPort service.type serviceAccount.annotations \
    serviceAccount.automountServiceAccountToken serviceAccount.create serviceAccount.imagePullSecrets \
    serviceAccount.name sidecarHostVolumeMounts sidecarVolumeMount sidecars terminationGracePeriodSeconds \
    terminationMessageParams tlsSecret tolerations updateStrategy version verticalPodAutoscaler";

/// Those of its ServiceMonitor and its PodMonitor.
const MONITOR: &str = "additionalLabels apiVersion attachMetadata.node authorization basicAuth bearerTokenFile \
    bearerTokenSecret enableHttp2 enabled filterRunning followRedirects honorLabels honorTimestamps interval jobLabel \
    labelLimit labelNameLengthLimit labelValueLengthLimit metricRelabelings namespace oauth2 params path \
    podTargetLabels proxyUrl relabelings sampleLimit scheme scrapeProtocols scrapeTimeout selectorOverride targetLabels targetLimit \
    tlsConfig";

/// The values of prometheus-pushgateway's chart.
const PUSHGATEWAY: &str = "affinity automountServiceAccountToken containerSecurityContext extraArgs extraContainers \
    extraInitContainers extraManifests extraVars extraVolumeMounts extraVolumes fullnameOverride hostAliases image \
    imagePullSecrets ingress.annotations ingress.className ingress.enabled ingress.extraPaths ingress.hosts \
    ingress.path ingress.pathType ingress.tls lifecycle liveness nameOverride namespaceOverride networkPolicy.allowAll \
    networkPolicy.customSelectors nodeSelector persistentVolume.accessModes persistentVolume.annotations \
    persistentVolume.enabled persistentVolume.existingClaim persistentVolume.mountPath persistentVolume.size \
    persistentVolume.storageClass persistentVolume.subPath persistentVolumeLabels podAnnotations podAntiAffinity \
    podAntiAffinityTopologyKey podDisruptionBudget podLabels priorityClassName readiness replicaCount resources \
    runAsStatefulSet securityContext service.clusterIP service.ipDualStack.enabled service.loadBalancerIP \
    service.loadBalancerSourceRanges service.nodePort service.port service.portName service.targetPort service.type \
    serviceAccount.create serviceAccount.name serviceAccountLabels serviceAnnotations serviceLabels \
    serviceMonitor.additionalLabels serviceMonitor.basicAuth serviceMonitor.bearerTokenFile serviceMonitor.enabled \
    serviceMonitor.honorLabels serviceMonitor.interval serviceMonitor.metricRelabelings serviceMonitor.namespace \
    serviceMonitor.relabelings serviceMonitor.scheme serviceMonitor.scrapeTimeout serviceMonitor.telemetryPath \
    serviceMonitor.tlsConfig strategy tolerations topologySpreadConstraints webConfiguration";

/// Whether the schema has this value, also if the chart refuses it with a reason.
fn has(schema: &Value, path: &str) -> bool {
    let monitor = &schema["definitions"]["monitor"];
    path.split('.')
        .try_fold(schema, |value, key| {
            let value = value["properties"].get(key)?;
            Some(if value.get("$ref").is_some() { monitor } else { value })
        })
        .is_some()
}

#[test]
fn the_chart_knows_every_value_of_other_charts() {
    let text = std::fs::read_to_string(deploy().join("helm/taffrail/values.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&text).unwrap();
    let of_monitors = MONITOR
        .split_whitespace()
        .flat_map(|name| ["monitor", "podMonitor"].map(|monitor| format!("exporter.prometheus.{monitor}.{name}")));
    let of = |component: &'static str, names: &'static str| {
        names.split_whitespace().map(move |name| format!("{component}.{name}"))
    };
    let paths = of("exporter", NODE_EXPORTER).chain(of_monitors).chain(of("gateway", PUSHGATEWAY));
    let unknown: Vec<String> = paths.filter(|path| !has(&schema, path)).collect();
    assert!(unknown.is_empty(), "{unknown:#?}");
}

#[test]
#[ignore = "needs Debian's package golang-go: tests/run"]
fn with_golang_go_whose_chart_refuses_values_of_other_charts_with_the_reason() {
    let refused = std::fs::read_to_string(deploy().join("helm/taffrail/files/refused.yaml")).unwrap();
    let refused: Vec<(String, &str)> = refused
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_once(": ").unwrap())
        .map(|(path, reason)| (path.replace("MONITOR", "exporter.prometheus.podMonitor"), reason))
        .collect();
    assert!(refused.len() > 60);
    // JSON is YAML.
    let mut values = json!({});
    for (path, _) in &refused {
        let place = path.split('.').fold(&mut values, |value, key| &mut value[key]);
        *place = json!(["a"]);
    }
    let said = template(&values.to_string(), "test", "monitoring").unwrap_err();
    for (path, reason) in refused {
        assert!(said.contains(&format!("{path} has no effect: {reason}")), "{path}: {said}");
    }
}

#[test]
#[ignore = "needs Debian's package golang-go: tests/run"]
fn with_golang_go_whose_chart_names_the_component_of_a_value_at_the_top_level() {
    let values = "image: {repository: prometheus/node-exporter}\ntolerations: []\nhostNetwork: true\nserviceMonitor: {enabled: true}\nkubeRBACProxy: {enabled: true}";
    let reported = template(values, "test", "monitoring").unwrap_err();
    for expected in [
        "image.repository: prometheus/node-exporter is not Taffrail",
        "tolerations: use exporter.tolerations or gateway.tolerations",
        "hostNetwork: use exporter.hostNetwork",
        "serviceMonitor: use gateway.serviceMonitor",
        "kubeRBACProxy has no effect: Taffrail has TLS and users itself",
        "taffrail migrate node_exporter --helm-values values.yaml",
    ] {
        assert!(reported.contains(expected), "{expected}: {reported}");
    }
    // The names that a chart with several components gives to those of others.
    let values = "prometheus-node-exporter: {hostNetwork: true}\nprometheus-pushgateway: {}";
    let reported = template(values, "test", "monitoring").unwrap_err();
    assert!(reported.contains("prometheus-node-exporter: move its values to exporter\n"), "{reported}");
    assert!(reported.contains("prometheus-pushgateway: move its values to gateway"), "{reported}");
}

#[test]
#[ignore = "needs Debian's package golang-go: tests/run"]
fn with_golang_go_whose_chart_refuses_two_monitors_of_the_same_pods() {
    let values = "exporter: {prometheus: {monitor: {enabled: true}, podMonitor: {enabled: true}}}";
    let reported = template(values, "test", "monitoring").unwrap_err();
    assert!(reported.contains("exporter.prometheus: enable monitor or podMonitor; with both"), "{reported}");
}

/// The flags with a value of one of the program's commands, from its help.
fn flags(command: &str) -> Vec<String> {
    let help = run(Command::new(env!("CARGO_BIN_EXE_taffrail")).args([command, "--help"]));
    let flags = help.lines().filter_map(|line| line.trim_start().strip_prefix("--")?.split_once(" <"));
    let mut flags: Vec<String> = flags.map(|(flag, _)| format!("--{flag}")).collect();
    flags.sort_unstable();
    flags
}

#[test]
#[ignore = "needs Debian's package golang-go: tests/run"]
fn with_golang_go_whose_chart_refuses_arguments_that_the_program_does_not_take() {
    let commands = [("exporter", "run"), ("gateway", "gateway"), ("cloudwatch", "run")];
    let refused = |values: &str| template(values, "test", "monitoring").unwrap_err();
    for (component, command) in commands {
        let flags = flags(command);
        assert!(flags.len() > 2, "{flags:?}");
        let arguments = flags.iter().flat_map(|flag| [flag.clone(), "a".to_owned(), format!("{flag}=a")]);
        let values = json!({"cloudwatch": {"enabled": true}, component: {"extraArgs": arguments.collect::<Vec<_>>()}});
        template(&values.to_string(), "test", "monitoring").unwrap();
        let reported = refused(&format!("{component}: {{extraArgs: [--listen, \":1\", --help, --listen, --x=1]}}"));
        let expected =
            format!("{component}.extraArgs: unknown --help --x=1: taffrail {command} takes {}", flags.join(", "));
        assert!(reported.contains(&expected), "{expected}: {reported}");
    }
    let reported = refused("exporter: {extraArgs: [--collector.systemd]}");
    assert!(reported.contains("taffrail migrate node_exporter --helm-values values.yaml"), "{reported}");
    let reported = refused("gateway: {extraArgs: [--web.enable-admin-api]}");
    assert!(reported.contains("taffrail migrate pushgateway -- --web.enable-admin-api"), "{reported}");
}
