//! Names that no other test, and no earlier run on the same stack, has.

/// `text` with eight random characters behind it, fit for a topic, a tenant id and a namespace.
#[must_use]
pub fn unique(text: &str) -> String {
    format!("{text}-{:08x}", rand::random::<u32>())
}
