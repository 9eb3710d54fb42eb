//! Names of the topics of one trap.

/// Topics under `<prefix>/<trap>/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topics {
    base: String,
}

impl Topics {
    /// `prefix` and `trap` as checked by the configuration.
    pub fn new(prefix: &str, trap: &str) -> Self {
        Self { base: format!("{prefix}/{trap}") }
    }

    /// `online`, `asleep until ...`, `stopped` or `offline`; retained.
    pub fn availability(&self) -> String {
        self.of("availability")
    }

    /// The heartbeat; retained.
    pub fn health(&self) -> String {
        self.of("health")
    }

    /// The latest picture of this label; retained.
    pub fn snapshot(&self, label: &str) -> String {
        self.of(&format!("snapshot/{label}"))
    }

    /// What `arcticd check` publishes to.
    pub fn check(&self) -> String {
        self.of("check")
    }

    /// The topic that ends in `leaf`.
    pub fn of(&self, leaf: &str) -> String {
        format!("{}/{leaf}", self.base)
    }
}
