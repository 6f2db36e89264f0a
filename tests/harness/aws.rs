//! A server that speaks AWS's protocols: rpc-v2-cbor for CloudWatch, JSON for the tagging API, queries for STS. A test says
//! what it answers; one of its answers is what moto, which does not speak CBOR, says in JSON.

use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use ciborium::Value as Cbor;
use serde_json::{Map, Number, Value, json};

use super::wire::Incoming;

/// What was asked.
#[derive(Clone, Debug)]
pub struct Call {
    /// Such as `ListMetrics`; of a REST API the path.
    pub operation: String,
    /// What it was asked with; forms are objects of strings.
    pub input: Value,
    /// Who asked, by his access key.
    pub access_key: String,
    /// Where, by the signature's scope.
    pub region: String,
    /// The bytes of the body as it came.
    pub size: usize,
    raw: Incoming,
}

/// What is answered.
#[derive(Clone, Debug)]
pub enum Reply {
    /// This output.
    Output(Value),
    /// An error: status, code, message.
    Error(u16, &'static str, &'static str),
    /// Nothing for this long, and then no answer.
    Silence(Duration),
    /// As it is: status, type, body.
    Raw(u16, String, Vec<u8>),
    /// A success whose body does not end while it is read.
    Endless,
}

type Script = dyn Fn(&Call) -> Reply + Send + Sync;

/// The server.
pub struct Aws {
    address: SocketAddr,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Aws {
    pub fn start(script: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> Aws {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let calls = Arc::new(Mutex::new(Vec::new()));
        let script: Arc<Script> = Arc::new(script);
        let seen = calls.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (seen, script) = (seen.clone(), script.clone());
                thread::spawn(move || serve(stream, &seen, &*script));
            }
        });
        Aws { address, calls }
    }

    /// In front of a moto at `url`: its JSON as CBOR, and nothing else.
    pub fn before_moto(url: String) -> Aws {
        Aws::start(move |call| ask_moto(&url, call))
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All calls of an operation so far.
    pub fn calls(&self, operation: &str) -> Vec<Call> {
        self.calls.lock().unwrap().iter().filter(|call| call.operation == operation).cloned().collect()
    }
}

/// EC2's instance metadata service, version 2: it gives a token, and answers who has it.
pub struct Metadata {
    address: SocketAddr,
    /// Whether each request but those for a token had one.
    had_token: Arc<Mutex<Vec<bool>>>,
}

