//! Whose credentials ask, as a configuration says it.

use crate::config::{Key, KeyInfo, Section};

/// Whose credentials ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// The profile of the configuration files, instead of the SDK's default chain.
    pub profile: Option<String>,
    /// Where the APIs are, instead of AWS.
    pub endpoint_url: Option<String>,
    /// The role that those credentials assume.
    pub role: Option<Role>,
}

/// A role to assume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Its ARN.
    pub arn: String,
    /// What its trust policy may ask for.
    pub external_id: Option<String>,
    /// What the session is called.
    pub session_name: String,
}

/// The setting of a profile.
pub const PROFILE: Key<String> =
    Key::optional("profile", "The profile of the AWS configuration files to take credentials of.");
/// The setting of where the APIs are.
pub const ENDPOINT_URL: Key<String> =
    Key::optional("endpoint_url", "Where the APIs are, instead of AWS: a compatible service, or a test.");

const ROLE_ARN: Key<String> = Key::optional("role_arn", "The role's ARN.");
const EXTERNAL_ID: Key<String> = Key::optional("external_id", "The external id that the role's trust policy asks for.");
const SESSION_NAME: Key<String> = Key::new("session_name", "\"taffrail\"", "What the session is called in AWS's logs.");

/// The settings of a role.
pub const ROLE_KEYS: &[KeyInfo] = &[ROLE_ARN.info(), EXTERNAL_ID.info(), SESSION_NAME.info()];

impl Account {
    /// The account in `section`, as yet without a role.
    pub fn new(section: &mut Section<'_>) -> Account {
        let account =
            Account { profile: section.optional(&PROFILE), endpoint_url: section.optional(&ENDPOINT_URL), role: None };
        if let Some(url) = account.endpoint_url.as_ref().filter(|url| !url.starts_with("http")) {
            section.wrong("endpoint_url", format!("expected an http or https URL, found {url:?}"));
        }
        account
    }
}

impl Role {
    /// The role in `section`.
    pub fn new(section: &mut Section<'_>) -> Option<Role> {
        let arn = section.optional(&ROLE_ARN).unwrap_or_default();
        let (external_id, session_name) = (section.optional(&EXTERNAL_ID), section.get(&SESSION_NAME));
        if !(arn.starts_with("arn:") && arn.contains(":role/")) {
            section.wrong("role_arn", "required: a role's ARN, such as \"arn:aws:iam::123456789012:role/metrics\"");
            return None;
        }
        Some(Role { arn, external_id, session_name })
    }

    /// The number of the account that the role is of.
    pub fn account_id(&self) -> Option<&str> {
        self.arn.split(':').nth(4).filter(|id| !id.is_empty())
    }
}
