//! Clients of one account in one region.

use std::sync::Arc;
use std::time::Duration;

use aws_config::sts::AssumeRoleProvider;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_cloudwatch::config::SharedCredentialsProvider;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;

use super::account::{Account, Role};
use super::count::{Counter, Counts, Operation};
use super::http::HttpClient;
use super::problem::{Kind, Problem};

/// How long one attempt may take.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a request may take with all its attempts.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(90);
const ATTEMPTS: u32 = 4;

/// Clients of one account in one region.
#[derive(Clone, Debug)]
pub struct Clients {
    /// CloudWatch.
    pub cloudwatch: aws_sdk_cloudwatch::Client,
    /// The Resource Groups Tagging API.
    pub tagging: aws_sdk_resourcegroupstagging::Client,
    sts: aws_sdk_sts::Client,
    /// The region.
    pub region: String,
    /// The account's id, where the role tells it.
    account_id: Option<String>,
}

impl Clients {
    /// Clients that ask as `account` in `region`, or in the SDK's default region. Their requests are counted in `counts`.
    ///
    /// # Errors
    /// Where there is no region. Credentials are looked for with the first request.
    pub async fn new(
        account: &Account,
        region: Option<&str>,
        http: HttpClient,
        counts: Arc<Counts>,
    ) -> Result<Clients, Problem> {
        let config = load(account, region, http).await;
        let Some(region) = config.region().map(ToString::to_string) else {
            let message = "no region: set regions, the variable AWS_REGION, or the profile's region";
            return Err(Problem { kind: Kind::Configuration, message: message.to_owned() });
        };
        let config = match &account.role {
            Some(role) => assume(role, config).await,
            None => config,
        };
        let counter = Counter::new(counts);
        let cloudwatch = aws_sdk_cloudwatch::config::Builder::from(&config).interceptor(counter.clone()).build();
        let tagging =
            aws_sdk_resourcegroupstagging::config::Builder::from(&config).interceptor(counter.clone()).build();
        let sts = aws_sdk_sts::config::Builder::from(&config).interceptor(counter).build();
        Ok(Clients {
            cloudwatch: aws_sdk_cloudwatch::Client::from_conf(cloudwatch),
            tagging: aws_sdk_resourcegroupstagging::Client::from_conf(tagging),
            sts: aws_sdk_sts::Client::from_conf(sts),
            region,
            account_id: account.role.as_ref().and_then(Role::account_id).map(str::to_owned),
        })
    }

    /// The id of the account that asks.
    ///
    /// # Errors
    /// Why AWS does not tell it.
    pub async fn account_id(&self) -> Result<String, Problem> {
        if let Some(id) = &self.account_id {
            return Ok(id.clone());
        }
        let answer = self.sts.get_caller_identity().send().await;
        let answer = answer.map_err(|error| Problem::of(Operation::GetCallerIdentity, &self.region, &error))?;
        Ok(answer.account.unwrap_or_default())
    }
}

async fn load(account: &Account, region: Option<&str>, http: HttpClient) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(OPERATION_TIMEOUT)
        .build();
    // Not the SDK's adaptive mode: after one throttled request it holds up all others of the client for many seconds.
    // Who asks adapts instead: fewer requests at once, and longer pauses.
    let retries = RetryConfig::standard().with_max_attempts(ATTEMPTS);
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(http)
        .timeout_config(timeouts)
        .retry_config(retries);
    if let Some(region) = region {
        loader = loader.region(Region::new(region.to_owned()));
    }
    if let Some(profile) = &account.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(url) = &account.endpoint_url {
        loader = loader.endpoint_url(url);
    }
    loader.load().await
}

async fn assume(role: &Role, config: SdkConfig) -> SdkConfig {
    let mut provider = AssumeRoleProvider::builder(&role.arn).session_name(&role.session_name).configure(&config);
    if let Some(id) = &role.external_id {
        provider = provider.external_id(id);
    }
    let provider = SharedCredentialsProvider::new(provider.build().await);
    config.into_builder().credentials_provider(provider).build()
}
