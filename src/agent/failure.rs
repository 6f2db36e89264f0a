//! Exit statuses of a process that cannot start. The units do not restart it for those of this module.

use std::error::Error;
use std::io::ErrorKind;

use super::load::LoadError;
use crate::gateway::service::StartError;
use crate::http::ApplyError;
use crate::store::OpenError;

/// The configuration, or a file that it names, is invalid: `EX_CONFIG` of sysexits.h.
const CONFIGURATION: u8 = 78;
/// An address or a folder is in use by another process, or not permitted: `EX_UNAVAILABLE`.
const UNAVAILABLE: u8 = 69;
/// Everything else. A retry may succeed.
const FAILURE: u8 = 1;

/// The exit status for the reason why [`super::run`] cannot start.
pub fn exit_status(failure: &(dyn Error + 'static)) -> u8 {
    if let Some(failure) = failure.downcast_ref() {
        of_load(failure)
    } else if let Some(failure) = failure.downcast_ref() {
        of_listener(failure)
    } else if let Some(failure) = failure.downcast_ref() {
        of_gateway(failure)
    } else {
        FAILURE
    }
}

/// The reason why [`super::run`] cannot start: several messages for several mistakes of the configuration.
pub fn messages(failure: &(dyn Error + 'static)) -> Vec<String> {
    match failure.downcast_ref() {
        Some(LoadError::Mistakes(mistakes)) => mistakes.clone(),
        _ => vec![failure.to_string()],
    }
}

fn of_load(failure: &LoadError) -> u8 {
    match failure {
        LoadError::Mistakes(_) | LoadError::Sink(_) => CONFIGURATION,
        LoadError::Timeout | LoadError::StillHung | LoadError::Failed(_) => FAILURE,
    }
}

fn of_listener(failure: &ApplyError) -> u8 {
    match failure {
        ApplyError::Bind { reason, .. } => match reason.kind() {
            ErrorKind::AddrInUse | ErrorKind::PermissionDenied => UNAVAILABLE,
            // Such as an address of an interface that is not up yet.
            _ => FAILURE,
        },
        ApplyError::Protection(_) => CONFIGURATION,
    }
}

fn of_gateway(failure: &StartError) -> u8 {
    match failure {
        StartError::Listen(failure) => of_listener(failure),
        StartError::State(OpenError::InUse(_)) => UNAVAILABLE,
        StartError::NoState => CONFIGURATION,
        StartError::State(_) | StartError::Replica(_) => FAILURE,
    }
}
