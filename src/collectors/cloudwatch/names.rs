//! The names of a CloudWatch metric in the three vocabularies that users know.

/// The exporter whose names and labels Prometheus sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Naming {
    /// The names of yet-another-cloudwatch-exporter.
    #[default]
    Yace,
    /// The names of Prometheus's cloudwatch_exporter.
    CloudwatchExporter,
}

impl Naming {
    /// The family of a statistic of a metric.
    pub(super) fn family(
        self,
        namespace: &str,
        metric: &str,
        statistic: &str,
        dimensions: &[(String, String)],
    ) -> String {
        match self {
            Naming::Yace => yace_family(namespace, metric, statistic),
            Naming::CloudwatchExporter => cloudwatch_exporter_family(namespace, metric, statistic, dimensions),
        }
    }
}

fn yace_family(namespace: &str, metric: &str, statistic: &str) -> String {
    let namespace = yace_namespace(namespace);
    // The metric name is stripped of what repeats the namespace.
    let mut metric = yace_name(metric);
    for part in namespace.split('_') {
        if let Some(rest) = metric.strip_prefix(part) {
            metric = rest.to_owned();
        }
    }
    let metric = metric.strip_prefix('_').unwrap_or(&metric);
    valid_name(format!("{}_{metric}_{}", with_aws(&namespace), yace_name(statistic)))
}

/// The info family for the resources of a namespace.
pub(super) fn yace_info(namespace: &str) -> String {
    valid_name(format!("{}_info", with_aws(&yace_namespace(namespace))))
}

fn yace_namespace(namespace: &str) -> String {
    let name = yace_name(&namespace.to_lowercase());
    name.strip_prefix('_').unwrap_or(&name).to_owned()
}

fn with_aws(namespace: &str) -> String {
    if namespace.starts_with("aws") { namespace.to_owned() } else { format!("aws_{namespace}") }
}

/// A word starts at a capital after a lower-case letter or a digit; `%` is spelled out.
pub(super) fn yace_name(text: &str) -> String {
    let mut name = String::with_capacity(text.len() + 8);
    let mut previous = '_';
    for character in text.chars() {
        match character {
            '%' => name.push_str("_percent"),
            _ if is_separator(character) => name.push('_'),
            _ => {
                if character.is_uppercase() && (previous.is_lowercase() || previous.is_numeric()) {
                    name.push('_');
                }
                name.extend(character.to_lowercase());
            }
        }
        previous = character;
    }
    name
}

/// The label name for a dimension. Dimensions identify a metric: characters that are invalid become `_`.
pub(super) fn yace_dimension(dimension: &str, snake_case: bool) -> String {
    const PREFIX: &str = "dimension_";
    yace_label(PREFIX, dimension, snake_case).unwrap_or_else(|| {
        let name = if snake_case { yace_name(dimension) } else { dimension.to_owned() };
        valid_name(format!("{PREFIX}{name}"))
    })
}

/// The label name for a tag; `None` if no valid label name results.
pub(super) fn yace_label(prefix: &str, text: &str, snake_case: bool) -> Option<String> {
    let part = if snake_case {
        yace_name(text)
    } else {
        let replaced = |character| if is_separator(character) { '_' } else { character };
        text.chars().map(replaced).collect::<String>().replace('%', "_percent")
    };
    let is_valid = part.chars().all(|character| character.is_ascii_alphanumeric() || character == '_');
    (is_valid && !part.starts_with(|first: char| first.is_ascii_digit()) && !part.is_empty())
        .then(|| format!("{prefix}{part}"))
}

fn is_separator(character: char) -> bool {
    matches!(character, ' ' | ',' | '\t' | '/' | '\\' | '.' | '-' | ':' | '=' | '@' | '<' | '>' | '(' | ')' | '“')
}

/// DynamoDB metrics of a table and of its indexes share a name; the exporter distinguishes them.
const OF_AN_INDEX: [&str; 6] = [
    "ConsumedReadCapacityUnits",
    "ConsumedWriteCapacityUnits",
    "ProvisionedReadCapacityUnits",
    "ProvisionedWriteCapacityUnits",
    "ReadThrottleEvents",
    "WriteThrottleEvents",
];

