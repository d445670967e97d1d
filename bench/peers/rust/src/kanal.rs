// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

//! kanal: it has no select.

#[path = "channels.rs"]
mod channels;

mod peer {
    pub use kanal::{bounded, Sender};
}

pub use channels::workloads;
