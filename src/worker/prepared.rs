//! A job of the catalogue with everything that its attempts share, computed once for each load of the catalogue.

use std::path::Path;
use std::sync::Arc;

use crate::attempt::Ending;
use crate::catalogue::Job;
use crate::process::command::CommandPlan;
use crate::process::environment::BaseEnvironment;

/// A job, ready to be started.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) job: Arc<Job>,
    /// Command line and environment, or why it cannot be started.
    pub(super) launch: Result<(CommandPlan, BaseEnvironment), Ending>,
}

impl Prepared {
    pub(super) fn new(job: &Arc<Job>, state: &Path, catalogue: &Path, own_binary: &Path) -> Self {
        let inherited = |name: &str| std::env::var_os(name);
        let launch = CommandPlan::new(job, own_binary).and_then(|line| {
            Ok((
                line,
                BaseEnvironment::new(job, inherited, state, catalogue)?,
            ))
        });
        Self {
            job: Arc::clone(job),
            launch,
        }
    }
}
