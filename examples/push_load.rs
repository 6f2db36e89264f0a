//! Pushes to a gateway as fast as it answers, for benches/gateway.
//!
//! `push_load ADDRESS GROUPS SERIES CONNECTIONS SECONDS` pushes SERIES series to one of GROUPS groups after the other,
//! over CONNECTIONS connections, each of which waits for its answer before it pushes again. With 0 for SECONDS it pushes
//! once to every group. It prints the pushes, how long they took in all, and the 50th, 99th and 100th percentile of one.
//!
//! With `nats://HOST:PORT` for ADDRESS, in a build with the feature `nats`, it publishes the same bodies to a stream on three
//! NATS servers: what the servers of replicas take by themselves.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

type Failure = Box<dyn std::error::Error>;

struct Load {
    address: String,
    groups: usize,
    body: String,
    /// When to end; at the end of the groups, if not at all.
    until: Option<Instant>,
    pushed: Cell<usize>,
    took: RefCell<Vec<Duration>>,
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, numbers @ ..] = arguments.as_slice() else { return Err("usage: see the head of the file".into()) };
    let numbers: Vec<usize> = numbers.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
    let [groups, series, connections, seconds] = numbers[..] else { return Err("four numbers are wanted".into()) };
    let begun = Instant::now();
    let load = Rc::new(Load {
        address: address.clone(),
        groups,
        body: body(series),
        until: (seconds > 0).then(|| begun + Duration::from_secs(seconds as u64)),
        pushed: Cell::new(0),
        took: RefCell::default(),
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let tasks: Vec<_> = (0..connections).map(|_| tokio::task::spawn_local(push(load.clone()))).collect();
        for task in tasks {
            task.await?.map_err(|error| error.to_string())?;
        }
        Ok::<(), Failure>(())
    })?;
    let mut took = load.took.take();
    took.sort_unstable();
    let percentile = |of: usize| took.get((took.len() * of / 100).min(took.len() - 1)).map_or(0, Duration::as_micros);
    println!(
        "{} pushes, {} ms, {} {} {} us",
        took.len(),
        begun.elapsed().as_millis(),
        percentile(50),
        percentile(99),
        percentile(100)
    );
    Ok(())
}

/// What a job would push: a few families with a few series each.
fn body(series: usize) -> String {
    let mut body = String::new();
    for number in 0..series {
        let (family, step) = (number / 4, number % 4);
        if step == 0 {
            body += &format!("# HELP backup_stage_{family}_seconds Time a stage took.\n");
            body += &format!("# TYPE backup_stage_{family}_seconds gauge\n");
        }
        body += &format!("backup_stage_{family}_seconds{{step=\"step-{step}\"}} {}.5\n", 1000 + number);
    }
    body
}

/// Pushes over one connection.
async fn push(load: Rc<Load>) -> Result<(), Failure> {
    let mut connection = Connection::open(&load.address).await?;
    loop {
        let number = load.pushed.get();
        let is_over = load.until.map_or(number >= load.groups, |until| Instant::now() >= until);
        if is_over {
            return Ok(());
        }
        load.pushed.set(number + 1);
        let begun = Instant::now();
        connection.push(number % load.groups, &load.body).await?;
        load.took.borrow_mut().push(begun.elapsed());
    }
}

enum Connection {
    Gateway(TcpStream),
    #[cfg(feature = "nats")]
    Stream(async_nats::jetstream::Context),
}

impl Connection {
    async fn open(address: &str) -> Result<Connection, Failure> {
        if address.starts_with("nats://") {
            return Connection::open_stream(address).await;
        }
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Connection::Gateway(stream))
    }

    #[cfg(feature = "nats")]
    async fn open_stream(address: &str) -> Result<Connection, Failure> {
        use async_nats::jetstream;
        let context = jetstream::new(async_nats::connect(address).await?);
        let name = "push_load".to_owned();
        let config = jetstream::stream::Config { name, num_replicas: 3, ..Default::default() };
        context.get_or_create_stream(config).await?;
        Ok(Connection::Stream(context))
    }

    #[cfg(not(feature = "nats"))]
    async fn open_stream(_: &str) -> Result<Connection, Failure> {
        Err("this build lacks the feature nats".into())
    }

    async fn push(&mut self, group: usize, body: &str) -> Result<(), Failure> {
        match self {
            Connection::Gateway(stream) => push_to_gateway(stream, group, body).await,
            #[cfg(feature = "nats")]
            Connection::Stream(context) => {
                context.publish("push_load", body.to_owned().into()).await?.await?;
                Ok(())
            }
        }
    }
}

async fn push_to_gateway(stream: &mut TcpStream, group: usize, body: &str) -> Result<(), Failure> {
    let length = body.len();
    let head = format!("PUT /metrics/job/backup/instance/host-{group:06} HTTP/1.1\r\nHost: gateway\r\n");
    let request = format!("{head}Content-Length: {length}\r\n\r\n{body}");
    let mut answer = [0; 4096];
    stream.write_all(request.as_bytes()).await?;
    let read = stream.read(&mut answer).await?;
    match answer[..read].starts_with(b"HTTP/1.1 20") {
        true => Ok(()),
        false => Err(format!("refused: {}", String::from_utf8_lossy(&answer[..read])).into()),
    }
}
