//! Signed requests to APIs of AWS for which Taffrail has no client of the SDK, and their responses in XML or JSON.

use std::error::Error;
use std::sync::Arc;
use std::time::SystemTime;

use aws_config::SdkConfig;
use aws_credential_types::provider::ProvideCredentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use form_urlencoded::Serializer;
use serde_json::{Map, Value};
use tokio::time::timeout;
use xmlparser::{ElementEnd, Token, Tokenizer};

use super::count::{Counts, Operation};
use super::http::{ATTEMPT_TIMEOUT, HttpClient};
use super::problem::{Kind, Problem};

/// An API of AWS.
#[derive(Clone, Copy, Debug)]
pub struct Api {
    /// The service, as in signatures and in the name of its endpoint.
    pub service: &'static str,
    /// How it is called.
    pub protocol: Protocol,
    /// The only region with an endpoint; `None` if each region has one.
    pub region: Option<&'static str>,
}

/// How an API is called.
#[derive(Clone, Copy, Debug)]
pub enum Protocol {
    /// By a form with the action and this version; the response is XML.
    Query(&'static str),
    /// By JSON, with the operation in a header after this prefix; the response is JSON.
    Json(&'static str),
    /// By this path; the response is JSON.
    Rest(&'static str),
}

/// Parameters of a request: text and numbers.
type Parameters = [(&'static str, Value)];

/// A client of all APIs that has the credentials of one account in one region.
#[derive(Clone, Debug)]
pub struct Signed {
    config: SdkConfig,
    http: HttpClient,
    counts: Arc<Counts>,
    region: String,
}

/// Where an API is.
struct Endpoint<'a> {
    url: String,
    /// The region of signatures.
    region: &'a str,
}

/// The content of a request, before it is signed.
struct Content {
    method: &'static str,
    uri: String,
    headers: Vec<(&'static str, String)>,
    body: String,
}

type Failure = Box<dyn Error + Send + Sync>;

impl Signed {
    /// A client with the credentials of `config`.
    pub(super) fn new(config: &SdkConfig, region: &str, http: HttpClient, counts: Arc<Counts>) -> Signed {
        Signed { config: config.clone(), http, counts, region: region.to_owned() }
    }

    /// The account's alias; empty if it has none.
    ///
    /// # Errors
    /// If AWS does not return it.
    pub(super) async fn account_alias(&self) -> Result<String, Problem> {
        const IAM: Api = Api { service: "iam", protocol: Protocol::Query("2010-05-08"), region: None };
        // IAM is the same in all regions of a partition.
        let (endpoint, region) = match self.region.as_str() {
            region if region.starts_with("cn-") => ("https://iam.cn-north-1.amazonaws.com.cn", "cn-north-1"),
            region if region.starts_with("us-gov-") => ("https://iam.us-gov.amazonaws.com", "us-gov-west-1"),
            _ => ("https://iam.amazonaws.com", "us-east-1"),
        };
        let endpoint = Endpoint { url: self.config.endpoint_url().unwrap_or(endpoint).to_owned(), region };
        let answer = self.call_at(&endpoint, &IAM, Operation::ListAccountAliases, &[]).await?;
        let alias = answer.pointer("/ListAccountAliasesResult/AccountAliases/0").and_then(Value::as_str);
        Ok(alias.unwrap_or_default().to_owned())
    }

    /// Calls an operation. An element of an XML response is an object of its elements, an array if they are called
    /// `item` or `member`, or a string.
    ///
    /// # Errors
    /// If AWS refuses the request, or the response is in neither format.
    pub async fn call(&self, api: &Api, operation: Operation, parameters: &Parameters) -> Result<Value, Problem> {
        let region = api.region.unwrap_or(&self.region);
        let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let url = match self.config.endpoint_url() {
            Some(url) => url.to_owned(),
            None => format!("https://{}.{region}.{domain}", api.service),
        };
        self.call_at(&Endpoint { url, region }, api, operation, parameters).await
    }

    async fn call_at(
        &self,
        endpoint: &Endpoint<'_>,
        api: &Api,
        operation: Operation,
        parameters: &Parameters,
    ) -> Result<Value, Problem> {
        let region = endpoint.region;
        let unavailable = |message: &str| {
            let message = format!("{} in {region}: {message}", operation.name());
            Problem { kind: Kind::Unavailable, message }
        };
        self.counts.requested(operation);
        let content = Content::new(api.protocol, &endpoint.url, operation, parameters);
        let answer = match timeout(ATTEMPT_TIMEOUT, self.send(region, api.service, content)).await {
            Ok(answer) => answer.map_err(|error| Problem::of_failure(operation, region, &*error)),
            Err(_) => Err(unavailable("no answer in time")),
        };
        let content = answer.and_then(|response| {
            if !response.status().is_success() {
                return Err(Problem::of_response(operation, region, &response));
            }
            let body = String::from_utf8_lossy(response.body().bytes().unwrap_or_default());
            let content = match api.protocol {
                Protocol::Query(_) => from_xml(&body),
                Protocol::Json(_) | Protocol::Rest(_) => serde_json::from_str(&body).map_err(|error| error.to_string()),
            };
            content.map_err(|error| unavailable(&format!("an answer that cannot be read: {error}")))
        });
        content.inspect_err(|problem| self.counts.failed(operation, problem.kind == Kind::Throttled))
    }

    async fn send(&self, region: &str, service: &str, content: Content) -> Result<HttpResponse, Failure> {
        let credentials = self.config.credentials_provider().ok_or("no credentials")?.provide_credentials().await?;
        let identity: Identity = credentials.into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name(service)
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()?
            .into();
        let headers = content.headers.iter().map(|(name, value)| (*name, value.as_str()));
        let body = SignableBody::Bytes(content.body.as_bytes());
        let signable = SignableRequest::new(content.method, content.uri.as_str(), headers, body)?;
        let (signed, _) = sign(signable, &params)?.into_parts().0.into_parts();
        let mut request = HttpRequest::new(SdkBody::from(content.body));
        request.set_method(content.method)?;
        request.set_uri(content.uri)?;
        for (name, value) in content.headers {
            request.headers_mut().insert(name, value);
        }
        for header in signed {
            request.headers_mut().insert(header.name(), header.value().to_owned());
        }
        Ok(self.http.send(request).await?)
    }
}

impl Content {
    fn new(protocol: Protocol, url: &str, operation: Operation, parameters: &Parameters) -> Content {
        const CONTENT_TYPE: &str = "content-type";
        let url = url.trim_end_matches('/');
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let parameters = parameters.iter().map(|(name, value)| (*name, value));
        let mut form = Serializer::new(String::new());
        match protocol {
            Protocol::Query(version) => {
                form.append_pair("Action", operation.name()).append_pair("Version", version);
                form.extend_pairs(parameters.map(|(name, value)| (name, text(value))));
                let headers = vec![(CONTENT_TYPE, "application/x-www-form-urlencoded".to_owned())];
                Content { method: "POST", uri: format!("{url}/"), headers, body: form.finish() }
            }
            Protocol::Json(prefix) => {
                let target = ("x-amz-target", format!("{prefix}.{}", operation.name()));
                let headers = vec![(CONTENT_TYPE, "application/x-amz-json-1.1".to_owned()), target];
                let input: Map<String, Value> =
                    parameters.map(|(name, value)| (name.to_owned(), value.clone())).collect();
                Content { method: "POST", uri: format!("{url}/"), headers, body: Value::from(input).to_string() }
            }
            Protocol::Rest(path) => {
                form.extend_pairs(parameters.map(|(name, value)| (name, text(value))));
                // API Gateway wraps its lists unless asked for plain JSON.
                let headers = vec![("accept", "application/json".to_owned())];
                Content { method: "GET", uri: format!("{url}{path}?{}", form.finish()), headers, body: String::new() }
            }
        }
    }
}

/// An element that has not ended.
#[derive(Default)]
struct Open<'a> {
    name: &'a str,
    text: String,
    items: Vec<Value>,
    fields: Map<String, Value>,
}

impl Open<'_> {
    fn value(self) -> Value {
        match self {
            Open { items, .. } if !items.is_empty() => items.into(),
            Open { fields, .. } if !fields.is_empty() => fields.into(),
            Open { text, .. } => text.into(),
        }
    }
}

/// The content of the root element, as far as AWS's APIs use XML: without attributes, and with elements or text.
fn from_xml(xml: &str) -> Result<Value, String> {
    const MAX_DEPTH: usize = 32;
    let mut open = vec![Open::default()];
    for token in Tokenizer::from(xml) {
        let Some(last) = open.last_mut() else { break };
        match token.map_err(|error| error.to_string())? {
            Token::ElementStart { local, .. } => {
                if open.len() > MAX_DEPTH {
                    return Err(format!("elements more than {MAX_DEPTH} deep"));
                }
                open.push(Open { name: local.as_str(), ..Open::default() });
            }
            Token::ElementEnd { end: ElementEnd::Open, .. } => {}
            Token::ElementEnd { end, .. } => {
                let (Some(closed), Some(parent)) = (open.pop(), open.last_mut()) else {
                    return Err("an end without its start".to_owned());
                };
                match (end, closed.name) {
                    (ElementEnd::Close(_, name), own) if name.as_str() != own => {
                        return Err(format!("{own} ends as {name}"));
                    }
                    (_, "item" | "member") => parent.items.push(closed.value()),
                    (_, name) => drop(parent.fields.insert(name.to_owned(), closed.value())),
                }
            }
            Token::Text { text } => last.text.push_str(&unescaped(text.as_str())?),
            Token::Cdata { text, .. } => last.text.push_str(text.as_str()),
            // It could define entities.
            Token::DtdStart { .. } | Token::EmptyDtd { .. } => return Err("a document type".to_owned()),
            _ => {}
        }
    }
    let [document] = <[Open<'_>; 1]>::try_from(open).map_err(|_| "an element without its end")?;
    let root = document.fields.into_iter().next();
    root.map(|(_, value)| value).ok_or_else(|| "no element".to_owned())
}

fn unescaped(text: &str) -> Result<String, String> {
    let (mut plain, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, after)) = rest.split_once('&') {
        let named = after.split_once(';').and_then(|(name, after)| Some((character(name)?, after)));
        let (character, after) = named.ok_or("an unknown entity")?;
        plain.push_str(before);
        plain.push(character);
        rest = after;
    }
    plain.push_str(rest);
    Ok(plain)
}

fn character(entity: &str) -> Option<char> {
    match entity {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = entity.strip_prefix('#')?;
            let code = number.strip_prefix('x').map_or_else(|| number.parse(), |hex| u32::from_str_radix(hex, 16));
            char::from_u32(code.ok()?)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn xml_is_read_as_objects_arrays_and_text() {
        let xml = "<?xml version=\"1.0\"?>\n<r:Response xmlns:r=\"http://x/\">\n <set>\n  <item><id a=\"1\">a &amp;&#x20;&#98;</id></item>\
            <item><id><![CDATA[<c>]]></id></item>\n </set>\n <!-- none --> <empty/><none></none>\n</r:Response>\n";
        let expected = json!({"set": [{"id": "a & b"}, {"id": "<c>"}], "empty": "", "none": ""});
        assert_eq!(from_xml(xml), Ok(expected));
    }

    #[test]
    fn malformed_xml_is_refused() {
        let deep = "<a>".repeat(40);
        let cases =
            ["", "text", "<a>", "<a></b>", "</a>", "<a/></a>", "<a>&b;</a>", "<a>&</a>", "<!DOCTYPE a []><a/>", &deep];
        for xml in cases {
            assert!(from_xml(xml).is_err(), "{xml}");
        }
    }

    #[test]
    fn requests_are_as_each_protocol_has_them() {
        let parameters = [("Max", 5.into()), ("Token", "a+/= b".into())];
        let content = |protocol| Content::new(protocol, "http://h/", Operation::ListGateways, &parameters);
        let query = content(Protocol::Query("2011-01-01"));
        assert_eq!(query.body, "Action=ListGateways&Version=2011-01-01&Max=5&Token=a%2B%2F%3D+b");
        let json = content(Protocol::Json("Storage_1"));
        assert_eq!((json.uri.as_str(), json.body.as_str()), ("http://h/", r#"{"Max":5,"Token":"a+/= b"}"#));
        assert_eq!(json.headers[1], ("x-amz-target", "Storage_1.ListGateways".to_owned()));
        let rest = content(Protocol::Rest("/gateways"));
        assert_eq!((rest.method, rest.uri.as_str()), ("GET", "http://h/gateways?Max=5&Token=a%2B%2F%3D+b"));
    }
}