impl Metadata {
    /// A service whose content by path is `content`, or a status.
    pub fn start(content: impl Fn(&str) -> Result<String, u16> + Send + Sync + 'static) -> Metadata {
        const TOKEN: &str = "a-token";
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let had_token = Arc::new(Mutex::new(Vec::new()));
        let (seen, content) = (had_token.clone(), Arc::new(content));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (seen, content) = (seen.clone(), content.clone());
                thread::spawn(move || {
                    let mut reader = BufReader::new(stream);
                    while let Some(asked) = Incoming::read(&mut reader) {
                        let answer = match asked.target.as_str() {
                            "/latest/api/token" => Ok(TOKEN.to_owned()),
                            path => {
                                let token = asked.header("x-aws-ec2-metadata-token");
                                seen.lock().unwrap().push(token == Some(TOKEN));
                                content(path)
                            }
                        };
                        let (status, body) = answer.map_or_else(|status| (status, String::new()), |body| (200, body));
                        let head = format!(
                            "HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\
                             x-aws-ec2-metadata-token-ttl-seconds: 600\r\n\r\n{body}",
                            body.len()
                        );
                        if reader.get_mut().write_all(head.as_bytes()).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Metadata { address, had_token }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Whether it was asked, and never without its token.
    pub fn has_asked_with_tokens_alone(&self) -> bool {
        let had = self.had_token.lock().unwrap();
        !had.is_empty() && had.iter().all(|had| *had)
    }
}

fn serve(stream: TcpStream, seen: &Mutex<Vec<Call>>, script: &Script) {
    let mut reader = BufReader::new(stream);
    while let Some(raw) = Incoming::read(&mut reader) {
        let call = call_of(raw);
        seen.lock().unwrap().push(call.clone());
        let (status, content_type, body) = match script(&call) {
            Reply::Raw(status, content_type, body) => (status, content_type, body),
            Reply::Output(output) => encode(&call, 200, output),
            Reply::Error(status, code, message) => encode(&call, status, json!({"__type": code, "message": message})),
            Reply::Endless => {
                let head = "HTTP/1.1 200 x\r\ncontent-type: application/cbor\r\nsmithy-protocol: rpc-v2-cbor\r\n\r\n";
                let _ = reader.get_mut().write_all(head.as_bytes());
                while reader.get_mut().write_all(&[0x80; 1 << 16]).is_ok() {}
                return;
            }
            Reply::Silence(time) => {
                thread::sleep(time);
                return;
            }
        };
        let head = format!(
            "HTTP/1.1 {status} x\r\ncontent-type: {content_type}\r\nsmithy-protocol: rpc-v2-cbor\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        if reader.get_mut().write_all(head.as_bytes()).is_err() || reader.get_mut().write_all(&body).is_err() {
            return;
        }
    }
}

fn call_of(raw: Incoming) -> Call {
    let (size, body) = (raw.body.len(), raw.content().unwrap());
    let header = |name: &str| raw.header(name).unwrap_or_default();
    let (operation, input) = if let Some((_, operation)) = raw.target.split_once("/operation/") {
        (operation.to_owned(), from_cbor(ciborium::from_reader(&body[..]).unwrap()))
    } else if let Some((_, operation)) = header("x-amz-target").split_once('.') {
        (operation.to_owned(), serde_json::from_slice(&body).unwrap())
    } else {
        let (path, query) = raw.target.split_once('?').unwrap_or((&raw.target, ""));
        let fields = form_urlencoded::parse(query.as_bytes()).chain(form_urlencoded::parse(&body));
        let form: Map<String, Value> = fields.map(|(k, v)| (k.into(), v.into())).collect();
        let operation = form.get("Action").and_then(Value::as_str).unwrap_or(path).to_owned();
        (operation, Value::Object(form))
    };
    let scope = header("authorization").split_once("Credential=").map_or("", |(_, rest)| rest);
    let mut scope = scope.split('/');
    let access_key = scope.next().unwrap_or_default().to_owned();
    let region = scope.nth(1).unwrap_or_default().to_owned();
    Call { operation, input, access_key, region, size, raw }
}

fn encode(call: &Call, status: u16, output: Value) -> (u16, String, Vec<u8>) {
    if call.raw.target.contains("/operation/") {
        let mut body = Vec::new();
        ciborium::into_writer(&to_cbor("", output), &mut body).unwrap();
        return (status, "application/cbor".to_owned(), body);
    }
    if call.raw.header("x-amz-target").is_some() {
        return (status, "application/x-amz-json-1.1".to_owned(), output.to_string().into_bytes());
    }
    let xml = match status {
        200 => {
            let field = |(name, value): (&String, &Value)| format!("<{name}>{}</{name}>", value.as_str().unwrap());
            let fields: String = output.as_object().unwrap().iter().map(field).collect();
            let name = &call.operation;
            format!("<{name}Response><{name}Result>{fields}</{name}Result></{name}Response>")
        }
        _ => {
            let (code, message) = (output["__type"].as_str().unwrap(), output["message"].as_str().unwrap());
            format!("<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>")
        }
    };
    (status, "text/xml".to_owned(), xml.into_bytes())
}

fn from_cbor(value: Cbor) -> Value {
    match value {
        Cbor::Null => Value::Null,
        Cbor::Bool(flag) => flag.into(),
        Cbor::Integer(number) => i64::try_from(number).unwrap().into(),
        Cbor::Float(number) => Number::from_f64(number).map_or_else(|| number.to_string().into(), Value::Number),
        Cbor::Text(text) => text.into(),
        Cbor::Tag(_, value) => from_cbor(*value),
        Cbor::Array(items) => items.into_iter().map(from_cbor).collect(),
        Cbor::Map(entries) => {
            let entry = |(key, value): (Cbor, Cbor)| (key.into_text().unwrap(), from_cbor(value));
            Value::Object(entries.into_iter().map(entry).collect())
        }
        other => panic!("unexpected {other:?}"),
    }
}

/// Times carry a tag; `key` names them.
fn to_cbor(key: &str, value: Value) -> Cbor {
    match value {
        Value::Null => Cbor::Null,
        Value::Bool(flag) => flag.into(),
        Value::Number(number) if key.starts_with("Timestamp") => {
            Cbor::Tag(1, Box::new(Cbor::Float(number.as_f64().unwrap())))
        }
        Value::Number(number) => Cbor::Float(number.as_f64().unwrap()),
        Value::String(text) => text.into(),
        Value::Array(items) => Cbor::Array(items.into_iter().map(|item| to_cbor(key, item)).collect()),
        Value::Object(entries) => {
            let entry = |(key, value): (String, Value)| (Cbor::Text(key.clone()), to_cbor(&key, value));
            Cbor::Map(entries.into_iter().map(entry).collect())
        }
    }
}

fn ask_moto(url: &str, call: &Call) -> Reply {
    let is_cbor = call.raw.target.contains("/operation/");
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut request = agent.post(url).header("authorization", call.raw.header("authorization").unwrap_or_default());
    let body = if is_cbor {
        let target = format!("GraniteServiceVersion20100801.{}", call.operation);
        request = request.header("x-amz-target", target).header("content-type", "application/x-amz-json-1.0");
        call.input.to_string().into_bytes()
    } else {
        for name in ["x-amz-target", "content-type", "x-amz-security-token"] {
            if let Some(value) = call.raw.header(name) {
                request = request.header(name, value);
            }
        }
        call.raw.body.clone()
    };
    let mut response = request.send(&body[..]).unwrap();
    let status = response.status().as_u16();
    let content_type = response.headers().get("content-type").map_or("", |value| value.to_str().unwrap()).to_owned();
    let body = response.body_mut().read_to_vec().unwrap();
    match is_cbor {
        true => {
            let output = if body.is_empty() { json!({}) } else { serde_json::from_slice(&body).unwrap() };
            let (status, content_type, body) = encode(call, status, output);
            Reply::Raw(status, content_type, body)
        }
        false => Reply::Raw(status, content_type, body),
    }
}
