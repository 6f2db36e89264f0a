//! AWS credentials, as configured.

use reqwest::Url;

use crate::client;
use crate::config::{Key, KeyInfo, Secret, Secrets, Section, has_credentials};

/// AWS credentials and endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// The profile of the configuration files; `None`: the SDK's default chain.
    pub profile: Option<String>,
    /// The keys, instead of those of the profile and of the default chain.
    pub keys: Option<Keys>,
    /// The endpoint, instead of AWS.
    pub endpoint_url: Option<String>,
    /// The role to assume.
    pub role: Option<Role>,
}

/// An access key, as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// The id of the access key.
    pub access_key: Secret,
    /// The secret access key.
    pub secret_key: Secret,
    /// The session token of a temporary key.
    pub session_token: Option<Secret>,
}

/// A role to assume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Its ARN.
    pub arn: String,
    /// The external id, if the trust policy requires one.
    pub external_id: Option<String>,
    /// The session name.
    pub session_name: String,
}

/// The setting of a profile.
pub const PROFILE: Key<String> =
    Key::optional("profile", "Profile of the AWS configuration files that provides the credentials.");
/// The setting of where the APIs are.
pub const ENDPOINT_URL: Key<String> =
    Key::optional("endpoint_url", "Endpoint of the APIs, instead of AWS: a compatible service, or a test.");

/// The setting of an access key.
pub const ACCESS_KEY: Key<Secret> = Key::optional(
    "access_key",
    "Access key ID, instead of the credentials of the profile and of the SDK's default chain; better as \"${file:…}\" or \"${credential:…}\".",
);
/// The setting of its secret.
pub const SECRET_KEY: Key<Secret> = Key::optional("secret_key", "Secret of access_key.");
/// The setting of its session token.
pub const SESSION_TOKEN: Key<Secret> = Key::optional("session_token", "Session token of a temporary access_key.");

/// The settings of an account, without a role.
pub const KEYS: [KeyInfo; 5] =
    [PROFILE.info(), ACCESS_KEY.info(), SECRET_KEY.info(), SESSION_TOKEN.info(), ENDPOINT_URL.info()];

const ROLE_ARN: Key<String> = Key::optional("role_arn", "The role's ARN.");
const EXTERNAL_ID: Key<String> = Key::optional("external_id", "The external id that the role's trust policy asks for.");
const SESSION_NAME: Key<String> = Key::new("session_name", "\"taffrail\"", "Session name in AWS's logs.");

/// The settings of a role.
pub const ROLE_KEYS: &[KeyInfo] = &[ROLE_ARN.info(), EXTERNAL_ID.info(), SESSION_NAME.info()];

/// Whether this can be the name of a region.
///
/// # Errors
/// That it is none.
pub fn check_region(name: &str) -> Result<(), String> {
    let is_word = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    match name.split('-').all(is_word) {
        true => Ok(()),
        false => Err(format!("expected a region such as \"eu-west-1\", found {name:?}")),
    }
}

impl Account {
    /// Reads the account in `section`, without a role.
    pub fn new(section: &mut Section<'_>) -> Account {
        let (profile, endpoint_url) = (section.optional(&PROFILE), section.optional(&ENDPOINT_URL));
        let endpoint_url = endpoint_url.map(|url| client::completed(&url, "http").into_owned());
        let account = Account { profile, keys: Keys::new(section), endpoint_url, role: None };
        if account.profile.is_some() && account.keys.is_some() {
            section.wrong("profile", "does not go with access_key, which is used instead: leave out one of them");
        }
        if let Some(url) = &account.endpoint_url {
            match Url::parse(url) {
                Ok(url) if has_credentials(&url) => {
                    section.wrong(
                        "endpoint_url",
                        "expected a URL without credentials; requests are signed with access_key",
                    );
                }
                Ok(url) if matches!(url.scheme(), "http" | "https") => {}
                _ => section.wrong("endpoint_url", format!("expected an http or https URL, found {url:?}")),
            }
        }
        account
    }

    /// What messages must hide.
    pub fn secrets(&self) -> Secrets {
        let mut secrets = Secrets::default();
        if let Some(keys) = &self.keys {
            let all = [Some(&keys.access_key), Some(&keys.secret_key), keys.session_token.as_ref()];
            all.into_iter().flatten().for_each(|secret| secrets.add(secret.reveal()));
        }
        secrets
    }
}

impl Keys {
    /// Reads the keys in `section`, if it has any.
    fn new(section: &mut Section<'_>) -> Option<Keys> {
        let given = |key: Option<Secret>| key.filter(|key| !key.reveal().is_empty());
        let session_token = given(section.optional(&SESSION_TOKEN));
        match (given(section.optional(&ACCESS_KEY)), given(section.optional(&SECRET_KEY))) {
            (Some(access_key), Some(secret_key)) => Some(Keys { access_key, secret_key, session_token }),
            (None, None) if session_token.is_none() => None,
            (access_key, _) => {
                let missing = if access_key.is_some() { "secret_key" } else { "access_key" };
                section.wrong(missing, "required: access_key and secret_key go together");
                None
            }
        }
    }
}

impl Role {
    /// Reads the role in `section`.
    pub fn new(section: &mut Section<'_>) -> Option<Role> {
        let arn = section.optional(&ROLE_ARN).unwrap_or_default();
        let (external_id, session_name) = (section.optional(&EXTERNAL_ID), section.get(&SESSION_NAME));
        if !(arn.starts_with("arn:") && arn.contains(":role/")) {
            section.wrong("role_arn", "required: a role's ARN, such as \"arn:aws:iam::123456789012:role/metrics\"");
            return None;
        }
        Some(Role { arn, external_id, session_name })
    }

    /// The role's account id.
    pub fn account_id(&self) -> Option<&str> {
        self.arn.split(':').nth(4).filter(|id| !id.is_empty())
    }
}
