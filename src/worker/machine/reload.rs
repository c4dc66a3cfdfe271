//! Reloads of the catalogue: load it, use it, save its rules. Saving is retried until it succeeds.
//!
//! Rule: one load at a time; a request during a load causes another load afterwards.

use std::sync::Arc;

use super::{Action, Machine, Stop, millis};
use crate::catalogue::Catalogue;
use crate::error::{Error, Result};
use crate::observe::event::{CatalogueSize, LogEvent};

#[derive(Debug, Default)]
pub(super) struct Reloading {
    /// A load is under way.
    loading: bool,
    /// Another load was requested meanwhile.
    again: bool,
    /// The rules of our catalogue are not saved yet.
    pub(super) unsaved: bool,
    /// Why the last attempt to save them failed.
    pub(super) not_saved: Option<String>,
    /// Why the newest catalogue was refused.
    pub(super) refused: Option<String>,
}

impl Machine {
    pub(super) fn on_reload(&mut self) {
        if self.reloading.loading {
            self.reloading.again = true;
            return;
        }
        self.reloading.loading = true;
        if self.stop == Stop::No {
            self.actions.push(Action::NotifyReloading);
        }
        self.actions.push(Action::Load);
    }

    pub(super) fn on_loaded(&mut self, answer: Result<Arc<Catalogue>>) {
        self.reloading.loading = false;
        match answer {
            Ok(catalogue) => {
                let size = CatalogueSize::Jobs(catalogue.jobs.len());
                self.log(LogEvent::CatalogueLoaded { size });
                self.stop_after = millis(catalogue.worker.stop_after_ms);
                self.claiming.use_catalogue(&catalogue);
                self.actions.push(Action::Use(Arc::clone(&catalogue)));
                self.catalogue = catalogue;
                self.reloading.refused = None;
                if self.only.is_some() {
                    // Only a worker that serves others puts rules in force.
                    self.notify_ready();
                } else {
                    self.reloading.unsaved = true;
                    self.writes.rules = true;
                }
            }
            Err(error) => {
                self.reloading.refused = Some(error.to_string());
                let error = error.message.into();
                self.log(LogEvent::CatalogueRefused { error });
                self.notify_ready();
            }
        }
        if std::mem::take(&mut self.reloading.again) {
            self.on_reload();
        }
    }

    /// The rules of the catalogue that was in use when the batch was submitted are in force.
    pub(super) fn on_rules_saved(&mut self) {
        if self.writes.rules {
            // A newer one was loaded meanwhile.
            return;
        }
        self.reloading.unsaved = false;
        if self.reloading.not_saved.take().is_some() {
            self.log(LogEvent::RulesInForce);
        }
        self.notify_ready();
    }

    pub(super) fn on_rules_refused(&mut self, error: &Error) {
        self.writes.rules = true;
        if self.reloading.not_saved.is_none() {
            let error = error.message.clone().into();
            self.log(LogEvent::RulesNotInForce { error });
        }
        self.reloading.not_saved = Some(error.to_string());
    }

    fn notify_ready(&mut self) {
        if self.stop == Stop::No && !self.reloading.loading {
            self.actions.push(Action::NotifyReady);
        }
    }
}
