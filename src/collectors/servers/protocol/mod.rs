//! What servers send: pages of named values, and the replies of Redis and of FastCGI. Nothing here does input or output.

pub mod fastcgi;
pub mod memcached;
pub mod pairs;
pub mod resp;
pub mod stub_status;
