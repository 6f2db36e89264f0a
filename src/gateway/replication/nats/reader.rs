//! Reads the stream in order, in a task of its own.

use std::time::Duration;

use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use async_nats::jetstream::stream::Stream;
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Messages per request. Some have almost 1 MB, and the server closes connections with more than 64 MB waiting.
const BATCH: i64 = 16;

/// Messages that wait to be applied.
const WAITING: usize = 16;

/// Pause before another attempt.
const PAUSE: Duration = Duration::from_millis(500);

/// Passes on all messages after some position, with their sequences; dropping it ends that.
#[derive(Debug)]
pub(super) struct Reader {
    messages: mpsc::Receiver<(u64, Bytes)>,
    task: JoinHandle<()>,
}

impl Reader {
    /// Reads the messages after `after`.
    pub(super) fn new(stream: Stream, after: u64) -> Reader {
        let (sender, messages) = mpsc::channel(WAITING);
        Reader { messages, task: tokio::spawn(read(stream, after, sender)) }
    }

    /// The next message.
    pub(super) async fn next(&mut self) -> Option<(u64, Bytes)> {
        self.messages.recv().await
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn read(stream: Stream, mut last: u64, sender: mpsc::Sender<(u64, Bytes)>) {
    loop {
        let deliver_policy = DeliverPolicy::ByStartSequence { start_sequence: last + 1 };
        let config = OrderedConfig { deliver_policy, max_batch: BATCH, ..OrderedConfig::default() };
        let opened = match stream.create_consumer(config).await {
            Ok(consumer) => consumer.messages().await.ok(),
            Err(error) => {
                tracing::debug!("the stream cannot be read: {error}");
                None
            }
        };
        let mut messages = match opened {
            Some(messages) => messages,
            None => {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        while let Some(Ok(message)) = messages.next().await {
            let Ok(sequence) = message.info().map(|info| info.stream_sequence) else { break };
            // A consumer that the client recreates may begin anywhere.
            if sequence <= last {
                continue;
            }
            last = sequence;
            if sender.send((sequence, message.payload.clone())).await.is_err() {
                return;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}
