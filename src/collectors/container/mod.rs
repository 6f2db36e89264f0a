//! Containers.

#![allow(dead_code)]

mod names;
