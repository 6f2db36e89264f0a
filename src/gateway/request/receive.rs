//! Receiving the body of a request, and decompressing it.

use std::ops::Deref;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use http_body_util::BodyExt;

use super::body_memory::{BodyMemory, MemoryExhausted, Reservation, SMALL};
use super::content_encoding::{BodyError, codings, unpack_one};
use super::refusal::{Reason, Refusal};
use crate::http::timed::TooSlow;

/// A complete, decompressed body. Its memory is reserved until it is dropped.
pub(in crate::gateway) struct Received<'m> {
    bytes: Vec<u8>,
    reservation: Reservation<'m>,
}

impl Received<'_> {
    /// Takes the bytes. Their memory stays reserved until this is dropped.
    pub(in crate::gateway) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }
}

impl Deref for Received<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Why a body was not received.
#[derive(Debug, thiserror::Error)]
pub(in crate::gateway) enum ReceiveError {
    /// It is invalid, or too long.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The client closed the connection.
    #[error("the body was cut off")]
    CutOff,
    /// The client sends too slowly.
    #[error(transparent)]
    TooSlow(#[from] TooSlow),
    /// There is no memory for it.
    #[error(transparent)]
    Memory(#[from] MemoryExhausted),
}

impl From<ReceiveError> for Refusal {
    fn from(error: ReceiveError) -> Self {
        match error {
            ReceiveError::Body(error) => error.into(),
            ReceiveError::CutOff => Refusal(Reason::Body, error.to_string()),
            ReceiveError::TooSlow(_) => Refusal(Reason::Timeout, error.to_string()),
            ReceiveError::Memory(_) => Refusal(Reason::Memory, error.to_string()),
        }
    }
}

/// The limits of bodies, in bytes.
#[derive(Clone, Copy)]
pub(in crate::gateway) struct BodyLimits {
    body: usize,
    all: usize,
}

impl BodyLimits {
    /// At most `body` bytes for one body, and `all` for all bodies in flight, but at least enough for one body both
    /// compressed and decompressed.
    pub(in crate::gateway) fn new(body: usize, all: usize) -> BodyLimits {
        BodyLimits { body, all: all.max(body.saturating_mul(2)) }
    }
}

impl BodyMemory {
    /// Receives the whole body of a request, decompressed.
    ///
    /// # Errors
    /// The body is invalid, truncated, too slow or too long, or there is no memory for it.
    pub(in crate::gateway) async fn receive(
        &self,
        request: Request,
        limits: BodyLimits,
    ) -> Result<Received<'_>, ReceiveError> {
        let (head, body) = request.into_parts();
        let Received { bytes, mut reservation } = self.receive_as_sent(&head.headers, body, limits).await?;
        let bytes = unpack(bytes, &head.headers, limits, &mut reservation).await?;
        Ok(Received { bytes, reservation })
    }

    /// Receives a whole body as it was sent: still compressed, if it is.
    ///
    /// # Errors
    /// The body is truncated, too slow or too long, or there is no memory for it.
    pub(in crate::gateway) async fn receive_as_sent(
        &self,
        headers: &HeaderMap,
        body: Body,
        limits: BodyLimits,
    ) -> Result<Received<'_>, ReceiveError> {
        let mut reservation = self.begin();
        let eviction = reservation.eviction();
        let bytes = tokio::select! {
            biased;
            () = eviction.notified() => Err(MemoryExhausted.into()),
            bytes = collect(body, headers, limits, &mut reservation) => bytes,
        };
        Ok(Received { bytes: bytes?, reservation })
    }
}

/// Collects the whole body, still compressed.
async fn collect(
    mut body: Body,
    headers: &HeaderMap,
    limits: BodyLimits,
    reservation: &mut Reservation<'_>,
) -> Result<Vec<u8>, ReceiveError> {
    let too_long = || ReceiveError::from(BodyError::TooLong(limits.body));
    // The HTTP server has refused a length that is not a number. One that overflows is too long.
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let declared = declared.map_or(0, |length| length.parse().unwrap_or(usize::MAX));
    if declared > limits.body {
        return Err(too_long());
    }
    let max = if declared > 0 { declared } else { limits.body };
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(receive_error)?.into_data() else { continue };
        let length = bytes.len() + data.len();
        if length > limits.body {
            return Err(too_long());
        }
        if length > bytes.capacity() {
            // Grows with the received bytes, by half each time: the declared length is not trusted.
            let capacity = length.max(bytes.capacity() + bytes.capacity() / 2).max(SMALL).min(max).max(length);
            reservation.grow(capacity, limits.all).await?;
            bytes.reserve_exact(capacity - bytes.len());
        }
        bytes.extend_from_slice(&data);
    }
    reservation.received()?;
    Ok(bytes)
}

fn receive_error(error: axum::Error) -> ReceiveError {
    if is_too_slow(&error) { TooSlow.into() } else { ReceiveError::CutOff }
}

fn is_too_slow(error: &(dyn std::error::Error + 'static)) -> bool {
    error.is::<TooSlow>() || error.source().is_some_and(is_too_slow)
}

/// Decompresses a body, and reserves memory for the result.
async fn unpack(
    mut bytes: Vec<u8>,
    headers: &HeaderMap,
    limits: BodyLimits,
    reservation: &mut Reservation<'_>,
) -> Result<Vec<u8>, ReceiveError> {
    // A header that is not text becomes an unknown encoding.
    let named = headers.get_all(header::CONTENT_ENCODING).iter();
    let named: Vec<_> = named.map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
    for coding in codings(&named.join(","))? {
        let granted = reservation.grow_up_to(limits.body, limits.all);
        let unpacked = match unpack_one(&bytes, &coding, granted) {
            // The free memory does not suffice: wait for the maximum.
            Err(BodyError::TooLong(_)) if granted < limits.body => {
                reservation.grow(bytes.capacity() + limits.body, limits.all).await?;
                unpack_one(&bytes, &coding, limits.body)
            }
            unpacked => unpacked,
        };
        bytes = unpacked?;
        bytes.shrink_to_fit();
        reservation.shrink(bytes.capacity());
    }
    Ok(bytes)
}