fn cloudwatch_exporter_family(
    namespace: &str,
    metric: &str,
    statistic: &str,
    dimensions: &[(String, String)],
) -> String {
    let is_of_index = OF_AN_INDEX.contains(&metric)
        && namespace == "AWS/DynamoDB"
        && dimensions.iter().any(|(name, _)| name == "GlobalSecondaryIndexName");
    let index = if is_of_index { "_index" } else { "" };
    let base = merged(&format!("{}_{}{index}", namespace.to_lowercase(), snake_case(metric)));
    valid_name(format!("{base}_{}", merged(&snake_case(statistic))))
}

/// The exporter's name for a namespace, as in its label `job`.
pub(super) fn cloudwatch_exporter_job(namespace: &str) -> String {
    merged(&namespace.to_lowercase())
}

/// The exporter's label for a dimension.
pub(super) fn cloudwatch_exporter_label(dimension: &str) -> String {
    valid_name(merged(&snake_case(dimension)))
}

/// A word starts at a capital after a lower-case letter or a digit.
fn snake_case(text: &str) -> String {
    let mut name = String::with_capacity(text.len() + 8);
    let mut previous = '_';
    for character in text.chars() {
        if character.is_ascii_uppercase() && (previous.is_ascii_lowercase() || previous.is_ascii_digit()) {
            name.push('_');
        }
        name.extend(character.to_lowercase());
        previous = character;
    }
    name
}

/// Replaces each run of invalid characters by one `_`.
fn merged(text: &str) -> String {
    let mut name = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            _ if character.is_ascii_alphanumeric() || character == ':' => name.push(character),
            _ if name.ends_with('_') => {}
            _ => name.push('_'),
        }
    }
    name
}

/// The name with `_` for every character that is invalid in text 0.0.4.
fn valid_name(name: String) -> String {
    let is_valid = |character: char| character.is_ascii_alphanumeric() || character == '_' || character == ':';
    let name: String = name.chars().map(|character| if is_valid(character) { character } else { '_' }).collect();
    if name.starts_with(|first: char| first.is_ascii_digit()) { format!("_{name}") } else { name }
}

/// Telegraf's measurement for a namespace.
pub(super) fn measurement(namespace: &str) -> String {
    format!("cloudwatch_{}", telegraf_name(&namespace.replace('/', "_")))
}

/// Telegraf's field for a statistic of a metric. The `.` of a percentile, which Telegraf does not support, becomes `_`.
pub(super) fn field(metric: &str, statistic: &str) -> String {
    format!("{}_{}", telegraf_name(metric), telegraf_name(statistic).replace('.', "_"))
}

