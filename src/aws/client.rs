//! Clients of one account in one region.

use std::sync::Arc;
use std::time::Duration;

use aws_config::sts::AssumeRoleProvider;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_cloudwatch::config::{Credentials, SharedCredentialsProvider};
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;

use super::account::{Account, Keys, Role};
use super::count::{Counter, Counts, Operation};
use super::http::{ATTEMPT_TIMEOUT, HttpClient};
use super::problem::{Kind, Problem};
use super::signed::Signed;

/// Timeout of a request with all attempts.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(90);
const ATTEMPTS: u32 = 4;
/// Maximum size of a response about credentials and accounts in bytes: of STS, IAM, SSO and the metadata services.
const MAX_SMALL: usize = 256 << 10;

/// Clients of one account in one region.
#[derive(Clone, Debug)]
pub struct Clients {
    /// CloudWatch.
    pub cloudwatch: aws_sdk_cloudwatch::Client,
    /// The Resource Groups Tagging API.
    pub tagging: aws_sdk_resourcegroupstagging::Client,
    sts: aws_sdk_sts::Client,
    /// All other APIs.
    pub signed: Signed,
    /// The region.
    pub region: String,
    /// The account id, if the role contains it.
    account_id: Option<String>,
}

impl Clients {
    /// Clients for `account` in `region`, or in the SDK's default region. Requests are counted in `counts`.
    ///
    /// # Errors
    /// If there is no region. Credentials are resolved by the first request.
    pub async fn new(
        account: &Account,
        region: Option<&str>,
        http: HttpClient,
        counts: Arc<Counts>,
    ) -> Result<Clients, Problem> {
        let small = http.clone().with_max_bytes(MAX_SMALL);
        let config = load(account, region, small.clone()).await;
        let Some(region) = config.region().map(ToString::to_string) else {
            let message = "no region: set regions, the variable AWS_REGION, or the profile's region";
            return Err(Problem { kind: Kind::Configuration, message: message.to_owned() });
        };
        let config = match &account.role {
            Some(role) => assume(role, config).await,
            None => config,
        };
        let signed = Signed::new(&config, &region, http.clone(), counts.clone());
        let counter = Counter::new(counts);
        let cloudwatch = aws_sdk_cloudwatch::config::Builder::from(&config).http_client(http.clone());
        let cloudwatch = cloudwatch.interceptor(counter.clone()).build();
        let tagging = aws_sdk_resourcegroupstagging::config::Builder::from(&config).http_client(http);
        let tagging = tagging.interceptor(counter.clone()).build();
        let sts = aws_sdk_sts::config::Builder::from(&config).interceptor(counter).build();
        Ok(Clients {
            cloudwatch: aws_sdk_cloudwatch::Client::from_conf(cloudwatch),
            tagging: aws_sdk_resourcegroupstagging::Client::from_conf(tagging),
            sts: aws_sdk_sts::Client::from_conf(sts),
            signed,
            region,
            account_id: account.role.as_ref().and_then(Role::account_id).map(str::to_owned),
        })
    }

    /// The names of the caller's account, with its alias on request.
    pub async fn account_names(&self, has_alias: bool) -> AccountNames {
        let alias = async { if has_alias { Some(self.signed.account_alias().await) } else { None } };
        let (id, alias) = tokio::join!(self.account_id(), alias);
        AccountNames { id, alias }
    }

    /// The caller's account id.
    ///
    /// # Errors
    /// If AWS does not return it.
    pub async fn account_id(&self) -> Result<String, Problem> {
        if let Some(id) = &self.account_id {
            return Ok(id.clone());
        }
        let answer = self.sts.get_caller_identity().send().await;
        let answer = answer.map_err(|error| Problem::of(Operation::GetCallerIdentity, &self.region, &error))?;
        Ok(answer.account.unwrap_or_default())
    }
}

/// The names of an account.
#[derive(Debug)]
pub struct AccountNames {
    /// Its id.
    pub id: Result<String, Problem>,
    /// Its alias, which is empty if it has none; `None` if it was not requested.
    pub alias: Option<Result<String, Problem>>,
}

async fn load(account: &Account, region: Option<&str>, http: HttpClient) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(OPERATION_TIMEOUT)
        .build();
    // Not the SDK's adaptive mode: after one throttled request it delays all others of the client for many seconds.
    // Callers adapt instead, with fewer concurrent requests and longer pauses.
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
    if let Some(keys) = &account.keys {
        loader = loader.credentials_provider(credentials(keys));
    }
    if let Some(url) = &account.endpoint_url {
        loader = loader.endpoint_url(url);
    }
    loader.load().await
}

fn credentials(keys: &Keys) -> Credentials {
    let session_token = keys.session_token.as_ref().map(|token| token.reveal().to_owned());
    Credentials::new(keys.access_key.reveal(), keys.secret_key.reveal(), session_token, None, "configuration")
}

async fn assume(role: &Role, config: SdkConfig) -> SdkConfig {
    let mut provider = AssumeRoleProvider::builder(&role.arn).session_name(&role.session_name).configure(&config);
    if let Some(id) = &role.external_id {
        provider = provider.external_id(id);
    }
    let provider = SharedCredentialsProvider::new(provider.build().await);
    config.into_builder().credentials_provider(provider).build()
}
