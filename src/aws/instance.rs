//! EC2's instance metadata of this host, by IMDSv2.

use std::error::Error;
use std::sync::LazyLock;
use std::time::Duration;

use aws_config::imds::client::Client;
use aws_config::imds::client::error::ImdsError;
use aws_config::provider_config::ProviderConfig;
use regex::Regex;
use tokio::time::timeout;

use super::http::HttpClient;
use super::problem::{Kind, Problem};
use crate::client;

/// The variable that forbids requests for metadata.
const DISABLED: &str = "AWS_EC2_METADATA_DISABLED";

/// What instance metadata say about this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstanceFact {
    /// The instance.
    InstanceId,
    /// The image that it was started from.
    ImageId,
    /// Its type.
    InstanceType,
    /// Its Auto Scaling group, if it has one and its tags are in the metadata.
    AutoScalingGroupName,
}

impl InstanceFact {
    /// All of them.
    pub const ALL: [InstanceFact; 4] = [
        InstanceFact::InstanceId,
        InstanceFact::ImageId,
        InstanceFact::InstanceType,
        InstanceFact::AutoScalingGroupName,
    ];

    /// Its name as a dimension of amazon-cloudwatch-agent.
    pub fn name(self) -> &'static str {
        match self {
            InstanceFact::InstanceId => "InstanceId",
            InstanceFact::ImageId => "ImageId",
            InstanceFact::InstanceType => "InstanceType",
            InstanceFact::AutoScalingGroupName => "AutoScalingGroupName",
        }
    }

    fn path(self) -> &'static str {
        match self {
            InstanceFact::InstanceId => "/latest/meta-data/instance-id",
            InstanceFact::ImageId => "/latest/meta-data/ami-id",
            InstanceFact::InstanceType => "/latest/meta-data/instance-type",
            InstanceFact::AutoScalingGroupName => "/latest/meta-data/tags/instance/aws:autoscaling:groupName",
        }
    }

    /// The form of its value.
    fn form(self) -> &'static Regex {
        static ID: LazyLock<Regex> = LazyLock::new(|| expression("^i-[0-9a-z]+$"));
        static IMAGE: LazyLock<Regex> = LazyLock::new(|| expression("^ami-[0-9a-z]+$"));
        static TYPE: LazyLock<Regex> = LazyLock::new(|| expression(r"^[a-z0-9-]+\.[a-z0-9-]+$"));
        static GROUP: LazyLock<Regex> = LazyLock::new(|| expression(r"^\P{Cc}+$"));
        match self {
            InstanceFact::InstanceId => &ID,
            InstanceFact::ImageId => &IMAGE,
            InstanceFact::InstanceType => &TYPE,
            InstanceFact::AutoScalingGroupName => &GROUP,
        }
    }

    /// The value in a response.
    fn checked(self, text: &str) -> Result<String, Problem> {
        /// Of a dimension.
        const MAX_CHARS: usize = 255;
        let (name, value) = (self.name(), text.trim());
        if value.is_empty() {
            return Err(unavailable(format!("no {name} in the instance metadata: an empty response")));
        }
        if value.chars().count() > MAX_CHARS || !self.form().is_match(value) {
            let found = client::shorten(value);
            return Err(unavailable(format!("instance metadata: {name}: not of its form: {found:?}")));
        }
        Ok(value.to_owned())
    }
}

/// Maximum size of a response in bytes.
const MAX_BYTES: usize = 16 << 10;
/// Timeout of all requests together. The service is on the same machine.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Reads `facts` from the metadata service, over `http`, which is without proxies. The name of the group is left out if
/// there is none.
///
/// # Errors
/// If the service is disabled, or does not respond, or not with a fact that every instance has.
pub async fn instance_facts(facts: &[InstanceFact], http: HttpClient) -> Result<Vec<(InstanceFact, String)>, Problem> {
    if std::env::var(DISABLED).is_ok_and(|value| value.eq_ignore_ascii_case("true")) {
        let message = format!("instance metadata are needed, and {DISABLED} forbids them");
        return Err(Problem { kind: Kind::Configuration, message });
    }
    let http = http.with_max_bytes(MAX_BYTES);
    // The caller retries.
    let imds = Client::builder().configure(&ProviderConfig::without_region().with_http_client(http)).max_attempts(1);
    let imds = imds.build();
    let mut found = Vec::new();
    let read = async {
        for fact in facts {
            match imds.get(fact.path()).await {
                Ok(value) => found.push((*fact, fact.checked(value.as_ref())?)),
                Err(ImdsError::ErrorResponse(refused)) if refused.response().status().as_u16() == 404 => {
                    if *fact != InstanceFact::AutoScalingGroupName {
                        return Err(unavailable(format!("no {} in the instance metadata", fact.name())));
                    }
                }
                Err(error) => return Err(failure(*fact, &error)),
            }
        }
        Ok(())
    };
    let read = timeout(TIMEOUT, read).await;
    read.unwrap_or_else(|_| Err(unavailable("instance metadata: no answer in time".to_owned())))?;
    Ok(found)
}

fn unavailable(message: String) -> Problem {
    Problem { kind: Kind::Unavailable, message }
}

fn failure(fact: InstanceFact, error: &ImdsError) -> Problem {
    let name = fact.name();
    if let ImdsError::ErrorResponse(refused) = error {
        let status = refused.response().status().as_u16();
        return unavailable(format!("instance metadata: {name}: status {status}"));
    }
    let mut last: &dyn Error = error;
    while let Some(source) = last.source() {
        last = source;
    }
    let mut parts = vec![error.to_string()];
    client::add_cause(&mut parts, last.to_string());
    unavailable(format!("instance metadata: {name}: {}", parts.join(": ")))
}

fn expression(text: &str) -> Regex {
    Regex::new(text).unwrap_or_else(|_| unreachable!("an expression"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_of_their_form() {
        use InstanceFact::{AutoScalingGroupName, ImageId, InstanceId, InstanceType};
        for (fact, value) in [
            (InstanceId, " i-0123456789abcdef0\n"),
            (ImageId, "ami-0abc"),
            (InstanceType, "u-6tb1.112xlarge"),
            (InstanceType, "t4g.micro"),
            (AutoScalingGroupName, "web servers größe"),
        ] {
            assert_eq!(fact.checked(value).unwrap(), value.trim());
        }
        let long = "x".repeat(256);
        for (fact, value) in [
            (InstanceId, ""),
            (InstanceId, "<html>"),
            (InstanceId, "i-0\u{1}"),
            (ImageId, "i-0"),
            (InstanceType, "metal"),
            (AutoScalingGroupName, "a\nb"),
            (AutoScalingGroupName, " "),
            (AutoScalingGroupName, &long),
        ] {
            assert_eq!(fact.checked(value).unwrap_err().kind, Kind::Unavailable, "{value:?}");
        }
    }
}
