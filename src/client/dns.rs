//! DNS (RFC 1035): [`message`] reads and writes messages, [`exchange`] sends one to a server, [`resolver`] finds the
//! servers and tries the search domains.

pub mod exchange;
pub mod message;
mod name;
pub mod resolver;