/// Telegraf's words: a run of capitals is one word, except that its last letter starts the next word before a
/// lower-case letter.
pub(super) fn telegraf_name(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut name = String::with_capacity(text.len() + 8);
    for (index, &character) in characters.iter().enumerate() {
        let is_lower = |at: usize| characters.get(at).is_some_and(|other| other.is_lowercase());
        if index > 0 && character.is_uppercase() && (is_lower(index + 1) || is_lower(index - 1)) {
            name.push('_');
        }
        name.extend(character.to_lowercase());
    }
    name.replace(' ', "_").replace("__", "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Namespace, metric, statistic; yet-another-cloudwatch-exporter, cloudwatch_exporter, Telegraf.
    const NAMES: [[&str; 7]; 11] = [
        [
            "AWS/EC2",
            "CPUUtilization",
            "Average",
            "aws_ec2_cpuutilization_average",
            "aws_ec2_cpuutilization_average",
            "cloudwatch_aws_ec2",
            "cpu_utilization_average",
        ],
        [
            "AWS/EC2",
            "CPUCreditBalance",
            "Average",
            "aws_ec2_cpucredit_balance_average",
            "aws_ec2_cpucredit_balance_average",
            "cloudwatch_aws_ec2",
            "cpu_credit_balance_average",
        ],
        [
            "AWS/EC2",
            "StatusCheckFailed_Instance",
            "Maximum",
            "aws_ec2_status_check_failed_instance_maximum",
            "aws_ec2_status_check_failed_instance_maximum",
            "cloudwatch_aws_ec2",
            "status_check_failed_instance_maximum",
        ],
        [
            "AWS/ApplicationELB",
            "HTTPCode_ELB_5XX_Count",
            "Sum",
            "aws_applicationelb_httpcode_elb_5_xx_count_sum",
            "aws_applicationelb_httpcode_elb_5_xx_count_sum",
            "cloudwatch_aws_application_elb",
            "http_code_elb_5xx_count_sum",
        ],
        [
            "AWS/ApplicationELB",
            "TargetResponseTime",
            "p99.9",
            "aws_applicationelb_target_response_time_p99_9",
            "aws_applicationelb_target_response_time_p99_9",
            "cloudwatch_aws_application_elb",
            "target_response_time_p99_9",
        ],
        [
            "AWS/SQS",
            "ApproximateNumberOfMessagesVisible",
            "SampleCount",
            "aws_sqs_approximate_number_of_messages_visible_sample_count",
            "aws_sqs_approximate_number_of_messages_visible_sample_count",
            "cloudwatch_aws_sqs",
            "approximate_number_of_messages_visible_sample_count",
        ],
        [
            "CWAgent",
            "mem_used_percent",
            "Average",
            "aws_cwagent_mem_used_percent_average",
            "cwagent_mem_used_percent_average",
            "cloudwatch_cw_agent",
            "mem_used_percent_average",
        ],
        [
            "ECS/ContainerInsights",
            "CpuUtilized",
            "Average",
            "aws_ecs_containerinsights_cpu_utilized_average",
            "ecs_containerinsights_cpu_utilized_average",
            "cloudwatch_ecs_container_insights",
            "cpu_utilized_average",
        ],
        [
            "Glue",
            "glue.driver.jvm.heap.usage",
            "Average",
            "aws_glue_driver_jvm_heap_usage_average",
            "glue_glue_driver_jvm_heap_usage_average",
            "cloudwatch_glue",
            "glue.driver.jvm.heap.usage_average",
        ],
        [
            "AWS/RDS",
            "EBSIOBalance%",
            "Average",
            "aws_rds_ebsiobalance_percent_average",
            "aws_rds_ebsiobalance__average",
            "cloudwatch_aws_rds",
            "ebsio_balance%_average",
        ],
        [
            "/aws/sagemaker/TrainingJobs",
            "CPUUtilization",
            "Average",
            "aws_sagemaker_trainingjobs_cpuutilization_average",
            "_aws_sagemaker_trainingjobs_cpuutilization_average",
            "cloudwatch__aws_sagemaker_training_jobs",
            "cpu_utilization_average",
        ],
    ];

    #[test]
    fn names_are_those_of_the_exporters() {
        for [namespace, metric, statistic, yace, cloudwatch_exporter, of_namespace, of_metric] in NAMES {
            assert_eq!(Naming::Yace.family(namespace, metric, statistic, &[]), yace);
            let family = Naming::CloudwatchExporter.family(namespace, metric, statistic, &[]);
            assert_eq!(family, cloudwatch_exporter);
            assert_eq!((measurement(namespace).as_str(), field(metric, statistic).as_str()), (of_namespace, of_metric));
        }
    }

    #[test]
    fn an_index_of_dynamodb_has_families_of_its_own() {
        let dimension = |name: &str| vec![(name.to_owned(), "x".to_owned())];
        let of = |dimensions: &[(String, String)]| {
            Naming::CloudwatchExporter.family("AWS/DynamoDB", "ConsumedReadCapacityUnits", "Sum", dimensions)
        };
        assert_eq!(of(&dimension("TableName")), "aws_dynamodb_consumed_read_capacity_units_sum");
        assert_eq!(of(&dimension("GlobalSecondaryIndexName")), "aws_dynamodb_consumed_read_capacity_units_index_sum");
    }

    #[test]
    fn labels_keep_their_case_unless_told_otherwise() {
        assert_eq!(yace_label("dimension_", "InstanceId", false).as_deref(), Some("dimension_InstanceId"));
        assert_eq!(yace_label("dimension_", "InstanceId", true).as_deref(), Some("dimension_instance_id"));
        assert_eq!(yace_label("dimension_", "Cluster Name", false).as_deref(), Some("dimension_Cluster_Name"));
        assert_eq!(
            yace_label("tag_", "aws:cloudformation:stack-name", false).as_deref(),
            Some("tag_aws_cloudformation_stack_name")
        );
        assert_eq!(yace_label("tag_", "größe", false), None);
        assert_eq!(cloudwatch_exporter_label("DBInstanceIdentifier"), "dbinstance_identifier");
    }
}
