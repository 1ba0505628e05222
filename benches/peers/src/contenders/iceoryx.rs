//! What both iceoryx2 contenders need: a node whose files are this run's own.

use iceoryx2::config::Config;
use iceoryx2::prelude::{
    Alignment, FileName, LogLevel, Node, NodeBuilder, Path, SemanticString, ServiceName,
    SignalHandlingMode, ipc, set_log_level,
};

use crate::contender::{Outcome, Place};
use crate::sys::scratch::prefix_of;

pub(crate) type Service = ipc::Service;

/// A node as its documentation makes one, except that it logs nothing, leaves signals alone, and
/// keeps its files where the run removes them.
pub(crate) fn node(place: &Place) -> Outcome<Node<Service>> {
    set_log_level(LogLevel::Fatal);
    let mut config = Config::default();
    config.global.prefix = FileName::new(prefix_of(&place.dir).as_bytes())?;
    config
        .global
        .set_root_path(&Path::new(place.dir.to_string_lossy().as_bytes())?);
    let builder = NodeBuilder::new().config(&config);
    Ok(builder
        .signal_handling_mode(SignalHandlingMode::Disabled)
        .create::<Service>()?)
}

/// A service name.
pub(crate) fn named(name: &str) -> Outcome<ServiceName> {
    Ok(name.try_into()?)
}

/// Payloads begin at a multiple of 64, where copies are fastest.
pub(crate) fn aligned() -> Outcome<Alignment> {
    Ok(Alignment::new(64).ok_or("64 is no alignment")?)
}
