//! Errors about names and ids that do not exist, with the nearest existing one as a hint.

use super::ids::unknown_job;
use crate::error::{Error, Kind, nearest};
use crate::flow::Subject;
use crate::operate::ActError;
use crate::units::shown;

/// The error message for an act that was not performed.
pub(super) fn not_done(error: ActError) -> Error {
    match error {
        ActError::Failed(error) => error,
        ActError::Unknown {
            subject: Subject::Job(job),
            known,
        } => unknown_job(&job, known.iter().map(String::as_str)),
        ActError::Unknown { subject, known } => unknown(&subject, &known),
    }
}

fn unknown(subject: &Subject, known: &[String]) -> Error {
    let (kind, name) = (subject.kind(), subject.name());
    let listed = match known {
        [] => format!("the catalogue has no {kind}s"),
        _ => format!("the {kind}s are {}", known.join(", ")),
    };
    let hint = match nearest(name, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`? {listed}"),
        None => listed,
    };
    let message = format!("unknown {kind} `{}`; nothing was changed", shown(name));
    Error::new(Kind::NotFound, message).hint(hint)
}
